-- What bkup is, and what was applied. Every name is qualified: sessions run with an empty search path.

-- Exactly one row. `clock` is set in simulated catalogs alone. The head of the audit chain stands here too, so that
-- a chain whose last rows are gone does not look whole.
CREATE TABLE bkup.meta (
    one             boolean     PRIMARY KEY DEFAULT true CHECK (one),
    lineage         text        NOT NULL,
    serial          bigint      NOT NULL DEFAULT 0 CHECK (serial >= 0),
    serial_run      text,
    simulated       boolean     NOT NULL DEFAULT false,
    clock           timestamptz,
    audit_rows      bigint      NOT NULL DEFAULT 0,
    audit_head      text,
    tenant_fk       text        CHECK (tenant_fk IN ('set_null', 'cascade')),
    created_at      timestamptz NOT NULL DEFAULT now(),
    CHECK (simulated = (clock IS NOT NULL))
);

CREATE FUNCTION bkup.clock() RETURNS timestamptz
    LANGUAGE sql STABLE SET search_path = pg_catalog
    AS $$ SELECT coalesce((SELECT clock FROM bkup.meta), now()) $$;

CREATE TABLE bkup.stores (
    store           text        PRIMARY KEY,
    url             text        NOT NULL,
    store_id        text        NOT NULL,
    capabilities    jsonb       NOT NULL DEFAULT '{}',
    probed_at       timestamptz NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now()
);

-- The keys that content digests are keyed with. They make digests comparable between backups; they decrypt nothing.
CREATE TABLE bkup.digest_keys (
    store           text        NOT NULL,
    database        text        NOT NULL,
    key_id          text        NOT NULL,
    key             bytea       NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (store, database)
);

CREATE TABLE bkup.policies (
    address         text        COLLATE "C" PRIMARY KEY,
    body            jsonb       NOT NULL,
    digest          text        NOT NULL,
    retention       jsonb,
    since           timestamptz NOT NULL,
    applied_at      timestamptz NOT NULL,
    archived_at     timestamptz,
    source_file     text,
    source_line     integer,
    commit          text,
    applied_by      text,
    run             text
);

CREATE TABLE bkup.schedules (
    id                  uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    schedule_name       text        NOT NULL,
    backup_type         text        NOT NULL
        CHECK (backup_type IN ('FULL_SYSTEM', 'TENANT_DATA', 'DATABASE', 'FILES', 'CONFIGURATION')),
    target_scope        text        NOT NULL DEFAULT 'SYSTEM_ONLY'
        CHECK (target_scope IN ('ALL_TENANTS', 'SPECIFIC_TENANTS', 'SYSTEM_ONLY')),
    target_tenants      uuid[],
    target_databases    text[],
    frequency           text        NOT NULL
        CHECK (frequency IN ('HOURLY', 'DAILY', 'WEEKLY', 'MONTHLY', 'QUARTERLY', 'YEARLY',
                             'CRON', 'EVERY', 'ON_CHANGE', 'ON_REQUEST')),
    schedule_time       time,
    schedule_days       integer[],
    timezone            text        NOT NULL DEFAULT 'UTC',
    backup_format       text        NOT NULL DEFAULT 'COMPRESSED'
        CHECK (backup_format IN ('COMPRESSED', 'UNCOMPRESSED', 'ENCRYPTED')),
    retention_days      integer     CHECK (retention_days >= 0),
    max_parallel_jobs   integer     NOT NULL DEFAULT 1 CHECK (max_parallel_jobs > 0),
    notify_success      boolean     NOT NULL DEFAULT false,
    notify_failure      boolean     NOT NULL DEFAULT true,
    notify_emails       text[],
    last_run_at         timestamptz,
    next_run_at         timestamptz,
    enabled             boolean     NOT NULL DEFAULT true,
    deleted             boolean     NOT NULL DEFAULT false,
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    policy_name         text        UNIQUE,
    policy              jsonb,
    policy_digest       text,
    source_file         text,
    source_line         integer,
    rule                text,
    target_slugs        text[],
    target_classes      text[],
    target_tables       text[],
    engine              text        CHECK (engine IN ('logical', 'physical', 'incremental')),
    store               text,
    start_within        text
);
COMMENT ON COLUMN bkup.schedules.policy_name IS 'The schedule of the policies this row shows; NULL for a row put in by hand, which nothing executes.';
COMMENT ON COLUMN bkup.schedules.retention_days IS 'How far back the retention rule reaches at most, for people; the rule itself is in policy.';
CREATE INDEX schedules_active ON bkup.schedules (next_run_at) WHERE enabled AND NOT deleted;
CREATE INDEX schedules_target_tenants ON bkup.schedules USING gin (target_tenants);
CREATE INDEX schedules_target_databases ON bkup.schedules USING gin (target_databases);

