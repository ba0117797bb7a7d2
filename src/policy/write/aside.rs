//! What stands beside the core of a policy, as lines: how stores encrypt and promise, channels, alerts, pauses. Pure.

use crate::domain::{
    AlertsSpec, Bytes, ChannelSpec, EnvText, LockHold, LockMode, Replica, ServerSide, StoreSpec, Suspension,
};

use super::spec::env_text;
use super::{Line, Value, variable};

/// Returns the lines of a store's `encryption`.
pub(super) fn encryption(spec: &StoreSpec) -> Vec<Line> {
    let mut lines = Vec::new();
    if let Some(encryption) = &spec.encryption {
        lines.push(Line::new("recipients", Value::words(&encryption.recipients)));
        if let Some(identity) = &encryption.identity {
            lines.push(Line::new("identity", secret(identity, "BKUP_AGE_IDENTITY")));
        }
        if encryption.per_tenant_keys {
            lines.push(Line::new("per_tenant_keys", Value::word(true)));
        }
    }
    match &spec.server_side {
        Some(ServerSide::Aes256) => lines.push(Line::new("server_side", Value::word("aes256"))),
        Some(ServerSide::KmsKey(key)) => {
            lines.push(Line::new("server_side", Value::Inline(vec![("kms_key", Value::text(key))])));
        }
        None => {}
    }
    if let Some(key) = &spec.signing_key {
        lines.push(Line::new("signing_key", secret(key, "BKUP_SIGNING_KEY")));
    }
    lines
}

/// Returns the lines of what a store promises of its objects.
pub(super) fn promises(spec: &StoreSpec) -> Vec<Line> {
    let mut lines = Vec::new();
    if let Some(lock) = &spec.object_lock {
        let mode = match lock.mode {
            LockMode::Governance => "governance",
            LockMode::Compliance => "compliance",
        };
        let hold = match lock.hold {
            LockHold::Retention => ("until", Value::word("retention")),
            LockHold::For(period) => ("for", Value::word(period)),
        };
        lines.push(Line::new("object_lock", Value::Inline(vec![("mode", Value::word(mode)), hold])));
    }
    if spec.versioning_required {
        lines.push(Line::new("versioning", Value::word("required")));
    }
    if spec.manage {
        lines.push(Line::new("manage", Value::word(true)));
    }
    if !spec.replicate_to.is_empty() {
        let one = |replica: &Replica| {
            let mut entries = vec![("store", Value::text(replica.store.as_str()))];
            if let Some(lag) = replica.max_lag {
                entries.push(("max_lag", Value::word(lag)));
            }
            Value::Inline(entries)
        };
        lines.push(Line::new("replicate_to", Value::List(spec.replicate_to.iter().map(one).collect())));
    }
    if let Some(verify) = &spec.verify {
        let all = [("exists", verify.exists), ("checksum", verify.checksum)];
        let entries = all.into_iter().filter_map(|(key, period)| Some((key, Value::word(period?)))).collect();
        lines.push(Line::new("verify", Value::Inline(entries)));
    }
    if let Some(quota) = spec.quota {
        // The short form, where it says the same.
        let short = quota.to_string();
        let same = short.parse::<Bytes>().is_ok_and(|bytes| bytes == quota);
        lines.push(Line::new("quota", Value::quoted(&if same { short } else { format!("{}B", quota.0) })));
    }
    lines
}

/// Returns a secret by its variable. One that stood in a policy itself is not written again; a path to one is none.
fn secret(text: &EnvText, usual: &str) -> Value {
    match text {
        EnvText::Variable(_) => env_text(text),
        EnvText::Literal(path) if path.starts_with('/') => Value::text(path),
        EnvText::Literal(_) => variable(usual),
    }
}

/// Returns a channel's lines; `name` begins the variables of what stood in a policy itself.
pub(in crate::policy) fn channel_lines(spec: &ChannelSpec, name: &str) -> Vec<Line> {
    match spec {
        ChannelSpec::Slack { url } => vec![Line::new("slack", secret(url, &format!("{name}_WEBHOOK")))],
        ChannelSpec::Email { to, smtp } => vec![
            Line::new("email", Value::List(to.iter().map(|address| Value::text(address)).collect())),
            Line::new("smtp", secret(smtp, &format!("{name}_SMTP_URL"))),
        ],
        ChannelSpec::Webhook { url, secret: key } => {
            let mut lines = vec![Line::new("webhook", secret(url, &format!("{name}_URL")))];
            if let Some(key) = key {
                lines.push(Line::new("secret", secret(key, &format!("{name}_SECRET"))));
            }
            lines
        }
    }
}

/// Returns the lines of `alerts`.
pub(in crate::policy) fn alerts_lines(spec: &AlertsSpec) -> Vec<Line> {
    let limits = &spec.thresholds;
    let mut entries = Vec::new();
    if let Some(rate) = limits.failure_rate {
        entries.push(("failure_rate", Value::word(rate)));
    }
    if let Some(delay) = limits.backup_delay {
        entries.push(("backup_delay", Value::word(delay)));
    }
    if let Some(usage) = limits.storage_usage {
        entries.push(("storage_usage", Value::word(usage)));
    }
    if let Some(lag) = limits.wal_lag {
        entries.push(("wal_lag", Value::word(lag)));
    }
    let mut lines = Vec::new();
    if !entries.is_empty() {
        lines.push(Line::new("thresholds", Value::Inline(entries)));
    }
    let routes = &spec.routes;
    let routes = [("critical", &routes.critical), ("warning", &routes.warning), ("info", &routes.info)];
    let routes = routes.into_iter().filter(|(_, names)| !names.is_empty());
    let routes: Vec<_> = routes.map(|(key, names)| (key, Value::words(names))).collect();
    if !routes.is_empty() {
        lines.push(Line::new("routes", Value::Inline(routes)));
    }
    lines
}

/// Returns the lines of what any thing may carry.
pub(in crate::policy) fn mark_lines(suspended: Option<&Suspension>, protected: bool) -> Vec<Line> {
    let mut lines = Vec::new();
    if let Some(pause) = suspended {
        let mut entries = vec![("until", Value::Quoted(pause.until.to_string()))];
        if let Some(reason) = &pause.reason {
            entries.push(("reason", Value::text(reason)));
        }
        lines.push(Line::new("suspend", Value::Inline(entries)));
    }
    if protected {
        lines.push(Line::new("protect", Value::word(true)));
    }
    lines
}
