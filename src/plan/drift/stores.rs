//! How buckets and folders are set, against what the policies ask and what backups need to be safe.

use super::View;
use crate::domain::{
    Address, BucketEncryption, BucketSettings, BucketVersioning, DriftFinding, DriftKind, LifecycleRule, Observation,
    Plan, Section, Seen, ServerSide, StoreSettings, StoreSpec, StoreUrl,
};

/// Where bkup's objects lie below a store's prefix.
const PLACES: [&str; 7] = ["backups/", "keys/", "marks/", "state/", "runs/", "evidence/", "bkup.json"];
/// The classes that cannot be read at once.
const FROZEN: [&str; 2] = ["glacier", "deep_archive"];

/// Tells for each store that was read.
pub fn plan(view: &View<'_>, draft: &mut Plan) {
    for (name, spec) in &view.desired.stores {
        let address = Address::of(Section::Store, name.clone());
        let Some(signs) = view.observed.signs.stores.get(name) else { continue };
        let mut tell = |kind: DriftKind, words: String, help: &str| {
            draft.findings.push(DriftFinding::new(address.clone(), kind, words, help));
        };
        match &signs.settings {
            StoreSettings::None => {}
            StoreSettings::Bucket(settings) => bucket(spec, settings, &mut tell),
            StoreSettings::Folder(Observation::Known(folder)) => {
                if folder.others_write {
                    let what = if folder.sticky { "put things into" } else { "take backups out of" };
                    let words = format!("everybody on the machine can {what} its folder");
                    tell(DriftKind::Folder, words, "take the write permission from others: `chmod o-w` on the folder");
                }
            }
            StoreSettings::Folder(Observation::Unreachable(why)) => {
                let words = format!("the permissions of its folder could not be read: {why}");
                tell(DriftKind::SettingsUnread, words, "allow the user that bkup runs as to look at the folder");
            }
        }
    }
}

fn bucket(spec: &StoreSpec, settings: &BucketSettings, tell: &mut impl FnMut(DriftKind, String, &str)) {
    versioning(spec, settings, tell);
    if spec.object_lock.is_some()
        && let Observation::Known(Some(false) | None) = settings.object_lock
    {
        let words = "`object_lock` is asked for, and the bucket cannot lock objects".to_owned();
        tell(DriftKind::ObjectLock, words, "make a bucket with object lock on: most servers allow it only at birth");
    }
    encryption(spec, settings, tell);
    if let Observation::Known(Some(open)) = &settings.public
        && !open.is_empty()
    {
        let words = format!("the bucket is open to others: {}", open.join(", "));
        tell(DriftKind::Public, words, "close it now: remove the grant, and switch on the block of public access");
    }
    // Other servers than AWS seldom have such a block; there its absence says nothing.
    if spec.endpoint.is_none()
        && let Observation::Known(Some(false)) = settings.access_blocked
    {
        let words = "nothing keeps the bucket from being opened to everybody".to_owned();
        tell(DriftKind::PublicAccessBlock, words, "switch on all four settings of the bucket's public access block");
    }
    if let Observation::Known(Some(rules)) = &settings.lifecycle {
        rules.iter().filter(|rule| hits(spec, rule)).for_each(|rule| lifecycle(spec, rule, tell));
    }
    unread(settings, tell);
}

fn versioning(spec: &StoreSpec, settings: &BucketSettings, tell: &mut impl FnMut(DriftKind, String, &str)) {
    if !spec.versioning_required {
        return;
    }
    let state = match settings.versioning {
        Observation::Known(Some(BucketVersioning::On)) | Observation::Unreachable(_) => return,
        Observation::Known(Some(BucketVersioning::Suspended)) => "the bucket's is suspended",
        Observation::Known(Some(BucketVersioning::Off)) => "the bucket keeps none",
        Observation::Known(None) => "the server has no such thing",
    };
    let words = format!("`versioning: required` is asked for, and {state}");
    tell(DriftKind::Versioning, words, "switch versioning on: what is deleted or overwritten then stays behind");
}

