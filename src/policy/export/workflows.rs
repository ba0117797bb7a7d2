//! GitHub workflows for a set of policies: plan on a pull request, apply after the merge and by the clock, retention
//! and drills at their own pace. Pure. No job has a permission that it does not need, and no secret reaches a pull
//! request from a fork. `init` writes the same ones.

use std::collections::BTreeSet;

use super::Cadence;
use crate::domain::Name;

const CHECKOUT: &str = "      - uses: actions/checkout@11bd71901bbe5b1630ceea73d27597364c9af683 # v4.2.2
        with:
          persist-credentials: false
";
const PROGRAM: &str = "      # Put bkup and PostgreSQL's client programs on the runner: an image of yours, a package, or a release whose digest
      # you check.
      - run: bkup --version
";
const AWS: &str = "aws-actions/configure-aws-credentials@b47578312673ae6fa5b5096b330d9fbac3d116df # v4.2.1";
const DOWNLOAD: &str = "actions/download-artifact@d3f86a106a0bac45b974a628896c90dbdf5c8093 # v4.3.0";

/// What workflows are made of.
pub(in crate::policy) struct Flow<'a> {
    /// The folder of the policies, from the root of the repository.
    pub(in crate::policy) folder: &'a str,
    /// The secrets that every job needs.
    pub(in crate::policy) variables: Vec<&'a str>,
    /// The secrets that hold private keys.
    pub(in crate::policy) identities: Vec<&'a str>,
    /// Whether a store is S3.
    pub(in crate::policy) s3: bool,
    /// The regions of the stores.
    pub(in crate::policy) regions: &'a BTreeSet<String>,
    /// How often there is something to do.
    pub(in crate::policy) cadence: &'a Cadence,
    /// What is drilled.
    pub(in crate::policy) drills: Drills<'a>,
    /// The action, as `owner/repository@commit`; absent: steps call the program.
    pub(in crate::policy) action: Option<&'a str>,
}

/// What is drilled.
#[derive(Clone, Copy)]
pub(in crate::policy) enum Drills<'a> {
    /// Nothing.
    None,
    /// What is due, every day.
    Due,
    /// These plans, once a month: drafts are drilled only when asked for.
    Asked(&'a [Name]),
}

/// One job of a workflow.
struct Job<'a> {
    name: &'a str,
    /// Lines between the name and where it runs: what it needs, and when it runs at all.
    before: String,
    minutes: u32,
    permissions: Vec<&'a str>,
    /// Which secrets it has.
    secrets: Secrets,
    /// The variable with the role it takes in the cloud.
    role: &'a str,
    steps: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Secrets {
    None,
    Runner,
    Identity,
}

/// Returns the workflows with their paths in the repository.
pub(in crate::policy) fn all(flow: &Flow<'_>) -> Vec<(String, String)> {
    let mut out =
        vec![("bkup-plan.yml", plan(flow)), ("bkup-apply.yml", apply(flow)), ("bkup-retention.yml", retention(flow))];
    if !matches!(flow.drills, Drills::None) {
        out.push(("bkup-drill.yml", drill(flow)));
    }
    out.into_iter().map(|(name, text)| (format!(".github/workflows/{name}"), text)).collect()
}

fn plan(flow: &Flow<'_>) -> String {
    let comment = "Shows in a pull request what merging it would do. Needs credentials that can read, and no more. A pull\n\
                   # request from a fork gets no secrets: its policies are validated, and not planned.";
    let mut validate = run(flow, &["validate", "--strict", "--format", "github"]);
    if let Some(action) = flow.action {
        validate = uses(action, flow, &[("command", "validate"), ("args", "--strict")]);
    }
    let plan = match flow.action {
        Some(action) => uses(action, flow, &[("command", "plan"), ("comment", "always"), ("artifact", "bkup-plan")]),
        None => run(flow, &["plan"]),
    };
    let mut permissions = vec!["contents: read"];
    if flow.action.is_some() {
        permissions.push("pull-requests: write # the comment");
    }
    let jobs = [
        Job {
            name: "validate",
            before: String::new(),
            minutes: 10,
            permissions: vec!["contents: read"],
            secrets: Secrets::None,
            role: "",
            steps: validate,
        },
        Job {
            name: "plan",
            before: "    needs: validate\n    if: ${{ !github.event.pull_request.head.repo.fork }}\n".to_owned(),
            minutes: 15,
            permissions,
            secrets: Secrets::Runner,
            role: "BKUP_PLAN_ROLE",
            steps: plan,
        },
    ];
    let on = format!("  pull_request:\n{}", paths(flow));
    workflow(flow, "bkup-plan", comment, &on, "bkup-plan-${{ github.ref }}", true, &jobs)
}

