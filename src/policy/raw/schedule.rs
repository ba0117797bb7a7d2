//! `schedules`: what is backed up when. Pure.

use crate::domain::{
    self, BackupType, CivilTime, Compression, DayRule, Engine, Frequency, Name, Period, TenantFilter, Timing, ZoneName,
};
use crate::policy::codes;
use crate::policy::decode::{Context, Decode};
use crate::policy::record::{record, words};
use crate::policy::text::{Kind, Node, Places, shown, similar};
use crate::policy::values::{OneOrMany, Text};
use crate::schedule::Calendar;

use crate::diag::Explain;

use super::{Retention, Suspend};

record! {
    /// What is backed up when, where to, and how long it is kept.
    Schedule, "a schedule" {
        /// Which databases. Needed but for `backup: files`.
        #[schemars(length(min = 1))]
        databases: Vec<Name>;
        /// What of them: the whole cluster, one database, each tenant by itself, files, or roles, settings and policies.
        backup: BackupType, required;
        /// How: `logical` is `pg_dump`, one custom-format archive each; `physical` a base backup of the cluster;
        /// `incremental` what changed since the backup before. Default: physical for `full_system`, else logical.
        engine: Engine;
        /// The schedule whose base backups an incremental one builds on.
        base: Name;
        /// After how many incremental backups a new base is needed.
        #[schemars(range(min = 1, max = 10000), extend("default" = 24))]
        max_chain: u32;
        /// Which tenants, for `backup: tenant_data`.
        #[schemars(extend("default" = "all"))]
        tenants: TenantsRef;
        /// Which tables, for `backup: database`: globs over `schema.table`. Default: all.
        #[schemars(length(min = 1), example = ["public.tickets", "public.ticket_*"])]
        tables: Vec<Text>;
        /// Whether the passwords of roles go in, for `backup: configuration`: their hashes, which whoever can read the
        /// backup can try to guess. Only into a store with encryption.
        #[schemars(extend("default" = false))]
        passwords: bool;
        /// Which files, for `backup: files`: globs over absolute paths.
        #[schemars(length(min = 1), example = ["/srv/uploads/**"])]
        paths: Vec<Text>;
        /// Which of these files are left out: globs.
        #[schemars(example = ["**/*.tmp"])]
        exclude: Vec<Text>;
        /// When: `frequency` with `time` and `days`, or `cron`, or `every`, or `on`.
        when: When, required;
        /// How late a missed slot is still run, before it is reported missed. Default: the smaller of 1h and half the
        /// gap between two slots.
        start_within: Period;
        /// A retention rule, by name or written out here.
        retention: RetentionRef, required;
        /// The store that it goes to.
        store: Name, required;
        /// How it is compressed.
        #[schemars(extend("default" = "zstd:3"))]
        compression: Compression;
        /// How many programs run at once.
        #[schemars(range(min = 1, max = 64), extend("default" = 1))]
        max_parallel_jobs: u32;
        /// Who hears of its runs.
        notify: Notify;
        /// Pauses it until a date: nothing is made of it and nothing of it is deleted.
        suspend: Suspend;
        /// Whether nothing of it is ever deleted. To delete, take this away in an apply of its own first.
        #[schemars(extend("default" = false))]
        protect: bool;
    }
}

record! {
    /// Who hears of a schedule's runs: names of channels.
    Notify, "notify" {
        /// When a run succeeded. Default: nobody.
        success: Vec<Name>;
        /// When one failed. Default: where critical alerts go.
        failure: Vec<Name>;
    }
}

words!(BackupType, "BackupType", "a kind of backup" {
    /// The whole cluster with every database.
    "full_system" => BackupType::FullSystem,
    /// One database, or some of its tables.
    "database" => BackupType::Database,
    /// Each tenant's schema by itself.
    "tenant_data" => BackupType::TenantData,
    /// Files of this machine.
    "files" => BackupType::Files,
    /// Roles and globals, settings, extensions, and the policies.
    "configuration" => BackupType::Configuration,
});

words!(Engine, "Engine", "an engine" {
    /// `pg_dump`: can be restored into another version, and in part.
    "logical" => Engine::Logical,
    /// A base backup of the cluster: fast to restore, and the begin of point-in-time recovery.
    "physical" => Engine::Physical,
    /// What changed since the backup before; needs `base`.
    "incremental" => Engine::Incremental,
});

