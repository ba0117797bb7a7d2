//! Channels and alerts as the policies want them: where messages go, what is worth one, and who gets it.

use serde::{Deserialize, Serialize};

use super::{EnvText, Name, Percent, Period};

/// Where messages go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChannelSpec {
    /// A Slack incoming webhook.
    Slack {
        /// Its URL, which is a secret.
        url: EnvText,
    },
    /// Mail.
    Email {
        /// To whom.
        to: Vec<String>,
        /// The server, as `smtps://user:password@host`.
        smtp: EnvText,
    },
    /// A webhook of one's own.
    Webhook {
        /// Its URL.
        url: EnvText,
        /// The secret that messages are signed with (HMAC-SHA256); absent: they are not.
        secret: Option<EnvText>,
    },
}

/// What is worth a message, and who gets it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AlertsSpec {
    /// From when on something is worth a message.
    pub thresholds: Thresholds,
    /// Who gets messages of which severity.
    pub routes: Routes,
}

/// From when on something is worth a message; absent: never by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Thresholds {
    /// The share of failed runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_rate: Option<Percent>,
    /// The age of the newest backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_delay: Option<Period>,
    /// The share of a store's quota that is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_usage: Option<Percent>,
    /// How far archiving is behind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wal_lag: Option<Period>,
}

/// Who gets messages: names of channels.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Routes {
    /// Of what endangers data or a recovery.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub critical: Vec<Name>,
    /// Of what will, if nobody acts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warning: Vec<Name>,
    /// Of what is worth knowing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub info: Vec<Name>,
}
