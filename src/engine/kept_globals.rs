//! The globals of servers, kept while these stay as they are: a run over many databases of one server would start
//! `pg_dumpall` for each of them, which costs the server and bkup's machine more than a small database's dump does.
//!
//! Kept text is given out again only where the server's own catalogs say the same before the text was asked for and after
//! it was there. Whoever may not read them all, and whatever is asked for side by side, has the program started.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;

use super::{Connection, EngineError, Programs, dump_globals};

/// What a server's catalogs say of all that its globals tell, as a digest, and when it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedState {
    /// The digest, hexadecimal.
    pub digest: String,
    /// Just before it was asked for, by this machine.
    pub asked: Instant,
}

/// The query of [`SharedState::digest`], beside the system's identifier. Each row comes with who wrote it, so that what
/// was changed and changed back is not the same again; roles alone come from a view, since their passwords are nobody's
/// business, and are not part of the globals either.
pub(super) fn query(version: u32) -> String {
    // Privileges on settings came with 15.
    let settings = if version >= 150_000 { rows("pg_parameter_acl", "t.oid") } else { "''".to_owned() };
    let all = [
        rows("pg_auth_members", "t.roleid, t.member, t.grantor"),
        rows("pg_db_role_setting", "t.setdatabase, t.setrole"),
        rows("pg_tablespace", "t.oid"),
        rows("pg_shdescription", "t.classoid, t.objoid"),
        rows("pg_shseclabel", "t.classoid, t.objoid, t.provider"),
        settings,
    ];
    format!(
        "SELECT c.system_identifier::text, pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(
             pg_catalog.concat_ws(E'\\n--\\n', c.system_identifier,
                 (SELECT pg_catalog.string_agg(t::text, E'\\n' ORDER BY t.oid) FROM pg_catalog.pg_roles t), {}), 'UTF8')),
             'hex')
         FROM pg_catalog.pg_control_system() c",
        all.join(", ")
    )
}

fn rows(table: &str, order: &str) -> String {
    format!(
        "(SELECT pg_catalog.string_agg(t.xmin::text || ' ' || t::text, E'\\n' ORDER BY {order}) FROM pg_catalog.{table} t)"
    )
}

/// A server by how it is reached, who asks, and the folder of the program that writes.
type Server = (String, u16, String, PathBuf);

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
        let server =
            (connection.host().to_owned(), connection.port(), connection.user().to_owned(), programs.dir.clone());
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
        let same = |kept: &&Kept| kept.digest == state.digest && kept.there <= state.asked;
        kept.get(server).filter(same).map(|kept| kept.text.clone())
    }
}
