//! The first policies of a database, made of what a look at it found. Pure. They validate as they are; what nobody can
//! find out is said in a comment beside the line.

mod plans;
mod tenants;
mod workflows;

use crate::domain::{EnvText, Inspection, Name, StoreUrl, ZoneName};
use crate::policy::write::{Draft, Line, Part, Value, label, name_of, variable};

use tenants::Tenancy;

/// What is known beside the database.
#[derive(Debug, Clone)]
pub struct Wishes {
    /// The variable that holds the database's URL.
    pub url_variable: String,
    /// Where backups go; absent: nobody said.
    pub store: Option<StoreUrl>,
    /// age public keys.
    pub recipients: Vec<String>,
    /// The folder of the policies as workflows name it: `policies`.
    pub folder: String,
    /// Whether GitHub workflows are written.
    pub workflows: bool,
}

/// Where the JSON Schema lies, from the policies' folder. Hidden, so that no policy is looked for in it.
pub const SCHEMA_PATH: &str = ".schema/policy.schema.json";

/// The files, by their paths: those of policies are relative to the policies' folder, those of workflows to the
/// repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Starter {
    /// Policy files and the schema, relative to the policies' folder.
    pub policies: Vec<(String, String)>,
    /// Workflows, relative to the repository.
    pub workflows: Vec<(String, String)>,
    /// The recovery plans that have a drill, for what to do next.
    pub plans: Vec<Name>,
}

/// Writes them.
#[must_use]
pub fn starter(found: &Inspection, wishes: &Wishes) -> Starter {
    let zone = ZoneName::try_from(found.timezone.clone()).ok();
    let tenancy = Tenancy::of(found);
    let name = name_of(&found.datname, "database");
    let mut databases = file("What is protected, and what is promised to whom.");
    let database = add_database(&mut databases, &name, found, wishes, &tenancy);
    tenants::add_classes(&mut databases, &tenancy);
    let (recovery, plans) = plans::recovery(&database, &tenancy);
    let policies = vec![
        ("stores.yaml".to_owned(), stores(wishes)),
        ("databases.yaml".to_owned(), databases.text()),
        ("schedules.yaml".to_owned(), schedules(&database, zone.as_ref(), &found.timezone, &tenancy)),
        ("recovery.yaml".to_owned(), recovery),
        (SCHEMA_PATH.to_owned(), format!("{:#}\n", crate::policy::schema())),
    ];
    let workflows = if wishes.workflows { workflows::all(wishes, &plans) } else { Vec::new() };
    Starter { policies, workflows, plans }
}

fn file(what: &str) -> Draft {
    Draft::new([what]).with_schema(SCHEMA_PATH)
}

fn stores(wishes: &Wishes) -> String {
    let mut draft =
        file("Where records and backups go. Values like \"${NAME}\" are read from the environment when needed.");
    draft.add_once(
        Line::new("catalog", Value::Block(vec![Line::new("url", variable("BKUP_CATALOG_URL"))]))
            .above("bkup's own records, in any PostgreSQL database; better not on the server that is protected."),
    );
    let url = match &wishes.store {
        Some(url) => Line::new("url", Value::text(&url.to_string())),
        None => Line::new("url", Value::text("file:///var/backups/bkup"))
            .above("decide: a place on other machines than the database's, as in s3://bucket/prefix"),
    };
    let mut lines = Vec::new();
    if wishes.recipients.is_empty() {
        lines.push(url.above(
            "Not encrypted yet: run `bkup key generate --out FILE`, keep the file apart, and add here encryption: { \
             recipients: [the age1... it prints], identity: \"${BKUP_AGE_IDENTITY}\" }",
        ));
    } else {
        let inside = vec![
            Line::new("recipients", Value::words(&wishes.recipients))
                .above("Public keys: a host that backs up cannot read what it wrote."),
            Line::new("identity", variable("BKUP_AGE_IDENTITY")).above("The secret key, for restores and drills only."),
        ];
        lines.push(url);
        lines.push(Line::new("encryption", Value::Block(inside)));
    }
    draft.add(Part::Stores, "primary", Vec::new(), lines);
    draft.text()
}

