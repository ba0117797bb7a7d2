//! The checks of a drill: content equal to what was recorded, and the policy's own queries.

use sqlx::{Connection as _, Row};

use super::run::Restored;
use crate::domain::{Check, CheckResult, Expectation, Scope};
use crate::engine::sql::{quote_ident, quote_literal, quote_qualified};
use crate::engine::{EngineError, EntryFailure};
use crate::restore::{RestoreError, prove_but};

/// How long a query of the policy may take.
const QUERY_LIMIT: &str = "SET statement_timeout = '10min'";

/// Returns a check as the policy words it.
pub(super) fn word(check: &Check) -> String {
    match check {
        Check::TablesEqual => "tables: equal".to_owned(),
        Check::Amcheck => "amcheck: true".to_owned(),
        Check::Sql { query, .. } => format!("sql: {query}"),
    }
}

/// Makes a check over everything that was restored. `Err` is for what could not be asked at all.
pub(super) async fn perform(check: &Check, restored: &[Restored]) -> Result<Vec<CheckResult>, RestoreError> {
    let mut results = Vec::new();
    match check {
        Check::TablesEqual => {
            for one in restored {
                results.push(tables_equal(one).await?);
            }
        }
        Check::Sql { query, expect } => {
            // A query that names a tenant is asked once for each; any other once for each database.
            let per_tenant = query.contains("{schema}") || query.contains("{slug}");
            let mut asked = Vec::new();
            for one in restored {
                let fits = match one.part.scope {
                    Scope::Tenant(_) => true,
                    Scope::Database => !per_tenant,
                    _ => false,
                };
                if !fits || (!per_tenant && asked.contains(&one.target.database().to_owned())) {
                    continue;
                }
                asked.push(one.target.database().to_owned());
                results.push(sql(query, expect, one, per_tenant).await?);
            }
        }
        Check::Amcheck => {
            return Err(RestoreError::NotServed("this version makes no amcheck".to_owned()));
        }
    }
    Ok(results)
}

async fn tables_equal(one: &Restored) -> Result<CheckResult, RestoreError> {
    if one.opened.is_adopted() {
        // Nothing compared is nothing proven.
        return Ok(CheckResult {
            check: word(&Check::TablesEqual),
            tenant: one.part.scope.tenant().map(str::to_owned),
            passed: false,
            observed: "nothing was recorded when it was dumped: it was adopted".to_owned(),
            expected: format!("tables as recorded in {}", one.part.backup),
            differences: Vec::new(),
        });
    }
    let proof = prove_but(&one.opened, &one.target, &one.deferred).await?;
    let (mut left_out, proof) = (proof.left_out, proof.comparison);
    if one.part.scope.tenant().is_some() {
        // None of them holds rows; the evidence names them.
        let named = |entry: &EntryFailure| format!("{} {}", entry.kind, quote_qualified(&entry.schema, &entry.name));
        left_out.extend(one.deferred.iter().map(named));
    }
    let recorded = one.opened.origin.manifest.scope.tables.len();
    let mut different: Vec<String> = proof.differences.iter().map(|difference| difference.table.clone()).collect();
    different.extend(proof.sequences.iter().map(|d| format!("sequence {}", quote_ident(&d.recorded.sequence))));
    let observed = if proof.is_equal() && left_out.is_empty() {
        format!("{} tables and {} rows equal", proof.tables, proof.rows)
    } else if proof.is_equal() {
        let left_out = left_out.join(", ");
        format!("{} tables and {} rows equal; without other tenants: {left_out}", proof.tables, proof.rows)
    } else {
        format!("different: {}", different.join(", "))
    };
    Ok(CheckResult {
        check: word(&Check::TablesEqual),
        tenant: one.part.scope.tenant().map(str::to_owned),
        passed: proof.is_equal(),
        observed,
        expected: format!("{recorded} tables as recorded in {}", one.part.backup),
        differences: proof.differences,
    })
}

async fn sql(query: &str, expect: &Expectation, one: &Restored, per_tenant: bool) -> Result<CheckResult, RestoreError> {
    let manifest = &one.opened.origin.manifest;
    let schema = manifest.scope.schemas.first().map(String::as_str).unwrap_or_default();
    let slug = one.part.scope.tenant().unwrap_or_default();
    // `{slug}` stands where a value stands, inside quotes of the policy's own or bare; a name with quotes stays one.
    let filled = query
        .replace("'{slug}'", &quote_literal(slug))
        .replace("{slug}", &quote_literal(slug))
        .replace("{schema}", &quote_ident(schema));
    let (passed, observed) = match ask(one, &filled).await {
        Ok(value) => (holds(expect, value.as_deref()), value.unwrap_or_else(|| "NULL".to_owned())),
        Err(error) => (false, error.to_string()),
    };
    Ok(CheckResult {
        check: format!("sql: {query}"),
        tenant: per_tenant.then(|| slug.to_owned()),
        passed,
        observed,
        expected: match expect {
            Expectation::True => "t".to_owned(),
            Expectation::Compare { operator, value } => format!("{operator} {value}"),
        },
        differences: Vec::new(),
    })
}

/// Asks for one row with one column, as text.
async fn ask(one: &Restored, query: &str) -> Result<Option<String>, EngineError> {
    let mut connection = one.target.connect().await?;
    let failed = |error: sqlx::Error| EngineError::server("ask the check's query", &error);
    sqlx::raw_sql(QUERY_LIMIT).execute(&mut connection).await.map_err(failed)?;
    // The simple protocol gives every value as text, whatever its type.
    let rows = sqlx::raw_sql(sqlx::AssertSqlSafe(query.to_owned())).fetch_all(&mut connection).await.map_err(failed)?;
    let value = match rows.first() {
        None => None,
        Some(row) => row.try_get_raw(0).map_err(failed).map(|raw| raw.as_str().ok().map(str::to_owned))?,
    };
    let _ = connection.close().await;
    Ok(value)
}

/// Compares as integers where both sides are, else as text.
fn holds(expect: &Expectation, value: Option<&str>) -> bool {
    let Some(value) = value else { return false };
    match expect {
        Expectation::True => value == "t" || value == "true",
        Expectation::Compare { operator, value: wanted } => {
            let order = match (value.parse::<i128>(), wanted.trim().parse::<i128>()) {
                (Ok(seen), Ok(wanted)) => seen.cmp(&wanted),
                _ => value.cmp(wanted.trim()),
            };
            match operator.as_str() {
                "=" | "==" => order.is_eq(),
                "!=" | "<>" => order.is_ne(),
                ">" => order.is_gt(),
                ">=" => order.is_ge(),
                "<" => order.is_lt(),
                "<=" => order.is_le(),
                _ => false,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Expectation, holds};

    #[test]
    fn compares_numbers_as_numbers_and_words_as_words() {
        let compare =
            |operator: &str, value: &str| Expectation::Compare { operator: operator.into(), value: value.into() };
        assert!(holds(&compare(">", "9"), Some("10")));
        assert!(!holds(&compare(">", "9"), Some("9")));
        assert!(holds(&compare("=", "ready"), Some("ready")));
        assert!(holds(&compare("!=", "ready"), Some("waiting")));
        assert!(holds(&Expectation::True, Some("t")));
        assert!(!holds(&Expectation::True, Some("f")));
        assert!(!holds(&compare(">=", "0"), None), "no row is no answer");
    }
}
