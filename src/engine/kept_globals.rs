//! The globals of servers, kept while these stay as they are: a run over many databases of one server would start
//! `pg_dumpall` for each of them, which costs the server and bkup's machine more than a small database's dump does.
//!
//! Kept text is given out again only where the server's catalogs are the same under two snapshots: one from before the text
//! was asked for, and the caller's, from after it was there. Who may not read them all, and whatever is asked for side by
//! side, has the program started.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;

use super::{Connection, EngineError, Programs, dump_globals};

/// What a server's catalogs say under a snapshot of all that its globals tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedState {
    /// The system's identifier: a name may lead to another server by now.
    pub system: String,
    /// A digest of the catalogs, hexadecimal.
    pub digest: String,
    /// Just before the snapshot was begun, by this machine.
    pub begun: Instant,
}

/// The query of [`SharedState::digest`]. Each row comes with the transaction that wrote it, so that what was changed and
/// changed back is not the same again. Of roles that and nothing else: the rows hold passwords.
pub(super) fn query(version: u32) -> String {
    let mut all = vec![
        rows("pg_authid", "t.oid::text", "t.oid"),
        rows("pg_auth_members", "t::text", "t.roleid, t.member, t.grantor"),
        rows("pg_db_role_setting", "t::text", "t.setdatabase, t.setrole"),
        rows("pg_tablespace", "t::text", "t.oid"),
        rows("pg_shdescription", "t::text", "t.classoid, t.objoid"),
        rows("pg_shseclabel", "t::text", "t.classoid, t.objoid, t.provider"),
    ];
    // Privileges on settings came with 15.
    if version >= 150_000 {
        all.push(rows("pg_parameter_acl", "t::text", "t.oid"));
    }
    format!(
        "SELECT pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(
             pg_catalog.concat_ws(E'\\n--\\n', {}), 'UTF8')), 'hex')",
        all.join(", ")
    )
}

fn rows(table: &str, row: &str, order: &str) -> String {
    format!(
        "(SELECT coalesce(pg_catalog.string_agg(t.xmin::text || ' ' || {row}, E'\\n' ORDER BY {order}), '')
          FROM pg_catalog.{table} t)"
    )
}

/// A server, how it is reached, who asks, and the folder of the program that writes.
type Server = (String, String, u16, String, PathBuf);

struct Kept {
    digest: String,
    /// When the text was there.
    there: Instant,
    text: Bytes,
}

/// Globals by server. Clones share what they keep.
#[derive(Clone, Default)]
pub struct KeptGlobals(Arc<Mutex<HashMap<Server, Kept>>>);

/// Nothing of the texts: a role's settings may be secrets.
impl fmt::Debug for KeptGlobals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeptGlobals").finish_non_exhaustive()
    }
}

impl KeptGlobals {
    /// Returns a server's globals, as [`dump_globals`] does. `state`: what its catalogs said; absent where they do not say
    /// it all.
    ///
    /// # Errors
    /// [`EngineError::Program`].
    pub async fn of(
        &self,
        programs: &Programs,
        connection: &Connection,
        state: Option<&SharedState>,
    ) -> Result<Bytes, EngineError> {
        let Some(state) = state else { return dump_globals(programs, connection).await };
        let server = (
            state.system.clone(),
            connection.host().to_owned(),
            connection.port(),
            connection.user().to_owned(),
            programs.dir.clone(),
        );
        if let Some(text) = self.get(&server, state) {
            return Ok(text);
        }
        let text = dump_globals(programs, connection).await?;
        let kept = Kept { digest: state.digest.clone(), there: Instant::now(), text: text.clone() };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(server, kept);
        Ok(text)
    }

    fn get(&self, server: &Server, state: &SharedState) -> Option<Bytes> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |kept: &&Kept| kept.digest == state.digest && kept.there <= state.begun;
        kept.get(server).filter(same).map(|kept| kept.text.clone())
    }
}
