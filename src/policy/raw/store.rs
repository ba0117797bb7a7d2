//! `stores`: where backups go. Pure.

use crate::domain::{EncryptionSpec, EnvText, StoreSpec, StoreUrl};
use crate::policy::codes;
use crate::policy::decode::{Context, Decode};
use crate::policy::record::{record, words};
use crate::policy::text::{Node, Places};
use crate::policy::values::Text;

use super::not_yet;

record! {
    /// Where backups go: a bucket or a folder.
    Store, "a store" {
        /// Bucket and prefix, or an absolute folder.
        url: StoreUrl, required;
        /// The S3 region.
        #[schemars(example = "us-east-1")]
        region: Text;
        /// The S3 endpoint of a server other than AWS: MinIO, Garage, R2.
        endpoint: EnvText;
        /// Whether the bucket stands in the path rather than in the host name. Default: true where `endpoint` is set.
        path_style: bool;
        /// The S3 storage class that objects are written with.
        storage_class: StorageClass;
        /// How data is encrypted before it leaves this machine.
        encryption: Encryption;
    }
    not_yet: not_yet!["object_lock", "versioning", "manage", "replicate_to", "verify", "quota"]
}

record! {
    /// How data is encrypted before it leaves this machine.
    Encryption, "encryption" {
        /// age public keys. A host that only knows these cannot read what it wrote.
        #[schemars(length(min = 1))]
        recipients: Vec<Recipient>, required;
        /// The age secret key, or a path to a file that holds it: needed to restore and to drill, not to back up.
        identity: EnvText;
    }
    not_yet: not_yet!["per_tenant_keys", "server_side", "signing_key"]
}

/// A storage class whose objects can be read at once, as the policy words it.
#[derive(Debug, Clone, Copy)]
pub(in crate::policy) struct StorageClass(&'static str);

words!(StorageClass, "StorageClass", "a storage class" {
    "standard" => StorageClass("standard"),
    "standard_ia" => StorageClass("standard_ia"),
    "onezone_ia" => StorageClass("onezone_ia"),
    "intelligent_tiering" => StorageClass("intelligent_tiering"),
    "glacier_ir" => StorageClass("glacier_ir"),
    "express_onezone" => StorageClass("express_onezone"),
    "reduced_redundancy" => StorageClass("reduced_redundancy"),
} not_yet: &["glacier", "deep_archive"]);

/// An age public key.
#[derive(Debug, Clone)]
pub(in crate::policy) struct Recipient(String);

impl Decode for Recipient {
    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let text = cx.text(node, "an age public key")?.to_owned();
        // A secret key is told apart elsewhere, for every field at once.
        if is_secret_key(&text) {
            return None;
        }
        let reason = if !text.starts_with("age1") {
            "it does not begin with age1"
        } else if !is_bech32_key(&text) {
            "its check sum does not fit: a character is wrong or missing"
        } else {
            return Some(Self(text));
        };
        let help = "print one with `bkup key generate`; SSH keys and plugins are not recipients here";
        cx.error(
            codes::BAD_RECIPIENT,
            node.place,
            format!("this is not an age public key: {reason}"),
            "this recipient",
            help,
        );
        None
    }
}

impl schemars::JsonSchema for Recipient {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Recipient".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^age1[02-9ac-hj-np-z]{58}$" })
    }
}

/// Returns whether a text holds an age secret key.
pub(in crate::policy) fn is_secret_key(text: &str) -> bool {
    text.to_ascii_uppercase().contains("AGE-SECRET-KEY-")
}

/// Returns whether a text is the Bech32 form of an X25519 public key: 32 bytes under the prefix `age`.
fn is_bech32_key(text: &str) -> bool {
    const LETTERS: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
    const GENERATORS: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
    let Some(data) = text.strip_prefix("age1") else { return false };
    if data.len() != 58 {
        return false;
    }
    let prefix = b"age";
    let expanded = prefix.iter().map(|b| u32::from(b >> 5)).chain([0]).chain(prefix.iter().map(|b| u32::from(b & 31)));
    let mut sum: u32 = 1;
    let digits = data
        .bytes()
        .map(|byte| LETTERS.iter().position(|letter| *letter == byte).and_then(|at| u32::try_from(at).ok()));
    for digit in expanded.map(Some).chain(digits) {
        let Some(digit) = digit else { return false };
        let top = sum >> 25;
        sum = (sum & 0x01ff_ffff) << 5 ^ digit;
        for (bit, generator) in GENERATORS.iter().enumerate() {
            if top >> bit & 1 == 1 {
                sum ^= generator;
            }
        }
    }
    sum == 1
}

impl Store {
    /// Fills in the defaults; `None` where something needed is missing.
    pub fn spec(&self, places: &Places, cx: &mut Context<'_>) -> Option<StoreSpec> {
        let url = self.url.clone();
        if let Some(StoreUrl::Folder(_)) = url {
            let given = [
                ("region", self.region.is_some()),
                ("endpoint", self.endpoint.is_some()),
                ("path_style", self.path_style.is_some()),
                ("storage_class", self.storage_class.is_some()),
            ];
            for (key, _) in given.iter().filter(|(_, given)| *given) {
                let message = format!("`{key}` is for S3, and this store is a folder");
                cx.error(
                    codes::CONFLICT,
                    places.get(key),
                    message,
                    "says nothing for a folder",
                    format!("remove `{key}`"),
                )
                .and(places.get("url"), "a folder");
            }
        }
        let encryption = match &self.encryption {
            None => None,
            Some(encryption) => {
                let recipients = encryption.recipients.clone()?;
                if recipients.is_empty() {
                    let place = places.get("encryption.recipients");
                    cx.error(
                        codes::EMPTY_LIST,
                        place,
                        "`recipients` is empty, so nobody could read the backups",
                        "nobody",
                        "add an age public key; `bkup key generate` prints one",
                    );
                    return None;
                }
                let recipients = recipients.into_iter().map(|recipient| recipient.0).collect();
                Some(EncryptionSpec { recipients, identity: encryption.identity.clone() })
            }
        };
        Some(StoreSpec {
            url: url?,
            region: self.region.as_ref().map(|text| text.0.clone()),
            endpoint: self.endpoint.clone(),
            path_style: self.path_style.unwrap_or(self.endpoint.is_some()),
            storage_class: self.storage_class.map(|class| class.0.to_owned()),
            encryption,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::is_bech32_key;

    #[test]
    fn a_public_key_with_one_wrong_character_is_refused() {
        let key = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
        assert!(is_bech32_key(key));
        for at in 4..key.len() {
            let mut wrong = key.to_owned();
            wrong.replace_range(at..=at, if &key[at..=at] == "q" { "p" } else { "q" });
            assert!(!is_bech32_key(&wrong), "{wrong}");
        }
        assert!(!is_bech32_key(&key[..61]));
        assert!(!is_bech32_key(&key.to_uppercase()));
    }
}
