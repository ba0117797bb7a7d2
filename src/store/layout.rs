//! The object keys: where everything lies below a store's prefix. Pure.
//!
//! A promise from the first release on: nothing here may ever change for objects that exist. Every name in a key is
//! percent-encoded outside `[a-z0-9_-]`, with lower-case digits, so that keys are safe in every store, cannot escape a
//! folder, and never differ by case alone.

use std::fmt::Write as _;

use super::StoreError;
use crate::domain::{BackupId, Name, RunId, Scope, sha256};

/// The store's own marker.
pub const MARKER: &str = "bkup.json";
/// Below it lie manifests and data.
pub const BACKUPS: &str = "backups/";
/// Below it lie key objects.
pub const KEYS: &str = "keys/";
/// Below it lie marks.
pub const MARKS: &str = "marks/";
/// Below it lie states.
pub const STATE: &str = "state/";
/// Below it lie the reports of runs.
pub const RUNS: &str = "runs/";
/// Below it lies the evidence of drills.
pub const EVIDENCE: &str = "evidence/";

/// The file name of a manifest in its backup's folder.
const MANIFEST: &str = "/manifest.json";
/// A name whose encoding is longer becomes a prefix and a hash.
const LONGEST: usize = 200;
/// How much of a long name is kept for people.
const KEPT: usize = 160;

/// Which mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MarkKind {
    /// The backup will be purged after its grace.
    Tombstone,
    /// The tombstone is taken back.
    Undelete,
    /// The backup's objects are being deleted.
    Purge,
}

impl MarkKind {
    /// Returns the word in the key.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Tombstone => "tombstone",
            Self::Undelete => "undelete",
            Self::Purge => "purge",
        }
    }
}

/// Encodes a name as one segment of a key. Two names never share a segment, short of a collision of SHA-256.
#[must_use]
pub fn encode(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        if is_plain_byte(byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02x}");
        }
    }
    if out.len() <= LONGEST {
        return out;
    }
    // Cut between escapes; the dot occurs in no short encoding, so a short name cannot pose as a long one.
    let mut cut = KEPT;
    while out.as_bytes()[..cut].iter().rev().take(2).any(|b| *b == b'%') {
        cut -= 1;
    }
    out.truncate(cut);
    out.push('.');
    out.push_str(&sha256(name.as_bytes()).to_string()[..32]);
    out
}

const fn is_plain_byte(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'-'
}

/// Returns whether a segment is its own name, as nearly all of a million are.
fn is_plain(segment: &str) -> bool {
    segment.len() <= LONGEST && segment.bytes().all(is_plain_byte)
}

/// Returns whether [`decode`] reads a segment.
fn is_name(segment: &str) -> bool {
    is_plain(segment) || decode(segment).is_some()
}

/// Decodes a segment; `None` for a shortened or foreign one.
#[must_use]
pub fn decode(segment: &str) -> Option<String> {
    if is_plain(segment) {
        return Some(segment.to_owned());
    }
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    // Only what `encode` makes is decoded: one name, one segment.
    String::from_utf8(bytes).ok().filter(|name| encode(name) == segment)
}

/// Returns the segment of a scope, `tenant=acme`: the kind plain, the name encoded.
#[must_use]
pub fn scope_segment(scope: &Scope) -> String {
    let text = scope.to_string();
    text.split_once('=').map_or_else(|| text.clone(), |(kind, name)| format!("{kind}={}", encode(name)))
}

fn parse_scope(segment: &str) -> Option<Scope> {
    match segment.split_once('=') {
        None => segment.parse().ok(),
        Some((kind, name)) => format!("{kind}={}", decode(name)?).parse().ok(),
    }
}

/// Returns the segment of a backup's id. Its slot keeps its capitals `T` and `Z`, which stand at fixed places.
#[must_use]
pub fn id_segment(id: &BackupId) -> String {
    let text = id.as_str();
    match text.as_bytes().first_chunk::<16>() {
        Some(slot) if is_slot(slot) => format!("{}{}", &text[..16], encode(&text[16..])),
        _ => encode(text),
    }
}