record! {
    /// When something runs: `frequency` with `time` and `days`, or `cron`, or `every`, or `on`.
    When, "when" {
        /// How often a calendar rule comes round.
        frequency: Frequency;
        /// The time of day of each slot; for `hourly` only its minute counts.
        #[schemars(extend("default" = "00:00"))]
        time: CivilTime;
        /// Which days: `sun`, `sun#1` for the first Sunday of the month, `15`, `last`. Default: every day, Monday, or
        /// the first of the month.
        #[schemars(length(min = 1))]
        days: Vec<Day>;
        /// A cron expression with five fields.
        #[schemars(example = "0 */6 * * *")]
        cron: Text;
        /// At this distance, counted from midnight; a day and longer from 1 January 1970.
        every: Period;
        /// `request`: only when somebody asks for it with `bkup backup`. `change`: when the configuration differs from
        /// that of the newest backup, for `backup: configuration`.
        on: Occasion;
        /// The zone whose calendar and clock the rule is read on.
        #[schemars(extend("default" = "UTC"))]
        timezone: ZoneName;
    }
}

words!(Frequency, "Frequency", "a frequency" {
    /// Every hour, at the minute of `time`.
    "hourly" => Frequency::Hourly,
    /// Every day.
    "daily" => Frequency::Daily,
    /// Every week, on Monday or on `days`.
    "weekly" => Frequency::Weekly,
    /// Every month, on the first or on `days`.
    "monthly" => Frequency::Monthly,
    /// Every quarter, on the first or on `days`.
    "quarterly" => Frequency::Quarterly,
    /// Every year, on the first or on `days`.
    "yearly" => Frequency::Yearly,
});

/// What a schedule without a calendar waits for.
#[derive(Debug, Clone, Copy)]
pub(in crate::policy) enum Occasion {
    Request,
    Change,
}

words!(Occasion, "Occasion", "an occasion" {
    /// Only when somebody runs `bkup backup NAME`.
    "request" => Occasion::Request,
    /// Just before a change of the configuration is applied.
    "change" => Occasion::Change,
});

/// One entry of `days`.
#[derive(Debug, Clone, Copy)]
pub(in crate::policy) struct Day(DayRule);

const WEEKDAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

impl Decode for Day {
    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let text = cx.written(node, "a day")?;
        let weekday =
            |word: &str| WEEKDAYS.iter().position(|day| *day == word).and_then(|at| i8::try_from(at + 1).ok());
        let rule = if text == "last" {
            Some(DayRule::LastDay)
        } else if let Some((word, nth)) = text.split_once('#') {
            weekday(word).zip(nth.parse().ok()).map(|(weekday, nth)| DayRule::NthWeekday { weekday, nth })
        } else if text.bytes().all(|b| b.is_ascii_digit()) && text.len() <= 2 && !text.starts_with('0') {
            text.parse().ok().map(DayRule::MonthDay)
        } else {
            weekday(text).map(DayRule::Weekday)
        };
        if rule.is_none() {
            let help = match similar(text.get(..3).unwrap_or(text), WEEKDAYS) {
                Some(guess) => format!("did you mean `{guess}`?"),
                None => "write mon to sun, \"sun#1\" for the first Sunday of the month, 1 to 31, or last".to_owned(),
            };
            cx.bad_value(node.place, format!("`{}` is not a day", shown(text)), help);
        }
        rule.map(Self)
    }
}

impl schemars::JsonSchema for Day {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Day".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "anyOf": [
                {
                    "type": "string",
                    "description": "A weekday, the n-th such weekday of the month, or the last day of the month.",
                    "pattern": "^((mon|tue|wed|thu|fri|sat|sun)(#[1-5])?|last)$",
                    "examples": ["sun", "sun#1", "last"]
                },
                {
                    "type": "integer",
                    "description": "A day of the month.",
                    "minimum": 1,
                    "maximum": 31,
                    "examples": [15]
                }
            ]
        })
    }
}

/// A retention rule, by name or written out.
#[derive(Debug, Clone, schemars::JsonSchema)]
#[schemars(untagged, inline)]
pub(in crate::policy) enum RetentionRef {
    /// The name of a rule under `retention`.
    Name(Name),
    /// A rule of its own.
    Rule(Retention),
}

impl Decode for RetentionRef {
    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        match &node.kind {
            Kind::Scalar { text, .. } if text.parse::<Period>().is_ok() => {
                let message =
                    format!("`{}` wants a rule or the name of one, and {} is a duration", cx.key(), shown(text));
                cx.bad_value(node.place, message, format!("write `retention: {{ within: {} }}`", shown(text)));
                None
            }
            Kind::Scalar { .. } => Name::decode(node, cx).map(Self::Name),
            Kind::Map(_) => Retention::decode(node, cx).map(Self::Rule),
            _ => {
                cx.wrong_kind(
                    node,
                    "the name of a retention rule, or a rule",
                    "write `retention: gfs` or `retention: { daily: 7 }`",
                );
                None
            }
        }
    }
}

/// Which tenants a schedule is for: `all`, a list of globs over slugs, or `{ class: ... }`.
#[derive(Debug, Clone, schemars::JsonSchema)]
#[schemars(untagged, inline)]
pub(in crate::policy) enum TenantsRef {
    /// All.
    All(All),
    /// Those whose slug matches one of these globs.
    Slugs(Vec<Text>),
    /// Those of a class or of several.
    Classes(OfClasses),
}

