//! Erases a tenant: its own backups in every store. The order is what makes it hold: the intent in the catalog, after
//! which nobody reads them; their keys, which no lock protects, and with which the data is worth nothing; manifests and
//! data, as far as the store lets them go; marks for a catalog that is ever rebuilt; the evidence. A run that dies
//! anywhere is finished by running it again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use serde_json::json;

use super::prune::{Below, abort_uploads, delete_until_empty};
use super::runtime::Runtime;
use crate::catalog::{ClaimOutcome, Erasing, ErasureAsked, ErasureBegun, LEASE, Lease, MarkOutcome};
use crate::diag::{Diagnostic, Explain};
use crate::domain::{
    ActionId, Address, BackupId, Condemned, Digest, Erased, Erasure, LeftOver, Name, Outcome, Scope, Section,
    canonical_json,
};
use crate::store::layout::{self, MarkKind};
use crate::store::{self, ObjectVersion, ReadStore, StoreError, VersionsGone, WriteStore};

/// What came of it.
#[derive(Debug)]
pub enum ErasureEnd {
    /// Nobody can read the tenant's own backups any more, or the report says which ones and why.
    Done(Box<Erased>),
    /// Nothing was touched.
    Refused(String),
    /// It broke off; run it again.
    Failed(Box<Diagnostic>),
}

/// A place in which the tenant's objects lie: a store, and the database's name in its keys.
type Place<'a> = (&'a Name, &'a Name);

/// Erases a tenant. `digest` is what was consented to: that of `erasure`, or of an earlier try at it.
pub async fn erase(runtime: &Runtime, erasure: &Erasure, digest: Digest, reason: Option<&str>) -> ErasureEnd {
    match perform(runtime, erasure, digest, reason).await {
        Ok(erased) => ErasureEnd::Done(Box::new(erased)),
        Err(Stop::Refused(words)) => ErasureEnd::Refused(words),
        Err(Stop::Failed(finding)) => ErasureEnd::Failed(finding),
    }
}

enum Stop {
    Refused(String),
    Failed(Box<Diagnostic>),
}

fn failed(error: &dyn Explain) -> Stop {
    Stop::Failed(Box::new(error.explain()))
}

const AGAIN: &str = "run the same command again: it goes on with what is left";
const VERSIONS: &str = "the bucket keeps versions: a hold or a lock on one has to be taken away or to end, and the identity \
                        has to be allowed to list and delete versions (`bkup init iam --role eraser` prints it); then run \
                        the same command again";

/// What an effect on a store failed with.
fn broke(outcome: Outcome) -> Stop {
    let words = match outcome {
        Outcome::Failed { error, .. } => error,
        other => format!("{other:?}"),
    };
    not_complete(words, AGAIN)
}

/// What the look for old versions failed with.
fn hidden(error: &StoreError) -> Stop {
    let help = if matches!(error, StoreError::Denied { .. }) { VERSIONS } else { AGAIN };
    not_complete(error.to_string(), help)
}

async fn perform(runtime: &Runtime, erasure: &Erasure, digest: Digest, reason: Option<&str>) -> Result<Erased, Stop> {
    let scope = Scope::Tenant(erasure.slug.clone());
    let of_backups = erasure.backups.iter().map(|b| (&b.store, &b.filed_under));
    let mut places: BTreeSet<Place<'_>> = of_backups.collect();
    let mut notes = Vec::new();
    for trace in &erasure.traces {
        if runtime.stores.contains_key(&trace.store) {
            places.insert((&trace.store, &trace.filed_under));
        } else if !places.iter().any(|(name, _)| **name == trace.store) {
            notes.push(format!(
                "store.{} is not in the policies any more: old versions that its bucket may keep were not looked for",
                trace.store
            ));
        }
    }
    notes.dedup();
    let mut stores: BTreeMap<&Name, Arc<dyn WriteStore>> = BTreeMap::new();
    for (name, _) in &places {
        // Every store answers before the first key goes: half an erasure is none.
        let handle = runtime.store(name).map_err(|why| Stop::Refused(format!("store.{name} cannot be used: {why}")))?;
        stores.insert(name, Arc::clone(&handle.store));
    }
    let address = Address::of(Section::Database, erasure.database.clone());
    let action =
        ActionId::of("erase", Some(erasure.database.as_str()), Some(&scope), &address, Some(&digest.to_string()));
    let lease = match runtime.catalog.claim(action, &runtime.runner, LEASE).await.map_err(|error| failed(&error))? {
        ClaimOutcome::Claimed(lease) => lease,
        ClaimOutcome::HeldBy { runner, .. } => return Err(Stop::Refused(format!("{runner} is at it already"))),
    };
    let ended = claimed(runtime, erasure, digest, reason, &lease, &places, &stores, notes).await;
    let _ = runtime.catalog.release(&lease).await;
    ended
}

