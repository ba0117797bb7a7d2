//! The values of test files that policies do not have: instants and days, addresses, scopes, and any value with its
//! place. Pure.

use std::borrow::Cow;

use jiff::civil::Date;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::domain::{self, HeldReason, Instant, Section};
use crate::policy::decode::{Context, Decode};
use crate::policy::record::{head, words};
use crate::policy::text::{Kind, Meaning, Node, Place, Places, shown, similar};

/// A value, where it is written, and the places inside it: a key whose value is wrong is not an absent one.
#[derive(Debug, Clone)]
pub(super) struct At<T> {
    /// Where.
    pub place: Place,
    /// What is written inside it.
    pub places: Places,
    /// The value.
    pub value: T,
}

impl<T: Decode> Decode for At<T> {
    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        // A mapping on one line is shown whole, a longer one by its first key.
        let text = cx.sources.text(node.place.file).get(node.place.begin..node.place.end).unwrap_or_default();
        let place = if text.trim_end().contains('\n') { head(node) } else { node.place };
        T::decode(node, cx).map(|value| Self { place, places: Places::of(node, place), value })
    }
}

impl<T: JsonSchema> JsonSchema for At<T> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<T>()
    }
}

/// An instant, as RFC 3339 or on the clock of a zone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment(pub Instant);

fn instant(text: &str) -> Option<Instant> {
    text.parse::<Instant>().ok().or_else(|| text.parse::<jiff::Zoned>().ok().map(|zoned| zoned.timestamp()))
}

impl Decode for Moment {
    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let text = cx.written(node, "an instant")?.to_owned();
        let moment = instant(&text).map(Self);
        if moment.is_none() {
            let day = text.parse::<Date>().ok().filter(|_| text.len() == "2026-01-15".len());
            let help = match day {
                Some(day) => format!("say the time, too: {day}T03:00:00Z"),
                None => "write 2026-01-15T03:00:00Z, or \"2026-03-29T01:30[Europe/Berlin]\"".to_owned(),
            };
            cx.bad_value(node.place, format!("`{}` wants an instant, and `{}` is none", cx.key(), shown(&text)), help);
        }
        moment
    }
}

impl JsonSchema for Moment {
    fn schema_name() -> Cow<'static, str> {
        "Instant".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "An instant with its offset, or a civil time with its zone.",
            "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ].+$",
            "examples": ["2026-12-15T03:00:00Z", "2026-03-29T01:30[Europe/Berlin]"]
        })
    }
}

/// A day of a schedule's calendar, or an instant.
#[derive(Debug, Clone, Copy)]
pub(super) enum Edge {
    /// The whole day, in the zone of the schedule.
    Day(Date),
    /// An instant.
    Instant(Instant),
}

impl Decode for Edge {
    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let text = cx.written(node, "a day or an instant")?.to_owned();
        let day = || text.parse::<Date>().ok().filter(|_| text.len() == "2026-01-15".len()).map(Self::Day);
        let edge = day().or_else(|| instant(&text).map(Self::Instant));
        if edge.is_none() {
            let message = format!("`{}` wants a day or an instant, and `{}` is none", cx.key(), shown(&text));
            cx.bad_value(node.place, message, "write 2026-01-15 or 2026-01-15T03:00:00Z");
        }
        edge
    }
}

impl JsonSchema for Edge {
    fn schema_name() -> Cow<'static, str> {
        "DayOrInstant".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A whole day on the calendar of the schedule's zone, or an instant.",
            "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ].+)?$",
            "examples": ["2026-01-15", "2026-01-15T03:00:00Z"]
        })
    }
}

/// The address of a policy thing.
#[derive(Debug, Clone)]
pub(super) struct Address(pub domain::Address);

impl Decode for Address {
    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let text = cx.written(node, "an address")?.to_owned();
        let address = text.parse().ok().map(Self);
        if address.is_none() {
            let (word, name) = text.split_once('.').map_or((text.as_str(), None), |(word, name)| (word, Some(name)));
            let help = match (similar(word, Section::ALL.iter().map(|section| section.singular())), name) {
                (Some(section), Some(name)) => format!("did you mean `{section}.{}`?", shown(name)),
                _ => "write section and name, as in schedule.nightly, store.primary, recovery-plan.full".to_owned(),
            };
            cx.bad_value(node.place, format!("`{}` is not an address", shown(&text)), help);
        }
        address
    }
}

