//! The keys of content digests, out of key objects: only whoever has a private key of the store can read them.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::failure::{RebuildError, is_unusable};
use super::survey::{OpenStore, unusable_of};
use crate::catalog::{DigestKey, Rebuilding};
use crate::crypto::open_key_object;
use crate::domain::{Name, Unusable};
use crate::store::read_manifest;

/// The largest key object that is read.
const CAP: u64 = 1024 * 1024;

/// Keeps the digest key of each store and database; returns how many were found, and those that were not.
pub(super) async fn recover(
    rebuilding: &mut Rebuilding,
    unusable: &mut Vec<Unusable>,
    stores: &BTreeMap<Name, (OpenStore, String)>,
) -> Result<(u64, Vec<String>), RebuildError> {
    let (mut found, mut without) = (0, Vec::new());
    for (name, database, manifest_key, id) in rebuilding.keyed().await? {
        let Some((open, _)) = stores.get(&name) else { continue };
        let manifest = read_manifest(open.store.as_ref(), &manifest_key).await?;
        let mine: Vec<String> = open.identities.iter().map(|identity| identity.recipient().fingerprint()).collect();
        let Some(object) = manifest.keys.iter().find(|key| mine.contains(&key.fingerprint)) else {
            without.push(format!("{name}/{database}"));
            continue;
        };
        let bytes = match open.store.get(&object.key, CAP).await {
            Ok(bytes) => bytes,
            Err(error) if is_unusable(&error) => {
                unusable.push(unusable_of(&name, &object.key, &error));
                without.push(format!("{name}/{database}"));
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let opened = open_key_object(&object.key, &bytes, &open.identities);
        match opened.ok().and_then(|opened| opened.digest_key).filter(|key| key.id() == id) {
            Some(key) => {
                let key = DigestKey { id, key: Zeroizing::new(key.bytes().to_vec()) };
                rebuilding.digest_key(&name, &database, &key).await?;
                found += 1;
            }
            None => {
                let why = format!("it does not hold the digest key {id} that its manifest names");
                unusable.push(Unusable { store: name.clone(), key: object.key.clone(), why });
                without.push(format!("{name}/{database}"));
            }
        }
    }
    Ok((found, without))
}
