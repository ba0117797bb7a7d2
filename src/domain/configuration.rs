//! The configuration of a database's server as it was read, and the digests by which two readings are compared.
//!
//! The same configuration is the same text in every reading: no times, a fixed order, texts as the server has them. A
//! schedule `on: change` counts on that.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Address, Digest, digest_of};

/// What of a server's configuration could be read, one document for each part, and what could not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServerConfiguration {
    /// Each part by its name: `roles`, `settings`, `hba`, ...
    pub parts: BTreeMap<String, Value>,
    /// The parts that could not be read, each with the reason.
    pub unread: BTreeMap<String, String>,
    /// What tells one password of a role from the next, without being one; absent where nobody asked.
    pub passwords: Option<BTreeMap<String, String>>,
}

/// The digests of a reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigurationDigests {
    /// Of every part, and of the names of those that could not be read.
    pub parts: Digest,
    /// Of what tells passwords apart; absent where nobody asked.
    pub passwords: Option<Digest>,
}

/// What is known of a server's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ConfigurationSeen {
    /// Nobody asked for it.
    #[default]
    NotAsked,
    /// Nobody looked, and it is taken not to change: forecasts and tests of policies.
    Assumed,
    /// It was read.
    Read(ConfigurationDigests),
    /// Why it could not be read.
    Unreadable(String),
}

impl ServerConfiguration {
    /// Returns the digests. A part that can be read from now on is a difference; other words for why one cannot are not.
    #[must_use]
    pub fn digests(&self) -> ConfigurationDigests {
        let unread: Vec<&String> = self.unread.keys().collect();
        ConfigurationDigests {
            parts: digest_of(&json!({ "version": 1, "parts": self.parts, "unread": unread })),
            passwords: self.passwords.as_ref().map(|passwords| digest_of(&json!(passwords))),
        }
    }
}

impl ConfigurationDigests {
    /// Returns the digest of a configuration as a whole: the server's parts, its passwords where they are backed up
    /// too, and the policies by address.
    #[must_use]
    pub fn whole(&self, with_passwords: bool, policies: &BTreeMap<Address, Digest>) -> Digest {
        let policies: BTreeMap<String, Digest> = policies.iter().map(|(a, digest)| (a.to_string(), *digest)).collect();
        let passwords = self.passwords.filter(|_| with_passwords);
        digest_of(&json!({ "version": 1, "parts": self.parts, "passwords": passwords, "policies": policies }))
    }
}

/// Stands where something could have been a secret.
pub const MASKED: &str = "(left out: it may be a secret)";

/// Returns whether a setting may hold a secret: by its name, or by a password inside its text. Takes rather too much
/// for one than too little.
#[must_use]
pub fn is_secret(name: &str, setting: &str) -> bool {
    let name = name.to_ascii_lowercase();
    // The server's own settings with such words in their names hold files, numbers and methods.
    const PLAIN: [&str; 12] = [
        "password_encryption",
        "ssl_key_file",
        "krb_server_keyfile",
        "authentication_timeout",
        "scram_iterations",
        "ssl_passphrase_command",
        "ssl_passphrase_command_supports_reload",
        "gss_accept_delegation",
        "jit_tuple_deforming",
        "enable_group_by_reordering",
        "log_parser_stats",
        "md5_password_warnings",
    ];
    let text = setting.to_ascii_lowercase();
    let inside = ["password=", "password =", "passwd=", "secret=", "token=", "pgpassword", "age-secret-key"];
    let in_url = text.split("://").skip(1).any(|rest| {
        let authority = rest.split(['/', ' ', '\'', '"']).next().unwrap_or_default();
        authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'))
    });
    let words = ["passw", "secret", "token", "_key", ".key", "apikey", "credential", "private"];
    (!PLAIN.contains(&name.as_str()) && words.iter().any(|word| name.contains(word)))
        || inside.iter().any(|word| text.contains(word))
        || in_url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_a_secret_is_told_by_its_name_or_its_text() {
        for (name, setting) in [
            ("app.jwt_secret", "abc"),
            ("primary_conninfo", "host=a password=geheim"),
            ("archive_command", "curl https://me:geheim@host/%f"),
            ("restore_command", "PGPASSWORD=geheim psql"),
            ("ldapbindpasswd", "geheim"),
            ("my.api_token", "t"),
        ] {
            assert!(is_secret(name, setting), "{name}");
        }
        for (name, setting) in [
            ("password_encryption", "scram-sha-256"),
            ("ssl_key_file", "server.key"),
            ("archive_command", "cp %p s3://bucket/%f"),
            ("work_mem", "4096"),
            ("search_path", "public"),
        ] {
            assert!(!is_secret(name, setting), "{name}");
        }
    }

    fn reading(roles: Value, unread: &[(&str, &str)]) -> ServerConfiguration {
        ServerConfiguration {
            parts: BTreeMap::from([("roles".to_owned(), roles)]),
            unread: unread.iter().map(|(what, why)| ((*what).to_owned(), (*why).to_owned())).collect(),
            passwords: Some(BTreeMap::from([("app".to_owned(), "aa".to_owned())])),
        }
    }

    #[test]
    fn only_content_makes_a_difference() {
        let one = reading(json!([{ "name": "app", "superuser": false }]), &[("hba", "permission denied")]).digests();
        let same = reading(json!([{ "superuser": false, "name": "app" }]), &[("hba", "no rights")]).digests();
        assert_eq!(one, same);
        for other in [
            reading(json!([{ "name": "app", "superuser": true }]), &[("hba", "permission denied")]),
            reading(json!([{ "name": "app", "superuser": false }]), &[]),
        ] {
            assert_ne!(one.parts, other.digests().parts);
        }
    }

    #[test]
    fn passwords_count_only_where_they_are_backed_up() {
        let one = reading(json!([]), &[]);
        let mut other = one.clone();
        other.passwords = Some(BTreeMap::from([("app".to_owned(), "bb".to_owned())]));
        let whole = |reading: &ServerConfiguration, with| reading.digests().whole(with, &BTreeMap::new());
        assert_eq!(whole(&one, false), whole(&other, false));
        assert_ne!(whole(&one, true), whole(&other, true));
    }
}
