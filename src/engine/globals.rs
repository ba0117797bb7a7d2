//! Roles and other things of the whole cluster, as SQL without passwords, and what a restore takes of it.

use bytes::Bytes;

use super::{Connection, EngineError, Programs};

/// Returns roles, memberships, tablespaces and their grants as SQL, without passwords.
///
/// # Errors
/// [`EngineError::Program`].
pub async fn dump_globals(_programs: &Programs, _connection: &Connection) -> Result<Bytes, EngineError> {
    unimplemented!()
}

/// Returns the names of the roles that a globals file creates.
#[must_use]
pub fn role_names(_globals: &[u8]) -> Vec<String> {
    unimplemented!()
}

/// Creates those roles that do not exist yet, without the right to log in and without privileges.
/// Returns the names of those it made.
///
/// # Errors
/// [`EngineError::Server`].
pub async fn create_roles(_connection: &Connection, _roles: &[String]) -> Result<Vec<String>, EngineError> {
    unimplemented!()
}
