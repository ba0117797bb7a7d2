//! A way to PostgreSQL on which the server seems to freeze: from a question with certain words on nothing arrives, and no
//! connection breaks.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixStream, tcp, unix};
use tokio::sync::watch;

use super::cluster::Cluster;
use super::serving::Serving;

/// The proxy, gone with the value.
pub struct Freezing {
    serving: Serving,
    frozen: watch::Receiver<bool>,
}

impl Freezing {
    /// Starts one before a cluster.
    pub fn at(cluster: &Cluster, words: &'static str) -> Self {
        let socket = cluster.server().folder().join("s/.s.PGSQL.5432");
        let (freeze, frozen) = watch::channel(false);
        let serving = Serving::each(move |client| {
            let (socket, freeze) = (socket.clone(), freeze.clone());
            async move {
                let (questions, mut to_client) = client.into_split();
                let (mut answers, to_server) = UnixStream::connect(&socket).await.unwrap().into_split();
                tokio::spawn(async move { tokio::io::copy(&mut answers, &mut to_client).await });
                carry(questions, to_server, words, freeze).await;
            }
        });
        Self { serving, frozen }
    }

    /// Returns the URL of a database behind it.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@{}/{database}?sslmode=disable", self.serving.address())
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
