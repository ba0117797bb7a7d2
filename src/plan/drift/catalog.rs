//! Rows of the catalog that people changed. Nothing in them is ever executed; what bkup wrote is written again.

use super::{View, are, listed, mending};
use crate::domain::{
    ActionId, ActionKind, Address, Applied, CatalogSigns, DocumentOp, DocumentSign, DriftFinding, DriftKind,
    Observation, Plan, Precondition, ReasonCode, RowEdit, Section,
};

/// How many columns are said.
const MOST_COLUMNS: usize = 3;
/// How many characters of a value are said.
const LONGEST: usize = 40;

/// Plans what was applied to be written again, and tells the rest.
pub fn plan(view: &View<'_>, draft: &mut Plan) {
    let address = || Address::once(Section::Catalog);
    let signs = match &view.observed.signs.catalog {
        None => return,
        Some(Observation::Unreachable(why)) => {
            let words = format!("whether people changed its rows is not known: {why}");
            draft.findings.push(DriftFinding::new(
                address(),
                DriftKind::CatalogUnread,
                words,
                "see why, and plan again",
            ));
            return;
        }
        Some(Observation::Known(signs)) => signs,
    };
    for (thing, sign) in &signs.documents {
        let applied = view.catalog.and_then(|catalog| catalog.applied.get(thing));
        if let Some(applied) = applied.filter(|_| view.in_target(thing)) {
            document(view, draft, thing, sign, applied);
        }
    }
    by_hand(signs, draft);
    if !signs.executions.is_empty() {
        let ids: Vec<&str> = signs.executions.iter().map(|id| id.as_str()).collect();
        let words = format!(
            "the rows of {} not what was recorded when they were made: {}; nothing of them is deleted",
            are(ids.len() as u64, "backup"),
            listed(&ids, ids.len() as u64)
        );
        let help = "take the change back; what their manifests in the store say is the truth";
        draft.findings.push(DriftFinding::new(address(), DriftKind::ExecutionEdited, words, help));
    }
}

fn document(view: &View<'_>, draft: &mut Plan, thing: &Address, sign: &DocumentSign, applied: &Applied) {
    let words =
        if sign.intact { said(&sign.edits) } else { "its record does not agree with its own digest".to_owned() };
    let changes =
        |a: &crate::domain::Action| a.address == *thing && matches!(&a.kind, ActionKind::ApplyDocument { .. });
    if draft.actions.iter().any(changes) {
        let words = format!("{words}; the change in this plan writes it anew");
        draft.findings.push(DriftFinding::new(thing.clone(), DriftKind::RowEdited, words, "apply the plan"));
        return;
    }
    let desired = view.desired.documents.get(thing).filter(|_| applied.archived_at.is_none());
    let body = match desired {
        Some(document) => Some(&document.body),
        None => Some(&applied.body).filter(|_| sign.intact),
    };
    let Some(body) = body else {
        let words = format!("{words}, and the policies do not have it any more; nothing of its backups is deleted");
        let help = "put the thing back into the policies and apply, or take the change back";
        draft.findings.push(DriftFinding::new(thing.clone(), DriftKind::DocumentDamaged, words, help));
        return;
    };
    if !view.wants("changes") {
        let help = "an apply that is not narrowed writes it again";
        draft.findings.push(DriftFinding::new(thing.clone(), DriftKind::RowEdited, words, help));
        return;
    }
    let kind = ActionKind::ApplyDocument {
        op: DocumentOp::Restore,
        before: Some(applied.body.clone()),
        after: Some(body.clone()),
        location: desired.map(|document| document.location.clone()),
    };
    let id = ActionId::of("restore_document", None, None, thing, None);
    let mut action =
        mending(id, thing.clone(), kind, ReasonCode::RowEdited, format!("people changed its row: {words}"));
    action.preconditions.push(Precondition::DocumentDigest(Some(applied.digest)));
    draft.actions.push(action);
}

/// Says the columns that were changed: `frequency is WEEKLY instead of DAILY`.
fn said(edits: &[RowEdit]) -> String {
    let cut = |text: &str| match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    };
    let one = |edit: &RowEdit| match edit.column.as_str() {
        "row" => "the row is gone".to_owned(),
        column => format!("{column} is {} instead of {}", cut(&edit.found), cut(&edit.written)),
    };
    let mut parts: Vec<String> = edits.iter().take(MOST_COLUMNS).map(one).collect();
    if edits.len() > MOST_COLUMNS {
        parts.push(format!("and {} more", edits.len() - MOST_COLUMNS));
    }
    parts.join(", ")
}

fn by_hand(signs: &CatalogSigns, draft: &mut Plan) {
    for (noun, (names, total)) in [("schedule", &signs.schedules_by_hand), ("recovery plan", &signs.plans_by_hand)] {
        if *total > 0 {
            let words = format!(
                "{} in the catalog and in no policy: {}; nothing executes what is put in by hand",
                are(*total, noun),
                listed(names, *total)
            );
            let help = "`bkup import --catalog` writes them as policies; or delete the rows";
            let address = Address::once(Section::Catalog);
            draft.findings.push(DriftFinding::new(address, DriftKind::RowByHand, words, help));
        }
    }
}
