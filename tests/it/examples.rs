//! Suite: examples. The policies of five designs, as they are committed: valid without any environment, laid out, and
//! applied to real servers and stores, with what this version does not do yet shown as held.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bkup::engine::sql::quote_ident;

use crate::world::cluster::Major;
use crate::world::run::Ran;
use crate::world::s3::{BUCKET, S3Server};
use crate::world::setup::{BEGIN, Place, Setup, ran};

/// The recipient of every committed set; nobody has its key.
const DUMMY: &str = "age1gs94g7crza4ev9g4c2rzkpm2wtajz8l4f3mr588v3c03r0s0cukqfxuych";

/// What the sets need of their servers; where one lacks it, that is drift.
const SETTINGS: [(&str, &str); 6] = [
    ("wal_level", "replica"),
    ("max_wal_senders", "10"),
    ("archive_mode", "on"),
    ("archive_command", "/bin/true"),
    ("archive_timeout", "60"),
    ("summarize_wal", "on"),
];
/// What they need of their buckets.
const BUCKET_SETTINGS: [(&str, &str); 3] = [
    ("versioning", "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"),
    (
        "object-lock",
        "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled></ObjectLockConfiguration>",
    ),
    (
        "encryption",
        "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>AES256</SSEAlgorithm>\
         </ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>",
    ),
];

/// One of the five.
struct Set {
    name: &'static str,
    /// What the policies call the database.
    database: &'static str,
    /// The variable that they read its URL from.
    variable: &'static str,
    /// What is in it.
    content: &'static str,
}

const CONEXGROW: Set = Set {
    name: "conexgrow",
    database: "mgmt",
    variable: "MGMT_URL",
    content: "CREATE SCHEMA tnnt;
        CREATE TABLE tnnt.tenants (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), slug text NOT NULL UNIQUE,
            schema_name text NOT NULL UNIQUE, deleted boolean NOT NULL DEFAULT false);
        INSERT INTO tnnt.tenants (slug, schema_name, deleted)
            VALUES ('acme', 'acme_data', false), ('globex', 'globex_data', false), ('left', 'left_data', true);
        CREATE SCHEMA acme_data; CREATE SCHEMA globex_data; CREATE SCHEMA left_data;
        CREATE TABLE acme_data.orders AS SELECT i AS id, i * 1.5 AS total FROM generate_series(1, 200) i;
        CREATE TABLE globex_data.orders AS SELECT i AS id, i * 2.5 AS total FROM generate_series(1, 100) i;
        CREATE TABLE left_data.orders AS SELECT 1 AS id;",
};

const INSIGHTDESK: Set = Set {
    name: "insightdesk",
    database: "insightdesk",
    variable: "INSIGHTDESK_URL",
    content: "CREATE TABLE public.users (id bigserial PRIMARY KEY, email text NOT NULL UNIQUE);
        CREATE TABLE public.tickets (id bigserial PRIMARY KEY, user_id bigint NOT NULL REFERENCES public.users, title text);
        CREATE TABLE public.ticket_messages (id bigserial PRIMARY KEY,
            ticket_id bigint NOT NULL REFERENCES public.tickets ON DELETE CASCADE, body text NOT NULL);
        INSERT INTO public.users (email) SELECT 'u' || i || '@example.com' FROM generate_series(1, 50) i;
        INSERT INTO public.tickets (user_id, title) SELECT i % 50 + 1, 'ticket ' || i FROM generate_series(1, 200) i;
        INSERT INTO public.ticket_messages (ticket_id, body) SELECT i % 200 + 1, repeat('x', i) FROM generate_series(1, 600) i;",
};

const BRIEFLY: Set = Set {
    name: "briefly",
    database: "briefly",
    variable: "BRIEFLY_URL",
    content: "CREATE SCHEMA private;
        CREATE TABLE public.documents (id bigserial PRIMARY KEY, body text NOT NULL);
        CREATE TABLE private.audit_logs (id bigserial PRIMARY KEY, action text NOT NULL, created_at timestamptz DEFAULT now());
        INSERT INTO public.documents (body) SELECT md5(i::text) FROM generate_series(1, 300) i;
        INSERT INTO private.audit_logs (action) SELECT 'BACKUP_' || i FROM generate_series(1, 20) i;",
};

const MODULO: Set = Set {
    name: "modulo",
    database: "modulo",
    variable: "MODULO_URL",
    content: "CREATE SCHEMA application;
        CREATE TABLE application.notes (id bigserial PRIMARY KEY, body text NOT NULL);
        INSERT INTO application.notes (body) SELECT md5(i::text) FROM generate_series(1, 300) i;",
};

