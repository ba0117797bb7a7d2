//! Policies as Kubernetes CronJobs. Pure.
//!
//! What stands here is what a restricted namespace takes: no root, no privilege, a file system that is only read, no
//! token of the cluster. Secrets are referred to, never written.

use std::collections::BTreeSet;

use super::{Ask, Needs, header, quoted};

/// One kind of job.
struct Job<'a> {
    name: &'static str,
    what: String,
    /// Minute and hour in cron's form, and the zone they are read in.
    schedule: String,
    zone: &'a str,
    args: Vec<&'static str>,
    /// Whether it has the private keys.
    identity: bool,
    /// How long it may take.
    seconds: u32,
    memory: (&'static str, &'static str),
    /// How much a scratch server may write.
    scratch: &'static str,
}

/// Returns the files.
pub(super) fn files(needs: &Needs, ask: &Ask) -> Vec<(String, String)> {
    let zone = needs.cadence.zone.as_str();
    let apply = Job {
        name: "bkup-apply",
        what: needs.everything(),
        schedule: format!("{} * * * *", needs.cadence.minute_field(0)),
        zone: "Etc/UTC",
        args: vec!["apply", "--auto-approve"],
        identity: false,
        seconds: 6 * 3600,
        memory: ("256Mi", "1Gi"),
        scratch: "2Gi",
    };
    let retention = Job {
        name: "bkup-retention",
        what: "Prunes what no retention rule keeps any more, within the guards.".to_owned(),
        schedule: "41 5 * * *".to_owned(),
        zone,
        args: vec!["apply", "--auto-approve", "--only", "retention"],
        identity: false,
        seconds: 3600,
        memory: ("256Mi", "1Gi"),
        scratch: "1Gi",
    };
    let drill = Job {
        name: "bkup-drill",
        what: "Restores into a scratch server what a recovery plan's drill asks for, when it is due.".to_owned(),
        schedule: "23 6 * * *".to_owned(),
        zone,
        args: vec!["apply", "--auto-approve", "--only", "drills"],
        identity: true,
        seconds: 6 * 3600,
        memory: ("1Gi", "4Gi"),
        scratch: "50Gi",
    };
    let mut out = vec![("bkup-common.yaml".to_owned(), common(needs))];
    let jobs = [Some(apply), Some(retention), needs.drills.then_some(drill)];
    for job in jobs.into_iter().flatten() {
        out.push((format!("{}.yaml", job.name), cron_job(&job, needs, ask)));
    }
    out.push(("bkup-apply-many.yaml".to_owned(), many(needs, ask)));
    out
}

const COMMON: &str = "What the jobs stand on: an account without rights in the cluster, and a place for stores that are \
                      folders.\nBeside it there must be, in the same namespace:\n";

