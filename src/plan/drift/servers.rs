//! What a server is set to, against what the policies need of it, and whether a promised standby follows.

use std::collections::BTreeMap;

use super::View;
use crate::domain::{
    Address, DatabaseSpec, DriftFinding, DriftKind, DriftSeverity, Engine, Method, Name, Observation, Period, Plan,
    Section, ServerSetting, ServerSigns, Standby,
};

/// Tells for each database whose server was read.
pub fn plan(view: &View<'_>, draft: &mut Plan) {
    for (name, spec) in &view.desired.databases {
        let address = Address::of(Section::Database, name.clone());
        let Some(signs) = view.observed.signs.servers.get(name) else { continue };
        let mut tell = |finding: DriftFinding| draft.findings.push(finding);
        settings(view, name, spec, signs, &address, &mut tell);
        standbys(view, name, spec, signs, &address, &mut tell);
    }
}

/// What a setting must be.
struct Need {
    name: &'static str,
    /// Whether a value will do.
    will_do: fn(&str) -> bool,
    /// What it should be, as it is written in `ALTER SYSTEM`.
    wanted: String,
    /// Why.
    because: &'static str,
    /// Whether the server must be restarted for it.
    restart: bool,
}

fn settings(
    view: &View<'_>,
    name: &Name,
    spec: &DatabaseSpec,
    signs: &ServerSigns,
    address: &Address,
    tell: &mut impl FnMut(DriftFinding),
) {
    let needs = needs(view, name, spec);
    if needs.is_empty() && spec.wal.is_none() {
        return;
    }
    let found = match &signs.settings {
        Observation::Known(found) => found,
        Observation::Unreachable(why) => {
            let words = format!("its server's settings could not be read: {why}");
            tell(DriftFinding::new(address.clone(), DriftKind::ServerUnread, words, "see why, and plan again"));
            return;
        }
    };
    for need in &needs {
        match found.get(need.name) {
            Some(setting) if (need.will_do)(&setting.value) => waits(need.name, setting, address, tell),
            Some(setting) => differs(need, setting, address, tell),
            None => {
                let words = format!("the server does not say its `{}`, which {} needs", need.name, need.because);
                let help = "grant bkup's role pg_read_all_settings; a server of an older version does not have it";
                tell(DriftFinding::new(address.clone(), DriftKind::ServerUnread, words, help));
            }
        }
    }
    if let Some(wal) = &spec.wal {
        archiver(found, address, tell);
        archive_timeout(found, wal.archive_timeout, address, tell);
    }
}

/// What the policies need of a server's settings.
fn needs(view: &View<'_>, name: &Name, spec: &DatabaseSpec) -> Vec<Need> {
    let engine = |engine| view.desired.schedules.values().any(|s| s.engine == engine && s.databases.contains(name));
    let (base, incremental) = (engine(Engine::Physical), engine(Engine::Incremental));
    let mut needs = Vec::new();
    if base || incremental || spec.wal.is_some() {
        needs.push(Need {
            name: "wal_level",
            will_do: |value| value != "minimal",
            wanted: "'replica'".to_owned(),
            because: if spec.wal.is_some() { "`wal`" } else { "a physical backup" },
            restart: true,
        });
    }
    if base || incremental {
        needs.push(Need {
            name: "max_wal_senders",
            will_do: |value| value.parse::<u32>().is_ok_and(|senders| senders > 0),
            wanted: "10".to_owned(),
            because: "a physical backup",
            restart: true,
        });
    }
    if incremental {
        needs.push(Need {
            name: "summarize_wal",
            will_do: |value| value == "on",
            wanted: "on".to_owned(),
            because: "an incremental backup",
            restart: false,
        });
    }
    if spec.wal.is_some() {
        needs.push(Need {
            name: "archive_mode",
            will_do: |value| matches!(value, "on" | "always"),
            wanted: "on".to_owned(),
            because: "`wal`",
            restart: true,
        });
    }
    needs
}

fn differs(need: &Need, setting: &ServerSetting, address: &Address, tell: &mut impl FnMut(DriftFinding)) {
    let value = if setting.value.is_empty() { "empty" } else { &setting.value };
    let waits = if setting.pending_restart { ", and a change of it waits for a restart" } else { "" };
    let words = format!("`{}` of its server is {value}, which does not do for {}{waits}", need.name, need.because);
    let then = if need.restart { "restart the server" } else { "reload its configuration" };
    let help = format!("`ALTER SYSTEM SET {} = {};`, then {then}", need.name, need.wanted);
    tell(DriftFinding::new(address.clone(), DriftKind::ServerSetting, words, help));
}

/// A setting that will do now and would not after the restart that somebody prepared, or the other way round.
fn waits(name: &str, setting: &ServerSetting, address: &Address, tell: &mut impl FnMut(DriftFinding)) {
    if setting.pending_restart {
        let words =
            format!("a change of `{name}` of its server waits for a restart; until then it is {}", setting.value);
        let help = "see what was written to the configuration, then restart the server";
        let finding = DriftFinding::new(address.clone(), DriftKind::ServerSetting, words, help);
        tell(finding);
    }
}

