//! The SQL of the catalog's roles, and of the role that backups of a database are taken with. Pure.
//!
//! Grants say which tables a role may touch; who may take backups away is said by triggers of the schema, so that a
//! column of a later version is not open to a runner for want of a grant that was forgotten.

/// The tables that a pruner writes.
const PRUNER: &str = "bkup.claims, bkup.erased_backups, bkup.erasures, bkup.executions, bkup.plan_actions, bkup.plans, \
    bkup.runs, bkup.tenants";

/// Returns the SQL that makes the catalog's roles and gives them their rights. It may be run again at any time, and
/// after each migration of the catalog.
#[must_use]
pub fn roles_sql() -> String {
    format!(
        r#"-- The roles of bkup's catalog. Run it in the catalog's database, once the catalog is there (`bkup catalog migrate`),
-- as its owner with CREATEROLE, or as a superuser; psql -v ON_ERROR_STOP=1. Run it again after each migration: it may be
-- repeated at any time. No role of it is a superuser, can log in, or owns anything.
--
--   bkup_planner   reads: plan, status, list, explain
--   bkup_runner    takes backups, applies policies, drills; can delete nothing
--   bkup_pruner    `apply --only retention`; the only one that may mark backups deleted
--   bkup_auditor   reads the audit log, and nothing else
--
-- People and pipelines log in with roles of their own:
--   CREATE ROLE ci_planner LOGIN PASSWORD '...' IN ROLE bkup_planner;

BEGIN;

DO $$
DECLARE
    wanted text;
BEGIN
    IF to_regclass('bkup.meta') IS NULL THEN
        RAISE EXCEPTION 'there is no catalog in database "%" yet', current_database()
            USING HINT = 'run `bkup catalog migrate` as the role that shall own it, then this again';
    END IF;
    FOREACH wanted IN ARRAY ARRAY['bkup_planner', 'bkup_runner', 'bkup_pruner', 'bkup_auditor'] LOOP
        IF to_regrole(wanted) IS NULL THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS', wanted);
        END IF;
    END LOOP;
END $$;

-- What an earlier version of these rights gave and this one does not is gone.
REVOKE ALL ON ALL TABLES IN SCHEMA bkup FROM bkup_planner, bkup_runner, bkup_pruner, bkup_auditor;
REVOKE ALL ON SCHEMA bkup FROM PUBLIC, bkup_planner, bkup_runner, bkup_pruner, bkup_auditor;
GRANT USAGE ON SCHEMA bkup TO bkup_planner, bkup_runner, bkup_pruner, bkup_auditor;

-- Everybody but the auditor reads what plans are made of. Digest keys are the runner's; the log is the auditor's.
GRANT SELECT ON ALL TABLES IN SCHEMA bkup TO bkup_planner, bkup_runner, bkup_pruner;
REVOKE ALL ON bkup.digest_keys, bkup.audit_log FROM bkup_planner, bkup_runner, bkup_pruner;

-- A runner writes everything but what it is, the log, and the archive; it deletes no backup and no evidence.
DO $$
DECLARE
    written regclass;
BEGIN
    FOR written IN SELECT oid FROM pg_class WHERE relnamespace = 'bkup'::regnamespace AND relkind IN ('r', 'p')
        AND relname NOT IN ('_migrations', 'meta', 'audit_log') AND relname NOT LIKE '%\_archive'
    LOOP
        EXECUTE format('GRANT INSERT, UPDATE ON %s TO bkup_runner', written);
    END LOOP;
END $$;
-- But for names: a rename takes the place of what the new name left without ever having been used.
GRANT DELETE ON bkup.moves, bkup.removals, bkup.policies, bkup.schedules, bkup.recovery_plans, bkup.schedule_progress,
    bkup.missed_slots TO bkup_runner;
GRANT SELECT ON bkup.digest_keys TO bkup_runner;
GRANT SELECT, INSERT ON bkup.audit_log TO bkup_runner;
GRANT UPDATE (serial, serial_run, clock, audit_rows, audit_head) ON bkup.meta TO bkup_runner;

GRANT INSERT, UPDATE ON {PRUNER} TO bkup_pruner;
GRANT DELETE ON bkup.executions, bkup.schedules, bkup.recovery_plans TO bkup_pruner;
GRANT INSERT ON bkup.executions_archive, bkup.schedules_archive, bkup.recovery_plans_archive TO bkup_pruner;
GRANT UPDATE (next_run_at, updated_at) ON bkup.schedules TO bkup_pruner;
GRANT SELECT, INSERT ON bkup.audit_log TO bkup_pruner;
GRANT UPDATE (serial, serial_run, clock, audit_rows, audit_head) ON bkup.meta TO bkup_pruner;

GRANT SELECT ON bkup.audit_log TO bkup_auditor;
GRANT SELECT (one, lineage, audit_rows, audit_head, audit_base_rows, audit_base_head, rebuilt_at) ON bkup.meta
    TO bkup_auditor;

-- Tables of later migrations, until this is run again: readers read them, a runner works with them.
DO $$
DECLARE
    owner name := (SELECT rolname FROM pg_roles JOIN pg_class ON relowner = pg_roles.oid
                   WHERE pg_class.oid = 'bkup.meta'::regclass);
BEGIN
    EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA bkup GRANT SELECT ON TABLES '
                   'TO bkup_planner, bkup_runner, bkup_pruner', owner);
    EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA bkup GRANT INSERT, UPDATE ON TABLES TO bkup_runner',
                   owner);
END $$;

COMMIT;
"#
    )
}

/// Returns the SQL for the role that backups of a protected database are taken with. `label` is the database's name in
/// the policies; the SQL is run in that database.
#[must_use]
pub fn backup_role_sql(label: &str) -> String {
    // A name of the policies is letters, digits, - and _: it cannot end a comment.
    let login = label.replace('-', "_");
    format!(
        r#"
-- database.{label}: run this part in that database, as its administrator. It may be repeated at any time.
-- Reading is all that a backup needs; log in with a role of your own:
--   CREATE ROLE {login}_backup LOGIN PASSWORD '...' IN ROLE bkup_backup;
DO $$
BEGIN
    IF to_regrole('bkup_backup') IS NULL THEN
        CREATE ROLE bkup_backup NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION;
    END IF;
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO bkup_backup', current_database());
END $$;
GRANT pg_read_all_data TO bkup_backup;
GRANT pg_read_all_settings TO bkup_backup;
-- The system identifier, which tells two clusters apart; without it a manifest does not have one.
DO $$ BEGIN
    GRANT EXECUTE ON FUNCTION pg_catalog.pg_control_system() TO bkup_backup;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE NOTICE 'only a superuser may grant pg_control_system(): left out';
END $$;
-- Tables with row security are dumped whole or not at all: where there are any, their backups need
--   ALTER ROLE bkup_backup BYPASSRLS;   and the same for the login role, since the attribute is not inherited.
-- Large objects are not covered by pg_read_all_data: set lo_compat_privileges, or grant SELECT on each.
-- `restore --into new:NAME` needs CREATEDB; `restore --into live` the rights of the schema's owner. Give those to people.
"#
    )
}