#[expect(clippy::too_many_arguments, reason = "one erasure with everything that was opened for it")]
async fn claimed(
    runtime: &Runtime,
    erasure: &Erasure,
    digest: Digest,
    reason: Option<&str>,
    lease: &Lease,
    places: &BTreeSet<Place<'_>>,
    stores: &BTreeMap<&Name, Arc<dyn WriteStore>>,
    notes: Vec<String>,
) -> Result<Erased, Stop> {
    let scope = &Scope::Tenant(erasure.slug.clone());
    let consented = Erasure { digest, ..erasure.clone() };
    let asked =
        ErasureAsked { erasure: &consented, by: &runtime.actor, reason, run: &runtime.run, at: (runtime.now)() };
    let subject = format!("tenant={}", erasure.slug);
    let facts = json!({
        "database": erasure.database, "digest": digest, "backups": erasure.backups.len(), "reason": reason,
    });
    let told = runtime.catalog.telling(runtime.event("tenant erasure begun", subject.clone(), facts));
    let erasing = match told.begin_erasure(lease, &asked).await.map_err(|error| failed(&error))? {
        ErasureBegun::Go(erasing) => erasing,
        ErasureBegun::Refused(words) => return Err(Stop::Refused(words)),
    };
    let mut work = Work {
        runtime,
        lease,
        scope,
        erased: Erased {
            erasure: consented.clone(),
            by: runtime.actor.clone(),
            reason: reason.map(str::to_owned),
            run: runtime.run.to_string(),
            at: (runtime.now)(),
            keys: 0,
            objects: 0,
            left: Vec::new(),
            notes,
        },
        kept: Vec::new(),
    };
    // Every key before the first datum: what follows may take hours, and is worth nothing to a reader from here on.
    let mut without_key: BTreeSet<BackupId> = BTreeSet::new();
    for place in places {
        let (found, kept) = work.keys(stores, *place).await?;
        let mine = of(erasure, &erasing, *place);
        let is_destroyed = |e: &Erasing| found.contains(&e.backup) && !kept.contains(&e.backup);
        let bare = mine.iter().filter(|(_, e)| kept.contains(&e.backup) || !(e.keys_destroyed || is_destroyed(e)));
        without_key.extend(bare.map(|(_, e)| e.backup.clone()));
        let sealed: Vec<BackupId> =
            mine.iter().filter(|(_, e)| is_destroyed(e)).map(|(_, e)| e.backup.clone()).collect();
        runtime.catalog.keys_destroyed(lease, &sealed, (runtime.now)()).await.map_err(|error| failed(&error))?;
    }
    for place in places {
        work.data(stores, *place, &of(erasure, &erasing, *place), &without_key).await?;
    }
    if let Some(first) = work.kept.first() {
        let more = work.kept.len() - 1;
        let more = if more == 0 { String::new() } else { format!(", and {more} more like it") };
        return Err(not_complete(format!("{first}{more}"), VERSIONS));
    }
    let mut erased = work.erased;
    erased.at = (runtime.now)();
    let facts = json!({
        "database": erasure.database, "digest": digest, "keys": erased.keys, "objects": erased.objects,
        "left": erased.left.len(), "readable": erased.left.iter().filter(|left| !left.unreadable).count(),
    });
    let event = if erased.is_whole() { "tenant erased" } else { "tenant erasure incomplete" };
    let told = runtime.catalog.telling(runtime.event(event, subject, facts));
    told.end_erasure(lease, &digest, &erased).await.map_err(|error| failed(&error))?;
    Ok(erased)
}

/// The backups of a place that are still to be erased.
fn of<'a>(erasure: &'a Erasure, erasing: &'a [Erasing], place: Place<'_>) -> Vec<(&'a Condemned, &'a Erasing)> {
    let here = erasure.backups.iter().filter(|b| (&b.store, &b.filed_under) == place);
    here.filter_map(|b| Some((b, erasing.iter().find(|e| e.backup == b.backup)?))).collect()
}

