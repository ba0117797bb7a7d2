//! Identities: what is the same work, the same backup, the same content.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};

use super::{Address, Instant, Scope, digest_of};

/// A SHA-256 digest, 64 hexadecimal digits in text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

impl Digest {
    /// Wraps the 32 bytes of a digest.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the 32 bytes.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Returns the first 16 hexadecimal digits, for names.
    #[must_use]
    pub fn short(&self) -> String {
        self.to_string()[..16].to_owned()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let invalid = || format!("{text:?} is not a SHA-256 digest of 64 hexadecimal digits");
        if text.len() != 64 || !text.is_ascii() {
            return Err(invalid());
        }
        let mut bytes = [0; 32];
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[index * 2..index * 2 + 2], 16).map_err(|_| invalid())?;
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for Digest {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

/// The identity of a piece of work: the same work has the same id in every plan of every run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ActionId(Digest);

impl ActionId {
    /// Makes the id of `kind` of work on a scope, asked for by `origin`, for one `slot`. `slot` is whatever makes the
    /// work happen anew: a backup's slot, a tombstone's ordinal; absent for work that is defined by its result.
    #[must_use]
    pub fn of(kind: &str, database: Option<&str>, scope: Option<&Scope>, origin: &Address, slot: Option<&str>) -> Self {
        Self(digest_of(&serde_json::json!({
            "version": 1, "kind": kind, "database": database, "scope": scope, "origin": origin, "slot": slot,
        })))
    }

    /// Returns the digest behind the id.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.0
    }
}

impl fmt::Display for ActionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for ActionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.short())
    }
}

impl FromStr for ActionId {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Self)
    }
}

/// The id of a backup, `<slot in UTC>-<schedule>-<first 16 hex of the action id>`: two attempts at one slot share it,
/// so they meet at one manifest key and one of them wins.
/// A clone shares its text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(from = "String")]
pub struct BackupId(Arc<str>);

impl Serialize for BackupId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl From<String> for BackupId {
    fn from(text: String) -> Self {
        Self::from_text(text)
    }
}

impl From<&str> for BackupId {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl BackupId {
    /// Makes the id of the backup that an action takes for a slot of a schedule.
    #[must_use]
    pub fn of(slot: Instant, schedule: &str, action: ActionId) -> Self {
        Self(format!("{}-{schedule}-{}", slot.strftime("%Y%m%dT%H%M%SZ"), action.digest().short()).into())
    }

    /// Takes an id as it was written by an earlier run; the text is not checked.
    #[must_use]
    pub fn from_text(text: String) -> Self {
        Self(text.into())
    }

    /// Returns the id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BackupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The id of one run of `apply`: its begin in UTC and random digits given by the shell.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(String);

impl RunId {
    /// Makes a run id.
    #[must_use]
    pub fn of(begin: Instant, random: u64) -> Self {
        Self(format!("{}-{random:016x}", begin.strftime("%Y%m%dT%H%M%SZ")))
    }

    /// Returns the id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