fn archiver(found: &BTreeMap<String, ServerSetting>, address: &Address, tell: &mut impl FnMut(DriftFinding)) {
    let filled = |name: &str| found.get(name).map(|setting| !matches!(setting.value.as_str(), "" | "(disabled)"));
    match (filled("archive_command"), filled("archive_library")) {
        (Some(true), _) | (_, Some(true)) => {}
        (None, _) => {
            let words = "the server does not say its `archive_command`, which `wal` needs";
            let help = "grant bkup's role pg_read_all_settings";
            tell(DriftFinding::new(address.clone(), DriftKind::ServerUnread, words, help));
        }
        (Some(false), _) => {
            let words = "`archive_command` of its server is empty: no WAL is archived, and it piles up";
            let help = "set `archive_command`, or remove `wal` from the policy";
            tell(DriftFinding::new(address.clone(), DriftKind::ServerSetting, words, help));
        }
    }
}

fn archive_timeout(
    found: &BTreeMap<String, ServerSetting>,
    wanted: Period,
    address: &Address,
    tell: &mut impl FnMut(DriftFinding),
) {
    let Some(seconds) = found.get("archive_timeout").and_then(|setting| setting.value.parse::<i64>().ok()) else {
        return;
    };
    if (1..=wanted.as_seconds()).contains(&seconds) {
        return;
    }
    let is = match seconds {
        0 => "off: a segment waits until it is full".to_owned(),
        seconds => format!("{}, longer than the {wanted} of the policy", Period::seconds(seconds)),
    };
    let help =
        format!("`ALTER SYSTEM SET archive_timeout = '{}s';`, then reload its configuration", wanted.as_seconds());
    let words = format!("`archive_timeout` of its server is {is}");
    tell(DriftFinding::new(address.clone(), DriftKind::ServerSetting, words, help));
}

fn standbys(
    view: &View<'_>,
    name: &Name,
    spec: &DatabaseSpec,
    signs: &ServerSigns,
    address: &Address,
    tell: &mut impl FnMut(DriftFinding),
) {
    let Some((promise, rpo)) = promised(view, name, spec) else { return };
    let standbys = match &signs.standbys {
        Observation::Known(standbys) => standbys,
        Observation::Unreachable(why) => {
            let words = format!("{promise} promises a hot standby, and who follows is not known: {why}");
            let help = "grant bkup's role pg_monitor";
            tell(DriftFinding::new(address.clone(), DriftKind::ServerUnread, words, help));
            return;
        }
    };
    if standbys.is_empty() {
        let words = format!("{promise} promises a hot standby, and none follows its server");
        let help = "start one, or promise `warm_standby` or `cold_backup`; bkup observes standbys and provides none";
        tell(DriftFinding::new(address.clone(), DriftKind::StandbyMissing, words, help));
        return;
    }
    let best = standbys.iter().filter_map(|standby| Some((behind(standby)?, standby))).min_by_key(|(lag, _)| *lag);
    match (best, rpo) {
        (Some((lag, standby)), Some(rpo)) if lag > rpo => {
            let bytes = standby.bytes.map_or(String::new(), |bytes| format!(", {bytes} of log"));
            let words = format!(
                "{promise} promises to lose no more than {rpo}, and the nearest standby `{}` is {lag} behind{bytes}",
                standby.name
            );
            let help = "see why it does not keep up: its disk, the network, or a long query on it";
            let finding = DriftFinding::new(address.clone(), DriftKind::StandbyBehind, words, help);
            tell(finding.as_severe_as(DriftSeverity::Error));
        }
        (Some(_), _) => {}
        (None, _) => {
            let words = format!("{promise} promises a hot standby, and how far it is behind is not known");
            let help = "an idle server says nothing of it; look again while it is written to";
            tell(DriftFinding::new(address.clone(), DriftKind::ServerUnread, words, help));
        }
    }
}

/// How far a standby is behind: one that has replayed everything is not, whatever the clock says.
fn behind(standby: &Standby) -> Option<Period> {
    match (standby.lag, standby.bytes) {
        (_, Some(bytes)) if bytes.0 == 0 => Some(Period::seconds(0)),
        (lag, _) => lag,
    }
}

/// Returns who promises a hot standby for a database, and the shortest of their objectives.
fn promised(view: &View<'_>, name: &Name, spec: &DatabaseSpec) -> Option<(String, Option<Period>)> {
    let own = spec.objectives.filter(|objectives| objectives.method == Method::HotStandby);
    let own = own.map(|objectives| (format!("database.{name}"), objectives.rpo));
    let used = |class: &Name| view.tenants(name).iter().any(|(_, of)| of.as_ref() == Some(class));
    let classes =
        view.desired.classes.iter().filter(|(class, spec)| spec.objectives.method == Method::HotStandby && used(class));
    let classes = classes.map(|(class, spec)| (format!("class.{class}"), spec.objectives.rpo));
    own.into_iter().chain(classes).min_by_key(|(_, rpo)| rpo.map_or(i64::MAX, |rpo| rpo.as_seconds()))
}
