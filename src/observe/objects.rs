//! One listing of a store against what the catalog recorded: page by page, in the memory of a few numbers for each
//! backup, however many objects there are. A listing that ends with an error says nothing.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use futures_util::StreamExt;

use crate::catalog::{ReadLedger, RecordedBackup};
use crate::domain::{BackupId, Bytes, Damage, Instant, ObjectSigns, Period, StoreFacts, Tally};
use crate::store::{self, Listed, ObjectFacts, ReadStore, StoreError, UnfinishedUpload, layout};

use super::expected::Expected;
use super::signs::MOST_UPLOADS;

/// How many keys of each kind are named.
const EXAMPLES: usize = 3;
/// What is younger may belong to an attempt that began after the catalog was read.
const YOUNG: Period = Period::hours(1);
/// How many backups that nobody knows are told apart.
const MOST_STRANGERS: usize = 10_000;
/// Of how many manifests that nobody knows the catalog is asked once more: what other runners complete while a store is
/// listed is not more than that.
const MOST_ASKED: usize = 1000;
/// How many manifests of another size are read.
const MOST_READ: usize = 1000;

/// What a listing showed.
pub struct Listing {
    /// Manifests against the catalog.
    pub facts: StoreFacts,
    /// Data objects against the catalog.
    pub objects: ObjectSigns,
    /// Unfinished uploads that it passed.
    pub passed: Passed,
}

/// Unfinished uploads that listings have shown, at most [`MOST_UPLOADS`].
#[derive(Default)]
pub struct Passed {
    /// What was listed to its end.
    pub listed: Vec<&'static str>,
    /// What was seen there.
    pub uploads: Vec<UnfinishedUpload>,
}

impl Passed {
    /// Returns the object, and keeps an upload.
    fn object(&mut self, listed: Listed) -> Option<ObjectFacts> {
        match listed {
            Listed::Object(object) => return Some(object),
            Listed::Upload(upload) if self.uploads.len() < MOST_UPLOADS => self.uploads.push(upload),
            Listed::Upload(_) => {}
        }
        None
    }
}

/// What a listing has shown of a backup.
#[derive(Clone, Copy, Default)]
struct Shown {
    manifest: bool,
    data: Tally,
    keys: u64,
}

/// Objects that belong to nobody the catalog knows.
#[derive(Default)]
struct Strangers {
    by_backup: HashMap<BackupId, (Tally, String)>,
    others: Tally,
    more: bool,
    examples: Vec<String>,
    /// Manifests of backups that the catalog does not know.
    manifests: Vec<(BackupId, String)>,
    /// How many more of these there are.
    more_manifests: u64,
}

