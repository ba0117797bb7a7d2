//! What a store means. Pure.

use crate::domain::{Address, EnvText, LockHold, LockMode, Name, PlanStep, Section, StoreSpec, StoreUrl, Use};
use crate::policy::set::PolicySet;

use super::settings::Computed;
use super::{Description, topic, words};

/// Describes a store.
pub(super) fn describe(set: &PolicySet, name: &Name, spec: &StoreSpec) -> Description {
    let place = match &spec.url {
        StoreUrl::S3 { bucket, prefix } if prefix.is_empty() => format!("the bucket {bucket}"),
        StoreUrl::S3 { bucket, prefix } => format!("the bucket {bucket}, below {prefix}"),
        StoreUrl::Folder(folder) => format!("the folder {folder}"),
    };
    let mut used_by = Vec::new();
    for (schedule, thing) in set.schedules.iter().filter(|(_, thing)| thing.spec.store == *name) {
        let words = format!("writes here, {}", words::when(&thing.spec.when));
        used_by.push(Use { address: Address::of(Section::Schedule, schedule.clone()), words });
    }
    let writers = used_by.len();
    for (database, thing) in &set.databases {
        if thing.spec.wal.as_ref().is_some_and(|wal| wal.store == *name) {
            let address = Address::of(Section::Database, database.clone());
            used_by.push(Use { address, words: "archives its WAL here".to_owned() });
        }
    }
    for (other, thing) in &set.stores {
        if let Some(replica) = thing.spec.replicate_to.iter().find(|replica| replica.store == *name) {
            let lag = replica.max_lag.map(|lag| format!(", at most {lag} late")).unwrap_or_default();
            let address = Address::of(Section::Store, other.clone());
            used_by.push(Use { address, words: format!("is copied here{lag}") });
        }
    }
    for (plan, thing) in &set.recovery_plans {
        for (index, step) in thing.spec.steps.iter().enumerate() {
            if let PlanStep::Restore(restore) = step
                && restore.store.as_ref() == Some(name)
            {
                let address = Address::of(Section::RecoveryPlan, plan.clone());
                used_by.push(Use { address, words: format!("step {} restores from here", index + 1) });
            }
        }
    }
    let written = match writers {
        0 => "No schedule writes to it.".to_owned(),
        n => format!("{} {} to it.", words::counted(n, "schedule"), if n == 1 { "writes" } else { "write" }),
    };
    let computed = match spec.url {
        StoreUrl::S3 { .. } => vec![Computed {
            key: "path_style",
            value: spec.path_style.to_string(),
            because: Some("true where `endpoint` is set"),
        }],
        StoreUrl::Folder(_) => Vec::new(),
    };
    Description {
        summary: format!("Backups go to {place}. {written}"),
        computed,
        topics: vec![
            topic("Not done yet", spec.not_served().iter().map(|(key, words)| format!("`{key}`: {words}")).collect()),
            topic("Who can read it", readers(spec)),
            topic("What is promised of its objects", promises(spec)),
        ],
        used_by,
        ..Description::default()
    }
}

/// Says what else is asked of the store.
fn promises(spec: &StoreSpec) -> Vec<String> {
    let mut lines = Vec::new();
    if !spec.reads_at_once() {
        lines.push("they have to be thawed before they can be read, which takes hours".to_owned());
    }
    if let Some(lock) = spec.object_lock {
        let until = match lock.hold {
            LockHold::Retention => "until retention releases the backup".to_owned(),
            LockHold::For(period) => format!("for {period} from their writing on"),
        };
        let who = match lock.mode {
            LockMode::Governance => "only those with a special permission may lift it",
            LockMode::Compliance => "nobody may lift it",
        };
        lines.push(format!("locked against deletion {until}; {who}"));
    }
    if spec.versioning_required {
        lines.push("the bucket keeps versions, or it is drift".to_owned());
    }
    for replica in &spec.replicate_to {
        let lag = replica.max_lag.map(|lag| format!(", at most {lag} late")).unwrap_or_default();
        lines.push(format!("copied to store.{}{lag}", replica.store));
    }
    if let Some(verify) = spec.verify {
        lines.extend(verify.exists.map(|every| format!("each backup is looked for every {every}")));
        lines.extend(verify.checksum.map(|every| format!("each backup is read and checked every {every}")));
    }
    lines.extend(spec.quota.map(|quota| format!("together at most {quota}")));
    lines
}

fn readers(spec: &StoreSpec) -> Vec<String> {
    let Some(encryption) = &spec.encryption else {
        return vec!["everybody who can read the place: nothing is encrypted".to_owned()];
    };
    let mut lines = vec![format!(
        "who holds the private key of {}; a backup host needs only the public one",
        if encryption.recipients.len() == 1 {
            "its recipient".to_owned()
        } else {
            format!("one of its {} recipients", encryption.recipients.len())
        }
    )];
    if encryption.per_tenant_keys {
        lines.push("each tenant's backups have keys of their own, which can be destroyed".to_owned());
    }
    lines.push(match &encryption.identity {
        None => "no identity is named, so restores and drills have none".to_owned(),
        Some(EnvText::Variable(name)) => format!("restores and drills take the identity from {name}"),
        Some(EnvText::Literal(path)) => format!("restores and drills take the identity from the file {path}"),
    });
    lines
}
