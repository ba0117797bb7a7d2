//! Policies as if this version of bkup did all of what they ask for: a forecast is of the policies, and what is not done
//! yet would otherwise look like a policy that keeps nothing. Said in the assumptions. Pure.

use std::collections::BTreeMap;

use crate::domain::{BackupType, Desired, Engine, Name, Period};

/// What was taken as if it were done.
#[derive(Debug, Clone, Default)]
pub(super) struct AsServed {
    /// Physical backups, which are simulated as whole copies of their databases.
    pub schedules: Vec<Name>,
    /// Databases whose WAL is archived beside physical backups, and what can be lost of it at most.
    pub wal: BTreeMap<Name, Period>,
}

/// Makes policies executable. Incremental backups and those of files stay as they are, and held; those of single tables and
/// of configurations are what they are: nothing that is simulated could stand for them, a whole copy every quarter of an hour least of all.
pub(super) fn as_served(desired: &Desired) -> (Desired, AsServed) {
    let mut served = desired.clone();
    let mut notes = AsServed::default();
    for (name, spec) in &mut served.schedules {
        let whole = matches!(spec.backup, BackupType::FullSystem | BackupType::Database) && spec.tables.is_empty();
        let served_today = spec.backup == BackupType::Database && spec.engine == Engine::Logical;
        if !whole || served_today || spec.engine == Engine::Incremental {
            continue;
        }
        if spec.engine != Engine::Logical {
            for database in &spec.databases {
                let wal = served.databases.get(database).and_then(|database| database.wal.as_ref());
                if let Some(wal) = wal {
                    let most = wal.archive_timeout.as_seconds().saturating_add(wal.max_lag.as_seconds());
                    notes.wal.insert(database.clone(), Period::seconds(most));
                }
            }
        }
        spec.backup = BackupType::Database;
        spec.engine = Engine::Logical;
        notes.schedules.push(name.clone());
    }
    (served, notes)
}
