//! Recipients, identities, the key pair of one attempt at a backup, and the key object that carries it.

use std::fmt;
use std::io::{Read, Write};
use std::str::FromStr;

use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::{CryptoError, DigestKey, decrypting, encrypting};
use crate::domain::{Instant, sha256};

/// How much plaintext a key object may hold. A real one is some 200 bytes; what a store returns is not trusted.
const KEY_OBJECT_CAP: u64 = 64 * 1024;

/// The line of a key object that carries the digest key: this, the key's id, its hexadecimal digits.
const DIGEST_KEY_LINE: &str = "# bkup digest-key ";

/// An age X25519 public key.
#[derive(Clone)]
pub struct Recipient {
    inner: age::x25519::Recipient,
    text: String,
}

impl Recipient {
    /// Returns the text, `age1...` in lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the name under which the recipient's key objects are stored.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.text)
    }

    pub(super) fn inner(&self) -> &age::x25519::Recipient {
        &self.inner
    }
}

impl FromStr for Recipient {
    type Err = CryptoError;

    /// Reads `age1...`; bech32 may also be written in capitals throughout.
    fn from_str(text: &str) -> Result<Self, CryptoError> {
        let why = match text.trim() {
            t if t.starts_with("AGE-SECRET-KEY-") => {
                // Never echoed: this is a private key in the place of a public one.
                return Err(CryptoError::InvalidRecipient {
                    text: "AGE-SECRET-KEY-...".to_owned(),
                    why: "it is a private key",
                });
            }
            t if t.starts_with("ssh-") => "ssh keys are not supported",
            // With the `1` that ends the kind's name: the data of one X25519 key in a thousand begins with `pq`.
            t if ["age1pq1", "age1tag1", "age1tagpq1"].iter().any(|kind| t.starts_with(kind)) => {
                "only X25519 recipients are supported"
            }
            t => match t.to_ascii_lowercase().parse::<age::x25519::Recipient>() {
                Ok(inner) => return Ok(Self { text: inner.to_string(), inner }),
                Err(why) => why,
            },
        };
        Err(CryptoError::InvalidRecipient { text: text.to_owned(), why })
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for Recipient {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Recipient {}

/// Returns the first 16 hexadecimal digits of SHA-256 of a recipient in lower case.
#[must_use]
pub fn fingerprint(recipient: &str) -> String {
    sha256(recipient.to_ascii_lowercase().as_bytes()).short()
}

/// An age X25519 private key.
#[derive(Clone)]
pub struct Identity {
    inner: age::x25519::Identity,
}

impl Identity {
    /// Reads every identity of a text: the bare key, or a whole identity file with comments and empty lines.
    ///
    /// # Errors
    /// When a line is something else, or there is no identity at all.
    pub fn parse_all(text: &str) -> Result<Vec<Self>, CryptoError> {
        let mut identities = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let why = |why| CryptoError::InvalidIdentity { line: index + 1, why };
            if line.starts_with("age1") {
                return Err(why("it is a public key"));
            }
            if line.starts_with("-----BEGIN") || line.starts_with("AGE-PLUGIN-") {
                return Err(why("only X25519 identities are supported"));
            }
            identities.push(Self { inner: line.parse().map_err(why)? });
        }
        if identities.is_empty() { Err(CryptoError::NoIdentity) } else { Ok(identities) }
    }

    /// Returns the public half.
    #[must_use]
    pub fn recipient(&self) -> Recipient {
        let inner = self.inner.to_public();
        Recipient { text: inner.to_string(), inner }
    }

    pub(super) fn inner(&self) -> &age::x25519::Identity {
        &self.inner
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity(of {})", self.recipient())
    }
}

/// A fresh identity for a person, as `bkup key generate` prints it.
pub struct GeneratedIdentity {
    /// The public half, for policies.
    pub recipient: Recipient,
    /// The identity file, as `age-keygen` writes it.
    pub text: SecretString,
}

impl fmt::Debug for GeneratedIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GeneratedIdentity(of {})", self.recipient)
    }
}