fn apply(flow: &Flow<'_>) -> String {
    let mut comment =
        "Does what the policies ask for, after each merge and by the clock. GitHub starts scheduled runs late, \
                       or\n# not at all, when it is busy: a timer of your own is the better clock for a small RPO."
            .to_owned();
    if flow.cadence.is_impatient() {
        comment.push_str("\n# These policies have slots that wait for less than an hour, or come more often: do not leave them to it.");
    }
    let on = format!(
        "  push:\n    branches: [main]\n{}{}",
        paths(flow),
        by_clock(&format!("{} * * * *", flow.cadence.minute_field(17)))
    );
    let Some(action) = flow.action else {
        let steps = run(flow, &["apply", "--auto-approve"]);
        let job = Job {
            name: "apply",
            before: String::new(),
            minutes: 330,
            permissions: vec!["contents: read"],
            secrets: Secrets::Runner,
            role: "",
            steps,
        };
        return workflow(flow, "bkup-apply", &comment, &on, "bkup-apply", false, &[job]);
    };
    comment.push_str(
        "\n#\n# What is applied is exactly what was planned: the plan goes from one job to the other with its digest. Give the\n\
         # environment bkup-changes required reviewers: who changes policies waits for them, and due work does not.",
    );
    let outputs = "    outputs:\n      changes: ${{ steps.bkup.outputs.changes }}\n      digest: ${{ steps.bkup.outputs.digest }}\n";
    let environment =
        "    needs: plan\n    environment: ${{ needs.plan.outputs.changes != '0' && 'bkup-changes' || 'bkup' }}\n";
    let planned = uses(action, flow, &[("command", "plan"), ("comment", "never"), ("artifact", "bkup-plan")]);
    let applied = format!(
        "      - uses: {DOWNLOAD}\n        with:\n          name: bkup-plan\n          path: ${{{{ runner.temp }}}}/bkup-plan\n{}",
        uses(
            action,
            flow,
            &[
                ("command", "apply"),
                ("plan", "${{ runner.temp }}/bkup-plan/plan.json"),
                ("digest", "${{ needs.plan.outputs.digest }}"),
                ("artifact", "bkup-report"),
            ]
        )
    );
    let jobs = [
        Job {
            name: "plan",
            before: outputs.to_owned(),
            minutes: 15,
            permissions: vec!["contents: read"],
            secrets: Secrets::Runner,
            role: "BKUP_PLAN_ROLE",
            steps: planned,
        },
        Job {
            name: "apply",
            before: environment.to_owned(),
            minutes: 330,
            permissions: vec!["contents: read"],
            secrets: Secrets::Runner,
            role: "BKUP_APPLY_ROLE",
            steps: applied,
        },
    ];
    workflow(flow, "bkup-apply", &comment, &on, "bkup-apply", false, &jobs)
}

fn retention(flow: &Flow<'_>) -> String {
    let comment = "Prunes what no retention rule keeps any more, within the guards.";
    let steps = match flow.action {
        Some(action) => {
            let args = "--auto-approve\n--only\nretention";
            uses(action, flow, &[("command", "apply"), ("args", args), ("artifact", "bkup-report")])
        }
        None => run(flow, &["apply", "--auto-approve", "--only", "retention"]),
    };
    let job = Job {
        name: "retention",
        before: String::new(),
        minutes: 60,
        permissions: vec!["contents: read"],
        secrets: Secrets::Runner,
        role: "BKUP_PRUNE_ROLE",
        steps,
    };
    workflow(flow, "bkup-retention", comment, &by_clock("41 5 * * *"), "bkup-apply", false, &[job])
}

fn drill(flow: &Flow<'_>) -> String {
    let due = ["apply", "--auto-approve", "--only", "drills"];
    let (comment, cron, steps) = match (flow.drills, flow.action) {
        (Drills::Asked(plans), _) => (
            "Restores once a month to prove that it can be done. The one workflow that has the secret key.",
            "23 6 1 * *",
            plans.iter().map(|plan| run(flow, &["drill", plan.as_str()])).collect::<String>(),
        ),
        (_, None) => (DUE_DRILLS, "23 6 * * *", run(flow, &due)),
        (_, Some(action)) => (
            DUE_DRILLS,
            "23 6 * * *",
            uses(action, flow, &[("command", "apply"), ("args", &due[1..].join("\n")), ("artifact", "bkup-drill")]),
        ),
    };
    let job = Job {
        name: "drill",
        before: String::new(),
        minutes: 330,
        permissions: vec!["contents: read"],
        secrets: Secrets::Identity,
        role: "BKUP_DRILL_ROLE",
        steps,
    };
    workflow(flow, "bkup-drill", comment, &by_clock(cron), "bkup-drill", false, &[job])
}

