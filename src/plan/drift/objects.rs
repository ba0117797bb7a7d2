//! A store's objects against the catalog: backups that are not whole go to quarantine, uploads that nobody will complete
//! are ended, and what belongs to nobody is told.

use std::collections::BTreeMap;

use super::{View, are, listed, mending};
use crate::domain::{
    ActionId, ActionKind, Address, Backup, BackupId, Bytes, DriftFinding, DriftKind, Name, Observation, Plan,
    ReasonCode, Section, StaleUpload, StoreSigns, UploadOwner, UploadSign, Verification, digest_of,
};

/// Plans and tells for each store.
pub fn plan(view: &View<'_>, draft: &mut Plan) {
    for name in view.desired.stores.keys() {
        let address = Address::of(Section::Store, name.clone());
        let Ok(facts) = view.store(name) else { continue };
        if !view.in_target(&address) {
            continue;
        }
        let signs = view.observed.signs.stores.get(name);
        for (id, (code, words)) in unsound(view, name, &facts.missing, signs) {
            quarantine(view, draft, name, id, code, words);
        }
        quarantined(view, draft, name, &address);
        if facts.foreign > 0 && view.catalog.is_some() {
            let words = format!(
                "{} unknown to the catalog, such as {}; bkup leaves them alone",
                are(facts.foreign, "manifest"),
                facts.foreign_examples.first().map_or("(none shown)", String::as_str),
            );
            let help =
                "give each catalog a prefix of its own; if this catalog lost them, it can be rebuilt from the store";
            draft.findings.push(DriftFinding::new(address.clone(), DriftKind::ForeignManifest, words, help));
        }
        if let Some(signs) = signs {
            strays(signs, draft, &address);
            uploads(view, signs, draft, name, &address);
        }
    }
}

/// Finds the backups of a store that are not whole, each with one reason.
fn unsound<'a>(
    view: &View<'a>,
    store: &Name,
    missing: &'a [BackupId],
    signs: Option<&'a StoreSigns>,
) -> BTreeMap<&'a BackupId, (ReasonCode, String)> {
    let mut unsound = BTreeMap::new();
    for id in missing {
        unsound.insert(id, (ReasonCode::ObjectMissing, format!("its manifest is gone from store.{store}")));
    }
    for damage in signs.into_iter().flat_map(|signs| &signs.objects.damaged) {
        // Where the row was changed by hand, it is the row that cannot be believed.
        if view.edits().is_some_and(|edits| edits.executions.contains(&damage.backup)) {
            continue;
        }
        let code = if damage.gone { ReasonCode::ObjectMissing } else { ReasonCode::ObjectChanged };
        unsound.entry(&damage.backup).or_insert_with(|| (code, format!("{} in store.{store}", damage.words)));
    }
    for look in view.edits().into_iter().flat_map(|edits| &edits.failed_looks) {
        if view.backup(&look.backup).is_some_and(|backup| backup.store == *store) {
            let depth = match look.depth {
                Verification::None | Verification::Exists => "a look at its objects",
                Verification::Checksum => "reading its checksums back",
                Verification::Restore => "restoring it",
            };
            let detail = look.detail.as_ref().map(|detail| format!(": {detail}")).unwrap_or_default();
            let words = format!("{depth} failed on {}{detail}", look.at.strftime("%Y-%m-%d %H:%M UTC"));
            unsound.entry(&look.backup).or_insert((ReasonCode::VerificationFailed, words));
        }
    }
    unsound
}

fn quarantine(view: &View<'_>, draft: &mut Plan, store: &Name, id: &BackupId, code: ReasonCode, words: String) {
    // A tombstoned one may be half purged: its purge finishes that.
    let lost = |b: &&Backup| b.quarantine.is_none() && b.tombstoned_at.is_none();
    let Some(backup) = view.backup(id).filter(lost) else { return };
    let address = Address::of(Section::Store, store.clone());
    let database = backup.database.as_ref().map(Name::as_str);
    let action = ActionId::of("quarantine", database, Some(&backup.scope), &address, Some(id.as_str()));
    let kind = ActionKind::Quarantine { backup: id.clone(), store: store.clone(), words: words.clone() };
    draft.actions.push(mending(action, address, kind, code, words));
}