const CLINICX: Set = Set {
    name: "clinicx",
    database: "clinicx",
    variable: "CLINICX_URL",
    content: r#"CREATE TABLE public.countries AS SELECT 'DE' AS code;
        DO $$ DECLARE slug text; BEGIN
            FOREACH slug IN ARRAY ARRAY['enterprise-mercy', 'premium-lake', 'standard-hill', 'trial-one', 'other'] LOOP
                EXECUTE format('CREATE SCHEMA %1$I;
                    CREATE TABLE %1$I.patients (id bigserial PRIMARY KEY, name text NOT NULL);
                    CREATE TABLE %1$I.appointments (id bigserial PRIMARY KEY, patient_id bigint REFERENCES %1$I.patients);
                    INSERT INTO %1$I.patients (name) SELECT %2$L || i FROM generate_series(1, 40) i;
                    INSERT INTO %1$I.appointments (patient_id) SELECT i %% 40 + 1 FROM generate_series(1, 80) i;',
                    'tenant_' || slug, slug);
            END LOOP;
        END $$;"#,
};

const ALL: [&Set; 5] = [&BRIEFLY, &CLINICX, &CONEXGROW, &INSIGHTDESK, &MODULO];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Runs a command on a committed set, without any environment.
fn bare(set: &Set, command: &[&str]) -> Ran {
    let mut run = assert_cmd::Command::new(assert_cmd::cargo::cargo_bin!("bkup"));
    run.env_clear().current_dir(root()).args(command).arg("-p").arg(Path::new("examples/policies").join(set.name));
    ran(run.timeout(Duration::from_secs(120)).output().unwrap())
}

/// Puts another place into the text of a set: an S3 server or a folder of this test, and a key that it has.
fn moved_here(text: &str, setup: &Setup) -> String {
    let mut moved = String::new();
    let mut databases = false;
    for line in text.lines() {
        if databases && !line.trim_start().starts_with('#') {
            // No standby follows the server of a test, and the application of other tests is on it.
            moved.push_str(&format!("{line} # bkup: ignore[BK903, BK904] it is a test's\n"));
            databases = false;
            continue;
        }
        databases |= line == "databases:";
        let (indent, inline) = (line.len() - line.trim_start().len(), line.contains("{ url: s3://"));
        let here = line.replace("url: s3://", &format!("url: s3://{BUCKET}/deep/prefix/"));
        let server = "endpoint: \"${S3_ENDPOINT}\"";
        if here == line {
            moved.push_str(line);
        } else if inline {
            moved.push_str(&here.replacen(',', &format!(", {server}, path_style: true,"), 1));
        } else {
            let indent = " ".repeat(indent);
            moved.push_str(&format!("{here}\n{indent}{server}\n{indent}path_style: true"));
        }
        moved.push('\n');
    }
    moved
        .replace(DUMMY, &setup.env["RECIPIENT"])
        .replace("file:///backups", &format!("file://{}", setup.folder().display()))
}

/// Starts a server with what a set speaks of, and lays a copy of the set beside it.
async fn installed(set: &Set) -> Setup {
    let mut setup = Setup::start_with(Major::V17, Place::S3(S3Server::start()), &[], &SETTINGS).await;
    for (question, answer) in BUCKET_SETTINGS {
        setup.s3().set_setting(question, 200, answer);
    }
    setup.cluster.exec("postgres", &format!("CREATE DATABASE {}", quote_ident(set.database))).await;
    setup.cluster.exec(set.database, set.content).await;
    setup.set(set.variable, &setup.cluster.url(set.database));
    let identity = setup.env["BKUP_AGE_IDENTITY"].clone();
    setup.set("BACKUP_ENCRYPTION_KEY", &identity);
    std::fs::remove_file(setup.path("bkup.yaml")).unwrap();
    std::fs::create_dir(setup.path("policies")).unwrap();
    setup.set("BKUP_POLICIES", "policies");
    for entry in std::fs::read_dir(root().join("examples/policies").join(set.name)).unwrap() {
        let path = entry.unwrap().path();
        let text = moved_here(&std::fs::read_to_string(&path).unwrap(), &setup);
        std::fs::write(setup.path("policies").join(path.file_name().unwrap()), text).unwrap();
    }
    setup
}

