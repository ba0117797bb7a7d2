//! Reading large objects: ranges in parallel, given on in order.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};

use super::{ReadStore, StoreError};

/// One ranged request.
const RANGE: u64 = 8 * 1024 * 1024;
/// How many of them are under way at once.
const PARALLEL: usize = 3;

/// The most memory one [`read`] holds, apart from what its consumer keeps: the ranges under way, and one given on.
pub const READ_MEMORY: u64 = RANGE * (PARALLEL as u64 + 1);

/// An object's bytes on their way, in order.
pub type ByteStream = BoxStream<'static, Result<Bytes, StoreError>>;

/// Reads the first `size` bytes of an object, which its manifest knows. Each range is a request of its own, so a
/// connection that breaks costs one range and not the whole object.
pub fn read(store: Arc<dyn ReadStore>, key: &str, size: u64) -> ByteStream {
    let key: Arc<str> = key.into();
    stream::iter((0..size.div_ceil(RANGE)).map(move |index| {
        let (store, key) = (Arc::clone(&store), Arc::clone(&key));
        let range = index * RANGE..((index + 1) * RANGE).min(size);
        async move { store.get_range(&key, range).await }
    }))
    .buffered(PARALLEL)
    .boxed()
}
