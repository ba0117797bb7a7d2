//! From a policy's store to a connection.

use std::fmt;
use std::sync::Arc;

use secrecy::SecretString;

use super::{Capabilities, FolderStore, ReadStore, RetryPolicy, Retrying, S3Store, StoreError, WriteStore};
use crate::domain::{StoreSpec, StoreUrl};

/// Where S3 credentials come from.
#[derive(Clone, Default)]
pub enum StoreCredentials {
    /// The standard chain of AWS: environment, profile, web identity, container, instance.
    #[default]
    Chain,
    /// Given by the caller.
    Given {
        /// The access key's id.
        access_key_id: String,
        /// Its secret.
        secret_access_key: SecretString,
        /// The session's token, for temporary credentials.
        session_token: Option<SecretString>,
    },
}

impl fmt::Debug for StoreCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Chain => "Chain",
            Self::Given { .. } => "Given(***)",
        })
    }
}

/// Everything that is needed to open a store.
#[derive(Debug, Clone)]
pub struct StoreConnection {
    /// The store as the policy has it.
    pub spec: StoreSpec,
    /// `spec.endpoint` with its variable looked up by the caller; absent for AWS.
    pub endpoint: Option<String>,
    /// The credentials, for S3.
    pub credentials: StoreCredentials,
    /// What the store was found to honour, from the catalog; `None` before it was probed.
    pub capabilities: Option<Capabilities>,
    /// How often and how long transient failures are retried.
    pub retry: RetryPolicy,
}

impl StoreConnection {
    /// Makes a connection with the chain's credentials, unprobed, with the usual retries.
    #[must_use]
    pub fn new(spec: StoreSpec) -> Self {
        Self {
            spec,
            endpoint: None,
            credentials: StoreCredentials::default(),
            capabilities: None,
            retry: RetryPolicy::default(),
        }
    }
}

/// Opens a store for an executor. Nothing is asked of it yet: an S3 store that is not there is found by its first
/// request.
///
/// # Errors
/// When the folder is not there, or the connection cannot be set up.
pub async fn open(connection: StoreConnection) -> Result<Arc<dyn WriteStore>, StoreError> {
    let retry = connection.retry;
    Ok(match &connection.spec.url {
        StoreUrl::S3 { .. } => Arc::new(Retrying::new(Arc::new(S3Store::connect(connection).await?), retry)),
        StoreUrl::Folder(path) => Arc::new(Retrying::new(Arc::new(FolderStore::open(path.as_ref())?), retry)),
    })
}

/// Opens a store for a reader: the type has no method that writes.
///
/// # Errors
/// As [`open`].
pub async fn open_reader(connection: StoreConnection) -> Result<Arc<dyn ReadStore>, StoreError> {
    Ok(open(connection).await?)
}