fn encryption(spec: &StoreSpec, settings: &BucketSettings, tell: &mut impl FnMut(DriftKind, String, &str)) {
    let (Some(wanted), Observation::Known(found)) = (&spec.server_side, &settings.encryption) else { return };
    let same = |wanted: &str, found: &str| found == wanted || found.ends_with(&format!("/{wanted}"));
    let found = match (wanted, found) {
        (ServerSide::Aes256, Some(BucketEncryption::Aes256 | BucketEncryption::Kms(_))) => return,
        // An alias and a key's own name cannot be compared without asking the key service.
        (ServerSide::KmsKey(wanted), Some(BucketEncryption::Kms(Some(found))))
            if same(wanted, found) || wanted.contains("alias/") != found.contains("alias/") =>
        {
            return;
        }
        (_, None) => "the server has no such thing".to_owned(),
        (_, Some(BucketEncryption::None)) => "the bucket encrypts nothing by itself".to_owned(),
        (_, Some(BucketEncryption::Aes256)) => "the bucket encrypts with keys of the server".to_owned(),
        (_, Some(BucketEncryption::Kms(None))) => "the bucket encrypts with the account's default key".to_owned(),
        (_, Some(BucketEncryption::Kms(Some(found)))) => format!("the bucket encrypts with {found}"),
    };
    let asked = match wanted {
        ServerSide::Aes256 => "aes256".to_owned(),
        ServerSide::KmsKey(key) => format!("the key {key}"),
    };
    let words = format!("`encryption.server_side` asks for {asked}, and {found}");
    tell(DriftKind::Encryption, words, "set it as the bucket's default encryption, or change the policy");
}

/// Returns whether a rule is for keys that bkup writes.
fn hits(spec: &StoreSpec, rule: &LifecycleRule) -> bool {
    let StoreUrl::S3 { prefix, .. } = &spec.url else { return false };
    let base = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
    PLACES.iter().any(|place| {
        let own = format!("{base}{place}");
        own.starts_with(&rule.prefix) || rule.prefix.starts_with(&own)
    })
}

fn lifecycle(spec: &StoreSpec, rule: &LifecycleRule, tell: &mut impl FnMut(DriftKind, String, &str)) {
    let id = if rule.id.is_empty() { "without a name".to_owned() } else { format!("`{}`", rule.id) };
    let which = if rule.narrowed { "some of its objects, by tag or size," } else { "its objects" };
    let after = |days: Option<u32>| match days {
        Some(1) => "after a day".to_owned(),
        Some(days) => format!("after {days} days"),
        None => "on a date".to_owned(),
    };
    if let Some(days) = rule.expires {
        let words = format!(
            "the bucket's lifecycle rule {id} deletes {which} {}: backups go behind bkup's back, whatever retention says",
            after(days)
        );
        tell(
            DriftKind::LifecycleDeletes,
            words,
            "remove the rule, or keep it to another prefix; bkup deletes by itself",
        );
    }
    let frozen = |class: &str| FROZEN.contains(&class) && spec.storage_class.as_deref() != Some(class);
    for (days, class) in rule.moves.iter().filter(|(_, class)| frozen(class)) {
        let words = format!(
            "the bucket's lifecycle rule {id} moves {which} to {class} {}: they cannot be read at once from then on",
            after(*days)
        );
        tell(
            DriftKind::LifecycleMoves,
            words,
            "remove the rule, or keep it to another prefix: a restore would wait hours",
        );
    }
}

/// Says in one line what could not be read.
fn unread(settings: &BucketSettings, tell: &mut impl FnMut(DriftKind, String, &str)) {
    fn why<T>(seen: &Seen<T>) -> Option<&str> {
        seen.unreachable()
    }
    let parts = [
        ("versioning", why(&settings.versioning)),
        ("object lock", why(&settings.object_lock)),
        ("default encryption", why(&settings.encryption)),
        ("public access", why(&settings.public)),
        ("the block of public access", why(&settings.access_blocked)),
        ("lifecycle rules", why(&settings.lifecycle)),
    ];
    let unread: Vec<String> = parts.into_iter().filter_map(|(what, why)| Some(format!("{what} ({})", why?))).collect();
    if !unread.is_empty() {
        let words = format!("of the bucket's settings these are not known: {}", unread.join("; "));
        tell(DriftKind::SettingsUnread, words, "allow bkup's user to read them, if this should be watched");
    }
}