/// The word `all`.
#[derive(Debug, Clone, Copy)]
pub(in crate::policy) struct All;

words!(All, "All", "the word for every tenant" {
    /// Every tenant.
    "all" => All,
});

record! {
    /// The tenants of a class, or of several.
    OfClasses, "a choice of tenants" {
        /// The class, or a list of classes.
        class: OneOrMany<Name>, required;
    }
}

impl Decode for TenantsRef {
    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        match &node.kind {
            Kind::List(_) => Vec::decode(node, cx).map(Self::Slugs),
            Kind::Map(_) => OfClasses::decode(node, cx).map(Self::Classes),
            _ => All::decode(node, cx).map(Self::All),
        }
    }
}

impl TenantsRef {
    /// Returns the filter; `None` where it could not be read.
    pub fn spec(&self, path: &str, places: &Places, cx: &mut Context<'_>) -> Option<TenantFilter> {
        let filter = match self {
            Self::All(_) => TenantFilter::All,
            Self::Slugs(globs) => TenantFilter::Slugs(globs.iter().map(|glob| glob.0.clone()).collect()),
            Self::Classes(of) => TenantFilter::Classes(of.class.clone()?.list()),
        };
        let empty = match &filter {
            TenantFilter::All => false,
            TenantFilter::Classes(names) => names.is_empty(),
            TenantFilter::Slugs(globs) => globs.is_empty(),
        };
        if empty {
            cx.error(
                codes::EMPTY_LIST,
                places.get(path),
                "`tenants` names nobody",
                "empty",
                "name a class or a glob, or remove the key for all tenants",
            );
            return None;
        }
        Some(filter)
    }
}

impl When {
    /// Returns the rule and the default of `start_within`; `None` where a finding says why not.
    pub fn spec(&self, path: &str, places: &Places, cx: &mut Context<'_>) -> Option<(domain::When, Period)> {
        let place = |key: &str| places.get(&format!("{path}.{key}"));
        let kinds = ["frequency", "cron", "every", "on"];
        let written: Vec<&str> = kinds.into_iter().filter(|key| places.has(&format!("{path}.{key}"))).collect();
        if written.len() != 1 {
            let help = "keep one: `frequency: daily` with `time`, `cron: \"0 2 * * *\"`, `every: 6h`, or `on: request`";
            let (message, label) = match written.as_slice() {
                [] => ("`when` does not say when".to_owned(), "nothing that says when"),
                [first, second, ..] => (format!("`when` has both `{first}` and `{second}`"), "one of them is too much"),
                [_] => return None,
            };
            let at = written.get(1).map_or_else(|| places.get(path), |key| place(key));
            cx.error(codes::CONFLICT, at, message, label, help);
            return None;
        }
        if written[0] != "frequency" {
            for key in ["time", "days"].into_iter().filter(|key| places.has(&format!("{path}.{key}"))) {
                let message = format!("`{key}` belongs to `frequency`, and this rule has `{}`", written[0]);
                cx.error(
                    codes::CONFLICT,
                    place(key),
                    message,
                    "says nothing here",
                    format!("remove `{key}`, or use `frequency` instead of `{}`", written[0]),
                );
            }
        }
        let timing = if let Some(frequency) = self.frequency {
            if places.has(&format!("{path}.days")) && self.days.is_none()
                || places.has(&format!("{path}.time")) && self.time.is_none()
            {
                return None;
            }
            if self.days.as_ref().is_some_and(Vec::is_empty) {
                let help = "name the days, as in [sun], or remove the key for the frequency's own";
                cx.error(codes::EMPTY_LIST, place("days"), "`days` names no day", "empty", help);
                return None;
            }
            let days = self.days.iter().flatten().map(|day| day.0).collect();
            Timing::Calendar { frequency, time: self.time.unwrap_or_default(), days }
        } else if let Some(cron) = &self.cron {
            Timing::Cron { expression: cron.0.clone() }
        } else if let Some(period) = self.every {
            Timing::Every { period }
        } else {
            self.on.map(|occasion| match occasion {
                Occasion::Request => Timing::OnRequest,
                Occasion::Change => Timing::OnChange,
            })?
        };
        if places.has(&format!("{path}.timezone")) && self.timezone.is_none() {
            return None;
        }
        let when = domain::When { timing, timezone: self.timezone.clone().unwrap_or_default() };
        match Calendar::new(&when) {
            Ok(calendar) => Some((when, calendar.default_start_within())),
            Err(error) => {
                let finding = error.explain();
                let at = if places.has(&format!("{path}.days")) { place("days") } else { place(written[0]) };

                cx.tell(finding, at, "this rule");
                None
            }
        }
    }
}