/// Lists a store. `facts` holds what is known of it already, and `catalog` is asked whether what it did not know when the
/// listing began is known by now.
///
/// # Errors
/// Where the listing cannot be had whole.
pub async fn list(
    store: &Arc<dyn ReadStore>,
    mut facts: StoreFacts,
    expected: &Expected<'_>,
    catalog: Option<&dyn ReadLedger>,
) -> Result<Listing, StoreError> {
    let mut shown = vec![Shown::default(); expected.book.entries().len()];
    let mut resized: Vec<(&BackupId, &RecordedBackup)> = Vec::new();
    let mut strangers = Strangers::default();
    let mut late: BTreeSet<(BackupId, u64)> = BTreeSet::new();
    let mut passed = Passed::default();
    let mut listing = store::list_all(Arc::clone(store), layout::BACKUPS);
    while let Some(listed) = listing.next().await {
        let Some(object) = passed.object(listed?) else { continue };
        if let Some(manifest) = layout::manifest_id(&object.key) {
            facts.manifests += 1;
            match expected.book.find(&manifest) {
                None => strangers.see_manifest(manifest, object.key),
                Some((number, backup)) => {
                    shown[number].manifest = true;
                    if let Some(recorded) = backup.recorded
                        && recorded.manifest_size.is_some_and(|size| size != object.size)
                        && recorded.manifest.is(backup.id, &object.key)
                    {
                        resized.push((backup.id, recorded));
                    }
                }
            }
        } else if let Some(known) = expected.recorded {
            let attempt = layout::parse_attempt_key(&object.key);
            let backup = attempt.as_ref().and_then(|(id, attempt)| Some((expected.book.find(id)?, *attempt)));
            match backup {
                Some(((number, backup), attempt))
                    if backup.recorded.is_some_and(|recorded| {
                        attempt == recorded.attempt && recorded.manifest.holds(backup.id, &object.key)
                    }) =>
                {
                    shown[number].data.add(&object.key, object.size);
                }
                _ if attempt.as_ref().is_some_and(|attempt| known.attempts.contains(attempt)) => {}
                _ if expected.collected(attempt.as_ref()).is_some() => late.extend(attempt),
                _ if is_young(&object, expected.now) => {}
                _ => strangers.see(attempt.map(|(id, _)| id), object),
            }
        }
    }
    passed.listed.push(layout::BACKUPS);
    strangers.ask_again(expected, catalog, &mut facts).await;
    let all = || expected.book.entries().iter().zip(&shown);
    let missing = all().filter(|(_, shown)| !shown.manifest);
    facts.missing = missing.map(|(backup, _)| backup.id.clone()).collect();
    facts.missing.sort_unstable();
    let mut objects = ObjectSigns::default();
    if expected.recorded.is_some() {
        let keys = count_keys(store, expected, &mut shown, &mut late, &mut passed).await;
        objects.late = late.iter().filter_map(|attempt| expected.collected(Some(attempt)).cloned()).collect();
        objects.keys_unread = keys.as_ref().err().map(ToString::to_string);
        for (backup, shown) in expected.book.entries().iter().zip(&shown).filter(|(_, shown)| shown.manifest) {
            let Some(recorded) = backup.recorded else { continue };
            objects.damaged.extend(damage(backup.id, recorded, shown, keys.is_ok()));
        }
        for (id, recorded) in resized.into_iter().take(MOST_READ) {
            objects.damaged.extend(altered(store, id, recorded).await);
        }
        objects.damaged.sort_by(|a, b| a.backup.cmp(&b.backup));
        objects.damaged.dedup_by(|later, first| later.backup == first.backup);
        strangers.tell(&mut objects);
    }
    Ok(Listing { facts, objects, passed })
}

fn is_young(object: &ObjectFacts, now: Instant) -> bool {
    object.modified.is_some_and(|modified| YOUNG.after(modified) > now)
}

impl Strangers {
    fn see_manifest(&mut self, id: BackupId, key: String) {
        if self.manifests.len() < MOST_STRANGERS {
            self.manifests.push((id, key));
        } else {
            self.more_manifests += 1;
        }
    }

    /// Tells which manifests the catalog still does not know. What cannot be asked is told.
    async fn ask_again(&self, expected: &Expected<'_>, catalog: Option<&dyn ReadLedger>, facts: &mut StoreFacts) {
        facts.foreign = self.more_manifests;
        let may_ask = self.more_manifests == 0 && (1..=MOST_ASKED).contains(&self.manifests.len());
        let ids: Vec<&BackupId> = self.manifests.iter().map(|(id, _)| id).collect();
        let recorded = match catalog.filter(|_| may_ask) {
            Some(catalog) => catalog.recorded_backups(&ids).await.unwrap_or_default(),
            None => Vec::new(),
        };
        let here = recorded.iter().filter(|(_, recorded)| &recorded.store == expected.store);
        let known: HashSet<&BackupId> = here.map(|(id, _)| id).collect();
        for (_, key) in self.manifests.iter().filter(|(id, _)| !known.contains(id)) {
            facts.foreign += 1;
            if facts.foreign_examples.len() < EXAMPLES {
                facts.foreign_examples.push(key.clone());
            }
        }
    }

    fn see(&mut self, id: Option<BackupId>, object: ObjectFacts) {
        match id {
            Some(id) if self.by_backup.len() < MOST_STRANGERS || self.by_backup.contains_key(&id) => {
                let (tally, _) = self.by_backup.entry(id).or_insert_with(|| (Tally::default(), object.key.clone()));
                tally.add(&object.key, object.size);
            }
            // So many strangers are not told apart: they may all be of foreign backups.
            Some(_) => self.more = true,
            None => {
                self.others.add(&object.key, object.size);
                if self.examples.len() < EXAMPLES {
                    self.examples.push(object.key);
                }
            }
        }
    }

