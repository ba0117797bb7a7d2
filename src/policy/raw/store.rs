//! `stores`: where backups go. Pure.

use crate::domain::{
    Bytes, EncryptionSpec, EnvText, LockHold, LockMode, Name, ObjectLock, Period, Replica, ServerSide, StoreSpec,
    StoreUrl, VerifySpec,
};
use crate::policy::codes;
use crate::policy::decode::{Context, Decode};
use crate::policy::record::{record, words};
use crate::policy::text::{Kind, Node, Places};
use crate::policy::values::Text;

use super::Suspend;

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
        /// How data is encrypted, by bkup and by the server.
        encryption: Encryption;
        /// Locks every object against deletion. The bucket must have been made with object lock.
        object_lock: Lock;
        /// `required`: a bucket without versions is drift.
        versioning: Versioning;
        /// Whether bkup may change the bucket's settings itself; each change is shown in the plan.
        #[schemars(extend("default" = false))]
        manage: bool;
        /// Stores that everything is copied to.
        replicate_to: Vec<ReplicaRef>;
        /// How often each backup is looked at again; drills prove the rest.
        verify: Verify;
        /// How much the store may hold.
        quota: Bytes;
        /// Pauses it until a date: nothing is made of it and nothing of it is deleted.
        suspend: Suspend;
        /// Whether nothing of it is ever deleted. To delete, take this away in an apply of its own first.
        #[schemars(extend("default" = false))]
        protect: bool;
    }
}

record! {
    /// How data is encrypted: by bkup before it leaves this machine, and at rest by the server.
    Encryption, "encryption" {
        /// age public keys. A host that only knows these cannot read what it wrote.
        #[schemars(length(min = 1))]
        recipients: Vec<Recipient>;
        /// The age secret key, or a path to a file that holds it: needed to restore and to drill, not to back up.
        identity: EnvText;
        /// Whether each tenant's backups have keys of their own: destroying them erases the tenant's backups.
        #[schemars(extend("default" = false))]
        per_tenant_keys: bool;
        /// What the object server encrypts with at rest: `aes256`, or a key of its key service.
        server_side: ServerSideRef;
        /// The ed25519 key that manifests and evidence are signed with, or a path to a file that holds it.
        signing_key: EnvText;
    }
}

record! {
    /// A lock against deletion.
    #[schemars(rename = "ObjectLock")]
    Lock, "a lock" {
        /// `governance`: those with a special permission may lift it. `compliance`: nobody may.
        mode: LockMode, required;
        /// `retention`: until the retention rule releases the backup. Either this or `for`.
        until: UntilRetention;
        /// So long from the writing on.
        r#for: Period;
    }
}

words!(LockMode, "LockMode", "a mode of locking" {
    /// Those with a special permission may lift it.
    "governance" => LockMode::Governance,
    /// Nobody may lift it before its time, not even the owner of the account.
    "compliance" => LockMode::Compliance,
});

/// The word `retention`.
#[derive(Debug, Clone, Copy)]
pub(in crate::policy) struct UntilRetention;

words!(UntilRetention, "UntilRetention", "the end of a lock" {
    /// Until the retention rule releases the backup.
    "retention" => UntilRetention,
});

/// The word `required`.
#[derive(Debug, Clone, Copy)]
pub(in crate::policy) struct Versioning;

words!(Versioning, "Versioning", "a wish for versions" {
    /// A bucket without versions is drift.
    "required" => Versioning,
});

/// A store to copy to: its name, or its name with how late the copy may be.
#[derive(Debug, Clone, schemars::JsonSchema)]
#[schemars(untagged, inline)]
pub(in crate::policy) enum ReplicaRef {
    /// A store.
    Name(Name),
    /// A store, and how late the copy may be.
    Detailed(DetailedReplica),
}

record! {
    /// A store to copy to.
    #[schemars(rename = "Replica")]
    DetailedReplica, "a replica" {
        /// The store.
        store: Name, required;
        /// How late a copy may be.
        #[schemars(example = "30m")]
        max_lag: Period;
    }
}

impl Decode for ReplicaRef {
    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        match &node.kind {
            Kind::Map(_) => DetailedReplica::decode(node, cx).map(Self::Detailed),
            _ => Name::decode(node, cx).map(Self::Name),
        }
    }
}

record! {
    /// How often each backup is looked at again.
    #[schemars(extend("minProperties" = 1))]
    Verify, "verify" {
        /// Whether its objects are there with the right sizes.
        #[schemars(example = "1d")]
        exists: Period;
        /// Whether their content is what was written; reads everything.
        #[schemars(example = "30d")]
        checksum: Period;
    }
}

/// What the object server encrypts with: the word `aes256`, or a key of its key service.
#[derive(Debug, Clone)]
pub(in crate::policy) struct ServerSideRef(ServerSide);

/// The word of `server_side`.
struct Aes256;

words!(Aes256, "ServerSideWord", "a way to encrypt at rest" {
    /// With a key that the object server keeps itself.
    "aes256" => Aes256,
});

record! {
    /// A key of the server's key service.
    #[schemars(rename = "ServerSideKey")]
    KmsKey, "server_side" {
        /// Its id, ARN or alias.
        #[schemars(example = "alias/backups")]
        kms_key: Text, required;
    }
}

impl Decode for ServerSideRef {
    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        match &node.kind {
            Kind::Map(_) => KmsKey::decode(node, cx)?.kms_key.map(|key| Self(ServerSide::KmsKey(key.0))),
            _ => Aes256::decode(node, cx).map(|_| Self(ServerSide::Aes256)),
        }
    }
}

impl schemars::JsonSchema for ServerSideRef {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ServerSide".into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let (word, key) = (generator.subschema_for::<Aes256>(), generator.subschema_for::<KmsKey>());
        schemars::json_schema!({ "anyOf": [word, key] })
    }
}

