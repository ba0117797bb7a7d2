//! Places that commands write to, as places of stores. Pure. Only plain characters pass: a path can hold anything.

use crate::domain::StoreUrl;

/// Returns the store of a URL: the bucket and the folders before the first part that changes from run to run.
pub(super) fn store_of(url: &str) -> Option<StoreUrl> {
    let rest = url.strip_prefix("s3://")?;
    let (bucket, path) = rest.split_once('/').unwrap_or((rest, ""));
    let prefix = fixed(path);
    StoreUrl::try_from(format!("s3://{bucket}/{}", prefix.join("/"))).ok()
}

/// Returns the folder that a file is written to, where it is an absolute path.
pub(super) fn folder_of(path: &str) -> Option<String> {
    let rest = path.strip_prefix('/')?;
    let parts = fixed(rest);
    if parts.is_empty() || ["dev", "tmp", "proc"].contains(&parts[0]) || parts.contains(&"log") {
        return None;
    }
    Some(format!("/{}", parts.join("/")))
}

/// Returns a folder as it is given, where it is an absolute path of plain characters.
pub(super) fn plain_folder(path: &str) -> Option<String> {
    let path = path.trim_end_matches('/');
    let parts: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
    parts.iter().all(|part| plain(part)).then(|| path.to_owned())
}

/// Returns the parts of a path that are folders and the same in every run. The last part is a file, unless the path
/// ends with a slash.
fn fixed(path: &str) -> Vec<&str> {
    let mut parts: Vec<&str> = path.split('/').take_while(|part| plain(part) || part.is_empty()).collect();
    let whole = parts.len() == path.split('/').count();
    if whole && !path.ends_with('/') && parts.last().is_some_and(|last| last.contains('.')) {
        parts.pop();
    }
    parts.into_iter().filter(|part| !part.is_empty()).take(12).collect()
}

fn plain(part: &str) -> bool {
    let known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    !part.is_empty() && part != ".." && part != "." && part.len() <= 100 && part.bytes().all(known)
}
