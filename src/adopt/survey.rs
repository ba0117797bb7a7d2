//! Looks at everything in a place once: sorts names, reads each backup whole, compares it with what lies beside it.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

use futures_util::StreamExt;
use jiff::tz::{AmbiguousOffset, TimeZone};
use tokio::sync::mpsc;

use super::archive;
use super::gunzip::{Pieces, gunzip};
use super::names::{Named, Sorted, sort};
use super::script;
use crate::crypto::ContentHasher;
use crate::diag::{Code, Diagnostic, Explain};
use crate::domain::{Bytes, Digest, FoundBackup, FoundForm, Instant, LeftAlone, Scope};
use crate::store::{self, ReadStore, StoreError};

/// The largest sidecar that is read.
const SIDECAR: u64 = 64 * 1024;
/// How far an archive's own time may be from its name's: any zone, and a day's change of it.
const APART: i64 = 26 * 3600;

/// What there is.
#[derive(Debug, Default)]
pub struct Survey {
    /// Backups that are whole, by key.
    pub whole: Vec<Checked>,
    /// What looks like a backup and is left alone, with the reason.
    pub left_alone: Vec<LeftAlone>,
    /// How many other objects there are.
    pub others: u64,
}

/// A backup that is whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// What it is of, with the tenant's name as the path has it.
    pub scope: Scope,
    /// The backup.
    pub found: FoundBackup,
}

/// Why nothing can be looked at.
#[derive(Debug, thiserror::Error)]
pub enum SurveyError {
    /// The place cannot be listed.
    #[error("what is to be adopted cannot be listed: {0}")]
    Listing(StoreError),
}

impl Explain for SurveyError {
    fn explain(&self) -> Diagnostic {
        let Self::Listing(error) = self;
        let inner = error.explain();
        let told = Diagnostic::error(Code("BK920"), self.to_string());
        told.help(
            inner.help.unwrap_or_else(|| "check --from: a folder, file:///folder or s3://bucket/prefix".to_owned()),
        )
    }
}

/// Looks at a place. Times in names are of `zone`; `now` is the clock. `tell` hears of each object that is read.
///
/// # Errors
/// [`SurveyError`], where it cannot be listed as a whole: a listing with a hole must not be taken for all.
pub async fn survey(
    place: &Arc<dyn ReadStore>,
    zone: &TimeZone,
    now: Instant,
    tell: &(dyn Fn(String) + Send + Sync),
) -> Result<Survey, SurveyError> {
    let mut sizes: BTreeMap<String, u64> = BTreeMap::new();
    let mut listing = store::list(Arc::clone(place), "");
    while let Some(object) = listing.next().await {
        let object = object.map_err(SurveyError::Listing)?;
        sizes.insert(object.key, object.size);
    }
    let mut survey = Survey::default();
    for (key, size) in &sizes {
        match sort(key) {
            Sorted::Backup(named) => {
                tell(format!("reading {key} ({})", Bytes(*size)));
                match check(place, key, *size, &named, &sizes, zone, now).await {
                    Ok(found) => survey.whole.push(Checked { scope: named.scope, found }),
                    Err(why) => survey.left_alone.push(LeftAlone { key: key.clone(), why }),
                }
            }
            Sorted::Refused(why) => survey.left_alone.push(LeftAlone { key: key.clone(), why }),
            Sorted::Sidecar => {}
            Sorted::Other => survey.others += 1,
        }
    }
    Ok(survey)
}

async fn check(
    place: &Arc<dyn ReadStore>,
    key: &str,
    size: u64,
    named: &Named,
    sizes: &BTreeMap<String, u64>,
    zone: &TimeZone,
    now: Instant,
) -> Result<FoundBackup, String> {
    let mut notes = Vec::new();
    if size == 0 {
        return Err("it is empty".to_owned());
    }
    let at = instant(named, zone, &mut notes);
    if at > now {
        return Err(format!("its name says {}, which is yet to come", at.strftime("%Y-%m-%d %H:%M UTC")));
    }
    let (sha256, inside) = read(place, key, size, named.form).await?;
    let inside = inside?;
    sums(place, named, sizes, sha256, size, &mut notes).await?;
    let mut found = FoundBackup {
        place: place.place().to_owned(),
        key: key.to_owned(),
        form: named.form,
        size: Bytes(size),
        whole: Bytes(size),
        sha256,
        at,
        server_version: None,
        dump_version: None,
        datname: None,
        schemas: Vec::new(),
        roles: Vec::new(),
        extensions: Vec::new(),
        notes,
    };
    match inside {
        Inside::Custom(inside) => {
            made_when(&inside.created, named, zone)?;
            if inside.whole.0 < size {
                let more = Bytes(size - inside.whole.0);
                found.notes.push(format!("{more} that pg_dump appended to a redirected file were left out"));
            }
            found.whole = inside.whole;
            (found.server_version, found.datname) = (inside.server_version, inside.datname);
            found.dump_version = Some(inside.summary.dump_version);
            (found.schemas, found.roles) = (inside.summary.schemas, inside.summary.roles);
            found.extensions = inside.summary.extensions;
            found.notes.extend(inside.summary.notes);
        }
        Inside::Directory(files) => {
            found
                .notes
                .push(format!("a directory archive with {files} data files; owners and grants are not restored"));
        }
        Inside::Sql(script) => {
            (found.server_version, found.dump_version) = (script.server_version, script.dump_version);
            found.roles = script.roles.into_iter().collect();
            found.notes.push(format!("plain SQL: {} tables with {} rows", script.tables, script.rows));
        }
    }
    Ok(found)
}