const DUE_DRILLS: &str = "Restores what a drill asks for, when it is due, to prove that it can be done. The one workflow that has the secret\n\
     # key.";

fn by_clock(cron: &str) -> String {
    format!("  schedule:\n    - cron: \"{cron}\"\n  workflow_dispatch:\n")
}

fn paths(flow: &Flow<'_>) -> String {
    format!("    paths: [{}]\n", super::quoted(&format!("{}/**", flow.folder)))
}

/// Returns the step that calls the program.
fn run(flow: &Flow<'_>, words: &[&str]) -> String {
    format!("      - run: bkup {} -p {}\n", words.join(" "), shell_word(flow.folder))
}

/// Returns the step that uses the action.
fn uses(action: &str, flow: &Flow<'_>, inputs: &[(&str, &str)]) -> String {
    let mut out = format!("      - id: bkup\n        uses: {action}\n        with:\n");
    for (name, value) in inputs {
        if value.contains('\n') {
            let lines: String = value.lines().map(|line| format!("            {line}\n")).collect();
            out.push_str(&format!("          {name}: |\n{lines}"));
        } else {
            out.push_str(&format!("          {name}: {value}\n"));
        }
    }
    if flow.folder != "policies" {
        out.push_str(&format!("          policies: {}\n", super::quoted(flow.folder)));
    }
    out
}

fn workflow(
    flow: &Flow<'_>,
    name: &str,
    comment: &str,
    on: &str,
    group: &str,
    cancel: bool,
    jobs: &[Job<'_>],
) -> String {
    let mut out = format!(
        "# {comment}\nname: {name}\n\non:\n{on}\npermissions: {{}}\n\nconcurrency:\n  group: {group}\n  \
         cancel-in-progress: {cancel}\n\njobs:\n"
    );
    for (number, job) in jobs.iter().enumerate() {
        if number > 0 {
            out.push('\n');
        }
        out.push_str(&job.text(flow));
    }
    out
}

impl Job<'_> {
    fn text(&self, flow: &Flow<'_>) -> String {
        // A role that the job takes by its own identity, where there is an action that can; keys otherwise.
        let role = flow.s3 && flow.action.is_some() && self.secrets != Secrets::None;
        let mut permissions = self.permissions.clone();
        if role {
            permissions.push("id-token: write # the role in the cloud");
        }
        let permissions: String = permissions.iter().map(|line| format!("      {line}\n")).collect();
        let mut out = format!(
            "  {}:\n{}    runs-on: ubuntu-24.04\n    timeout-minutes: {}\n    permissions:\n{permissions}",
            self.name, self.before, self.minutes
        );
        let mut names: Vec<&str> = Vec::new();
        if self.secrets != Secrets::None {
            names.extend(&flow.variables);
        }
        if self.secrets == Secrets::Identity {
            names.extend(&flow.identities);
        }
        if flow.s3 && !role && self.secrets != Secrets::None {
            // A role that the workflow takes by its own identity is better; it needs `id-token: write`.
            names.extend(["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"]);
        }
        names.dedup();
        if !names.is_empty() {
            out.push_str("    env:\n");
            names.iter().for_each(|name| out.push_str(&format!("      {name}: ${{{{ secrets.{name} }}}}\n")));
        }
        out.push_str(&format!("    steps:\n{CHECKOUT}"));
        if role {
            let region = match flow.regions.first() {
                Some(region) => super::quoted(region),
                None => "${{ vars.AWS_REGION }}".to_owned(),
            };
            out.push_str(&format!(
                "      - uses: {AWS}\n        with:\n          role-to-assume: ${{{{ vars.{} }}}}\n          aws-region: {region}\n",
                self.role
            ));
        }
        if flow.action.is_none() {
            out.push_str(PROGRAM);
        }
        out.push_str(&self.steps);
        out
    }
}

/// Quotes a word so that a shell takes it as one.
fn shell_word(word: &str) -> String {
    let plain = word.chars().all(|c| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c));
    if plain && !word.is_empty() { word.to_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}
