//! Whether a class of higher priority is promised at least what the classes below it are. Pure.

use crate::domain::{ClassSpec, Name, Period};
use crate::policy::codes;
use crate::policy::decode::Context;
use crate::policy::set::{PolicySet, Thing};

use super::words;

/// Compares every class with those of lower priority, objective by objective.
pub(super) fn prove(set: &PolicySet, cx: &mut Context<'_>) {
    let objectives: [(&str, fn(&ClassSpec) -> Option<Period>); 2] =
        [("rpo", |class| class.objectives.rpo), ("rto", |class| class.objectives.rto)];
    for (key, of) in objectives {
        let mut classes: Vec<(&Name, &Thing<ClassSpec>)> = set.classes.iter().collect();
        classes.sort_by_key(|(_, thing)| std::cmp::Reverse(thing.spec.priority));
        // From the lowest priority up, the strictest so far: one finding for each class, not for each pair.
        let mut strictest: Option<(Period, &Name, &Thing<ClassSpec>)> = None;
        for same in classes.chunk_by(|a, b| a.1.spec.priority == b.1.spec.priority) {
            for (name, thing) in same {
                if let Some((lower, other, below)) = strictest
                    && of(&thing.spec).is_none_or(|own| own > lower)
                {
                    let own = match of(&thing.spec) {
                        Some(own) => format!("an `{key}` of {}", words::length(own)),
                        None => format!("no `{key}`"),
                    };
                    let message = format!(
                        "the class `{name}` comes before `{other}` and is promised {own}, `{other}` one of {}",
                        words::length(lower)
                    );
                    let label = format!("priority {}", thing.spec.priority);
                    let help = format!(
                        "write `{key}: {}` or less here, or swap the priorities: the lowest number comes first",
                        words::edit(lower)
                    );
                    let words = format!("promised to priority {}", below.spec.priority);
                    cx.warning(codes::PRIORITY_INVERTED, thing.places.get(key), message, label, help)
                        .and(below.places.get(key), words);
                }
            }
            for (name, thing) in same {
                if let Some(own) = of(&thing.spec)
                    && strictest.is_none_or(|(lower, ..)| own < lower)
                {
                    strictest = Some((own, name, thing));
                }
            }
        }
    }
}