/// Makes a fresh identity for a person; `created` goes into the file's comment.
#[must_use]
pub fn generate_identity(created: Instant) -> GeneratedIdentity {
    let identity = Identity { inner: age::x25519::Identity::generate() };
    let recipient = identity.recipient();
    let key = identity.inner.to_string();
    let text = SecretString::from(format!(
        "# created: {}\n# public key: {recipient}\n{}\n",
        created.strftime("%Y-%m-%dT%H:%M:%SZ"),
        key.expose_secret()
    ));
    GeneratedIdentity { recipient, text }
}

/// The key pair of one attempt at a backup. Its private half leaves the process only sealed.
#[derive(Debug, Clone)]
pub struct DataKey {
    identity: Identity,
    recipient: Recipient,
}

impl DataKey {
    /// Makes a fresh pair; the randomness is age's own.
    #[must_use]
    pub fn generate() -> Self {
        let identity = Identity { inner: age::x25519::Identity::generate() };
        Self { recipient: identity.recipient(), identity }
    }

    /// Returns the public half, to which the attempt's data is encrypted.
    #[must_use]
    pub const fn recipient(&self) -> &Recipient {
        &self.recipient
    }

    /// Returns the private half.
    #[must_use]
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Makes the key object for one recipient: an age file whose plaintext is an identity file, with the digest key in
    /// a comment, so that `age -d -i mine key.age > k; age -d -i k data` works.
    ///
    /// # Errors
    /// When age cannot encrypt.
    pub fn seal(&self, to: &Recipient, digest_key: Option<&DigestKey>) -> Result<Vec<u8>, CryptoError> {
        let key = self.identity.inner.to_string();
        let comment = digest_key
            .map(|key| Zeroizing::new(format!("{DIGEST_KEY_LINE}{} {}\n", key.id(), key.to_hex().as_str())))
            .unwrap_or_default();
        let mut sealed = Vec::new();
        let encrypt = |error: std::io::Error| CryptoError::Encrypt(error.to_string());
        let mut writer = encrypting(to, &mut sealed)?;
        writer.write_all(format!("# public key: {}\n", self.recipient).as_bytes()).map_err(encrypt)?;
        writer.write_all(comment.as_bytes()).map_err(encrypt)?;
        writer.write_all(key.expose_secret().as_bytes()).map_err(encrypt)?;
        writer.write_all(b"\n").map_err(encrypt)?;
        writer.finish().map_err(encrypt)?;
        Ok(sealed)
    }
}

/// What a key object holds.
#[derive(Debug, Clone)]
pub struct OpenedKey {
    /// The private half of the attempt's pair.
    pub identity: Identity,
    /// The key of the content digests, where there is one.
    pub digest_key: Option<DigestKey>,
}

/// Opens a key object with any of the reader's identities; `object` is what errors call it.
///
/// # Errors
/// When no identity fits, or the object is not what [`DataKey::seal`] wrote.
pub fn open_key_object(object: &str, bytes: &[u8], identities: &[Identity]) -> Result<OpenedKey, CryptoError> {
    let damaged = |what: &str| CryptoError::Damaged { object: object.to_owned(), what: what.to_owned() };
    // Sized once: a growing buffer would leave copies of the key behind in freed memory.
    let mut plain = Zeroizing::new(String::with_capacity(bytes.len().min(KEY_OBJECT_CAP as usize)));
    decrypting(object, bytes, identities)?
        .take(KEY_OBJECT_CAP)
        .read_to_string(&mut plain)
        .map_err(|_| damaged("its content is not authentic"))?;
    let mut found = Identity::parse_all(&plain).map_err(|_| damaged("it does not hold an identity"))?;
    let (Some(identity), true) = (found.pop(), found.is_empty()) else {
        return Err(damaged("it holds more than one identity"));
    };
    let digest_key = plain
        .lines()
        .find_map(|line| line.strip_prefix(DIGEST_KEY_LINE))
        .map(|rest| {
            let (id, hex) = rest.trim().split_once(' ').ok_or(CryptoError::InvalidDigestKey)?;
            let key = DigestKey::from_hex(hex)?;
            if key.id() == id { Ok(key) } else { Err(CryptoError::InvalidDigestKey) }
        })
        .transpose()?;
    Ok(OpenedKey { identity, digest_key })
}
