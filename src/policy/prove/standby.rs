//! Standbys that are promised: bkup observes them and provides none. Pure.

use crate::diag::{Diagnostic, Severity};
use crate::domain::Method;
use crate::policy::codes;
use crate::policy::decode::Context;
use crate::policy::set::PolicySet;
use crate::policy::text::Place;

/// Notes each class and database whose method is a standby.
pub(super) fn prove(set: &PolicySet, cx: &mut Context<'_>) {
    for (name, thing) in &set.databases {
        if let Some(objectives) = thing.spec.objectives {
            note(&format!("the database `{name}`"), objectives.method, thing.places.get("objectives.method"), cx);
        }
    }
    for (name, thing) in &set.classes {
        note(&format!("the class `{name}`"), thing.spec.objectives.method, thing.places.get("method"), cx);
    }
}

fn note(who: &str, method: Method, place: Place, cx: &mut Context<'_>) {
    let method = match method {
        Method::ColdBackup => return,
        Method::HotStandby => "hot_standby",
        Method::WarmStandby => "warm_standby",
    };
    let message = format!("{who} is to have a `{method}`, and bkup observes standbys and provides none");
    let help = "set the standby up beside bkup; backups alone have to meet `rpo` and `rto` in these files";
    let finding = Diagnostic::new(codes::STANDBY_OBSERVED, Severity::Note, message).help(help);
    cx.tell(finding, place, "observed, not provided");
}
