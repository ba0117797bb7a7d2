//! rclone as an S3 server for tests: an independent one, that ignores conditional writes.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use bkup::store::StoreConnection;

use super::s3::{ACCESS_KEY, BUCKET, SECRET_KEY, connection};

/// An S3 server of other people's making, over a folder. It checks signatures and ignores conditional writes.
pub struct Rclone {
    child: Child,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Rclone {
    /// Starts rclone with an empty bucket and waits until it answers.
    #[expect(clippy::disallowed_methods, reason = "tests start their servers themselves")]
    pub fn start() -> Self {
        let program = rclone_program();
        assert!(
            program.is_file(),
            "the test needs rclone at {}: run scripts/test, which installs it, or set BKUP_TEST_RCLONE",
            program.display()
        );
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(BUCKET)).unwrap();
        let address = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
        let child = std::process::Command::new(program)
            .args(["serve", "s3", "--config", "/dev/null", "--addr", &address.to_string(), "--auth-key"])
            .arg(format!("{ACCESS_KEY},{SECRET_KEY}"))
            .arg(folder.path())
            .env_clear()
            .env("HOME", folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut server = Self { child, address, _folder: folder };
        for _ in 0..200 {
            if std::net::TcpStream::connect(address).is_ok() {
                return server;
            }
            assert!(server.child.try_wait().unwrap().is_none(), "rclone ended early");
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("rclone does not answer at {address}");
    }

    /// Returns a connection to its bucket, below a prefix.
    pub fn connection(&self, prefix: &str) -> StoreConnection {
        connection(&format!("http://{}", self.address), prefix)
    }
}

impl Drop for Rclone {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[expect(clippy::disallowed_methods, reason = "where a test's tools are is the environment's business")]
fn rclone_program() -> PathBuf {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/rclone");
    std::env::var_os("BKUP_TEST_RCLONE").map_or_else(default, PathBuf::from)
}
