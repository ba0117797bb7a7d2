//! Which tenants a database has: by the names of its schemas, or by a query of the policy's author. Reads only. What is
//! found is whole and without contradiction, or it is an error: half a list would make tenants look gone.

use std::collections::HashMap;

use sqlx::postgres::PgConnection;
use sqlx::{Executor as _, Row as _};

use super::{ServerError, classify};
use crate::domain::{Tenant, TenantSelector};

/// More rows than this are no list of tenants but a table that was meant to be filtered.
const MOST: usize = 100_000;

/// Returns a database's tenants, sorted by slug. The inner error is about the tenants alone: the session goes on after it.
///
/// # Errors
/// Where the session itself is lost.
pub(super) async fn discover(
    session: &mut PgConnection,
    selector: &TenantSelector,
) -> Result<Result<Vec<Tenant>, ServerError>, ServerError> {
    // A query that fails ends its transaction, and with it what else is asked.
    session.execute("SAVEPOINT tenants").await.map_err(|e| classify(&e))?;
    let found = match selector {
        TenantSelector::Schemas(glob) => by_schema(session, glob).await,
        TenantSelector::Query(query) => by_query(session, query).await,
    };
    if let Err(error @ (ServerError::Unreachable(_) | ServerError::Credentials(_))) = found {
        return Err(error);
    }
    session.execute("ROLLBACK TO SAVEPOINT tenants").await.map_err(|e| classify(&e))?;
    Ok(found.and_then(without_contradiction))
}

/// Two tenants with one slug are one scope, and two with one schema hold each other's data: neither can be backed up
/// alone, and nobody can say which of them is meant.
fn without_contradiction(mut tenants: Vec<Tenant>) -> Result<Vec<Tenant>, ServerError> {
    tenants.sort();
    if let Some(pair) = tenants.windows(2).find(|pair| pair[0].slug == pair[1].slug) {
        return Err(ServerError::Tenants(format!(
            "two tenants have the slug {:?}: the schemas {:?} and {:?}",
            pair[0].slug, pair[0].schema, pair[1].schema
        )));
    }
    let mut owners: HashMap<&str, &str> = HashMap::with_capacity(tenants.len());
    for tenant in &tenants {
        if let Some(other) = owners.insert(&tenant.schema, &tenant.slug) {
            return Err(ServerError::Tenants(format!(
                "the tenants {other:?} and {:?} have the same schema {:?}",
                tenant.slug, tenant.schema
            )));
        }
    }
    Ok(tenants)
}

/// Schemas that are PostgreSQL's own, or bkup's.
fn is_reserved(schema: &str) -> bool {
    schema.starts_with("pg_") || schema == "information_schema" || schema == "bkup"
}

/// Of the schemas that are named like the copies of a swap, those that are none. A copy that was put aside, or is being
/// loaded, is no tenant, although its name fits the glob. For a moment before it is marked it is empty.
const NO_COPIES: &str = "SELECT n.nspname::text FROM pg_catalog.pg_namespace n
    WHERE n.nspname ~ '__(old|new)_[0-9a-f]{8}$'
      AND coalesce(pg_catalog.obj_description(n.oid, 'pg_namespace'), '') NOT LIKE 'bkup: %'
      AND NOT (n.nspname ~ '__new_[0-9a-f]{8}$'
               AND pg_catalog.obj_description(n.oid, 'pg_namespace') IS NULL
               AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                               WHERE d.refclassid = 'pg_catalog.pg_namespace'::regclass AND d.refobjid = n.oid))";

