//! First policies hold what was found, and validate whatever was found.

use proptest::prelude::*;

use super::{Starter, Wishes, starter};
use crate::diag::Severity;
use crate::domain::{Bytes, Inspection, TenantTable};
use crate::policy::{Facts, SourceFile, judge};

fn wishes() -> Wishes {
    Wishes {
        url_variable: "DATABASE_URL".to_owned(),
        store: Some("s3://backups/prod".to_owned().try_into().expect("a store")),
        recipients: Vec::new(),
        folder: "policies".to_owned(),
        workflows: true,
    }
}

fn found(schemas: &[&str]) -> Inspection {
    Inspection {
        version_num: 170_002,
        datname: "clinicx".to_owned(),
        size: Bytes(12 << 30),
        timezone: "Asia/Seoul".to_owned(),
        wal_level: "replica".to_owned(),
        archive_mode: "off".to_owned(),
        extensions: vec!["pgcrypto".to_owned()],
        schemas: schemas.iter().map(|s| (*s).to_owned()).collect(),
        tenant_tables: Vec::new(),
        reads_everything: true,
    }
}

fn errors(starter: &Starter) -> Vec<String> {
    let files: Vec<SourceFile> = starter
        .policies
        .iter()
        .filter(|(name, _)| name.ends_with(".yaml"))
        .map(|(name, text)| SourceFile { name: name.clone(), bytes: text.clone().into_bytes() })
        .collect();
    let now = "2026-11-25T12:00:00Z".parse().expect("an instant");
    let findings = judge(&files, &Facts::at(now)).findings;
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error);
    errors.map(|finding| format!("{}: {}", finding.code.0, finding.message)).collect()
}

fn shown(starter: &Starter) -> String {
    let files = starter.policies.iter().chain(&starter.workflows).filter(|(name, _)| !name.ends_with(".json"));
    files.map(|(name, text)| format!("== {name}\n{text}\n")).collect()
}

macro_rules! snapshot {
    ($name:expr, $text:expr) => {
        insta::with_settings!({ snapshot_path => "../../../tests/snapshots", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!($name, $text);
        });
    };
}

#[test]
fn tenants_and_their_tiers_are_found_in_the_schemas() {
    let schemas = ["app", "public", "tenant_enterprise-acme", "tenant_standard-b", "tenant_free-c"];
    let starter = starter(&found(&schemas), &wishes());
    assert_eq!(errors(&starter), [""; 0]);
    snapshot!("init_tenants", shown(&starter));
}

#[test]
fn a_database_without_tenants_gets_no_word_about_them() {
    let key = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p".to_owned();
    let wishes = Wishes { recipients: vec![key], workflows: false, store: None, ..wishes() };
    let starter = starter(&Inspection { timezone: "localtime".to_owned(), ..found(&["public", "audit_log"]) }, &wishes);
    assert_eq!(errors(&starter), [""; 0]);
    let text = shown(&starter);
    assert!(!text.contains("tenant"), "{text}");
    snapshot!("init_plain", text);
}

#[test]
fn a_table_of_tenants_serves_where_schemas_have_no_common_prefix() {
    let table = TenantTable {
        schema: "tnnt".to_owned(),
        table: "Tenants".to_owned(),
        slug: "subdomain".to_owned(),
        schema_name: "schema_name".to_owned(),
        has_id: true,
    };
    let starter = starter(&Inspection { tenant_tables: vec![table], ..found(&["acme", "globex"]) }, &wishes());
    assert_eq!(errors(&starter), [""; 0]);
    let wanted = r#"query: "SELECT id, subdomain AS slug, schema_name FROM tnnt.\"Tenants\"""#;
    assert!(shown(&starter).contains(wanted), "{}", shown(&starter));
}

#[test]
fn three_schemas_of_a_kind_are_tenants_and_two_are_none() {
    let query = |schemas: &[&str]| shown(&starter(&found(schemas), &wishes())).contains("schemas: \"shop_*\"");
    assert!(query(&["shop_a", "shop_b", "shop_c"]));
    assert!(!query(&["shop_a", "shop_b"]));
}

proptest! {
    #[test]
    fn whatever_a_server_is_called_like_its_policies_validate(
        datname in any::<String>(),
        schemas in proptest::collection::vec("[ -~ä]{0,12}|tenant_[ -~]{1,8}", 0..8),
        timezone in any::<String>(),
        names in proptest::collection::vec("[ -~]{1,10}", 4..5),
    ) {
        let table = TenantTable {
            schema: names[0].clone(), table: names[1].clone(), slug: names[2].clone(), schema_name: names[3].clone(),
            has_id: true,
        };
        let schemas: Vec<&str> = schemas.iter().map(String::as_str).collect();
        let facts = Inspection {
            datname, timezone, extensions: names.clone(), wal_level: names[0].clone(), tenant_tables: vec![table],
            ..found(&schemas)
        };
        let starter = starter(&facts, &wishes());
        prop_assert_eq!(errors(&starter), Vec::<String>::new(), "{}", shown(&starter));
    }
}