/// Says what is in quarantine already: the catalog knows, so it is no drift, and yet somebody should look.
fn quarantined(view: &View<'_>, draft: &mut Plan, store: &Name, address: &Address) {
    let there = |b: &&Backup| b.store == *store && b.quarantine.is_some();
    let all: Vec<&Backup> = view.backups().iter().filter(there).collect();
    let Some(first) = all.first() else { return };
    let ids: Vec<&str> = all.iter().map(|backup| backup.id.as_str()).collect();
    let words = format!(
        "{} in quarantine, and nothing counts on them: {} ({})",
        are(all.len() as u64, "backup"),
        listed(&ids, ids.len() as u64),
        first.quarantine.as_deref().unwrap_or_default()
    );
    let help =
        "bring the objects back from a replica or an older version of the bucket, or let newer backups take over";
    draft.findings.push(DriftFinding::new(address.clone(), DriftKind::Quarantined, words, help));
}

fn strays(signs: &StoreSigns, draft: &mut Plan, address: &Address) {
    let objects = &signs.objects;
    if let Some(why) = &objects.keys_unread {
        let words = format!("the key objects could not be compared with the catalog: {why}");
        let finding = DriftFinding::new(address.clone(), DriftKind::ObjectsUnread, words, "see why, and plan again");
        draft.findings.push(finding);
    }
    if objects.strays > 0 {
        let least = if objects.strays_more { "at least " } else { "" };
        let words = format!(
            "{least}{} among the backups and of none the catalog knows ({}), such as {}; bkup leaves them alone",
            are(objects.strays, "object"),
            objects.stray_bytes,
            objects.stray_examples.first().map_or("(none shown)", String::as_str),
        );
        let help = "find out who put them there; delete them by hand if nobody needs them";
        draft.findings.push(DriftFinding::new(address.clone(), DriftKind::ForeignObject, words, help));
    }
}

fn uploads(view: &View<'_>, signs: &StoreSigns, draft: &mut Plan, store: &Name, address: &Address) {
    let uploads = match &signs.uploads {
        Observation::Known(Some(uploads)) => uploads,
        Observation::Known(None) => return,
        Observation::Unreachable(why) => {
            let words = format!("unfinished uploads could not be listed: {why}");
            let help = "allow s3:ListBucketMultipartUploads; parts that nobody sees are paid for";
            draft.findings.push(DriftFinding::new(address.clone(), DriftKind::ObjectsUnread, words, help));
            return;
        }
    };
    let of = |owner| uploads.iter().filter(move |upload| upload.owner == owner).collect::<Vec<_>>();
    let dead = of(UploadOwner::Dead);
    if !dead.is_empty() {
        let mut stale: Vec<StaleUpload> =
            dead.iter().map(|sign| StaleUpload { key: sign.key.clone(), upload: sign.upload.clone() }).collect();
        stale.sort_by(|a, b| (&a.key, &a.upload).cmp(&(&b.key, &b.upload)));
        let words = format!("{}, and its attempt is over{}", counted(&dead), size(&dead));
        // The same uploads are the same work in every plan.
        let slot = digest_of(&stale).to_string();
        let id = ActionId::of("abort_uploads", None, None, address, Some(&slot));
        let kind = ActionKind::AbortUploads { store: store.clone(), uploads: stale };
        let mut action = mending(id, address.clone(), kind, ReasonCode::Abandoned, words);
        action.bytes = total(&dead);
        draft.actions.push(action);
    }
    let unknown = of(UploadOwner::Unknown);
    if let Some(first) = unknown.first() {
        let oldest = unknown.iter().filter_map(|sign| sign.begun).min();
        let age = oldest.map_or(String::new(), |begun| {
            let hours = view.now().duration_since(begun).as_hours().max(0);
            let age = if hours < 48 { format!("{hours} h") } else { format!("{} days", hours / 24) };
            format!(", the oldest {age} old")
        });
        let words = format!(
            "{} below the store's prefix and no attempt of this catalog{}{age}, such as {}",
            counted(&unknown),
            size(&unknown),
            first.key
        );
        let help = "abort them by hand, or let a lifecycle rule of the bucket abort incomplete uploads";
        draft.findings.push(DriftFinding::new(address.clone(), DriftKind::UnfinishedUpload, words, help));
    }
}

fn counted(uploads: &[&UploadSign]) -> String {
    match uploads.len() {
        1 => "1 upload was begun and never ended".to_owned(),
        n => format!("{n} uploads were begun and never ended"),
    }
}

fn total(uploads: &[&UploadSign]) -> Option<Bytes> {
    let sizes: Vec<Bytes> = uploads.iter().filter_map(|upload| upload.bytes).collect();
    (!sizes.is_empty()).then(|| sizes.into_iter().sum())
}

fn size(uploads: &[&UploadSign]) -> String {
    let known = uploads.iter().filter(|upload| upload.bytes.is_some()).count();
    let least = if known < uploads.len() { "at least " } else { "" };
    total(uploads).map_or(String::new(), |bytes| format!(" ({least}{bytes})"))
}
