//! The `bkup` schema in PostgreSQL: migrations, queries, claims, the audit chain. It is the queue, the history and
//! the record of what was applied; the store's manifests stay the truth for restores.
//!
//! [`Reader`] is what planning gets: no method of it writes, and its sessions are read-only. [`Writer`] is for `apply`:
//! every effect is one statement or one short transaction, guarded by the lease of the action it belongs to. No clock
//! is read here but the database's own, which leases run by; every other instant is a parameter. [`ReadLedger`] and
//! [`Ledger`] are the same as interfaces, behind which a simulation can put a catalog of its own.

mod archive;
mod audit;
mod backups;
mod by_hand;
mod cancel;
mod claims;
mod columns;
mod completion;
mod condemn;
mod documents;
mod drift;
mod erasures;
mod failure;
mod history;
mod intents;
mod kept;
mod ledger;
mod marks;
mod migrate;
mod moves;
mod plans;
mod questions;
mod readings;
mod rebuild;
mod rebuilt;
mod recorded;
mod runs;
mod session;
mod slots;
mod stamp;
mod state;
mod stores;
mod tenants;
mod texts;
mod unmet;
mod writer;

pub use archive::ARCHIVED_AFTER;
pub use audit::{AuditEvent, AuditVerdict};
pub use backups::{Completed, Completion, Failure, ToComplete};
pub use cancel::{CancelWish, CanceledExecution};
pub use claims::{ClaimOutcome, LEASE, Lease};
pub use completion::checksum;
pub use documents::DocumentChange;
pub use erasures::{Erasing, ErasureAsked, ErasureBegun, ErasureRow};
pub use failure::CatalogError;
pub use history::{ExecutionFilter, ExecutionRow, Found};
pub use intents::{Intended, Intent};
pub use ledger::{Ledger, ReadLedger};
pub use marks::{MarkOutcome, Validation};
pub use migrate::{Created, TenantLink, newest_version};
pub use moves::Rename;
pub use plans::{Begun, OutcomeRow};
pub use questions::{PlanEnd, Recorded};
pub use readings::{Reading, ReadingEnd, ReadingKind};
pub use rebuild::{Base, Rebuilding};
pub use rebuilt::{AttemptSeen, FinishedPlan, LastMark, Marked, RebuiltCounts, Recovered};
pub use recorded::{ManifestPlace, RecordedBackup, RecordedObjects};
pub use runs::RunBegin;
pub use session::transport_note;
pub use stamp::as_recorded;
pub use state::{Meta, Reader};
pub use stores::{DigestKey, StoreRecord};
pub use tenants::KnownTenant;
pub use writer::Writer;
