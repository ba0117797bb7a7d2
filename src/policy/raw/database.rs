//! `databases` and `classes`: what is protected, and what its tenants are promised. Pure.

use crate::domain::{ClassSpec, DatabaseSpec, EnvText, Method, Objectives, Period, TenantSelector};
use crate::policy::codes;
use crate::policy::decode::Context;
use crate::policy::record::{record, words};
use crate::policy::text::{Places, shown};
use crate::policy::values::Text;

use super::not_yet;

record! {
    /// A database that is protected.
    Database, "a database" {
        /// The connection string.
        url: EnvText, required;
        /// What is promised for the database as a whole.
        objectives: Objective;
        /// How its tenants are found. Without it, the database has none.
        tenants: Tenants;
    }
    not_yet: not_yet!["wal", "unmanaged", "manage_settings"]
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
    not_yet: &[]
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
    not_yet: &[]
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
    }
    not_yet: not_yet![]
}

words!(Method, "Method", "a method" {
    "hot_standby" => Method::HotStandby,
    "warm_standby" => Method::WarmStandby,
    "cold_backup" => Method::ColdBackup,
} not_yet: &[]);

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
        Some(DatabaseSpec { url: self.url.clone()?, objectives, tenants })
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
