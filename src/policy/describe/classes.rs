//! What a class means. Pure.

use crate::domain::{Address, BackupType, ClassSpec, Name, ScheduleSpec, Section, TenantFilter, Use};
use crate::policy::globs;
use crate::policy::set::PolicySet;

use super::settings::Computed;
use super::{Description, topic, words};

/// Describes a class.
pub(super) fn describe(set: &PolicySet, name: &Name, spec: &ClassSpec) -> Description {
    let mut who = vec![format!("slugs that match {}", words::joined(&spec.tenants, "or"))];
    let others = set.classes.iter().filter(|(other, _)| *other != name);
    let (mut stronger, mut weaker) = (Vec::new(), Vec::new());
    for (other, thing) in others {
        if thing.spec.priority < spec.priority { &mut stronger } else { &mut weaker }.push(other);
    }
    if !stronger.is_empty() {
        who.push(format!(
            "but not those that {} {}: a lower priority number wins",
            words::addresses("class", &stronger),
            if stronger.len() == 1 { "takes" } else { "take" }
        ));
    }
    if !weaker.is_empty() {
        who.push(format!("it wins over {}", words::addresses("class", &weaker)));
    }
    let mut used_by = Vec::new();
    for (schedule, thing) in &set.schedules {
        if let Some(how) = covered_by(name, spec, &thing.spec) {
            let address = Address::of(Section::Schedule, schedule.clone());
            used_by.push(Use { address, words: format!("{how}, {}", words::when(&thing.spec.when)) });
        }
    }
    let covered = match used_by.len() {
        0 => "No schedule covers it.".to_owned(),
        n => format!("{} {} it.", words::counted(n, "schedule"), if n == 1 { "covers" } else { "cover" }),
    };
    Description {
        summary: format!(
            "A tenant priority class with priority {} for slugs that match {}. {covered}",
            spec.priority,
            words::joined(&spec.tenants, "or")
        ),
        computed: vec![Computed::plain("priority", spec.priority.to_string())],
        topics: vec![topic("Who is in it", who), topic("What is promised", words::objectives(&spec.objectives))],
        used_by,
        ..Description::default()
    }
}

/// Says how a schedule covers the tenants of a class; `None` where it does not.
fn covered_by(name: &Name, class: &ClassSpec, schedule: &ScheduleSpec) -> Option<&'static str> {
    match schedule.backup {
        BackupType::FullSystem => Some("covers them with the whole server"),
        BackupType::Database if schedule.tables.is_empty() => Some("covers them with the whole database"),
        BackupType::TenantData => match &schedule.tenants {
            TenantFilter::All => Some("backs each of them up"),
            TenantFilter::Classes(classes) => classes.contains(name).then_some("backs each of them up"),
            TenantFilter::Slugs(patterns) => {
                let meets = |pattern: &String| class.tenants.iter().any(|own| globs::common(pattern, own).is_some());
                patterns.iter().any(meets).then_some("may back some of them up, by slug")
            }
        },
        BackupType::Database | BackupType::Files | BackupType::Configuration => None,
    }
}