fn common(needs: &Needs) -> String {
    let mut what = COMMON.to_owned();
    what.push_str("  ConfigMap bkup-policies: kubectl create configmap bkup-policies --from-file=policies\n");
    let keys = |names: &BTreeSet<String>| names.iter().cloned().collect::<Vec<_>>().join(", ");
    what.push_str(&format!("  Secret bkup-runner with the keys {}", keys(&needs.variables)));
    if needs.s3 {
        what.push_str(
            "\n    and, where the account is bound to no role of the cloud, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        );
    }
    if needs.drills && !needs.identities.is_empty() {
        what.push_str(&format!("\n  Secret bkup-identity with the keys {}: for drills alone", keys(&needs.identities)));
    }
    let mut out = header("kubernetes", &what);
    out.push_str(
        "apiVersion: v1\nkind: ServiceAccount\nmetadata:\n  name: bkup\n  labels:\n    app.kubernetes.io/name: bkup\n\
         automountServiceAccountToken: false\n",
    );
    for (name, path) in &needs.folders {
        out.push_str(&format!(
            "---\n# The store {name}, which the policies put at {path}. Decide: a folder in this cluster is lost with it.\n\
             apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata:\n  name: bkup-store-{name}\n  labels:\n    \
             app.kubernetes.io/name: bkup\nspec:\n  accessModes: [\"ReadWriteMany\"]\n  resources:\n    requests:\n      \
             storage: 100Gi\n"
        ));
    }
    out
}

fn cron_job(job: &Job<'_>, needs: &Needs, ask: &Ask) -> String {
    let mut out = header("kubernetes", &job.what);
    out.push_str(&format!(
        "apiVersion: batch/v1\nkind: CronJob\nmetadata:\n  name: {0}\n  labels:\n    app.kubernetes.io/name: bkup\n    \
         app.kubernetes.io/component: {0}\nspec:\n  schedule: {1}\n  timeZone: {2}\n  # A run that takes long does what is \
         due meanwhile in its next turn; two would only wait for each other.\n  concurrencyPolicy: Forbid\n  \
         startingDeadlineSeconds: 900\n  successfulJobsHistoryLimit: 3\n  failedJobsHistoryLimit: 5\n  jobTemplate:\n    \
         spec:\n      # What failed is due again at the next turn.\n      backoffLimit: 0\n      \
         activeDeadlineSeconds: {3}\n      ttlSecondsAfterFinished: 172800\n      template:\n",
        job.name,
        quoted(&job.schedule),
        quoted(job.zone),
        job.seconds
    ));
    for line in pod(job, needs, ask).lines() {
        out.push_str(&format!("        {line}\n"));
    }
    out
}

/// Returns the pod's template, from its first column.
fn pod(job: &Job<'_>, needs: &Needs, ask: &Ask) -> String {
    let mut out = format!(
        "metadata:\n  labels:\n    app.kubernetes.io/name: bkup\n    app.kubernetes.io/component: {}\nspec:\n  \
         serviceAccountName: bkup\n  automountServiceAccountToken: false\n  restartPolicy: Never\n  # After the signal \
         bkup stops claiming work, aborts uploads, writes its report and releases its claims.\n  \
         terminationGracePeriodSeconds: 30\n  securityContext:\n    runAsNonRoot: true\n    runAsUser: 10001\n    \
         runAsGroup: 10001\n    fsGroup: 10001\n    seccompProfile:\n      type: RuntimeDefault\n  containers:\n    - name: \
         bkup\n      image: {}\n      args: [{}]\n      env:\n        - name: BKUP_POLICIES\n          value: \
         /etc/bkup/policies\n        - name: TMPDIR\n          value: /tmp\n",
        job.name,
        quoted(&ask.image),
        job.args.iter().map(|arg| quoted(arg)).collect::<Vec<_>>().join(", ")
    );
    let mut secret = |name: &str, of: &str, optional: bool| {
        out.push_str(&format!(
            "        - name: {name}\n          valueFrom:\n            secretKeyRef:\n              name: {of}\n              \
             key: {name}\n"
        ));
        if optional {
            out.push_str("              optional: true\n");
        }
    };
    needs.variables.iter().for_each(|name| secret(name, "bkup-runner", false));
    if needs.s3 {
        ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"].iter().for_each(|name| secret(name, "bkup-runner", true));
        if needs.regions.is_empty() {
            secret("AWS_REGION", "bkup-runner", true);
        }
    }
    if job.identity {
        needs.identities.iter().for_each(|name| secret(name, "bkup-identity", false));
    }
    out.push_str(&format!(
        "      resources:\n        requests:\n          cpu: 250m\n          memory: {}\n        limits:\n          memory: \
         {}\n      securityContext:\n        allowPrivilegeEscalation: false\n        readOnlyRootFilesystem: true\n        \
         capabilities:\n          drop: [\"ALL\"]\n      volumeMounts:\n        - name: policies\n          mountPath: \
         /etc/bkup/policies\n          readOnly: true\n        - name: tmp\n          mountPath: /tmp\n",
        job.memory.0, job.memory.1
    ));
    for (name, path) in &needs.folders {
        out.push_str(&format!("        - name: store-{name}\n          mountPath: {}\n", quoted(path)));
    }
    out.push_str(&format!(
        "  volumes:\n    - name: policies\n      configMap:\n        name: bkup-policies\n    # Scratch servers live here.\n    \
         - name: tmp\n      emptyDir:\n        sizeLimit: {}\n",
        job.scratch
    ));
    for name in needs.folders.keys() {
        out.push_str(&format!(
            "    - name: store-{name}\n      persistentVolumeClaim:\n        claimName: bkup-store-{name}\n"
        ));
    }
    out
}

/// Returns an indexed Job: several runners that share what is due.
fn many(needs: &Needs, ask: &Ask) -> String {
    let what = "Four runners that share what is due, for a night with much to do: work is claimed in the catalog, so \
                each backup is\ntaken once, and what a runner that died held is taken over. It is suspended; start it with\n  \
                kubectl patch job bkup-apply-many --type merge -p '{\"spec\":{\"suspend\":false}}'";
    let job = Job {
        name: "bkup-apply-many",
        what: what.to_owned(),
        schedule: String::new(),
        zone: "Etc/UTC",
        args: vec!["apply", "--auto-approve", "--lock-timeout", "1h"],
        identity: false,
        seconds: 6 * 3600,
        memory: ("256Mi", "1Gi"),
        scratch: "2Gi",
    };
    let mut out = header("kubernetes", &job.what);
    out.push_str(&format!(
        "apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: {0}\n  labels:\n    app.kubernetes.io/name: bkup\n    \
         app.kubernetes.io/component: {0}\nspec:\n  suspend: true\n  completionMode: Indexed\n  completions: 4\n  \
         parallelism: 4\n  backoffLimit: 4\n  activeDeadlineSeconds: {1}\n  template:\n",
        job.name, job.seconds
    ));
    for line in pod(&job, needs, ask).lines() {
        out.push_str(&format!("    {line}\n"));
    }
    out
}
