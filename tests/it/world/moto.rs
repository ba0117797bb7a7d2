//! moto as an S3 server for tests: an independent one that keeps versions, and holds and locks on them. It checks no
//! signatures and lets everybody do everything: who may do what is decided by the [`Toll`] before it. A bucket whose
//! versions are suspended loses them all there at the next write: nothing can be tested on one.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::types::{
    BucketVersioningStatus, ObjectLockLegalHold, ObjectLockLegalHoldStatus, VersioningConfiguration,
};
use bkup::store::StoreConnection;

use super::s3::{ACCESS_KEY, BUCKET, SECRET_KEY, connection};
use super::toll::Toll;

/// An S3 server of other people's making, in memory, with a bucket that can keep versions.
pub struct Moto {
    child: Child,
    /// The way to it that programs under test go.
    pub toll: Toll,
    /// A way to it that nothing stands in.
    pub client: Client,
    _folder: tempfile::TempDir,
}

impl Moto {
    /// Starts moto with an empty bucket that keeps no versions yet, and waits until it answers.
    pub async fn start() -> Self {
        Self::with_bucket(false).await
    }

    /// The same, with a bucket that keeps versions and takes holds on them.
    pub async fn versioned() -> Self {
        let server = Self::with_bucket(true).await;
        server.keep_versions().await;
        server
    }

    #[expect(clippy::disallowed_methods, reason = "tests start their servers themselves")]
    async fn with_bucket(holds: bool) -> Self {
        let program = moto_program();
        assert!(
            program.is_file(),
            "the test needs moto at {}: run scripts/test, which installs it, or set BKUP_TEST_MOTO",
            program.display()
        );
        let folder = tempfile::tempdir().unwrap();
        let address: SocketAddr = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
        let mut child = std::process::Command::new(program)
            .args(["-H", "127.0.0.1", "-p", &address.port().to_string()])
            .env_clear()
            .env("HOME", folder.path())
            .env("PATH", "/usr/bin:/bin")
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut waited = 0;
        while std::net::TcpStream::connect(address).is_err() {
            assert!(child.try_wait().unwrap().is_none(), "moto ended early");
            assert!(waited < 600, "moto does not answer at {address}");
            waited += 1;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(aws_config::BehaviorVersion::v2026_01_12())
            .credentials_provider(aws_sdk_s3::config::Credentials::new(ACCESS_KEY, SECRET_KEY, None, None, "given"))
            .region(aws_sdk_s3::config::Region::from_static("us-east-1"))
            .endpoint_url(format!("http://{address}"))
            .force_path_style(true)
            .build();
        let client = Client::from_conf(config);
        client.create_bucket().bucket(BUCKET).object_lock_enabled_for_bucket(holds).send().await.unwrap();
        Self { child, toll: Toll::before(address), client, _folder: folder }
    }

    /// Lets the bucket keep versions from now on.
    pub async fn keep_versions(&self) {
        let wanted = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
        self.client.put_bucket_versioning().bucket(BUCKET).versioning_configuration(wanted).send().await.unwrap();
    }

    /// Returns a connection to its bucket, below a prefix.
    pub fn connection(&self, prefix: &str) -> StoreConnection {
        connection(&self.toll.endpoint(), prefix)
    }

    /// Writes an object, one more version of it where the bucket keeps them; returns the version.
    pub async fn put(&self, key: &str, body: impl Into<Vec<u8>>) -> String {
        let body = aws_sdk_s3::primitives::ByteStream::from(body.into());
        let put = self.client.put_object().bucket(BUCKET).key(key).body(body).send().await.unwrap();
        put.version_id().unwrap_or("null").to_owned()
    }

    /// Puts a legal hold on a version, or takes it away.
    pub async fn hold(&self, key: &str, version: &str, on: bool) {
        let status = if on { ObjectLockLegalHoldStatus::On } else { ObjectLockLegalHoldStatus::Off };
        let hold = ObjectLockLegalHold::builder().status(status).build();
        let request = self.client.put_object_legal_hold().bucket(BUCKET).key(key).version_id(version);
        request.legal_hold(hold).send().await.unwrap();
    }

    /// Returns every version and mark in the bucket, as `KEY VERSION`; a mark's key ends with ` (gone)`.
    pub async fn versions(&self) -> Vec<String> {
        let mut all = Vec::new();
        let (mut key, mut version) = (None, None);
        loop {
            let request = self.client.list_object_versions().bucket(BUCKET);
            let request = request.set_key_marker(key.take()).set_version_id_marker(version.take());
            let page = request.send().await.unwrap();
            let versions = page.versions().iter();
            all.extend(versions.map(|one| format!("{} {}", one.key().unwrap(), one.version_id().unwrap())));
            let marks = page.delete_markers().iter();
            all.extend(marks.map(|one| format!("{} (gone) {}", one.key().unwrap(), one.version_id().unwrap())));
            if page.is_truncated() != Some(true) {
                all.sort();
                return all;
            }
            key = page.next_key_marker().map(str::to_owned);
            version = page.next_version_id_marker().map(str::to_owned);
        }
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[expect(clippy::disallowed_methods, reason = "where a test's tools are is the environment's business")]
fn moto_program() -> PathBuf {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/moto");
    std::env::var_os("BKUP_TEST_MOTO").map_or_else(default, PathBuf::from)
}