/// Returns whether a schema is named like a copy of a swap.
fn names_a_copy(schema: &str) -> bool {
    let Some((rest, mark)) = schema.rsplit_once('_') else { return false };
    (rest.ends_with("__old") || rest.ends_with("__new"))
        && mark.len() == 8
        && mark.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

async fn by_schema(session: &mut PgConnection, glob: &str) -> Result<Vec<Tenant>, ServerError> {
    let (prefix, suffix) = glob
        .split_once('*')
        .filter(|(_, suffix)| !suffix.contains('*'))
        .ok_or_else(|| ServerError::Tenants(format!("{glob:?} is no glob with one `*`")))?;
    let names = sqlx::query_scalar::<_, String>("SELECT nspname::text FROM pg_catalog.pg_namespace");
    let mut names = names.fetch_all(&mut *session).await.map_err(|e| classify(&e))?;
    // Asked only where a name calls for it: of many databases it is what a look at each would cost most.
    if names.iter().any(|name| names_a_copy(name)) {
        let real = sqlx::query_scalar::<_, String>(NO_COPIES).fetch_all(session).await.map_err(|e| classify(&e))?;
        // One that is gone by now was a copy: a swap has given it its tenant's name in between.
        names.retain(|name| !names_a_copy(name) || real.contains(name));
    }
    let slug = |schema: &str| {
        let slug = schema.strip_prefix(prefix)?.strip_suffix(suffix)?;
        (!slug.is_empty()).then(|| slug.to_owned())
    };
    let tenants = names.into_iter().filter(|schema| !is_reserved(schema));
    Ok(tenants.filter_map(|schema| Some(Tenant { slug: slug(&schema)?, schema, id: None })).collect())
}

async fn by_query(session: &mut PgConnection, query: &str) -> Result<Vec<Tenant>, ServerError> {
    let query = query.trim().trim_end_matches(';');
    // The line end keeps a comment at the query's end from swallowing what follows. A text that closes the parenthesis
    // and goes on is one the policy's author wrote; the transaction is read-only and one statement long all the same.
    let wrapped = format!(
        "SELECT t.slug::text AS slug, t.schema_name::text AS schema_name, pg_catalog.to_jsonb(t) ->> 'id' AS id
         FROM (\n{query}\n) AS t LIMIT {}",
        MOST + 1
    );
    let said = |e: sqlx::Error| match &e {
        sqlx::Error::Database(d) if d.code().as_deref() == Some("42501") => classify(&e),
        sqlx::Error::Database(d) if d.code().is_some_and(|code| code.starts_with("57P")) => classify(&e),
        sqlx::Error::Database(d) => ServerError::Tenants(format!("the query fails: {}", d.message())),
        _ => classify(&e),
    };
    let rows = sqlx::query(sqlx::AssertSqlSafe(wrapped)).fetch_all(session).await.map_err(said)?;
    if rows.len() > MOST {
        return Err(ServerError::Tenants(format!("the query gives more than {MOST} rows")));
    }
    rows.iter()
        .map(|row| {
            let text = |name: &str| row.try_get::<Option<String>, _>(name).map_err(|e| classify(&e));
            let filled = |name: &str| {
                text(name)?
                    .filter(|value| !value.is_empty())
                    .ok_or_else(|| ServerError::Tenants(format!("a row of the query has no {name}")))
            };
            let tenant = Tenant { slug: filled("slug")?, schema: filled("schema_name")?, id: text("id")? };
            if is_reserved(&tenant.schema) {
                let words = format!("the schema {:?} of {:?} is no tenant's", tenant.schema, tenant.slug);
                return Err(ServerError::Tenants(words));
            }
            Ok(tenant)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{is_reserved, without_contradiction};
    use crate::domain::Tenant;

    fn tenant(slug: &str, schema: &str) -> Tenant {
        Tenant { slug: slug.to_owned(), schema: schema.to_owned(), id: None }
    }

    #[test]
    fn a_slug_or_a_schema_of_two_tenants_is_a_contradiction() {
        let said = |list: Vec<Tenant>| without_contradiction(list).unwrap_err().to_string();
        let twice = said(vec![tenant("a", "one"), tenant("b", "two"), tenant("a", "three")]);
        assert!(twice.contains("two tenants have the slug \"a\""), "{twice}");
        let shared = said(vec![tenant("a", "one"), tenant("b", "one")]);
        assert!(shared.contains("\"a\" and \"b\" have the same schema \"one\""), "{shared}");
        assert_eq!(without_contradiction(vec![tenant("b", "B"), tenant("a", "b")]).unwrap()[0].slug, "a");
    }

    #[test]
    fn the_schemas_of_postgresql_and_of_bkup_are_no_tenants() {
        for schema in ["pg_catalog", "pg_toast_temp_3", "information_schema", "bkup"] {
            assert!(is_reserved(schema), "{schema}");
        }
        for schema in ["pgtenant", "public", "Bkup", "bkup2"] {
            assert!(!is_reserved(schema), "{schema}");
        }
    }
}
