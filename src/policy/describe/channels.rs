//! What a channel and the alerts mean. Pure.

use crate::domain::{Address, AlertsSpec, ChannelSpec, EnvText, Name, Section, Use};
use crate::policy::set::PolicySet;

use super::{Description, topic, words};

/// Describes a channel.
pub(super) fn describe(set: &PolicySet, name: &Name, spec: &ChannelSpec) -> Description {
    let from = |text: &EnvText| match text {
        EnvText::Variable(variable) => format!("the environment variable {variable}"),
        EnvText::Literal(_) => "the policy file".to_owned(),
    };
    let (summary, lines) = match spec {
        ChannelSpec::Slack { url } => {
            ("Messages go to Slack.", vec![format!("the webhook's URL comes from {}", from(url))])
        }
        ChannelSpec::Email { to, smtp } => (
            "Messages go out as mail.",
            vec![format!("to {}", words::listed(to)), format!("the mail server's URL comes from {}", from(smtp))],
        ),
        ChannelSpec::Webhook { url, secret } => (
            "Messages go to a webhook.",
            vec![
                format!("its URL comes from {}", from(url)),
                match secret {
                    Some(secret) => format!("signed with HMAC-SHA256; the secret comes from {}", from(secret)),
                    None => "not signed: whoever knows the URL can send messages that look like these".to_owned(),
                },
            ],
        ),
    };
    let mut used_by = Vec::new();
    if let Some(thing) = &set.alerts {
        let routes = &thing.spec.routes;
        for (severity, names) in [("critical", &routes.critical), ("warning", &routes.warning), ("info", &routes.info)]
        {
            if names.contains(name) {
                let words = format!("{severity} alerts go here");
                used_by.push(Use { address: Address::once(Section::Alerts), words });
            }
        }
    }
    for (schedule, thing) in &set.schedules {
        let Some(notify) = &thing.spec.notify else { continue };
        let failure = notify.failure.as_ref().is_some_and(|names| names.contains(name));
        for (told, words) in
            [(notify.success.contains(name), "tells its successes here"), (failure, "tells its failures here")]
        {
            if told {
                let address = Address::of(Section::Schedule, schedule.clone());
                used_by.push(Use { address, words: words.to_owned() });
            }
        }
    }
    let nobody = if used_by.is_empty() { " Nothing sends any." } else { "" };
    Description {
        summary: format!("{summary}{nobody}"),
        topics: vec![topic("How they get there", lines)],
        used_by,
        ..Description::default()
    }
}

/// Describes the alerts, of which there are none where no file says them.
pub(super) fn alerts(spec: Option<&AlertsSpec>) -> Description {
    let Some(spec) = spec else {
        return Description {
            summary: "No file says them: nobody is told of anything.".to_owned(),
            ..Description::default()
        };
    };
    let limits = &spec.thresholds;
    let mut worth = Vec::new();
    worth.extend(limits.failure_rate.map(|share| format!("more than {share} of a day's runs failed")));
    worth.extend(limits.backup_delay.map(|age| format!("a scope's newest backup is older than {age}")));
    worth.extend(limits.storage_usage.map(|share| format!("more than {share} of a store's quota is used")));
    worth.extend(limits.wal_lag.map(|lag| format!("archiving of WAL is more than {lag} behind")));
    let told = |severity: &str, names: &[Name]| match names {
        [] => format!("{severity}: nobody"),
        names => format!("{severity}: {}", words::addresses("channel", &names.iter().collect::<Vec<_>>())),
    };
    let routes = &spec.routes;
    Description {
        summary: "What is worth a message, and who gets it.".to_owned(),
        topics: vec![
            topic("What is worth a message", worth),
            topic(
                "Who gets it",
                vec![told("critical", &routes.critical), told("warning", &routes.warning), told("info", &routes.info)],
            ),
        ],
        ..Description::default()
    }
}
