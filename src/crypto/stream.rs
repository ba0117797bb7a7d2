//! age STREAM encryption as a writer and a reader of bytes.

use std::io::{Read, Write};

use super::{CryptoError, Identity, Recipient};

/// A writer that encrypts. [`age::stream::StreamWriter::finish`] must be called: without the last chunk, marked as
/// last, the file is truncated and no reader accepts it.
pub type Encrypting<W> = age::stream::StreamWriter<W>;

/// A reader that decrypts. It gives a chunk only after it has proven authentic, and fails at the end of a file that
/// was cut.
pub type Decrypting<R> = age::stream::StreamReader<R>;

/// Begins an age file encrypted to one recipient.
///
/// # Errors
/// When the header cannot be written.
pub fn encrypting<W: Write>(recipient: &Recipient, output: W) -> Result<Encrypting<W>, CryptoError> {
    let recipients: [&dyn age::Recipient; 1] = [recipient.inner()];
    age::Encryptor::with_recipients(recipients.into_iter())
        .map_err(|error| CryptoError::Encrypt(error.to_string()))?
        .wrap_output(output)
        .map_err(|error| CryptoError::Encrypt(error.to_string()))
}

/// Opens an age file; `object` is what errors call it.
///
/// # Errors
/// When none of the identities fits, or the header is not that of an age file.
pub fn decrypting<R: Read>(object: &str, input: R, identities: &[Identity]) -> Result<Decrypting<R>, CryptoError> {
    let damaged = |what: String| CryptoError::Damaged { object: object.to_owned(), what };
    let explain = |error: age::DecryptError| match error {
        age::DecryptError::NoMatchingKeys => {
            CryptoError::WrongIdentity { object: object.to_owned(), tried: identities.len() }
        }
        age::DecryptError::InvalidMac => damaged("the age header was altered".to_owned()),
        age::DecryptError::InvalidHeader | age::DecryptError::UnknownFormat => damaged("it is no age file".to_owned()),
        age::DecryptError::Io(error) => damaged(format!("its age header cannot be read: {error}")),
        other => damaged(format!("its age header does not open: {other}")),
    };
    age::Decryptor::new(input)
        .map_err(explain)?
        .decrypt(identities.iter().map(|identity| identity.inner() as &dyn age::Identity))
        .map_err(explain)
}
