//! What the policies ask for and this version of bkup does not do: held, one line a thing, so that nobody counts on it.

use super::world::View;
use crate::domain::{Address, Held, HeldReason, Plan, Section};

/// Holds what is not served, aside from backups and drills, which hold themselves where they would be due.
pub fn plan(view: &View<'_>, draft: &mut Plan) {
    let desired = view.desired;
    let mut hold = |address: Address, work: &str, words: String| {
        if view.in_target(&address) {
            let (work, reason) = (work.to_owned(), HeldReason::NotServed);
            draft.held.push(Held { address, database: None, scope: None, work, reason, words });
        }
    };
    for (name, spec) in &desired.stores {
        let parts: Vec<String> = spec.not_served().iter().map(|(key, words)| format!("`{key}`: {words}")).collect();
        if !parts.is_empty() {
            let words = format!("not done by this version of bkup yet: {}", parts.join("; "));
            hold(Address::of(Section::Store, name.clone()), "look_after", words);
        }
    }
    for (name, spec) in &desired.databases {
        let address = || Address::of(Section::Database, name.clone());
        if spec.wal.is_some() {
            let words = "WAL is not archived by this version of bkup yet: no instant between two backups is restorable";
            hold(address(), "archive_wal", words.to_owned());
        }
        if spec.manage_settings {
            let words = "the server's settings are not managed by this version of bkup yet";
            hold(address(), "manage_settings", words.to_owned());
        }
    }
    for (name, rule) in &desired.retentions {
        if !rule.moves.is_empty() {
            let words = "backups are not moved to colder classes by this version of bkup yet";
            hold(Address::of(Section::Retention, name.clone()), "move", words.to_owned());
        }
    }
    for name in desired.channels.keys() {
        let words = "messages are not sent by this version of bkup yet";
        hold(Address::of(Section::Channel, name.clone()), "notify", words.to_owned());
    }
    if desired.alerts.is_some() {
        let words = "thresholds are not watched and alerts not routed by this version of bkup yet";
        hold(Address::once(Section::Alerts), "watch", words.to_owned());
    }
}