fn is_slot(slot: &[u8; 16]) -> bool {
    slot.iter().enumerate().all(|(place, byte)| match place {
        8 => *byte == b'T',
        15 => *byte == b'Z',
        _ => byte.is_ascii_digit(),
    })
}

fn parse_id(segment: &str) -> Option<BackupId> {
    let (slot, rest) = match segment.as_bytes().first_chunk::<16>() {
        Some(slot) if is_slot(slot) => segment.split_at(16),
        _ => ("", segment),
    };
    if is_plain(rest) {
        return Some(BackupId::from(segment));
    }
    Some(BackupId::from_text(format!("{slot}{}", decode(rest)?)))
}

/// Returns `<database>/<scope>/<id>`; `_` stands for no database.
fn backup_path(database: Option<&Name>, scope: &Scope, id: &BackupId) -> String {
    let database = database.map_or_else(|| "_".to_owned(), |name| encode(name.as_str()));
    format!("{database}/{}/{}", scope_segment(scope), id_segment(id))
}

/// Returns the folder below [`BACKUPS`], [`KEYS`] or [`MARKS`] in which everything of a scope lies, with a slash at its end.
#[must_use]
pub fn scope_folder(prefix: &str, database: Option<&Name>, scope: &Scope) -> String {
    let database = database.map_or_else(|| "_".to_owned(), |name| encode(name.as_str()));
    format!("{prefix}{database}/{}/", scope_segment(scope))
}

/// Returns the folder of a backup's manifest and data, with a slash at its end.
#[must_use]
pub fn backup_folder(database: Option<&Name>, scope: &Scope, id: &BackupId) -> String {
    format!("{BACKUPS}{}/", backup_path(database, scope, id))
}

/// Returns the key of a backup's manifest.
#[must_use]
pub fn manifest(database: Option<&Name>, scope: &Scope, id: &BackupId) -> String {
    format!("{BACKUPS}{}{MANIFEST}", backup_path(database, scope, id))
}

/// Returns the folder of one attempt's data, with a slash at its end.
#[must_use]
pub fn attempt_folder(database: Option<&Name>, scope: &Scope, id: &BackupId, attempt: u64) -> String {
    format!("{BACKUPS}{}/a-{attempt}/", backup_path(database, scope, id))
}

/// Returns the key of one data object of an attempt. `part` may hold dots for its file-name endings: `archive.dump`.
#[must_use]
pub fn part(database: Option<&Name>, scope: &Scope, id: &BackupId, attempt: u64, part: &str) -> String {
    let name: Vec<String> = part.split('.').map(encode).collect();
    format!("{}{}", attempt_folder(database, scope, id, attempt), name.join("."))
}

/// Returns the folder of a backup's key objects, all attempts, with a slash at its end.
#[must_use]
pub fn keys_folder(database: Option<&Name>, scope: &Scope, id: &BackupId) -> String {
    format!("{KEYS}{}/", backup_path(database, scope, id))
}

/// Returns the key of an attempt's key object for the recipient with a fingerprint.
#[must_use]
pub fn key_object(database: Option<&Name>, scope: &Scope, id: &BackupId, attempt: u64, fingerprint: &str) -> String {
    format!("{}a-{attempt}/{}.age", keys_folder(database, scope, id), encode(fingerprint))
}

/// Returns the folder of a backup's marks, with a slash at its end.
#[must_use]
pub fn marks_folder(database: Option<&Name>, scope: &Scope, id: &BackupId) -> String {
    format!("{MARKS}{}/", backup_path(database, scope, id))
}

/// Returns the key of a backup's n-th mark.
#[must_use]
pub fn mark(database: Option<&Name>, scope: &Scope, id: &BackupId, ordinal: u32, kind: MarkKind) -> String {
    format!("{}{ordinal}-{}.json", marks_folder(database, scope, id), kind.word())
}