    /// Leaves out what belongs to a manifest, now that all of them were seen.
    fn tell(self, objects: &mut ObjectSigns) {
        let mut total = self.others;
        let mut examples = self.examples;
        objects.strays_more = self.more;
        let with_manifest: HashSet<BackupId> = self.manifests.into_iter().map(|(id, _)| id).collect();
        for (id, (tally, example)) in self.by_backup {
            if !with_manifest.contains(&id) {
                total.objects += tally.objects;
                total.bytes = total.bytes.saturating_add(tally.bytes);
                examples.push(example);
            }
        }
        examples.sort_unstable();
        examples.truncate(EXAMPLES);
        (objects.strays, objects.stray_bytes, objects.stray_examples) = (total.objects, Bytes(total.bytes), examples);
    }
}

/// Counts the key objects of each backup, and finds those of attempts that were collected.
async fn count_keys(
    store: &Arc<dyn ReadStore>,
    expected: &Expected<'_>,
    shown: &mut [Shown],
    late: &mut BTreeSet<(BackupId, u64)>,
    passed: &mut Passed,
) -> Result<(), StoreError> {
    let has_keys = |recorded: &RecordedBackup| recorded.keys > 0;
    if !expected.book.entries().iter().any(|backup| backup.recorded.is_some_and(has_keys)) {
        return Ok(());
    }
    let mut listing = store::list_all(Arc::clone(store), layout::KEYS);
    while let Some(listed) = listing.next().await {
        let Some(object) = passed.object(listed?) else { continue };
        let Some(attempt) = layout::parse_attempt_key(&object.key) else { continue };
        match expected.book.find(&attempt.0) {
            Some((number, backup)) if backup.recorded.is_some_and(|recorded| recorded.attempt == attempt.1) => {
                shown[number].keys += 1;
            }
            _ if expected.collected(Some(&attempt)).is_some() => drop(late.insert(attempt)),
            _ => {}
        }
    }
    passed.listed.push(layout::KEYS);
    Ok(())
}

/// Says what of a backup's objects is not as it was recorded.
fn damage(id: &BackupId, recorded: &RecordedBackup, shown: &Shown, keys_read: bool) -> Option<Damage> {
    let (wanted, found) = (recorded.data, shown.data);
    let (words, gone) = if found.objects < wanted.objects {
        let gone = wanted.objects - found.objects;
        let words = match (gone, wanted.objects) {
            (1, 1) => "its data object is gone".to_owned(),
            (gone, all) if gone == all => format!("all of its {all} data objects are gone"),
            (1, all) => format!("1 of its {all} data objects is gone"),
            (gone, all) => format!("{gone} of its {all} data objects are gone"),
        };
        (words, true)
    } else if found.objects > wanted.objects {
        (format!("it has {} data objects instead of {}", found.objects, wanted.objects), false)
    } else if found.bytes != wanted.bytes {
        (format!("its data is {} bytes instead of {}", found.bytes, wanted.bytes), false)
    } else if found.mix != wanted.mix {
        ("its data objects have other names or sizes than recorded".to_owned(), false)
    } else if keys_read && shown.keys < recorded.keys {
        let gone = recorded.keys - shown.keys;
        let words = if gone == 1 && recorded.keys == 1 {
            "its key object is gone: nobody can decrypt it".to_owned()
        } else {
            format!("{gone} of its {} key objects are gone", recorded.keys)
        };
        (words, true)
    } else {
        return None;
    };
    Some(Damage { backup: id.clone(), words, gone })
}

/// Reads a manifest whose size is another one than was recorded: one that reads well and is of the same attempt is
/// good whatever wrote it. What cannot be read now is not judged.
async fn altered(store: &Arc<dyn ReadStore>, id: &BackupId, recorded: &RecordedBackup) -> Option<Damage> {
    let words = match store::read_manifest(store.as_ref(), &recorded.manifest.key(id)).await {
        Ok(manifest) if manifest.attempt == recorded.attempt => return None,
        Ok(_) => "its manifest names the data of another attempt".to_owned(),
        Err(StoreError::Invalid { what, .. }) => format!("its manifest cannot be understood any more: {what}"),
        Err(StoreError::TooLarge { .. }) => "its manifest is larger than any manifest".to_owned(),
        Err(_) => return None,
    };
    Some(Damage { backup: id.clone(), words, gone: false })
}
