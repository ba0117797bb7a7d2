//! `channels` and `alerts`: where messages go, what is worth one, and who gets it. Pure.

use crate::domain::{AlertsSpec, ChannelSpec, EnvText, Name, Percent, Period, Routes, Thresholds};
use crate::policy::codes;
use crate::policy::decode::Context;
use crate::policy::record::record;
use crate::policy::text::Places;
use crate::policy::values::{Text, texts};

use super::Suspend;

record! {
    /// Where messages go: exactly one of `slack`, `email` and `webhook`.
    Channel, "a channel" {
        /// The URL of a Slack incoming webhook. It is a secret.
        #[schemars(example = "${SLACK_WEBHOOK}")]
        slack: EnvText;
        /// Addresses that mail goes to, with `smtp`.
        #[schemars(length(min = 1), example = ["devops@example.com"])]
        email: Vec<Text>;
        /// The mail server, as `smtps://user:password@host`.
        #[schemars(example = "${SMTP_URL}")]
        smtp: EnvText;
        /// The URL of a webhook of your own.
        #[schemars(example = "${PAGER_URL}")]
        webhook: EnvText;
        /// What a webhook's messages are signed with (HMAC-SHA256).
        #[schemars(example = "${PAGER_SECRET}")]
        secret: EnvText;
        /// Pauses it until a date: no message goes there.
        suspend: Suspend;
        /// Says nothing for a channel, which has nothing to delete.
        #[schemars(extend("default" = false))]
        protect: bool;
    }
}

record! {
    /// What is worth a message, and who gets it.
    Alerts, "alerts" {
        /// From when on something is worth a message.
        thresholds: Limits;
        /// Who gets messages of which severity.
        routes: Ways;
    }
}

record! {
    /// From when on something is worth a message.
    #[schemars(rename = "Thresholds")]
    Limits, "thresholds" {
        /// The share of failed runs of the last day.
        #[schemars(example = "10%")]
        failure_rate: Percent;
        /// The age of a scope's newest backup.
        #[schemars(example = "27h")]
        backup_delay: Period;
        /// The share of a store's `quota` that is used.
        #[schemars(example = "85%")]
        storage_usage: Percent;
        /// How far WAL archiving is behind.
        #[schemars(example = "5m")]
        wal_lag: Period;
    }
}

record! {
    /// Who gets messages of which severity: names of channels.
    #[schemars(rename = "Routes")]
    Ways, "routes" {
        /// Who hears of what endangers data or a recovery.
        critical: Vec<Name>;
        /// Who hears of what will, if nobody acts.
        warning: Vec<Name>;
        /// Who hears of what is worth knowing.
        info: Vec<Name>;
    }
}

impl Channel {
    /// Returns the channel; `None` where a finding says why not.
    pub fn spec(&self, places: &Places, cx: &mut Context<'_>) -> Option<ChannelSpec> {
        let kinds = ["slack", "email", "webhook"];
        let written: Vec<&str> = kinds.into_iter().filter(|key| places.has(key)).collect();
        let kind = match written.as_slice() {
            [kind] => *kind,
            other => {
                let (message, at) = match other {
                    [first, second, ..] => (format!("a channel has both `{first}` and `{second}`"), *second),
                    _ => ("a channel goes nowhere".to_owned(), ""),
                };
                let help = "keep one: `slack: \"${SLACK_WEBHOOK}\"`, `email: [...]` with `smtp`, or `webhook`";
                cx.error(codes::CONFLICT, places.get(at), message, "exactly one of three", help);
                return None;
            }
        };
        for (key, of) in [("smtp", "email"), ("secret", "webhook")] {
            if places.has(key) && kind != of {
                let message = format!("`{key}` belongs to `{of}`, and this channel is `{kind}`");
                cx.error(codes::CONFLICT, places.get(key), message, "says nothing here", "remove it");
            }
        }
        self.refuse_secrets(places, cx);
        match kind {
            "slack" => Some(ChannelSpec::Slack { url: self.slack.clone()? }),
            "webhook" => Some(ChannelSpec::Webhook { url: self.webhook.clone()?, secret: self.secret.clone() }),
            _ => {
                let to = texts(Some(self.email.as_ref()?));
                if to.is_empty() {
                    let help = "write [\"devops@example.com\"]";
                    cx.error(codes::EMPTY_LIST, places.get("email"), "this mail goes to nobody", "empty", help);
                    return None;
                }
                if let Some(index) = to.iter().position(|address| !is_address(address)) {
                    let place = places.get(&format!("email[{index}]"));
                    cx.bad_value(place, "this is no mail address", "write it as in devops@example.com");
                    return None;
                }
                if !places.has("smtp") {
                    cx.missing(places.get("email"), "smtp", "a channel of mail");
                }
                Some(ChannelSpec::Email { to, smtp: self.smtp.clone()? })
            }
        }
    }

    /// Warns of secrets that stand in the file: whoever has a Slack webhook's URL can write to the channel.
    fn refuse_secrets(&self, places: &Places, cx: &mut Context<'_>) {
        let literal = |text: &Option<EnvText>| matches!(text, Some(EnvText::Literal(_)));
        for (key, found) in [("slack", literal(&self.slack)), ("secret", literal(&self.secret))] {
            if found {
                let message = format!("`{key}` is a secret, and it stands in the file for everyone who can read it");
                let help = "make a new one, put it into an environment variable, and write \"${NAME}\"";
                cx.warning(codes::SECRET_IN_FILE, places.get(key), message, "in plain sight", help);
            }
        }
        for (key, url) in [("smtp", &self.smtp), ("webhook", &self.webhook)] {
            if let Some(EnvText::Literal(text)) = url {
                crate::policy::check::refuse_password(&format!("`{key}`"), text, places.get(key), cx);
            }
        }
    }
}

fn is_address(text: &str) -> bool {
    let parts = text.split_once('@');
    parts.is_some_and(|(who, host)| !who.is_empty() && host.contains('.') && !text.contains(char::is_whitespace))
}

impl Alerts {
    /// Fills in the defaults.
    pub fn spec(&self) -> AlertsSpec {
        let limits = self.thresholds.clone().unwrap_or_default();
        let ways = self.routes.clone().unwrap_or_default();
        AlertsSpec {
            thresholds: Thresholds {
                failure_rate: limits.failure_rate,
                backup_delay: limits.backup_delay,
                storage_usage: limits.storage_usage,
                wal_lag: limits.wal_lag,
            },
            routes: Routes {
                critical: ways.critical.unwrap_or_default(),
                warning: ways.warning.unwrap_or_default(),
                info: ways.info.unwrap_or_default(),
            },
        }
    }
}
