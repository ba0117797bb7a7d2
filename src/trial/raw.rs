//! The test language as it is written: a file, its tests, what each assumes and what it expects. The JSON Schema is made
//! of these types. Pure.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::domain::{HeldReason, Name};
use crate::policy::codes;
use crate::policy::decode::{Context, Decode};
use crate::policy::record::record;
use crate::policy::text::{Kind, Node, Places};
use crate::policy::values::{OneOrMany, Text};
use crate::policy::{Named, Version};

use super::value::{Address, At, ClassWord, Edge, Keeper, KindWord, Moment, Refused, Scope};

record! {
    /// A file of tests for the policies beside it, version 1.
    TestFile, "a test file" {
        /// The version of the language: 1.
        #[schemars(required)]
        version: Version;
        /// The tests.
        #[schemars(length(min = 1))]
        tests: At<Vec<At<Test>>>, required;
    }
}

record! {
    /// One test: a clock, a world, and what must come of them.
    Test, "a test" {
        /// What it shows, in a sentence.
        name: At<Text>, required;
        /// What the clock says.
        at: Moment, required;
        /// The tenants that live in each database. Default: none.
        tenants: Named<Vec<Tenant>>;
        /// The backups there are. A later entry says more about backups that an earlier one brought.
        history: Vec<At<Entry>>;
        /// The newest drill of each recovery plan.
        drills: Vec<At<Drill>>;
        /// What cannot be read: `catalog`, a store or a database, by address.
        unreachable: Vec<At<Address>>;
        /// Whether the policies were applied before; with `false` there is nothing yet at all.
        #[schemars(extend("default" = true))]
        applied: bool;
        /// What must come of it. One expectation at least.
        expect: At<Expect>, required;
    }
}

/// A tenant: its slug, or slug and schema.
#[derive(Debug, Clone, schemars::JsonSchema)]
#[schemars(untagged, inline)]
pub(super) enum Tenant {
    /// Its slug; the schema is made of the database's pattern.
    Slug(Text),
    /// Slug and schema.
    Whole(WholeTenant),
}

record! {
    /// A tenant with its schema.
    WholeTenant, "a tenant" {
        /// Its slug: what patterns match.
        slug: Text, required;
        /// Its schema. Default: the database's pattern with the slug in place of `*`.
        schema: Text;
    }
}

impl Decode for Tenant {
    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        match &node.kind {
            Kind::Map(_) => WholeTenant::decode(node, cx).map(Self::Whole),
            _ => Text::decode(node, cx).map(Self::Slug),
        }
    }
}

record! {
    /// Backups that were taken: one slot, or every slot from one day to another.
    Entry, "an entry of the history" {
        /// The schedule they are of.
        schedule: Name, required;
        /// One slot of it.
        slot: Moment;
        /// Every slot from this day or instant on ...
        from: Edge;
        /// ... up to and with this one. Default: the test's clock.
        to: Edge;
        /// But not these: they failed, or nobody ran them.
        except: Vec<At<Edge>>;
        /// Of this database only. Default: every database of the schedule.
        database: Name;
        /// Of these tenants only. Default: all that the schedule covers.
        tenants: Vec<Text>;
        /// Whether they were read back and agreed.
        #[schemars(extend("default" = true))]
        verified: bool;
        /// Whether a verification or a drill of them failed.
        #[schemars(extend("default" = false))]
        quarantined: bool;
        /// Whether they are pinned.
        #[schemars(extend("default" = false))]
        protected: bool;
        /// When a drill restored them.
        drilled: Moment;
        /// When they were tombstoned.
        tombstoned: Moment;
    }
}

record! {
    /// A drill that was run.
    Drill, "a drill" {
        /// The recovery plan.
        plan: Name, required;
        /// When.
        at: Moment, required;
        /// Whether it passed.
        #[schemars(extend("default" = true))]
        passed: bool;
    }
}

