//! `databases` and `classes`: what is protected, and what its tenants are promised. Pure.

use crate::domain::{ClassSpec, DatabaseSpec, EnvText, Method, Name, Objectives, Period, TenantSelector, WalSpec};
use crate::policy::codes;
use crate::policy::decode::Context;
use crate::policy::record::{record, words};
use crate::policy::text::{Places, shown};
use crate::policy::values::{Text, texts};

use super::Suspend;

record! {
    /// A database that is protected.
    Database, "a database" {
        /// The connection string; with a password in it only as an environment variable, "${NAME}".
        url: EnvText, required;
        /// What is promised for the database as a whole.
        objectives: Objective;
        /// How its tenants are found. Without it, the database has none.
        tenants: Tenants;
        /// How the WAL of its cluster is archived, so that any instant of a window can be restored.
        wal: Wal;
        /// Globs over `schema.table`: what is in no backup, on purpose.
        unmanaged: Vec<Text>;
        /// Whether bkup may change the server's settings to what the policies need; each change is shown in the plan.
        #[schemars(extend("default" = false))]
        manage_settings: bool;
        /// Pauses it until a date: nothing is made of it and nothing of it is deleted.
        suspend: Suspend;
        /// Whether nothing of it is ever deleted. To delete, take this away in an apply of its own first.
        #[schemars(extend("default" = false))]
        protect: bool;
    }
}

record! {
    /// How the WAL of a cluster is archived.
    Wal, "wal" {
        /// The store that it goes to.
        store: Name, required;
        /// How long a segment may stay unfinished before the server switches to the next one.
        #[schemars(extend("default" = "60s"))]
        archive_timeout: Period;
        /// How long archiving a finished segment may take.
        #[schemars(extend("default" = "2m"))]
        max_lag: Period;
        /// How far back every instant can be restored.
        #[schemars(extend("default" = "7d"))]
        window: Period;
    }
}

record! {
    /// What may be lost, and how long coming back may take.
    Objective, "objectives" {
        /// Recovery point objective: how much of the past may be lost.
        rpo: Period;
        /// Recovery time objective: how long coming back may take.
        rto: Period;
        /// How it is meant to be met. A standby is observed, not provided.
        #[schemars(extend("default" = "cold_backup"))]
        method: Method;
    }
}

record! {
    /// How tenants are found: one of the two.
    #[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
    Tenants, "tenants" {
        /// A pattern over schema names with exactly one `*`; what it matches is the tenant's slug.
        #[schemars(example = "tenant_*")]
        schemas: Text;
        /// A query with the columns `slug`, `schema_name` and, if there is one, `id`.
        query: Text;
    }
}

record! {
    /// A tenant priority class.
    Class, "a class" {
        /// Globs over slugs.
        #[schemars(length(min = 1))]
        tenants: Vec<Text>, required;
        /// The lowest number that matches a slug wins. Needed where there are several classes.
        priority: u32;
        /// Recovery point objective: how much of the past may be lost.
        rpo: Period;
        /// Recovery time objective: how long coming back may take.
        rto: Period;
        /// How it is meant to be met. A standby is observed, not provided.
        #[schemars(extend("default" = "cold_backup"))]
        method: Method;
        /// Pauses it until a date: nothing is made of it and nothing of it is deleted.
        suspend: Suspend;
        /// Whether nothing of it is ever deleted. To delete, take this away in an apply of its own first.
        #[schemars(extend("default" = false))]
        protect: bool;
    }
}

words!(Method, "Method", "a method" {
    /// A standby that follows closely and can take over at once.
    "hot_standby" => Method::HotStandby,
    /// A standby that follows, and is promoted by hand.
    "warm_standby" => Method::WarmStandby,
    /// A restore from a backup.
    "cold_backup" => Method::ColdBackup,
});

