//! `drill` and its checks: how a recovery plan is proven. Pure.

use crate::domain::{Check, DrillInto, DrillSpec, DrillTarget, EnvText, Expectation, Period};
use crate::policy::codes;
use crate::policy::decode::{Context, Decode};
use crate::policy::record::{record, words};
use crate::policy::text::{Kind, Node, Places, shown};
use crate::policy::values::Text;

use super::When;

record! {
    /// How the plan is proven: every so often, or by a calendar.
    Drill, "a drill" {
        /// At this distance, counted from the last attempt.
        every: Period;
        /// By a calendar. Either this or `every`.
        when: When;
        /// Which backups: `latest`, `random_instant`, or `{ ago: 1h }`.
        #[schemars(extend("default" = "latest"))]
        target: Target;
        /// Where to: `scratch`, a throw-away server that bkup starts itself, or `{ server: "${DRILL_URL}" }`.
        #[schemars(extend("default" = "scratch"))]
        into: Place;
        /// How many tenants are restored.
        #[schemars(range(min = 1), extend("default" = 3))]
        sample_tenants: u32;
        /// What must hold afterwards.
        #[schemars(extend("default" = "tables"))]
        checks: Checks;
    }
}

/// Which backups a drill restores.
#[derive(Debug, Clone, Copy)]
pub(in crate::policy) struct Target(DrillTarget);

/// The words of `target`.
struct WordOfTarget(DrillTarget);

words!(WordOfTarget, "TargetWord", "a target" {
    /// The newest one.
    "latest" => WordOfTarget(DrillTarget::Latest),
    /// Those of an instant that is drawn anew each time.
    "random_instant" => WordOfTarget(DrillTarget::RandomInstant),
});

record! {
    /// The newest backups that are at least this old.
    #[schemars(rename = "TargetAgo")]
    Ago, "a target" {
        /// How old.
        ago: Period, required;
    }
}

impl Decode for Target {
    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        match &node.kind {
            Kind::Map(_) => Ago::decode(node, cx)?.ago.map(|ago| Self(DrillTarget::Ago(ago))),
            _ => WordOfTarget::decode(node, cx).map(|word| Self(word.0)),
        }
    }
}

impl schemars::JsonSchema for Target {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Target".into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let (word, ago) = (generator.subschema_for::<WordOfTarget>(), generator.subschema_for::<Ago>());
        schemars::json_schema!({ "anyOf": [word, ago] })
    }
}

/// Where a drill restores to.
#[derive(Debug, Clone)]
pub(in crate::policy) struct Place(DrillInto);

/// The word of `into`.
struct WordOfPlace;

words!(WordOfPlace, "DrillPlaceWord", "a place for drills" {
    /// A throw-away server that bkup starts itself.
    "scratch" => WordOfPlace,
});

record! {
    /// A server that exists, for drills only.
    #[schemars(rename = "DrillServer")]
    Server, "into" {
        /// Its connection string. It must not be a protected database.
        server: EnvText, required;
    }
}

impl Decode for Place {
    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        match &node.kind {
            Kind::Map(_) => Server::decode(node, cx)?.server.map(|url| Self(DrillInto::Server(url))),
            _ => WordOfPlace::decode(node, cx).map(|_| Self(DrillInto::Scratch)),
        }
    }
}

impl schemars::JsonSchema for Place {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "DrillPlace".into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let (word, server) = (generator.subschema_for::<WordOfPlace>(), generator.subschema_for::<Server>());
        schemars::json_schema!({ "anyOf": [word, server] })
    }
}

/// What must hold of what was restored; never empty.
#[derive(Debug, Clone)]
pub(in crate::policy) struct Checks(pub Vec<Check>);

record! {
    /// One check: `tables: equal`, `amcheck: true`, or `sql` with what it must give.
    #[schemars(rename = "Check")]
    OneCheck, "a check" {
        /// Content digests equal those recorded inside the backup.
        tables: Equal;
        /// A query that gives one value; `{schema}` and `{slug}` are those of each tenant.
        sql: Text;
        /// What the query must give: a comparison such as `> 0`, or `true`.
        #[schemars(example = "> 0", extend("default" = "true"))]
        expect: Text;
        /// `pg_amcheck` finds no damage in tables and indexes.
        amcheck: Yes;
    }
}

/// The value `true`: a check that is not wanted is not written.
#[derive(Debug, Clone, Copy)]
pub(in crate::policy) struct Yes;

impl Decode for Yes {
    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        if bool::decode(node, cx)? {
            return Some(Self);
        }
        cx.bad_value(node.place, format!("`{}: false` checks nothing", cx.key()), "remove this check");
        None
    }
}

impl schemars::JsonSchema for Yes {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Yes".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "boolean", "const": true })
    }
}

/// The word `equal`.
#[derive(Debug, Clone, Copy)]
pub(in crate::policy) struct Equal;

words!(Equal, "Equal", "a comparison of tables" {
    /// Equal to the digests recorded inside the backup.
    "equal" => Equal,
});

impl Decode for Checks {
    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let items = match &node.kind {
            // `check:` alone is the default.
            Kind::Null => return Some(Self(vec![Check::TablesEqual])),
            Kind::List(items) if items.is_empty() => return Some(Self(vec![Check::TablesEqual])),
            Kind::List(items) => items,
            _ => return check(node, cx).map(|check| Self(vec![check])),
        };
        let checks: Vec<Check> = items.iter().filter_map(|item| check(item, cx)).collect();
        (checks.len() == items.len()).then_some(Self(checks))
    }
}

