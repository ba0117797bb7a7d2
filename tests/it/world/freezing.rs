//! A way to PostgreSQL on which the server seems to freeze: from a question with certain words on nothing arrives, and no
//! connection breaks.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UnixStream, tcp, unix};
use tokio::sync::watch;

use super::cluster::Cluster;

/// The proxy. It runs on the test's own runtime.
pub struct Freezing {
    port: u16,
    frozen: watch::Receiver<bool>,
}

impl Freezing {
    /// Starts one before a cluster.
    pub async fn at(cluster: &Cluster, words: &'static str) -> Self {
        let socket = cluster.server().folder().join("s/.s.PGSQL.5432");
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (freeze, frozen) = watch::channel(false);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (questions, mut to_client) = client.into_split();
                let (mut answers, to_server) = UnixStream::connect(&socket).await.unwrap().into_split();
                tokio::spawn(async move { tokio::io::copy(&mut answers, &mut to_client).await });
                tokio::spawn(carry(questions, to_server, words, freeze.clone()));
            }
        });
        Self { port, frozen }
    }

    /// Returns the URL of a database behind it.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }

    /// Waits until a connection is frozen.
    pub async fn until_frozen(&self) {
        self.frozen.clone().wait_for(|frozen| *frozen).await.unwrap();
    }
}

async fn carry(
    mut questions: tcp::OwnedReadHalf,
    mut to_server: unix::OwnedWriteHalf,
    words: &'static str,
    freeze: watch::Sender<bool>,
) {
    let (mut asked, mut piece) = (Vec::new(), vec![0; 65_536]);
    while let Ok(size @ 1..) = questions.read(&mut piece).await {
        asked.extend_from_slice(&piece[..size]);
        if asked.windows(words.len()).any(|window| window == words.as_bytes()) {
            freeze.send_replace(true);
            std::future::pending::<()>().await;
        }
        if to_server.write_all(&piece[..size]).await.is_err() {
            return;
        }
    }
}