/// An S3 storage class, as the policy words it.
#[derive(Debug, Clone, Copy)]
pub(in crate::policy) struct StorageClass(pub &'static str);

words!(StorageClass, "StorageClass", "a storage class" {
    /// Read at once, no minimum duration.
    "standard" => StorageClass("standard"),
    /// Read at once, dearer to read; at least 30 days.
    "standard_ia" => StorageClass("standard_ia"),
    /// As standard_ia, in one availability zone only.
    "onezone_ia" => StorageClass("onezone_ia"),
    /// Moved between tiers by the provider, by use.
    "intelligent_tiering" => StorageClass("intelligent_tiering"),
    /// Read at once, dear to read; at least 90 days.
    "glacier_ir" => StorageClass("glacier_ir"),
    /// Fast, in one availability zone only.
    "express_onezone" => StorageClass("express_onezone"),
    /// Fewer copies. Not for the only copy of anything.
    "reduced_redundancy" => StorageClass("reduced_redundancy"),
    /// Thawed for minutes to hours before it can be read; at least 90 days.
    "glacier" => StorageClass("glacier"),
    /// Thawed for 12 to 48 hours before it can be read; at least 180 days.
    "deep_archive" => StorageClass("deep_archive"),
});

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
        schemars::json_schema!({
            "type": "string",
            "description": "An age public key, as `bkup key generate` prints one.",
            "pattern": "^age1[02-9ac-hj-np-z]{58}$",
            "examples": ["age1gs94g7crza4ev9g4c2rzkpm2wtajz8l4f3mr588v3c03r0s0cukqfxuych"]
        })
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
                ("object_lock", self.object_lock.is_some()),
                ("versioning", self.versioning.is_some()),
                ("manage", self.manage.is_some()),
                ("encryption.server_side", self.encryption.as_ref().is_some_and(|e| e.server_side.is_some())),
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
        let raw = self.encryption.clone().unwrap_or_default();
        let encryption = raw.client(places, cx)?;
        let says_nothing = |verify: &Verify| verify.exists.is_none() && verify.checksum.is_none();
        if self.verify.as_ref().is_some_and(says_nothing)
            && !["exists", "checksum"].iter().any(|key| places.has(&format!("verify.{key}")))
        {
            let help = "add `exists: 1d` or `checksum: 30d`, or remove the key";
            cx.error(codes::CONFLICT, places.get("verify"), "`verify` does not say what is looked at", "empty", help);
        }
        let replicas = self.replicate_to.clone().unwrap_or_default().into_iter().map(|replica| match replica {
            ReplicaRef::Name(store) => Some(Replica { store, max_lag: None }),
            ReplicaRef::Detailed(replica) => Some(Replica { store: replica.store?, max_lag: replica.max_lag }),
        });
        Some(StoreSpec {
            url: url?,
            region: self.region.as_ref().map(|text| text.0.clone()),
            endpoint: self.endpoint.clone(),
            path_style: self.path_style.unwrap_or(self.endpoint.is_some()),
            storage_class: self.storage_class.map(|class| class.0.to_owned()),
            encryption,
            server_side: raw.server_side.map(|server_side| server_side.0),
            signing_key: raw.signing_key,
            object_lock: match &self.object_lock {
                None => None,
                Some(lock) => Some(lock.spec(places, cx)?),
            },
            versioning_required: self.versioning.is_some(),
            manage: self.manage.unwrap_or_default(),
            replicate_to: replicas.collect::<Option<Vec<_>>>()?,
            verify: self.verify.as_ref().map(|v| VerifySpec { exists: v.exists, checksum: v.checksum }),
            quota: self.quota,
        })
    }
}

impl Encryption {
    /// Returns what bkup itself encrypts with; the outer `None` where a finding says why that is not known.
    #[expect(clippy::option_option, reason = "absent and unreadable are two things, and the first is no finding")]
    fn client(&self, places: &Places, cx: &mut Context<'_>) -> Option<Option<EncryptionSpec>> {
        let written = |key: &str| places.has(&format!("encryption.{key}"));
        let recipients = match &self.recipients {
            None if written("recipients") => return None,
            None => {
                for key in ["identity", "per_tenant_keys"].into_iter().filter(|key| written(key)) {
                    let message = format!("`{key}` needs `recipients`: without them bkup encrypts nothing");
                    let place = places.get(&format!("encryption.{key}"));
                    let help = "add `recipients: [\"age1...\"]`; `bkup key generate` prints a pair of keys";
                    cx.error(codes::MISSING_KEY, place, message, "says nothing alone", help);
                }
                return Some(None);
            }
            Some(recipients) => recipients,
        };
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
        Some(Some(EncryptionSpec {
            recipients: recipients.iter().map(|recipient| recipient.0.clone()).collect(),
            identity: self.identity.clone(),
            per_tenant_keys: self.per_tenant_keys.unwrap_or_default(),
        }))
    }
}

impl Lock {
    fn spec(&self, places: &Places, cx: &mut Context<'_>) -> Option<ObjectLock> {
        let (until, period) = (places.has("object_lock.until"), places.has("object_lock.for"));
        if until == period {
            let (message, label) = if until {
                ("a lock has both `until` and `for`", "one of them is too much")
            } else {
                ("a lock does not say how long it holds", "neither `until` nor `for`")
            };
            let help = "write `until: retention`, or `for: 30d`";
            cx.error(codes::CONFLICT, places.get("object_lock"), message, label, help);
            return None;
        }
        let hold = if until { self.until.map(|_| LockHold::Retention) } else { self.r#for.map(LockHold::For) };
        Some(ObjectLock { mode: self.mode?, hold: hold? })
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