impl JsonSchema for Address {
    fn schema_name() -> Cow<'static, str> {
        "Address".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "The address of a policy thing: its section and its name.",
            "examples": ["schedule.nightly", "store.primary", "catalog"]
        })
    }
}

/// A scope.
#[derive(Debug, Clone)]
pub(super) struct Scope(pub domain::Scope);

impl Decode for Scope {
    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let text = cx.written(node, "a scope")?.to_owned();
        let scope = text.parse().ok().map(Self);
        if scope.is_none() {
            let help = "write database, system, shared, configuration, tenant=SLUG, tables=SCHEDULE or files=SCHEDULE";
            cx.bad_value(node.place, format!("`{}` is not a scope", shown(&text)), help);
        }
        scope
    }
}

impl JsonSchema for Scope {
    fn schema_name() -> Cow<'static, str> {
        "Scope".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "What a backup covers.",
            "pattern": "^(database|system|shared|bridge|configuration|(tenant|tables|files)=.+)$",
            "examples": ["database", "tenant=enterprise-acme"]
        })
    }
}

/// One of a few words, as it is written.
macro_rules! plain_words {
    ($(#[$meta:meta])* $name:ident, $title:literal, $what:literal, [ $($word:literal),* $(,)? ]) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) struct $name(pub &'static str);
        words!($name, $title, $what { $( $word => $name($word), )* });
    };
}

plain_words!(
    /// A kind of action.
    KindWord, "ActionKind", "a kind of action",
    [
        "ensure_catalog", "ensure_store", "apply_document", "back_up", "record_missed", "drill", "tombstone", "purge",
        "quarantine", "abort_uploads", "collect_garbage",
    ]
);

plain_words!(
    /// A class of actions.
    ClassWord, "ActionClass", "a class of actions", ["change", "drift", "due"]
);

plain_words!(
    /// What keeps a backup.
    Keeper, "Keeper", "something that keeps a backup",
    [
        "last", "hourly", "daily", "weekly", "monthly", "quarterly", "yearly", "within", "forever", "min_keep",
        "newest_verified", "newest_drilled", "protected", "locked", "quarantined", "shared",
    ]
);

plain_words!(
    /// A guard.
    Guard, "Guard", "a guard", ["max_delete", "empty_desired", "clock", "inventory", "catalog_missing"]
);

words!(HeldReason, "HeldReason", "a reason to hold work" {
    "catalog_unreachable" => HeldReason::CatalogUnreachable,
    "store_unreachable" => HeldReason::StoreUnreachable,
    "database_unreachable" => HeldReason::DatabaseUnreachable,
    "unsupported_server" => HeldReason::UnsupportedServer,
    "no_eligible_backup" => HeldReason::NoEligibleBackup,
    "no_identity" => HeldReason::NoIdentity,
    "floor" => HeldReason::Floor,
    "quarantined" => HeldReason::Quarantined,
    "protected" => HeldReason::Protected,
    "locked" => HeldReason::Locked,
    "leased" => HeldReason::Leased,
    "needed" => HeldReason::Needed,
    "not_approved" => HeldReason::NotApproved,
    "guard" => HeldReason::Guard,
    "grace" => HeldReason::Grace,
    "not_served" => HeldReason::NotServed,
    "suspended" => HeldReason::Suspended,
    "canceled" => HeldReason::Canceled,
    "narrowed" => HeldReason::Narrowed,
});

/// Whether a guard refuses: yes or no, or which.
#[derive(Debug, Clone)]
pub(super) enum Refused {
    /// Some guard does, or none.
    Any(bool),
    /// Just these.
    By(Vec<Guard>),
}

impl Decode for Refused {
    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        match (&node.kind, node.meaning()) {
            (Kind::List(_), _) => Vec::decode(node, cx).map(Self::By),
            (_, Some(Meaning::Boolean)) => bool::decode(node, cx).map(Self::Any),
            // What YAML 1.1 took for true or false: the finding says which word to write.
            (Kind::Scalar { text, .. }, _) if ["yes", "no", "on", "off"].contains(&text.as_str()) => {
                bool::decode(node, cx).map(Self::Any)
            }
            _ => Guard::decode(node, cx).map(|guard| Self::By(vec![guard])),
        }
    }
}

impl JsonSchema for Refused {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Refused".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let guard = generator.subschema_for::<Guard>();
        json_schema!({ "anyOf": [{ "type": "boolean" }, guard.clone(), { "type": "array", "items": guard }] })
    }
}
