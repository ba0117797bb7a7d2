//! A way to PostgreSQL that knows what it carries: every statement that writes by itself, and every COMMIT of a
//! transaction that wrote, passes a gate as one effect. What a transaction did before its COMMIT is no effect: without
//! it, nothing of it is there.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpStream, UnixStream, unix};

use super::gate::{Gate, Passage};
use super::serving::Serving;

/// The proxy, gone with the value.
pub struct Wire(Serving);

impl Wire {
    /// Starts one before a server's unix socket.
    pub fn before(socket: &Path, gate: Arc<Gate>) -> Self {
        let socket = socket.to_owned();
        Self(Serving::each(move |client| carry(client, socket.clone(), Arc::clone(&gate))))
    }

    /// Returns the URL of a database behind it.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@{}/{database}?sslmode=disable", self.0.address())
    }
}

/// The effect that waits for its reply: the server says so often that it is ready, and at this one it is done.
type Waiting = Arc<Mutex<Option<(u64, Passage)>>>;

async fn carry(client: TcpStream, socket: PathBuf, gate: Arc<Gate>) {
    let Ok(server) = UnixStream::connect(socket).await else { return };
    let _ = client.set_nodelay(true);
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let waiting = Waiting::default();
    // Whichever side ends first, both connections end with it.
    tokio::select! {
        _ = questions(from_client, to_server, &gate, &waiting) => {}
        _ = answers(from_server, to_client, &waiting) => {}
    }
}

async fn read_message<R: AsyncReadExt + Unpin>(from: &mut R) -> io::Result<(u8, Vec<u8>)> {
    let kind = from.read_u8().await?;
    let size = from.read_u32().await? as usize;
    let mut body = vec![0; size.saturating_sub(4)];
    from.read_exact(&mut body).await?;
    Ok((kind, body))
}

fn bytes_of((kind, body): &(u8, Vec<u8>)) -> Vec<u8> {
    let mut bytes = vec![*kind];
    bytes.extend_from_slice(&u32::try_from(body.len() + 4).unwrap().to_be_bytes());
    bytes.extend_from_slice(body);
    bytes
}

fn text(body: &[u8]) -> (String, &[u8]) {
    let end = body.iter().position(|byte| *byte == 0).unwrap_or(body.len());
    (String::from_utf8_lossy(&body[..end]).into_owned(), body.get(end + 1..).unwrap_or_default())
}

async fn questions(
    mut client: OwnedReadHalf,
    mut server: unix::OwnedWriteHalf,
    gate: &Arc<Gate>,
    waiting: &Waiting,
) -> io::Result<()> {
    // The first message has no kind.
    let size = client.read_u32().await?;
    let mut body = vec![0; (size as usize).saturating_sub(4)];
    client.read_exact(&mut body).await?;
    server.write_all(&[&size.to_be_bytes()[..], &body].concat()).await?;
    let (mut statements, mut portals) = (HashMap::new(), HashMap::new());
    let mut transaction = Transaction::default();
    // The server is ready once after the login, and once after each question.
    let mut asked = 1;
    loop {
        let message = read_message(&mut client).await?;
        let sql = match message.0 {
            b'P' => {
                let (name, rest) = text(&message.1);
                statements.insert(name, text(rest).0);
                None
            }
            b'B' => {
                let (portal, rest) = text(&message.1);
                portals.insert(portal, text(rest).0);
                None
            }
            b'E' => portals.get(&text(&message.1).0).and_then(|statement| statements.get(statement)).cloned(),
            b'Q' => Some(text(&message.1).0),
            _ => None,
        };
        if let Some(label) = sql.and_then(|sql| transaction.effect(&sql)) {
            let Some(passage) = gate.enter(&label).await else { return Ok(()) };
            *waiting.lock().unwrap_or_else(PoisonError::into_inner) = Some((asked + 1, passage));
        }
        if matches!(message.0, b'Q' | b'S') {
            asked += 1;
        }
        server.write_all(&bytes_of(&message)).await?;
    }
}

async fn answers(mut server: unix::OwnedReadHalf, mut client: OwnedWriteHalf, waiting: &Waiting) -> io::Result<()> {
    let (mut ready, mut kept) = (0, Vec::new());
    loop {
        let message = read_message(&mut server).await?;
        ready += u64::from(message.0 == b'Z');
        kept.extend(bytes_of(&message));
        let passage = {
            let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
            match waiting.as_ref() {
                // The reply of an effect is held back until all of it is there.
                Some((at, _)) if *at > ready => continue,
                _ => waiting.take(),
            }
        };
        if let Some((_, passage)) = passage
            && passage.leave().await
        {
            return Ok(());
        }
        client.write_all(&kept).await?;
        kept.clear();
    }
}

/// What a connection is in the middle of.
#[derive(Default)]
struct Transaction {
    open: bool,
    wrote: Option<String>,
}

impl Transaction {
    /// Returns the name of the effect that a statement is, if it is one.
    fn effect(&mut self, sql: &str) -> Option<String> {
        let words: Vec<String> = sql
            .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .filter(|word| !word.is_empty())
            .map(str::to_ascii_uppercase)
            .collect();
        let second = words.get(1).map(String::as_str);
        match words.first().map(String::as_str) {
            Some("BEGIN" | "START") => self.open = true,
            Some("COMMIT") => {
                self.open = false;
                return self.wrote.take().map(|wrote| format!("commit of {wrote}"));
            }
            Some("ROLLBACK") if second != Some("TO") => *self = Self::default(),
            _ if writes(&words) => {
                let short = sql.split_whitespace().collect::<Vec<_>>().join(" ");
                let short: String = short.chars().take(90).collect();
                if !self.open {
                    return Some(short);
                }
                self.wrote.get_or_insert(short);
            }
            _ => {}
        }
        None
    }
}

fn writes(words: &[String]) -> bool {
    let mut before = "";
    for word in words {
        match word.as_str() {
            "INSERT" | "DELETE" | "CREATE" | "ALTER" | "DROP" | "TRUNCATE" => return true,
            // A row that is only locked is not written.
            "UPDATE" if !matches!(before, "FOR" | "KEY") => return true,
            _ => before = word,
        }
    }
    false
}
