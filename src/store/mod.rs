//! Object stores: S3, a local folder, memory; the object layout; manifests in and out.
//!
//! A backend is one implementation of [`ReadStore`] and [`WriteStore`], whose methods are single requests with bounded
//! memory; retries, faults and latency are decorators around them. What needs several requests (streaming uploads,
//! parallel reads, listings, writing once) is built on the traits, once for all backends. Whoever only looks is given
//! a [`ReadStore`], which has no method that writes.

mod api;
mod error;
pub mod faults;
mod folder;
pub mod history;
pub mod layout;
mod listing;
mod manifest;
mod marker;
mod memory;
mod metered;
mod once;
mod open;
mod pinned;
mod probe;
mod read;
mod retry;
mod s3;
mod s3_error;
mod s3_settings;
mod s3_versions;
mod upload;
mod versions;
mod walk;

pub use api::{
    Capabilities, ListPage, ObjectFacts, ObjectVersion, PartTag, PutOptions, PutOutcome, ReadStore, ServerClock,
    StorageRole, UnfinishedUpload, UploadId, VersionPage, VersionsFrom, WriteStore,
};
pub use error::StoreError;
pub use folder::FolderStore;
pub use listing::{Listed, ListedStream, ManifestEntry, ManifestStream, ObjectStream, list, list_all, manifests};
pub use manifest::{MANIFEST_CAP, ManifestOutcome, read_manifest, write_manifest};
pub use marker::{LAYOUT_FORMAT, ensure_marker, parse as parse_versioned, read_marker};
pub use memory::MemoryStore;
pub use metered::Metered;
pub use once::{put_once, settled};
pub use open::{StoreConnection, StoreCredentials, open, open_reader};
pub use pinned::Pinned;
pub use probe::{clear_probes, probe};
pub use read::{ByteStream, READ_MEMORY, read};
pub use retry::{RetryPolicy, Retrying};
pub use s3::S3Store;
pub use upload::{UPLOAD_MEMORY, Uploader, put_whole};
pub use versions::{VersionsGone, destroy_versions, versions};
