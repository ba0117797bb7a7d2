//! GitHub workflows for a set of policies: plan on a pull request, apply after the merge and by the clock, retention
//! and drills at their own pace. Pure. No permission that a job does not need, no action but the checkout.

use crate::domain::Name;

use super::Wishes;

const CHECKOUT: &str = "      - uses: actions/checkout@11bd71901bbe5b1630ceea73d27597364c9af683 # v4.2.2
        with:
          persist-credentials: false
      # Put bkup and PostgreSQL's client programs on the runner: an image of yours, a package, or a release whose digest
      # you check.
      - run: bkup --version
";

/// One workflow.
struct Workflow<'a> {
    file: &'a str,
    comment: &'a str,
    on: String,
    /// Runs of one group never overlap. Work in progress is ended only where it is a plan.
    group: &'a str,
    cancel: bool,
    minutes: u32,
    identity: bool,
    /// What has to hold for it to run at all.
    only_if: Option<&'a str>,
    commands: Vec<String>,
}

/// Returns them, with their paths in the repository.
pub(super) fn all(wishes: &Wishes, plans: &[Name]) -> Vec<(String, String)> {
    let folder = &wishes.folder;
    let by_clock = |cron: &str| format!("  schedule:\n    - cron: \"{cron}\"\n  workflow_dispatch:\n");
    let paths = format!("    paths: [\"{folder}/**\"]\n");
    let drills: Vec<String> = plans.iter().map(|plan| format!("bkup drill {plan} -p {folder}")).collect();
    let all = [
        Workflow {
            file: "bkup-plan",
            comment: "Shows in a pull request what merging it would do. Needs credentials that can read, and no more. A pull\n\
                      # request from a fork gets no secrets, so none is planned.",
            on: format!("  pull_request:\n{paths}"),
            group: "bkup-plan-${{ github.ref }}",
            cancel: true,
            minutes: 15,
            identity: false,
            only_if: Some("${{ !github.event.pull_request.head.repo.fork }}"),
            commands: vec![format!("bkup validate -p {folder}"), format!("bkup plan -p {folder}")],
        },
        Workflow {
            file: "bkup-apply",
            comment: "Does what the policies ask for, after each merge and by the clock. GitHub starts scheduled runs late, \
                      or\n# not at all, when it is busy: a timer of your own is the better clock for a small RPO.",
            on: format!("  push:\n    branches: [main]\n{paths}{}", by_clock("17 * * * *")),
            group: "bkup-apply",
            cancel: false,
            minutes: 330,
            identity: false,
            only_if: None,
            commands: vec![format!("bkup apply --auto-approve -p {folder}")],
        },
        Workflow {
            file: "bkup-retention",
            comment: "Prunes what no retention rule keeps any more, within the guards.",
            on: by_clock("41 5 * * *"),
            group: "bkup-apply",
            cancel: false,
            minutes: 60,
            identity: false,
            only_if: None,
            commands: vec![format!("bkup apply --auto-approve --only retention -p {folder}")],
        },
        Workflow {
            file: "bkup-drill",
            comment: "Restores once a month to prove that it can be done. The one workflow that has the secret key.",
            on: by_clock("23 6 1 * *"),
            group: "bkup-drill",
            cancel: false,
            minutes: 330,
            identity: true,
            only_if: None,
            commands: drills,
        },
    ];
    all.iter().map(|workflow| (format!(".github/workflows/{}.yml", workflow.file), workflow.text(wishes))).collect()
}

impl Workflow<'_> {
    fn text(&self, wishes: &Wishes) -> String {
        let mut variables = vec!["BKUP_CATALOG_URL", wishes.url_variable.as_str()];
        if self.identity && !wishes.recipients.is_empty() {
            variables.push("BKUP_AGE_IDENTITY");
        }
        if matches!(wishes.store, Some(crate::domain::StoreUrl::S3 { .. })) {
            // A role that the workflow takes by its own identity is better; it needs `id-token: write`.
            variables.extend(["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"]);
        }
        variables.dedup();
        let secrets: String =
            variables.iter().map(|name| format!("      {name}: ${{{{ secrets.{name} }}}}\n")).collect();
        let only_if = self.only_if.map(|only| format!("    if: {only}\n")).unwrap_or_default();
        let commands: String = self.commands.iter().map(|command| format!("      - run: {command}\n")).collect();
        format!(
            "# {}\nname: {}\n\non:\n{}\npermissions: {{}}\n\nconcurrency:\n  group: {}\n  cancel-in-progress: {}\n\n\
             jobs:\n  {}:\n{}    runs-on: ubuntu-24.04\n    timeout-minutes: {}\n    permissions:\n      contents: read\n    \
             env:\n{secrets}    steps:\n{CHECKOUT}{commands}",
            self.comment, self.file, self.on, self.group, self.cancel, self.file, only_if, self.minutes
        )
    }
}
