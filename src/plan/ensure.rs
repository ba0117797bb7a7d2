//! The catalog, the stores' markers, and the documents as applied.

use super::world::View;
use crate::domain::{
    Action, ActionClass, ActionId, ActionKind, Address, Document, DocumentOp, Held, HeldReason, Plan, Precondition,
    Reason, ReasonCode, Section,
};

/// Plans everything that must be there before work can be.
pub fn plan(view: &View<'_>, draft: &mut Plan) {
    catalog(view, draft);
    stores(view, draft);
    documents(view, draft);
}

fn reason(code: ReasonCode, words: impl Into<String>) -> Reason {
    Reason { code, words: words.into(), location: None }
}

fn catalog(view: &View<'_>, draft: &mut Plan) {
    let from_version = view.catalog.map(|facts| facts.version);
    let to_version = view.request.catalog_version;
    if from_version == Some(to_version) {
        return;
    }
    let address = Address::once(Section::Catalog);
    let words = match from_version {
        None => "the database has no catalog yet".to_owned(),
        Some(version) => format!("the catalog is of version {version}, this program writes version {to_version}"),
    };
    draft.actions.push(Action {
        id: ActionId::of("ensure_catalog", None, None, &address, Some(&to_version.to_string())),
        address,
        class: ActionClass::Change,
        kind: ActionKind::EnsureCatalog { from_version, to_version, simulated: view.request.simulated },
        reason: reason(ReasonCode::Missing, words),
        preconditions: Vec::new(),
        after: Vec::new(),
        bytes: None,
    });
}

fn stores(view: &View<'_>, draft: &mut Plan) {
    for (name, spec) in &view.desired.stores {
        let address = Address::of(Section::Store, name.clone());
        if !view.in_target(&address) {
            continue;
        }
        let facts = match view.store(name) {
            Ok(facts) => facts,
            Err(why) => {
                draft.held.push(Held {
                    address,
                    database: None,
                    scope: None,
                    work: "look".to_owned(),
                    reason: HeldReason::StoreUnreachable,
                    words: format!("the store could not be read: {why}"),
                });
                continue;
            }
        };
        let recorded = view.catalog.and_then(|catalog| catalog.stores.get(name));
        let found = facts.marker.as_ref().map(|marker| &marker.store_id);
        // A marker that differs from the recorded one is a guard's matter: it must never be overwritten or adopted here.
        if (found.is_some() && recorded == found) || (recorded.is_some() && recorded != found) {
            continue;
        }
        let words =
            if found.is_some() { "the catalog does not know this store yet" } else { "the store has no marker yet" };
        draft.actions.push(Action {
            id: ActionId::of("ensure_store", None, None, &address, None),
            kind: ActionKind::EnsureStore { store: name.clone(), url: spec.url.to_string() },
            address,
            class: ActionClass::Change,
            reason: reason(ReasonCode::Missing, words),
            preconditions: Vec::new(),
            after: Vec::new(),
            bytes: None,
        });
    }
}

/// Returns whether what was recorded of a thing is what the policies say, under a digest that is not its own.
fn is_damaged(view: &View<'_>, address: &Address, document: &Document) -> bool {
    let damaged = view.edits().and_then(|edits| edits.documents.get(address)).is_some_and(|sign| !sign.intact);
    let applied = view.catalog.and_then(|catalog| catalog.applied.get(address));
    damaged && applied.is_some_and(|applied| applied.body == document.body)
}

fn documents(view: &View<'_>, draft: &mut Plan) {
    if !view.wants("changes") {
        return;
    }
    let mut push = |address: &Address, op, before: Option<&crate::domain::Applied>, reason: Reason| {
        if !view.in_target(address) {
            return;
        }
        let document = view.desired.documents.get(address).filter(|_| op != DocumentOp::Archive);
        draft.actions.push(Action {
            id: ActionId::of("apply_document", None, None, address, None),
            address: address.clone(),
            class: ActionClass::Change,
            kind: ActionKind::ApplyDocument {
                op,
                before: before.map(|applied| applied.body.clone()),
                after: document.map(|document| document.body.clone()),
                location: document.map(|document| document.location.clone()),
            },
            reason,
            preconditions: vec![Precondition::DocumentDigest(before.map(|applied| applied.digest))],
            after: Vec::new(),
            bytes: None,
        });
    };
    for (address, document) in &view.desired.documents {
        let applied = view.catalog.and_then(|catalog| catalog.applied.get(address));
        let located =
            |code, words: &str| Reason { code, words: words.to_owned(), location: Some(document.location.clone()) };
        match applied {
            None => push(address, DocumentOp::Create, None, located(ReasonCode::Missing, "it is new in the policies")),
            Some(applied) if applied.archived_at.is_some() => {
                push(
                    address,
                    DocumentOp::Revive,
                    Some(applied),
                    located(ReasonCode::PolicyChanged, "it is back in the policies"),
                );
            }
            // The document is as it shall be and its digest is not: people changed that, and drift restores it.
            Some(applied) if applied.digest != document.digest && !is_damaged(view, address, document) => {
                push(
                    address,
                    DocumentOp::Update,
                    Some(applied),
                    located(ReasonCode::PolicyChanged, "the policies differ from what was applied"),
                );
            }
            Some(_) => {}
        }
    }
    for (address, applied) in view.catalog.into_iter().flat_map(|catalog| &catalog.applied) {
        if applied.archived_at.is_none() && !view.desired.documents.contains_key(address) {
            let words = "it is gone from the policies; its backups stay, to their recorded retention";
            push(address, DocumentOp::Archive, Some(applied), reason(ReasonCode::PolicyRemoved, words));
        }
    }
}
