//! What a store means. Pure.

use crate::domain::{Address, EnvText, Name, PlanStep, Section, StoreSpec, StoreUrl, Use};
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
        topics: vec![topic("Who can read it", readers(spec))],
        used_by,
        ..Description::default()
    }
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
    lines.push(match &encryption.identity {
        None => "no identity is named, so restores and drills have none".to_owned(),
        Some(EnvText::Variable(name)) => format!("restores and drills take the identity from {name}"),
        Some(EnvText::Literal(path)) => format!("restores and drills take the identity from the file {path}"),
    });
    lines
}