/// Reads ordinal and kind back from a mark's key.
#[must_use]
pub fn parse_mark(key: &str) -> Option<(u32, MarkKind)> {
    let (ordinal, word) = key.rsplit('/').next()?.strip_suffix(".json")?.split_once('-')?;
    let kinds = [MarkKind::Tombstone, MarkKind::Undelete, MarkKind::Purge];
    Some((ordinal.parse().ok()?, kinds.into_iter().find(|kind| kind.word() == word)?))
}

/// Returns the key of the state with a serial number.
#[must_use]
pub fn state(serial: u64) -> String {
    format!("{STATE}{serial}.json")
}

/// Reads the serial number back from a state's key.
#[must_use]
pub fn parse_state(key: &str) -> Option<u64> {
    key.strip_prefix(STATE)?.strip_suffix(".json")?.parse().ok()
}

/// Returns the key of a run's report; its id begins with its date.
#[must_use]
pub fn run(run: &RunId) -> String {
    let id = run.as_str();
    let (year, month) = (id.get(..4).unwrap_or("0000"), id.get(4..6).unwrap_or("00"));
    format!("{RUNS}{year}/{month}/{}.json", id_segment(&BackupId::from_text(id.to_owned())))
}

/// Returns the key of a drill's evidence.
#[must_use]
pub fn evidence(plan: &Name, drill: &str) -> String {
    format!("{EVIDENCE}{}/{}.json", encode(plan.as_str()), id_segment(&BackupId::from_text(drill.to_owned())))
}

/// A manifest's key taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestKey {
    /// The database's segment, `_` for none.
    pub database: String,
    /// The scope's segment.
    pub scope_segment: String,
    /// The scope, absent where its name was shortened: then the manifest says it.
    pub scope: Option<Scope>,
    /// The backup's id.
    pub id: BackupId,
}

/// Reads a manifest's key back; `None` for every other key.
#[must_use]
pub fn parse_manifest(key: &str) -> Option<ManifestKey> {
    let (database, scope, id) = manifest_segments(key)?;
    Some(ManifestKey {
        database: database.to_owned(),
        scope_segment: scope.to_owned(),
        scope: parse_scope(scope),
        id: parse_id(id)?,
    })
}

/// Reads of a manifest's key alone whose it is; `None` for every other key.
#[must_use]
pub fn manifest_id(key: &str) -> Option<BackupId> {
    parse_id(manifest_segments(key)?.2)
}

fn manifest_segments(key: &str) -> Option<(&str, &str, &str)> {
    let mut segments = key.strip_prefix(BACKUPS)?.strip_suffix(MANIFEST)?.split('/');
    let (database, scope, id, end) = (segments.next()?, segments.next()?, segments.next()?, segments.next());
    (end.is_none() && (database == "_" || is_name(database))).then_some((database, scope, id))
}

/// Reads backup and attempt back from the key of a data object or a key object, or of the folder it lies in; `None` for
/// every other key.
#[must_use]
pub fn parse_attempt_key(key: &str) -> Option<(BackupId, u64)> {
    let rest = key.strip_prefix(BACKUPS).or_else(|| key.strip_prefix(KEYS))?;
    let mut segments = rest.splitn(5, '/').skip(2);
    let (id, attempt) = (segments.next()?, segments.next()?);
    // A file beside the attempts' folders is none of theirs.
    segments.next()?;
    Some((parse_id(id)?, attempt.strip_prefix("a-")?.parse().ok()?))
}

/// Takes the key of an object of a backup apart, below [`BACKUPS`], [`KEYS`] or [`MARKS`]: whose it is, and the rest of the
/// key behind the backup's folder. `None` for every other key.
#[must_use]
pub fn parse_object<'a>(prefix: &str, key: &'a str) -> Option<(ManifestKey, &'a str)> {
    let mut segments = key.strip_prefix(prefix)?.splitn(4, '/');
    let (database, scope, id, rest) = (segments.next()?, segments.next()?, segments.next()?, segments.next()?);
    if database != "_" && decode(database).is_none() {
        return None;
    }
    let whose = ManifestKey {
        database: database.to_owned(),
        scope_segment: scope.to_owned(),
        scope: parse_scope(scope),
        id: parse_id(id)?,
    };
    Some((whose, rest))
}

