//! The first recovery plans: drafts with a drill. Pure.

use crate::domain::Name;
use crate::policy::write::{Draft, Line, Part, Value};

use super::{file, tenants::Tenancy};

/// Returns the file, and the plans in it.
pub(super) fn recovery(database: &Name, tenancy: &Tenancy) -> (String, Vec<Name>) {
    let mut draft = file("How to come back, and how that is proven before anybody needs it.");
    draft.add_head("Drafts are drilled only when asked for: add contacts, then write status: pending_approval.");
    let mut plans = vec![whole(&mut draft, database)];
    if tenancy.exists() {
        plans.push(tenant(&mut draft, database));
    }
    (draft.text(), plans)
}

fn drill(sample: Option<u32>) -> Line {
    let mut lines = vec![Line::new("every", Value::word("30d"))];
    if let Some(count) = sample {
        lines.push(Line::new("sample_tenants", Value::word(count)));
    }
    let equal = vec![Line::new("tables", Value::word("equal")).note("every table holds what the backup recorded")];
    lines.push(Line::new("checks", Value::Items(vec![equal])));
    Line::new("drill", Value::Block(lines))
        .above("bkup restores the newest backups into a throw-away server, checks them, and keeps the evidence.")
}

fn approval() -> Line {
    Line::new("approval", Value::Inline(vec![("status", Value::word("draft"))]))
}

fn manual(text: &str) -> Vec<Line> {
    vec![Line::new("manual", Value::text(text))]
}

fn whole(draft: &mut Draft, database: &Name) -> Name {
    let restore =
        vec![("backup", Value::word("database")), ("from", Value::word("latest")), ("into", Value::word("scratch"))];
    let lines = vec![
        Line::new("description", Value::text("Bring the whole database back after the server was lost")),
        Line::new("type", Value::word("full_recovery")),
        Line::new("scope", Value::word("all_systems")),
        Line::new("severity", Value::word("sev1")),
        Line::new("databases", Value::words([database])),
        Line::new("rpo", Value::word("27h")),
        Line::new("rto", Value::word("4h")),
        Line::new("requires", Value::words(["database"])),
        Line::new(
            "steps",
            Value::Items(vec![
                manual("Assess the damage and stop the application"),
                vec![Line::new("restore", Value::Inline(restore))],
                vec![Line::new("check", Value::words(["tables"]))],
                manual("Make a new server ready, restore into it, and point the application at it"),
            ]),
        ),
        approval(),
        drill(None),
    ];
    draft.add(Part::RecoveryPlans, "database-loss", Vec::new(), lines)
}

fn tenant(draft: &mut Draft, database: &Name) -> Name {
    let beside = vec![
        ("backup", Value::word("tenant_data")),
        ("from", Value::word("ask")),
        ("tenants", Value::word("ask")),
        ("into", Value::word("scratch")),
    ];
    let live = vec![("from", Value::word("ask")), ("tenants", Value::word("ask")), ("into", Value::word("live"))];
    let lines = vec![
        Line::new("description", Value::text("Bring a tenant back after its data was deleted or damaged")),
        Line::new("type", Value::word("tenant_recovery")),
        Line::new("scope", Value::word("tenant_data")),
        Line::new("severity", Value::word("sev2")),
        Line::new("databases", Value::words([database])),
        Line::new("rpo", Value::word("27h")),
        Line::new("rto", Value::word("1h")),
        Line::new("requires", Value::words(["tenant_data"])),
        Line::new(
            "steps",
            Value::Items(vec![
                manual("Ask the tenant what is missing since when, and stop its writes"),
                vec![
                    Line::new("restore", Value::Inline(beside))
                        .above("First beside the live data, where nothing can be made worse,"),
                ],
                vec![Line::new("check", Value::words(["tables"]))],
                vec![
                    Line::new("restore", Value::Inline(live))
                        .above("then over it: this step uses the backup that was just proven."),
                ],
                manual("Let the tenant look at its data, then allow writes again"),
            ]),
        ),
        approval(),
        drill(Some(3)),
    ];
    draft.add(Part::RecoveryPlans, "tenant-loss", Vec::new(), lines)
}