/// Plans and applies a set; asserts what is held, which plans were drilled, and that there is nothing left to do, now and
/// when the next slots have come; returns the installation.
async fn applied(set: &Set, drilled: &str, next: &str) -> Setup {
    let mut setup = installed(set).await;
    setup.now(BEGIN);
    let plan = setup.run(&["--format", "json", "plan", "--init-simulated"]).exits(0).json();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let held: Vec<String> = plan["held"]
        .as_array()
        .unwrap()
        .iter()
        .map(|held| format!("{} {}: {}", text(&held["address"]), text(&held["work"]), text(&held["words"])))
        .collect();
    insta::with_settings!({ snapshot_path => "../snapshots", prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!(format!("examples_held_{}", set.name), held.join("\n"));
    });
    let _ = setup.first();
    setup.assert_converges().await;
    let passed = "SELECT string_agg(plan || ' ' || passed, ', ' ORDER BY plan) FROM bkup.drills";
    assert_eq!(setup.catalog(passed).await, drilled);
    setup.now(next);
    let _ = setup.apply().exits(0);
    setup.assert_converges().await;
    let failed = "SELECT count(*) FROM bkup.executions WHERE status = 'FAILED'";
    assert_eq!(setup.catalog(failed).await, "0");
    setup
}

/// Returns how many completed backups there are of each schedule and scope.
async fn backups(setup: &Setup) -> Vec<String> {
    let sql = "SELECT string_agg(line, ',' ORDER BY line) FROM (SELECT schedule || ' ' || scope || ' ' || count(*) AS line \
               FROM bkup.executions WHERE status = 'COMPLETED' AND NOT deleted GROUP BY schedule, scope) counted";
    setup.catalog(sql).await.split(',').map(str::to_owned).collect()
}

#[test]
fn each_set_is_valid_without_warnings_and_without_any_environment() {
    for set in ALL {
        let ran = bare(set, &["validate"]).exits(0);
        let said = ran.stdout + &ran.stderr;
        assert!(!said.contains("warning["), "{}:\n{said}", set.name);
    }
}

#[test]
fn each_set_is_laid_out() {
    for set in ALL {
        let _ = bare(set, &["fmt", "--check"]).exits(0);
    }
}

#[test]
fn every_committed_set_is_tested_here() {
    let folders = std::fs::read_dir(root().join("examples/policies")).unwrap();
    let mut names: Vec<String> = folders.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name != "demo");
    names.sort();
    assert_eq!(names, ALL.map(|set| set.name));
}

#[tokio::test]
async fn conexgrow_backs_up_its_tenants_by_the_rows_of_its_table() {
    let setup = applied(&CONEXGROW, "", "2026-03-03T00:05:00Z").await;
    let counted = backups(&setup).await;
    for line in ["business-hours database 2", "tenants tenant=acme 1", "tenants tenant=globex 1"] {
        assert!(counted.iter().any(|have| have == line), "{line}: {counted:?}");
    }
    assert!(!counted.iter().any(|line| line.contains("left")), "{counted:?}");
}

#[tokio::test]
async fn insightdesk_is_drilled_and_says_which_backups_on_request_it_cannot_take() {
    let mut setup = applied(&INSIGHTDESK, "accidental-deletion true, performance true", "2026-03-03T04:05:00Z").await;
    setup.now("2026-03-03T06:00:00Z");
    let before = setup.keys().await;
    let why = "backups of a whole cluster are not made by this version of bkup yet";
    let ran = setup.run(&["backup", "base"]).exits(1).says("error[BK979]").says(why);
    assert!(ran.stderr.contains("no backup was taken of schedule.base"), "{}", ran.stderr);
    assert_eq!(setup.keys().await, before, "nothing was written");
    let _ = setup.run(&["backup", "pre-migration"]).exits(0);
    let _ = setup.run(&["backup", "tickets", "--reason", "before the cleanup"]).exits(0);
    for line in ["pre-migration database 1", "tickets tables=tickets 1"] {
        assert!(backups(&setup).await.contains(&line.to_owned()), "{line}");
    }
}

#[tokio::test]
async fn briefly_is_drilled_from_its_dump() {
    let setup = applied(&BRIEFLY, "whole-database true", "2026-03-03T03:45:00Z").await;
    assert_eq!(backups(&setup).await, ["daily database 2"]);
}

#[tokio::test]
async fn modulo_takes_a_dump_each_half_hour_and_proves_it() {
    let setup = applied(&MODULO, "restore true", "2026-03-03T02:05:00Z").await;
    assert_eq!(backups(&setup).await, ["half-hourly database 2", "nightly database 2"]);
}

#[tokio::test]
async fn clinicx_backs_up_every_tenant_by_its_class() {
    let setup = applied(&CLINICX, "tenant-from-dump true", "2026-03-03T03:30:00Z").await;
    let counted = backups(&setup).await;
    for line in [
        "tenants-high-priority tenant=enterprise-mercy 1",
        "tenants-high-priority tenant=premium-lake 1",
        "tenants-standard tenant=standard-hill 2",
        "tenants-standard tenant=trial-one 2",
        "tenants-standard tenant=other 2",
    ] {
        assert!(counted.iter().any(|have| have == line), "{line}: {counted:?}");
    }
}