CREATE TABLE bkup.recovery_plans (
    id                      uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    plan_name               text        NOT NULL,
    plan_type               text        NOT NULL
        CHECK (plan_type IN ('FULL_RECOVERY', 'PARTIAL_RECOVERY', 'TENANT_RECOVERY')),
    description             text,
    recovery_scope          text        NOT NULL
        CHECK (recovery_scope IN ('ALL_SYSTEMS', 'SPECIFIC_SERVICES', 'TENANT_DATA')),
    recovery_time           integer     CHECK (recovery_time >= 0),
    recovery_point          integer     CHECK (recovery_point >= 0),
    recovery_steps          jsonb       NOT NULL DEFAULT '[]',
    automated_steps         jsonb       NOT NULL DEFAULT '[]',
    manual_steps            jsonb       NOT NULL DEFAULT '[]',
    required_backup_types   text[]
        CHECK (required_backup_types <@ ARRAY['FULL_SYSTEM', 'TENANT_DATA', 'DATABASE', 'FILES', 'CONFIGURATION']),
    minimum_backup_age      integer     CHECK (minimum_backup_age >= 0),
    test_frequency_days     integer     CHECK (test_frequency_days > 0),
    last_tested_at          timestamptz,
    test_results            jsonb,
    primary_contact         text,
    escalation_contacts     text[],
    status                  text        NOT NULL DEFAULT 'DRAFT'
        CHECK (status IN ('DRAFT', 'PENDING_APPROVAL', 'APPROVED', 'ARCHIVED')),
    approved_by             text,
    approved_at             timestamptz,
    deleted                 boolean     NOT NULL DEFAULT false,
    created_at              timestamptz NOT NULL DEFAULT now(),
    updated_at              timestamptz NOT NULL DEFAULT now(),
    policy_name             text        UNIQUE,
    policy                  jsonb,
    policy_digest           text,
    source_file             text,
    source_line             integer,
    target_databases        text[],
    severity                text        CHECK (severity IN ('sev1', 'sev2', 'sev3', 'sev4'))
);
COMMENT ON COLUMN bkup.recovery_plans.recovery_time IS 'Recovery time objective in minutes.';
COMMENT ON COLUMN bkup.recovery_plans.recovery_point IS 'Recovery point objective in minutes.';
COMMENT ON COLUMN bkup.recovery_plans.minimum_backup_age IS 'How many hours back a restore must be able to go.';
CREATE INDEX recovery_plans_status ON bkup.recovery_plans (status, created_at DESC) WHERE NOT deleted;
CREATE INDEX recovery_plans_tested ON bkup.recovery_plans (last_tested_at NULLS FIRST) WHERE NOT deleted;
CREATE INDEX recovery_plans_required ON bkup.recovery_plans USING gin (required_backup_types);
CREATE INDEX recovery_plans_steps ON bkup.recovery_plans USING gin (recovery_steps);

-- A tenant's identity is its slug: ids and schemas may change over its life.
CREATE TABLE bkup.tenants (
    database            text        NOT NULL,
    slug                text        NOT NULL,
    tenant_id           text,
    schema_name         text        NOT NULL,
    class               text,
    first_seen_at       timestamptz NOT NULL,
    last_seen_at        timestamptz NOT NULL,
    offboarded_at       timestamptz,
    PRIMARY KEY (database, slug)
);