struct Work<'a> {
    runtime: &'a Runtime,
    lease: &'a Lease,
    scope: &'a Scope,
    erased: Erased,
    /// Versions that a store keeps, each with the reason, that no backup of the report stands for.
    kept: Vec<String>,
}

/// The backups that had a key, and those whose key the store keeps.
type Sealed = (BTreeSet<BackupId>, BTreeSet<BackupId>);

impl Work<'_> {
    fn store(stores: &BTreeMap<&Name, Arc<dyn WriteStore>>, name: &Name) -> Result<Arc<dyn WriteStore>, Stop> {
        stores.get(name).cloned().ok_or_else(|| Stop::Refused(format!("store.{name} was not opened")))
    }

    /// Keeps the claim; what was lost to another runner is dropped.
    async fn hold(&self) -> Result<(), Stop> {
        let leases = std::slice::from_ref(self.lease);
        let lost = self.runtime.catalog.heartbeat(leases, LEASE).await.map_err(|error| failed(&error))?;
        if lost.is_empty() && !self.runtime.stopped() {
            return Ok(());
        }
        let why = if lost.is_empty() { "the run was told to stop" } else { "another runner took it over" };
        Err(not_complete(why.to_owned(), AGAIN))
    }

    /// Destroys every key object of the tenant in a place, of attempts that never finished too, with all old versions. One
    /// that the store keeps does not save the others.
    async fn keys(
        &mut self,
        stores: &BTreeMap<&Name, Arc<dyn WriteStore>>,
        (name, filed_under): Place<'_>,
    ) -> Result<Sealed, Stop> {
        self.hold().await?;
        let store = Self::store(stores, name)?;
        let folder = layout::scope_folder(layout::KEYS, Some(filed_under), self.scope);
        let mut found = BTreeSet::new();
        let reader: Arc<dyn ReadStore> = Arc::clone(&store) as Arc<dyn ReadStore>;
        let mut listing = store::list(reader, &folder);
        while let Some(facts) = listing.next().await.transpose().map_err(|error| failed(&error))? {
            found.extend(layout::parse_attempt_key(&facts.key).map(|(backup, _)| backup));
        }
        let gone = delete_all(&store, &folder).await?;
        abort_uploads(&store, &folder, |_| true).await.map_err(broke)?;
        let versions = store::destroy_versions(store.as_ref(), &folder).await.map_err(|error| hidden(&error))?;
        if versions.is_none() && store.place().starts_with("s3:") {
            self.erased.notes.push(format!(
                "store.{name} does not list old versions of objects: if its bucket keeps them, the old keys are there until \
                 its rules delete them"
            ));
        }
        let versions = versions.unwrap_or_default();
        // A try that was cut short between the two has left versions alone: they tell of the backups, too.
        let backup = |key: &str| layout::parse_attempt_key(key).map(|(backup, _)| backup);
        found.extend(versions.keys.iter().filter_map(|key| backup(key)));
        let kept: BTreeSet<&str> = versions.left.iter().map(|(version, _)| version.key.as_str()).collect();
        self.erased.keys += gone.max(versions.keys.len() as u64).saturating_sub(kept.len() as u64);
        let kept = kept.into_iter().filter_map(backup).collect();
        self.kept.extend(versions.left.iter().map(|(version, why)| told("the key", version, why)));
        Ok((found, kept))
    }

    /// Deletes manifests, then data; leaves marks; says in the catalog what is gone.
    async fn data(
        &mut self,
        stores: &BTreeMap<&Name, Arc<dyn WriteStore>>,
        (name, filed_under): Place<'_>,
        backups: &[(&Condemned, &Erasing)],
        without_key: &BTreeSet<BackupId>,
    ) -> Result<(), Stop> {
        let runtime = self.runtime;
        let store = Self::store(stores, name)?;
        let left_elsewhere = self.erased.left.len();
        for (condemned, erasing) in backups {
            self.hold().await?;
            let folder = layout::backup_folder(Some(filed_under), self.scope, &condemned.backup);
            let manifest = layout::manifest(Some(filed_under), self.scope, &condemned.backup);
            let mut left = store.delete(&manifest).await.err();
            let (gone, kept) = delete_what_goes(&store, &folder).await?;
            left = left.or(kept);
            let mut versions = VersionsGone::default();
            if left.is_none() {
                let gone = store::destroy_versions(store.as_ref(), &folder).await.map_err(|error| hidden(&error))?;
                versions = gone.unwrap_or_default();
            }
            self.erased.objects += gone.max(versions.keys.len() as u64);
            let left = left.map(|why| why.to_string());
            let left = left.or_else(|| versions.left.first().map(|(version, why)| told("the object", version, why)));
            self.mark(store.as_ref(), condemned, erasing.mark).await?;
            let bare = without_key.contains(&condemned.backup);
            match left {
                None => {
                    let purged = runtime.catalog.purged(self.lease, &condemned.backup, (runtime.now)()).await;
                    if let MarkOutcome::Refused(words) = purged.map_err(|error| failed(&error))? {
                        self.erased.notes.push(format!("{}: {words}", condemned.backup));
                    }
                }
                Some(why) => self.erased.left.push(LeftOver {
                    backup: condemned.backup.clone(),
                    store: name.clone(),
                    unreadable: !bare,
                    why,
                }),
            }
        }
        // What attempts left that never finished, and manifests that the catalog does not know.
        let folder = layout::scope_folder(layout::BACKUPS, Some(filed_under), self.scope);
        abort_uploads(&store, &folder, |_| true).await.map_err(broke)?;
        // It runs whatever was left: what an earlier purge only hid may be readable, and nobody else looks for it.
        let (gone, kept) = delete_what_goes(&store, &folder).await?;
        let versions = store::destroy_versions(store.as_ref(), &folder).await.map_err(|error| hidden(&error))?;
        let versions = versions.unwrap_or_default();
        let left = &self.erased.left[left_elsewhere..];
        if let Some(why) = kept.filter(|_| left.is_empty()) {
            return Err(not_complete(format!("{folder}: {why}"), AGAIN));
        }
        let told_already = left.iter().map(|left| layout::backup_folder(Some(filed_under), self.scope, &left.backup));
        let told_already: Vec<String> = told_already.collect();
        let is_new = |version: &ObjectVersion| !told_already.iter().any(|folder| version.key.starts_with(folder));
        let more = versions.left.iter().filter(|(version, _)| is_new(version));
        self.kept.extend(more.map(|(version, why)| told("the object", version, why)));
        self.erased.objects += gone.max(versions.keys.len().saturating_sub(versions.left.len()) as u64);
        Ok(())
    }

    /// Leaves word beside the backup: a restore that finds nothing finds why, and so does a catalog that is rebuilt.
    async fn mark(&self, store: &dyn WriteStore, condemned: &Condemned, ordinal: u32) -> Result<(), Stop> {
        let runtime = self.runtime;
        let key = layout::mark(Some(&condemned.filed_under), self.scope, &condemned.backup, ordinal, MarkKind::Purge);
        let body = json!({
            "format_version": "1.0", "backup_id": condemned.backup, "mark": MarkKind::Purge.word(),
            "at": (runtime.now)(), "run": runtime.run, "erased": true,
        });
        match store::put_once(store, &key, Bytes::from(canonical_json(&body))).await {
            Ok(_) | Err(StoreError::Overwritten { .. }) => Ok(()),
            Err(error) => Err(failed(&error)),
        }
    }
}