fn add_database(draft: &mut Draft, name: &str, found: &Inspection, wishes: &Wishes, tenancy: &Tenancy) -> Name {
    let major = found.version_num / 10_000;
    let mut comments = vec![format!("PostgreSQL {major}, {} when this was written.", found.size)];
    if !found.extensions.is_empty() {
        let shown: Vec<String> = found.extensions.iter().take(12).map(|name| label(name)).collect();
        comments.push(format!("A server that it is restored to needs these extensions: {}.", shown.join(", ")));
    }
    if !found.reads_everything {
        comments.push("The role that looked cannot read every table; backups need pg_read_all_data.".to_owned());
    }
    if found.archive_mode == "off" {
        comments.push(format!(
            "WAL is not archived (wal_level {}, archive_mode off): what is lost is what came after the last backup.",
            label(&found.wal_level)
        ));
    }
    let mut lines = vec![Line::new("url", variable(&wishes.url_variable))];
    let promise = vec![("rpo", Value::word("27h")), ("rto", Value::word("4h"))];
    lines.push(
        Line::new("objectives", Value::Inline(promise))
            .above("decide: a night's backup, an hour of delay, and two hours in reserve; rto is proven by drills"),
    );
    lines.extend(tenancy.line());
    let env = EnvText::Variable(wishes.url_variable.clone());
    comments.push(format!("{} is set where bkup runs, for instance to postgres://user@host:5432/name.", env.shown()));
    draft.add(Part::Databases, name, comments, lines)
}

fn schedules(database: &Name, zone: Option<&ZoneName>, said: &str, tenancy: &Tenancy) -> String {
    let mut draft = file("What is backed up when, and how long it is kept.");
    draft.add(
        Part::Retention,
        "gfs",
        vec!["One backup of each of the last 7 days, 4 weeks, 12 months and 5 years that have one.".to_owned()],
        [("daily", 7), ("weekly", 4), ("monthly", 12), ("yearly", 5)]
            .into_iter()
            .map(|(key, count)| Line::new(key, Value::word(count)))
            .collect(),
    );
    draft.add(Part::Retention, "on-demand", Vec::new(), vec![Line::new("within", Value::word("30d"))]);
    let comment = match zone {
        Some(zone) => {
            format!("The night of {}, the server's zone; after the hour that clocks change in.", zone.as_str())
        }
        None => format!("The server's zone is `{}`, which is no IANA name, so this is UTC: decide.", label(said)),
    };
    let at = |time: &str| {
        let mut entries = vec![("frequency", Value::word("daily")), ("time", Value::quoted(time))];
        if let Some(zone) = zone.filter(|zone| **zone != ZoneName::default()) {
            entries.push(("timezone", Value::text(zone.as_str())));
        }
        Line::new("when", Value::Inline(entries))
    };
    let of = |kind: &str, when: Line, rule: &str| {
        vec![
            Line::new("databases", Value::words([database])),
            Line::new("backup", Value::word(kind)),
            when,
            Line::new("retention", Value::word(rule)),
            Line::new("store", Value::word("primary")),
        ]
    };
    draft.add(Part::Schedules, "nightly", vec![comment], of("database", at("03:30"), "gfs"));
    if tenancy.exists() {
        let mut lines = of("tenant_data", at("04:15"), "gfs");
        lines.push(Line::new("max_parallel_jobs", Value::word(2)));
        let comment = "Each tenant has backups of its own, so that one can be brought back without the others.";
        draft.add(Part::Schedules, "tenants", vec![comment.to_owned()], lines);
    }
    let request = Line::new("when", Value::Inline(vec![("on", Value::word("request"))]));
    draft.add(
        Part::Schedules,
        "pre-migration",
        vec!["Only when asked for: `bkup backup pre-migration`, as the first step of a release.".to_owned()],
        of("database", request, "on-demand"),
    );
    draft.add_once(
        Line::new(
            "guards",
            Value::Block(vec![
                Line::new("max_delete", Value::word("10%")).note("of a scope's or a store's backups, by one change"),
                Line::new("min_keep", Value::word(2))
                    .note("restorable backups of every scope, whatever retention says"),
                Line::new("grace", Value::word("7d")).note("so long a pruned backup can be brought back"),
            ]),
        )
        .above("What a single apply may take away. These are the defaults, said aloud."),
    );
    draft.text()
}

#[cfg(test)]
mod tests;