record! {
    /// What must come of it. An empty list says that there is none at all.
    Expect, "an expectation" {
        /// Actions that the plan has; it may have others.
        actions: At<Vec<At<Action>>>;
        /// Actions that the plan does not have.
        no_actions: At<Vec<At<NoAction>>>;
        /// Work that is due and waits; other work may, too.
        held: At<Vec<At<Held>>>;
        /// Which backups are kept, and why.
        verdicts: At<Vec<At<Verdict>>>;
        /// Codes that are found, of the policies, proven at this instant, or of the tenants; others may be, too.
        findings: At<Vec<At<Text>>>;
        /// Codes that are not found.
        no_findings: At<Vec<At<Text>>>;
        /// Whether a guard refuses the plan, or which one.
        refused: At<Refused>;
        /// The classes of tenants, by slug.
        classes: Classes;
        /// Which objectives are met.
        objectives: At<Vec<At<Objective>>>;
    }
}

record! {
    /// An action that the plan has.
    Action, "an expected action" {
        /// What is done.
        kind: KindWord;
        /// Which class it counts in.
        class: ClassWord;
        /// The policy thing that asks for it.
        address: Address;
        /// The schedule.
        schedule: Name;
        /// The database.
        database: Name;
        /// The scope.
        scope: Scope;
        /// The slot.
        slot: Moment;
        /// The store.
        store: Name;
        /// The recovery plan.
        plan: Name;
        /// How many such actions there are. Default: one or more.
        count: u32;
    }
}

/// An action that the plan does not have: as an expected one, without a number.
#[derive(Debug, Clone)]
pub(super) struct NoAction(pub Action);

impl Decode for NoAction {
    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let entries = cx.entries(node, "an action that is ruled out")?;
        if let Some(entry) = entries.iter().find(|entry| entry.key == "count") {
            let message = "`count` is not a key of an action that is ruled out";
            cx.error(codes::UNKNOWN_KEY, entry.place, message, "there is none of them", "remove it");
        }
        Action::decode(node, cx).map(Self)
    }
}

impl JsonSchema for NoAction {
    fn schema_name() -> Cow<'static, str> {
        "NoAction".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = Action::json_schema(generator);
        if let Some(keys) = schema.get_mut("properties").and_then(|keys| keys.as_object_mut()) {
            keys.remove("count");
        }
        schema.insert("description".to_owned(), "An action that the plan does not have.".into());
        schema
    }
}

record! {
    /// Work that is due and waits.
    Held, "held work" {
        /// The policy thing it belongs to.
        address: Address;
        /// Why it waits.
        reason: HeldReason;
        /// The database.
        database: Name;
        /// The scope.
        scope: Scope;
    }
}

record! {
    /// What is decided over a backup of the history.
    Verdict, "a verdict" {
        /// Its schedule.
        schedule: Name, required;
        /// Its slot.
        slot: Moment, required;
        /// Its database. Default: every one.
        database: Name;
        /// Its scope. Default: every one that the schedule covers.
        scope: Scope;
        /// Whether it stays.
        keep: bool, required;
        /// What keeps it: these, and perhaps others.
        by: OneOrMany<Keeper>;
    }
}

record! {
    /// How a database, or one of its tenants, stands against its recovery point objective.
    Objective, "an objective" {
        /// The database.
        database: Name, required;
        /// The tenant. Default: the database as a whole.
        tenant: Text;
        /// Whether it is met.
        met: bool, required;
    }
}

/// Classes by slug. A slug is any text, so its keys are no names.
#[derive(Debug, Clone)]
pub(super) struct Classes(pub Vec<(At<String>, Name)>);

impl Decode for Classes {
    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let entries = cx.entries(node, "slugs, each with its class")?;
        let mut classes = Vec::new();
        for entry in entries {
            if let Some(class) = cx.field::<Name>(&entry.key, &entry.value) {
                let place = entry.value.place;
                let places = Places::of(&entry.value, place);
                classes.push((At { place, places, value: entry.key.clone() }, class));
            }
        }
        Some(Self(classes))
    }
}

impl JsonSchema for Classes {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Classes".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let class = generator.subschema_for::<Name>();
        json_schema!({ "type": "object", "additionalProperties": class })
    }
}