/// Deletes everything below a prefix, all of which must go.
async fn delete_all(store: &Arc<dyn WriteStore>, prefix: &str) -> Result<u64, Stop> {
    match delete_until_empty(store, prefix).await.map_err(broke)? {
        (gone, Below::Empty) => Ok(gone as u64),
        (_, Below::Kept(key, why)) => Err(not_complete(format!("{key}: {why}"), AGAIN)),
        (_, Below::Refilled(words)) => Err(not_complete(words, AGAIN)),
    }
}

/// Deletes what the store lets go below a prefix; returns how much that was, and why the first of the rest stays.
async fn delete_what_goes(store: &Arc<dyn WriteStore>, prefix: &str) -> Result<(u64, Option<StoreError>), Stop> {
    match delete_until_empty(store, prefix).await.map_err(broke)? {
        (gone, Below::Empty) => Ok((gone as u64, None)),
        (gone, Below::Kept(_, why)) => Ok((gone as u64, Some(why))),
        (_, Below::Refilled(words)) => Err(not_complete(words, AGAIN)),
    }
}

/// Names a version that is still there.
fn told(what: &str, ObjectVersion { key, version, .. }: &ObjectVersion, why: &StoreError) -> String {
    format!("version {version} of {what} {key} is still there: {why}")
}

fn not_complete(words: String, help: &str) -> Stop {
    let finding = Diagnostic::error(crate::diag::Code("BK969"), format!("the erasure broke off: {words}"));
    Stop::Failed(Box::new(finding.help(help)))
}
