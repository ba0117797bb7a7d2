//! One policy file: its sections, and the named things in them. Pure.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::domain::{EnvText, Name};
use crate::policy::codes;
use crate::policy::decode::{Context, Decode};
use crate::policy::record::{head, record};
use crate::policy::text::{Kind, Node, Place, Places, shown};
use crate::policy::values;

use super::{Alerts, Channel, Class, Database, Guards, Move, RecoveryPlan, Removal, Retention, Schedule, Store};

record! {
    /// A policy file of bkup, version 1. Any section may stand in any file; all files together are one set.
    File, "a policy file" {
        /// The version of the policy language: 1.
        #[schemars(required)]
        version: Version;
        /// Where bkup keeps its records. Stands once in the whole set.
        catalog: Once<Catalog>;
        /// Where backups go.
        stores: Named<Store>;
        /// What is protected.
        databases: Named<Database>;
        /// Tenant priority classes: the lowest `priority` whose glob matches a tenant's slug wins.
        classes: Named<Class>;
        /// How long backups are kept.
        retention: Named<Retention>;
        /// What is backed up when.
        schedules: Named<Schedule>;
        /// How to come back, and how that is proven.
        recovery_plans: Named<RecoveryPlan>;
        /// Where messages go.
        channels: Named<Channel>;
        /// What is worth a message, and who gets it. Stands once in the whole set.
        alerts: Once<Alerts>;
        /// The limits of a single apply. Stands once in the whole set.
        guards: Once<Guards>;
        /// Things that were renamed: they keep their history and their backups.
        moved: Listed<Move>;
        /// Things that left the policies, and what becomes of their backups. Without it they stay, to their recorded
        /// retention.
        removed: Listed<Removal>;
    }
}

record! {
    /// Where bkup keeps its records.
    Catalog, "the catalog" {
        /// The connection string of the PostgreSQL database that holds the catalog.
        #[schemars(extend("default" = "${BKUP_CATALOG_URL}"))]
        url: EnvText;
    }
}

/// The version of the policy language.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Version;

impl Decode for Version {
    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        match &node.kind {
            Kind::Scalar { text, .. } if text == "1" && node.meaning().is_some() => Some(Self),
            Kind::Scalar { text, .. } => {
                let help = if text.trim() == "1" || text == "1.0" {
                    "write `version: 1`, without quotes"
                } else {
                    "write `version: 1`, or use a newer bkup"
                };
                let message = format!("`{}` is not a version of the policy language that this bkup reads", shown(text));
                let told = cx.error(codes::OTHER_VERSION, node.place, message, "this version", help);
                if text.trim() == "1" || text == "1.0" {
                    told.fix("write `version: 1`", &[(node.place, "1")]);
                }
                None
            }
            _ => {
                cx.wrong_kind(node, "the number 1", "write `version: 1`");
                None
            }
        }
    }
}

impl JsonSchema for Version {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Version".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "const": 1 })
    }
}

/// A section of named things, in the order they are written.
#[derive(Debug, Clone)]
pub(crate) struct Named<T>(pub Vec<Item<T>>);

/// A thing with its name and places; the thing is absent where it could not be read at all.
#[derive(Debug, Clone)]
pub(crate) struct Item<T> {
    /// Its name.
    pub name: Name,
    /// Where the name is written.
    pub place: Place,
    /// The places inside it.
    pub places: Places,
    /// The thing.
    pub raw: Option<T>,
}

impl<T: Decode> Decode for Named<T> {
    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let entries = cx.entries(node, "names, each with its keys below")?;
        let mut items = Vec::new();
        for entry in entries {
            let name = values::name(&entry.key, entry.place, cx);
            let raw = cx.field(&entry.key, &entry.value);
            if let Some(name) = name {
                items.push(Item { name, place: entry.place, places: Places::of(&entry.value, entry.place), raw });
            }
        }
        Some(Self(items))
    }
}

impl<T: JsonSchema> JsonSchema for Named<T> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("Named{}", T::schema_name()).into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let thing = generator.subschema_for::<T>();
        json_schema!({
            "type": "object",
            "propertyNames": { "pattern": "^[a-z][a-z0-9-]{0,62}$" },
            "additionalProperties": thing,
        })
    }
}

/// A section that stands once in a set.
#[derive(Debug, Clone)]
pub(in crate::policy) struct Once<T> {
    /// Where it begins.
    pub place: Place,
    /// The places inside it.
    pub places: Places,
    /// What it says.
    pub raw: T,
}

impl<T: Decode> Decode for Once<T> {
    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let place = head(node);
        T::decode(node, cx).map(|raw| Self { place, places: Places::of(node, place), raw })
    }
}

impl<T: JsonSchema> JsonSchema for Once<T> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<T>()
    }
}

/// A section that is a list, each entry with its places.
#[derive(Debug, Clone)]
pub(in crate::policy) struct Listed<T>(pub Vec<Once<T>>);

impl<T: Decode> Decode for Listed<T> {
    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let items = cx.items(node)?;
        Some(Self(items.iter().filter_map(|item| Once::decode(item, cx)).collect()))
    }
}

impl<T: JsonSchema> JsonSchema for Listed<T> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("Listed{}", T::schema_name()).into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let item = generator.subschema_for::<T>();
        json_schema!({ "type": "array", "items": item })
    }
}
