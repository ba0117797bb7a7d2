//! A backup that somebody else's script left, as it was found and checked: what `adopt` takes over.

use serde::{Deserialize, Serialize};

use super::{Bytes, Digest, Instant};

/// In which form it lies there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FoundForm {
    /// A custom-format archive: `*.dump`.
    Archive,
    /// A directory-format archive in a gzipped tar file: `*.tar.gz`.
    DirectoryTar,
    /// Plain SQL, gzipped: `*.sql.gz`.
    Sql,
}

impl FoundForm {
    /// Returns the form in words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Archive => "archive",
            Self::DirectoryTar => "directory archive",
            Self::Sql => "SQL",
        }
    }
}

/// One object that is a whole backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundBackup {
    /// Where it was looked for: `s3://bucket/prefix`, `file:///folder`.
    pub place: String,
    /// Its key or path below that place.
    pub key: String,
    /// Its form.
    pub form: FoundForm,
    /// Its size.
    pub size: Bytes,
    /// How much of it is the archive; less than its size where `pg_dump` appended to it what no reader needs.
    pub whole: Bytes,
    /// SHA-256 of the whole object, as it was read.
    pub sha256: Digest,
    /// The instant its name says, in the zone that was given.
    pub at: Instant,
    /// The server's version, where it is inside.
    pub server_version: Option<String>,
    /// The version of `pg_dump`, where it is inside.
    pub dump_version: Option<String>,
    /// The database's name on its server, where it is inside.
    pub datname: Option<String>,
    /// Schemas inside, where they can be told.
    pub schemas: Vec<String>,
    /// Roles it names, where they can be told.
    pub roles: Vec<String>,
    /// Extensions it creates, where they can be told.
    pub extensions: Vec<String>,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// What was looked at and left alone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LeftAlone {
    /// Its key.
    pub key: String,
    /// Why.
    pub why: String,
}