/// Reads the attempt back from the rest of a key behind its backup's folder: `a-7/archive.dump`.
#[must_use]
pub fn parse_attempt(rest: &str) -> Option<u64> {
    rest.split_once('/')?.0.strip_prefix("a-")?.parse().ok()
}

/// Refuses keys that bkup does not make: empty, absolute, hidden or climbing segments, bytes with a meaning elsewhere.
///
/// # Errors
/// When the key is of another form.
pub fn check_key(key: &str) -> Result<(), StoreError> {
    let bad = |why| Err(StoreError::BadKey { key: key.to_owned(), why });
    if key.len() > 900 {
        return bad("it is longer than 900 bytes");
    }
    for segment in key.split('/') {
        if segment.is_empty() {
            return bad("a segment is empty");
        }
        if segment.starts_with('.') {
            return bad("a segment begins with a dot");
        }
        if segment.len() > 255 {
            return bad("a segment is longer than 255 bytes");
        }
        if !segment.bytes().all(|b| b.is_ascii_alphanumeric() || b"%_-=.".contains(&b)) {
            return bad("it holds a byte outside a-z, A-Z, 0-9 and % _ - = .");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id() -> BackupId {
        BackupId::from_text("20260301T020000Z-nightly-0123456789abcdef".to_owned())
    }

    #[test]
    fn keys_are_those_of_the_written_layout() {
        let db: Name = "app".parse().unwrap();
        let tenant = Scope::Tenant("Acme GmbH".to_owned());
        let base = "app/tenant=%41cme%20%47mb%48/20260301T020000Z-nightly-0123456789abcdef";
        assert_eq!(manifest(Some(&db), &tenant, &id()), format!("backups/{base}/manifest.json"));
        assert_eq!(part(Some(&db), &tenant, &id(), 7, "archive.dump"), format!("backups/{base}/a-7/archive.dump"));
        assert_eq!(key_object(Some(&db), &tenant, &id(), 7, "00ff"), format!("keys/{base}/a-7/00ff.age"));
        assert_eq!(mark(Some(&db), &tenant, &id(), 3, MarkKind::Undelete), format!("marks/{base}/3-undelete.json"));
        assert_eq!(parse_mark(&mark(None, &tenant, &id(), 3, MarkKind::Purge)), Some((3, MarkKind::Purge)));
        assert_eq!(backup_folder(None, &Scope::Configuration, &id()), format!("backups/_/configuration/{}/", id()));
        assert_eq!(state(12), "state/12.json");
        assert_eq!(parse_state("state/12.json"), Some(12));
        let run_id = RunId::of("2026-03-01T02:00:00Z".parse().unwrap(), 0xabc);
        assert_eq!(run(&run_id), "runs/2026/03/20260301T020000Z-0000000000000abc.json");
        assert_eq!(evidence(&"full".parse().unwrap(), "d-1"), "evidence/full/d-1.json");
    }

    #[test]
    fn data_and_key_objects_tell_their_attempt_and_nothing_else_does() {
        let db: Name = "app".parse().unwrap();
        let tenant = Scope::Tenant("Acme GmbH".to_owned());
        let data = part(Some(&db), &tenant, &id(), 7, "archive.dump");
        let keys = [data, key_object(Some(&db), &tenant, &id(), 7, "00ff"), attempt_folder(None, &tenant, &id(), 7)];
        for key in keys {
            assert_eq!(parse_attempt_key(&key), Some((id(), 7)), "{key}");
        }
        let folder = backup_folder(Some(&db), &tenant, &id());
        for key in [manifest(Some(&db), &tenant, &id()), format!("{folder}a-7"), format!("{folder}b-7/x"), folder] {
            assert_eq!(parse_attempt_key(&key), None, "{key}");
        }
    }

    #[test]
    fn only_manifests_are_read_back_as_manifests() {
        for key in [
            "backups/app/database/x/a-1/manifest.json",
            "backups/app/database/manifest.json",
            "backups/APP/database/x/manifest.json",
            "backups/app/database/x/manifest.json.tmp",
            "keys/app/database/x/manifest.json",
            "backups/app/database/%2E%2E/manifest.json",
        ] {
            assert_eq!(parse_manifest(key), None, "{key}");
        }
    }

    #[test]
    fn an_objects_key_says_whose_it_is_and_of_which_attempt() {
        let (db, tenant): (Name, _) = ("app".parse().unwrap(), Scope::Tenant("acme".to_owned()));
        for (prefix, key, attempt) in [
            (BACKUPS, part(Some(&db), &tenant, &id(), 7, "archive.dump"), Some(7)),
            (KEYS, key_object(Some(&db), &tenant, &id(), 8, "00ff"), Some(8)),
            (MARKS, mark(Some(&db), &tenant, &id(), 0, MarkKind::Purge), None),
            (BACKUPS, manifest(Some(&db), &tenant, &id()), None),
        ] {
            let (whose, rest) = parse_object(prefix, &key).unwrap();
            assert_eq!((whose.id, whose.scope), (id(), Some(tenant.clone())), "{key}");
            assert_eq!(parse_attempt(rest), attempt, "{key}");
        }
        assert_eq!(parse_object(KEYS, "backups/app/database/x/a-1/y"), None);
        assert_eq!(parse_object(BACKUPS, "backups/app/database/x"), None);
    }

    #[test]
    fn keys_that_escape_or_hide_are_refused() {
        for key in ["", "/a", "a/", "a//b", "../a", "a/../b", ".a", "a/.bkup-tmp", "a\\b", "a b", "a\0", "ä"] {
            assert!(check_key(key).is_err(), "{key:?}");
        }
        assert!(check_key(&"a".repeat(256)).is_err());
        assert!(check_key(&["a"; 500].join("/")).is_err());
    }

    proptest! {
        #[test]
        fn names_are_encoded_one_to_one_and_come_back(left in "\\PC{0,80}", right in "\\PC{0,80}") {
            let (l, r) = (encode(&left), encode(&right));
            prop_assert_eq!(left == right, l.eq_ignore_ascii_case(&r));
            prop_assert!(l.len() <= LONGEST);
            if !l.contains('.') {
                prop_assert_eq!(decode(&l), Some(left));
            }
        }

        #[test]
        fn long_names_stay_apart_and_short(head in "[a-zA-Z ]{150,250}", left in "[a-zA-Z]{0,9}", right in "[a-zA-Z]{0,9}") {
            let (l, r) = (encode(&format!("{head}{left}")), encode(&format!("{head}{right}")));
            prop_assert_eq!(left == right, l == r);
            prop_assert!(l.len() <= LONGEST && r.len() <= LONGEST);
            let key = format!("a/{l}");
            prop_assert!(check_key(&key).is_ok());
        }

        #[test]
        fn manifest_keys_come_back_whole(slug in "\\PC{1,40}", tail in "[a-z0-9-]{1,30}") {
            let scope = Scope::Tenant(slug);
            let id = BackupId::from_text(format!("20260301T020000Z-{tail}"));
            let key = manifest(Some(&"app".parse().unwrap()), &scope, &id);
            prop_assert!(check_key(&key).is_ok());
            let parsed = parse_manifest(&key).unwrap();
            prop_assert_eq!(parsed.database, "app");
            prop_assert_eq!(parsed.id, id);
            if let Some(found) = parsed.scope {
                prop_assert_eq!(found, scope);
            } else {
                prop_assert!(scope_segment(&scope).contains('.'));
            }
        }
    }
}