fn instant(named: &Named, zone: &TimeZone, notes: &mut Vec<String>) -> Instant {
    let ambiguous = zone.to_ambiguous_timestamp(named.civil);
    match ambiguous.offset() {
        AmbiguousOffset::Fold { .. } => {
            notes.push("the time in its name came twice that day; the first is taken".to_owned())
        }
        AmbiguousOffset::Gap { .. } => {
            notes.push("the time in its name never came that day; the end of the gap is taken".to_owned())
        }
        AmbiguousOffset::Unambiguous { .. } => {}
    }
    if !named.exact {
        notes.push("its name says the day alone: the day's begin is taken".to_owned());
    }
    ambiguous.compatible().unwrap_or(Instant::UNIX_EPOCH)
}

/// An archive that was made on another day than its name says was renamed, or comes from elsewhere.
fn made_when(created: &[i32; 7], named: &Named, zone: &TimeZone) -> Result<(), String> {
    let small = |number: i32| i8::try_from(number).ok();
    let civil = (|| {
        let year = i16::try_from(created[5].checked_add(1900)?).ok()?;
        let date = jiff::civil::Date::new(year, small(created[4])?.checked_add(1)?, small(created[3])?).ok()?;
        Some(date.at(small(created[2])?, small(created[1])?, small(created[0]).map(|s| s.min(59))?, 0))
    })();
    let Some(civil) = civil else { return Ok(()) };
    let of = |civil| zone.to_ambiguous_timestamp(civil).compatible().map_or(0, |at: Instant| at.as_second());
    let slack = if named.exact { APART } else { APART + 24 * 3600 };
    if (of(civil) - of(named.civil)).abs() > slack {
        return Err(format!("its name says {}, and the archive itself that it was made at {civil}", named.civil));
    }
    Ok(())
}

enum Inside {
    Custom(archive::Inside),
    Directory(u64),
    Sql(script::Script),
}

/// Reads an object once: its digest, and whether its inside is whole.
async fn read(
    place: &Arc<dyn ReadStore>,
    key: &str,
    size: u64,
    form: FoundForm,
) -> Result<(Digest, Result<Inside, String>), String> {
    let (sender, receiver) = mpsc::channel(4);
    let looking = tokio::task::spawn_blocking(move || {
        let mut source = Pieces::new(receiver);
        let inside = look(&mut source, form);
        // The digest is of the whole object, also where the inside was found broken half way.
        let drained = std::io::copy(&mut source, &mut std::io::sink()).map_err(|error| error.to_string());
        drained.and(inside)
    });
    let mut hasher = ContentHasher::new(None);
    let mut stream = store::read(Arc::clone(place), key, size);
    let mut failed = None;
    while let Some(piece) = stream.next().await {
        match piece {
            Ok(bytes) => {
                hasher.update(&bytes);
                if sender.send(bytes).await.is_err() {
                    break;
                }
            }
            Err(error) => {
                failed = Some(error.to_string());
                break;
            }
        }
    }
    drop(sender);
    let inside = looking.await.unwrap_or_else(|error| Err(format!("reading it ended early: {error}")));
    match failed {
        Some(why) => Err(format!("it could not be read: {why}")),
        None => Ok((hasher.finish(), inside)),
    }
}

fn look(source: &mut Pieces, form: FoundForm) -> Result<Inside, String> {
    match form {
        FoundForm::Archive => archive::custom(source).map(Inside::Custom),
        FoundForm::DirectoryTar => archive::directory(source).map(Inside::Directory),
        FoundForm::Sql => {
            let mut plain = gunzip(source);
            let mut reader = script::Reader::new();
            let mut buffer = vec![0; 256 * 1024];
            loop {
                let count = plain.read(&mut buffer).map_err(|error| format!("gzip: {error}"))?;
                if count == 0 {
                    return reader.finish().map(Inside::Sql);
                }
                reader.feed(&buffer[..count])?;
            }
        }
    }
}

/// Compares with the sums that lie beside it.
async fn sums(
    place: &Arc<dyn ReadStore>,
    named: &Named,
    sizes: &BTreeMap<String, u64>,
    sha256: Digest,
    size: u64,
    notes: &mut Vec<String>,
) -> Result<(), String> {
    let mut compared = false;
    for key in named.sidecars.iter().filter(|key| sizes.contains_key(*key)) {
        let text = place.get(key, SIDECAR).await.map_err(|error| format!("its {key} could not be read: {error}"))?;
        let text = String::from_utf8_lossy(&text).into_owned();
        let words = || text.split(|c: char| !c.is_ascii_alphanumeric());
        let digests: Vec<String> = words()
            .filter(|word| word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .map(str::to_ascii_lowercase)
            .collect();
        match digests.as_slice() {
            [] if key.ends_with(".sha256") => return Err(format!("its {key} holds no SHA-256")),
            [] => notes.push(format!("its {key} holds no SHA-256")),
            digests if digests.contains(&sha256.to_string()) => compared = true,
            _ => return Err(format!("its SHA-256 is not the one in {key}")),
        }
        if let Some(told) = told_size(&text)
            && told != size
        {
            return Err(format!("it has {size} bytes, and {key} says {told}"));
        }
    }
    if !compared {
        notes.push("no SHA-256 beside it to compare with".to_owned());
    }
    Ok(())
}

/// Reads `size: 123`, `"size": 123`, `backup_size=123`; units or other forms say nothing.
fn told_size(text: &str) -> Option<u64> {
    for line in text.split(['\n', ',', '{', '}']) {
        let Some((key, value)) = line.split_once([':', '=']) else { continue };
        let key = key.trim().trim_matches('"').to_ascii_lowercase();
        if matches!(key.as_str(), "size" | "size_bytes" | "backup_size" | "file_size") {
            return value.trim().trim_matches('"').parse().ok();
        }
    }
    None
}