/// Refuses an objective of no length.
pub(in crate::policy) fn refuse_zero(
    key: &str,
    path: &str,
    period: Option<Period>,
    places: &Places,
    cx: &mut Context<'_>,
) {
    if period.is_some_and(|period| period.as_seconds() == 0) {
        let message = format!("an objective of zero (`{key}`) is one that no backup can meet");
        cx.error(
            codes::ZERO_OBJECTIVE,
            places.get(path),
            message,
            "zero",
            "write what is bearable, as in 24h, or remove the key",
        );
    }
}

impl Database {
    /// Fills in the defaults; `None` where something needed is missing.
    pub fn spec(&self, places: &Places, cx: &mut Context<'_>) -> Option<DatabaseSpec> {
        let objectives = self.objectives.as_ref().map(|objective| {
            refuse_zero("rpo", "objectives.rpo", objective.rpo, places, cx);
            refuse_zero("rto", "objectives.rto", objective.rto, places, cx);
            Objectives { rpo: objective.rpo, rto: objective.rto, method: objective.method.unwrap_or_default() }
        });
        let tenants = match &self.tenants {
            None => None,
            Some(Tenants { schemas: Some(schemas), query: None }) => {
                let stars = schemas.0.matches('*').count();
                if stars != 1 {
                    let message = format!(
                        "the pattern `{}` has {stars} stars, and what one `*` matches is the tenant's slug",
                        shown(&schemas.0)
                    );
                    cx.error(
                        codes::NOT_ONE_STAR,
                        places.get("tenants.schemas"),
                        message,
                        "exactly one `*` is needed",
                        "write it as in \"tenant_*\"",
                    );
                    return None;
                }
                Some(TenantSelector::Schemas(schemas.0.clone()))
            }
            Some(Tenants { schemas: None, query: Some(query) }) => Some(TenantSelector::Query(query.0.clone())),
            Some(both_or_none) => {
                // A value that could not be read has its own finding.
                let none = !places.has("tenants.schemas") && !places.has("tenants.query");
                if both_or_none.schemas.is_some() && both_or_none.query.is_some() || none {
                    let message = "`tenants` takes one of `schemas` and `query`";
                    cx.error(
                        codes::CONFLICT,
                        places.get("tenants"),
                        message,
                        "exactly one of the two",
                        "keep `schemas: \"tenant_*\"` or `query: \"SELECT ...\"`",
                    );
                }
                return None;
            }
        };
        let wal = match &self.wal {
            None if places.has("wal") => return None,
            None => None,
            Some(wal) => Some(WalSpec {
                store: wal.store.clone()?,
                archive_timeout: wal.archive_timeout.unwrap_or(WalSpec::ARCHIVE_TIMEOUT),
                max_lag: wal.max_lag.unwrap_or(WalSpec::MAX_LAG),
                window: wal.window.unwrap_or(WalSpec::WINDOW),
            }),
        };
        Some(DatabaseSpec {
            url: self.url.clone()?,
            objectives,
            tenants,
            wal,
            unmanaged: texts(self.unmanaged.as_ref()),
            manage_settings: self.manage_settings.unwrap_or_default(),
        })
    }
}

impl Class {
    /// Fills in the defaults; `None` where something needed is missing.
    pub fn spec(&self, places: &Places, cx: &mut Context<'_>) -> Option<ClassSpec> {
        refuse_zero("rpo", "rpo", self.rpo, places, cx);
        refuse_zero("rto", "rto", self.rto, places, cx);
        let tenants = self.tenants.clone()?;
        if tenants.is_empty() {
            cx.error(
                codes::EMPTY_LIST,
                places.get("tenants"),
                "a class without patterns has no tenants",
                "empty",
                "write globs over slugs, as in [\"enterprise-*\"], or [\"*\"] for all",
            );
            return None;
        }
        let objectives = Objectives { rpo: self.rpo, rto: self.rto, method: self.method.unwrap_or_default() };
        let tenants = tenants.into_iter().map(|text| text.0).collect();
        Some(ClassSpec { tenants, priority: self.priority.unwrap_or(1), objectives })
    }
}