impl schemars::JsonSchema for Checks {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Checks".into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let check = generator.subschema_for::<OneCheck>();
        let word = schemars::json_schema!({
            "type": "string",
            "minLength": 1,
            "description": "`tables`, or a query that must give true.",
            "examples": ["tables", "SELECT count(*) > 0 FROM users"]
        });
        schemars::json_schema!({
            "description": "One check, or a list of them.",
            "anyOf": [word, check, { "type": "array", "items": { "anyOf": [word, check] } }, { "const": null }]
        })
    }
}

fn check(node: &Node, cx: &mut Context<'_>) -> Option<Check> {
    let Kind::Map(entries) = &node.kind else {
        let text = Text::decode(node, cx)?.0;
        return match text.as_str() {
            "tables" => Some(Check::TablesEqual),
            "amcheck" => Some(Check::Amcheck),
            word if word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') => {
                cx.bad_value(
                    node.place,
                    format!("`{}` is neither a check nor a query", shown(word)),
                    "write `tables`, or a query in quotes",
                );
                None
            }
            _ => Some(Check::Sql { query: text, expect: Expectation::True }),
        };
    };
    let read = OneCheck::decode(node, cx)?;
    let has = |key: &str| entries.iter().any(|entry| entry.key == key);
    let written: Vec<&str> = ["tables", "sql", "amcheck"].into_iter().filter(|key| has(key)).collect();
    let expect = entries.iter().find(|entry| entry.key == "expect");
    match written.as_slice() {
        ["sql"] => {
            let expect = match expect {
                None => Expectation::True,
                Some(entry) => expectation(&read.expect?.0, &entry.value, cx)?,
            };
            Some(Check::Sql { query: read.sql?.0, expect })
        }
        [word] => {
            if let Some(expect) = expect {
                let message = format!("`expect` belongs to `sql`, and this check is `{word}`");
                cx.error(codes::CONFLICT, expect.place, message, "says nothing here", "remove it");
            }
            read.tables.map(|_| Check::TablesEqual).or(read.amcheck.map(|_| Check::Amcheck))
        }
        [first, second, ..] => {
            let message = format!("one check has both `{first}` and `{second}`");
            let help = "write two checks, each on a line that begins with `- `";
            cx.error(codes::CONFLICT, node.place, message, "this check", help);
            None
        }
        [] => {
            if entries.iter().all(|entry| entry.key == "expect") {
                let help = "write `tables: equal`, `amcheck: true`, or `sql:` with a query";
                cx.error(codes::CONFLICT, node.place, "a check looks at nothing", "this check", help);
            }
            None
        }
    }
}

fn expectation(text: &str, node: &Node, cx: &mut Context<'_>) -> Option<Expectation> {
    let text = text.trim();
    if text == "true" {
        return Some(Expectation::True);
    }
    let operator = ["!=", ">=", "<=", "==", "=", ">", "<"].into_iter().find(|operator| text.starts_with(operator));
    let (operator, value) = operator.map_or(("=", text), |operator| (operator, text[operator.len()..].trim()));
    let operator = if operator == "==" { "=" } else { operator };
    if value.is_empty() || !matches!(operator, "=" | "!=") && value.parse::<i64>().is_err() {
        let message = format!("`{}` is nothing to expect: `{operator}` compares with a whole number", shown(text));
        cx.bad_value(node.place, message, "write \"> 0\", \">= 3\", \"= 12\" or \"= some text\"");
        return None;
    }
    Some(Expectation::Compare { operator: operator.to_owned(), value: value.to_owned() })
}

impl Drill {
    /// Fills in the defaults; `None` where something needed is missing.
    pub(super) fn spec(&self, places: &Places, cx: &mut Context<'_>) -> Option<DrillSpec> {
        let (every, when) = (places.has("drill.every"), places.has("drill.when"));
        if every && when {
            cx.error(
                codes::CONFLICT,
                places.get("drill.when"),
                "a drill has both `every` and `when`",
                "one of them is too much",
                "keep one of the two",
            )
            .and(places.get("drill.every"), "the other");
        } else if !every && !when {
            let message = "the drill does not say when it runs, so it never would";
            cx.error(
                codes::DRILL_NEVER_DUE,
                places.get("drill"),
                message,
                "neither `every` nor `when`",
                "add `every: 30d`",
            );
            return None;
        }
        if let Some(period) = self.every
            && period.as_seconds() == 0
        {
            cx.bad_value(places.get("drill.every"), "a drill every zero seconds would never end", "write `every: 30d`");
        }
        if self.sample_tenants == Some(0) {
            cx.bad_value(
                places.get("drill.sample_tenants"),
                "a drill of no tenant proves nothing",
                "write 1 or more; the default is 3",
            );
        }
        let when = match &self.when {
            None if when => return None,
            None => None,
            Some(when) if places.has("drill.when.on") => {
                let _ = when;
                cx.bad_value(
                    places.get("drill.when.on"),
                    "a drill runs by a calendar, and nobody asks for it",
                    "write `every: 30d`, or `when` with `frequency` or `cron`",
                );
                return None;
            }
            Some(when) => Some(when.spec("drill.when", places, cx)?.0),
        };
        Some(DrillSpec {
            every: self.every,
            when,
            target: self.target.map_or(DrillTarget::Latest, |target| target.0),
            into: self.into.as_ref().map_or(DrillInto::Scratch, |into| into.0.clone()),
            sample_tenants: self.sample_tenants.unwrap_or(3),
            checks: self.checks.as_ref().map_or_else(|| vec![Check::TablesEqual], |checks| checks.0.clone()),
        })
    }
}
