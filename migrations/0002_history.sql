-- What was backed up, proven, restored and drilled.

-- One row for each attempt at a backup; rows that people put in by hand have no backup_id.
CREATE TABLE bkup.executions (
    id                  uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    backup_type         text        NOT NULL
        CHECK (backup_type IN ('FULL_SYSTEM', 'TENANT_DATA', 'DATABASE', 'FILES', 'CONFIGURATION')),
    backup_name         text        NOT NULL,
    backup_method       text        NOT NULL DEFAULT 'MANUAL'
        CHECK (backup_method IN ('AUTOMATED', 'MANUAL', 'SCHEDULED')),
    backup_format       text        NOT NULL DEFAULT 'COMPRESSED'
        CHECK (backup_format IN ('COMPRESSED', 'UNCOMPRESSED', 'ENCRYPTED')),
    status              text        NOT NULL DEFAULT 'PENDING'
        CHECK (status IN ('PENDING', 'RUNNING', 'COMPLETED', 'FAILED', 'CANCELED')),
    scheduled_at        timestamptz,
    started_at          timestamptz,
    completed_at        timestamptz,
    duration            bigint,
    backup_size         bigint,
    original_size       bigint,
    compression_rate    numeric,
    backup_file         text,
    backup_checksum     text,
    retention_days      integer,
    expires_at          timestamptz,
    retry_count         integer     NOT NULL DEFAULT 0,
    error_message       text,
    backup_tenant_id    uuid,
    deleted             boolean     NOT NULL DEFAULT false,
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),

    backup_id           text        COLLATE "C",
    attempt             bigint,
    action_id           text,
    run                 text,
    runner              text,
    lease_until         timestamptz,
    abandoned_at        timestamptz,
    collected_at        timestamptz,

    schedule            text,
    slot                timestamptz,
    slot_local          timestamp,
    slot_zone           text,
    database            text,
    scope               text,
    tenant_slug         text,
    tenant_schema       text,
    tenant_id           text,
    tenant_offboarded_at timestamptz,
    engine              text        CHECK (engine IN ('logical', 'physical', 'incremental')),
    parent              text        COLLATE "C",
    shared              text        COLLATE "C",

    store               text,
    store_id            text,
    manifest_key        text,
    parts               jsonb,
    recipients          text[],
    digest_key_id       text,
    storage_class       text,
    locked_until        timestamptz,

    consistent_at       timestamptz,
    begin_lsn           pg_lsn,
    end_lsn             pg_lsn,
    timeline            bigint,
    system_identifier   text,
    snapshot            text,
    server_version      text,
    dump_version        text,
    tool_version        text,
    duration_ms         bigint,
    timings             jsonb,
    notes               text[],

    policy_digest       text,
    retention           jsonb,
    protected           boolean     NOT NULL DEFAULT false,
    simulated           boolean     NOT NULL DEFAULT false,

    verification        text        NOT NULL DEFAULT 'none'
        CHECK (verification IN ('none', 'exists', 'checksum', 'restore')),
    verified_at         timestamptz,
    drilled_at          timestamptz,
    quarantine          text,
    quarantined_at      timestamptz,
    marks               bigint      NOT NULL DEFAULT 0 CHECK (marks >= 0),
    tombstoned_at       timestamptz,
    purge_after         timestamptz,
    purge_begun_at      timestamptz,
    purged_at           timestamptz
);
COMMENT ON COLUMN bkup.executions.duration IS 'Whole seconds.';
COMMENT ON COLUMN bkup.executions.compression_rate IS 'Size in the store as a percentage of the size before compression.';
COMMENT ON COLUMN bkup.executions.backup_file IS 'The manifest''s key in the store.';
COMMENT ON COLUMN bkup.executions.backup_checksum IS 'SHA-256 of the object as stored; for several objects, of their sums as sha256sum lists them.';
COMMENT ON COLUMN bkup.executions.attempt IS 'The fencing token of the claim that made it.';
COMMENT ON COLUMN bkup.executions.slot IS 'The slot''s identity; slot_local and slot_zone are for people.';

-- Purged backups count too: a slot that was done once is never done again.
CREATE UNIQUE INDEX executions_slot ON bkup.executions (schedule, coalesce(database, ''), scope, slot)
    WHERE status = 'COMPLETED';
CREATE UNIQUE INDEX executions_attempt ON bkup.executions (backup_id, attempt);
CREATE INDEX executions_action ON bkup.executions (action_id, attempt);
CREATE INDEX executions_kept ON bkup.executions (backup_id)
    WHERE status = 'COMPLETED' AND NOT deleted AND backup_id IS NOT NULL;
CREATE INDEX executions_unfinished ON bkup.executions (status)
    WHERE status IN ('RUNNING', 'FAILED', 'CANCELED') AND attempt IS NOT NULL AND collected_at IS NULL;
CREATE INDEX executions_listed ON bkup.executions ((coalesce(started_at, created_at)) DESC, id DESC);
CREATE INDEX executions_started ON bkup.executions (started_at DESC) WHERE NOT deleted;
CREATE INDEX executions_created ON bkup.executions (created_at, backup_type) WHERE NOT deleted;
CREATE INDEX executions_scope ON bkup.executions (database, scope, started_at DESC);
CREATE INDEX executions_tenant ON bkup.executions (backup_tenant_id) WHERE backup_tenant_id IS NOT NULL;
CREATE INDEX executions_shared ON bkup.executions (shared) WHERE shared IS NOT NULL AND NOT deleted;
CREATE INDEX executions_expires ON bkup.executions (expires_at) WHERE expires_at IS NOT NULL AND NOT deleted;

-- The application deletes a tenant: the reference goes, the evidence stays.
CREATE FUNCTION bkup.note_offboarding() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog
    AS $$ BEGIN NEW.tenant_offboarded_at := bkup.clock(); RETURN NEW; END $$;
CREATE TRIGGER note_offboarding BEFORE UPDATE OF backup_tenant_id ON bkup.executions FOR EACH ROW
    WHEN (OLD.backup_tenant_id IS NOT NULL AND NEW.backup_tenant_id IS NULL)
    EXECUTE FUNCTION bkup.note_offboarding();

CREATE TABLE bkup.validations (
    id                  uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    backup_id           text        COLLATE "C" NOT NULL,
    store               text        NOT NULL,
    depth               text        NOT NULL CHECK (depth IN ('exists', 'checksum', 'restore')),
    passed              boolean     NOT NULL,
    detail              text,
    bytes_read          bigint,
    run                 text,
    validated_at        timestamptz NOT NULL,
    created_at          timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX validations_backup ON bkup.validations (backup_id, validated_at DESC);

-- Whoever reads backups names them here for as long as it reads: pruning leaves them alone meanwhile.
CREATE TABLE bkup.restores (
    id                  uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    kind                text        NOT NULL CHECK (kind IN ('RESTORE', 'DRILL', 'VERIFY', 'COPY')),
    status              text        NOT NULL DEFAULT 'RUNNING'
        CHECK (status IN ('RUNNING', 'COMPLETED', 'FAILED', 'CANCELED')),
    backups             text[]      NOT NULL,
    target              text        NOT NULL,
    runner              text        NOT NULL,
    run                 text,
    lease_until         timestamptz,
    started_at          timestamptz NOT NULL,
    completed_at        timestamptz,
    bytes_fetched       bigint,
    error_message       text,
    created_at          timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX restores_leased ON bkup.restores (lease_until) WHERE lease_until IS NOT NULL;

CREATE TABLE bkup.drills (
    id                  uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    drill_id            text        NOT NULL,
    plan                text        NOT NULL,
    plan_digest         text        NOT NULL,
    attempt             bigint      NOT NULL CHECK (attempt >= 0),
    drilled_at          timestamptz NOT NULL,
    passed              boolean     NOT NULL,
    failure             text,
    backups             text[]      NOT NULL,
    tenants             text[]      NOT NULL,
    backup_age_seconds  bigint      NOT NULL,
    restore_ms          bigint      NOT NULL,
    rpo_compliant       boolean,
    rto_compliant       boolean,
    evidence            jsonb       NOT NULL,
    evidence_digest     text        NOT NULL,
    run                 text,
    created_at          timestamptz NOT NULL DEFAULT now(),
    ordinal             bigint      GENERATED ALWAYS AS IDENTITY,
    UNIQUE (plan, attempt)
);
CREATE INDEX drills_ordinal ON bkup.drills (ordinal DESC);

-- Ranges, not a row for each segment.
CREATE TABLE bkup.wal_segments (
    id                  uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    store               text        NOT NULL,
    database            text        NOT NULL,
    system_identifier   text        NOT NULL,
    timeline            bigint      NOT NULL,
    begin_lsn           pg_lsn      NOT NULL,
    end_lsn             pg_lsn      NOT NULL CHECK (end_lsn > begin_lsn),
    segments            bigint      NOT NULL,
    bytes               bigint      NOT NULL,
    begin_at            timestamptz,
    end_at              timestamptz,
    expired_at          timestamptz,
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    UNIQUE (store, database, system_identifier, timeline, begin_lsn)
);

-- The last listing of each store, summed up by prefix.
CREATE TABLE bkup.object_inventory (
    store               text        NOT NULL,
    prefix              text        NOT NULL,
    objects             bigint      NOT NULL,
    bytes               bigint      NOT NULL,
    newest_at           timestamptz,
    listed_at           timestamptz NOT NULL,
    PRIMARY KEY (store, prefix)
);

-- Soft-deleted rows move here and stay for audit.
CREATE TABLE bkup.executions_archive (LIKE bkup.executions INCLUDING DEFAULTS INCLUDING CONSTRAINTS);
ALTER TABLE bkup.executions_archive ADD COLUMN archived_at timestamptz NOT NULL DEFAULT now(), ADD PRIMARY KEY (id);
CREATE UNIQUE INDEX executions_archive_slot
    ON bkup.executions_archive (schedule, coalesce(database, ''), scope, slot) WHERE status = 'COMPLETED';
CREATE TABLE bkup.schedules_archive (LIKE bkup.schedules INCLUDING DEFAULTS INCLUDING CONSTRAINTS);
ALTER TABLE bkup.schedules_archive ADD COLUMN archived_at timestamptz NOT NULL DEFAULT now(), ADD PRIMARY KEY (id);
CREATE TABLE bkup.recovery_plans_archive (LIKE bkup.recovery_plans INCLUDING DEFAULTS INCLUDING CONSTRAINTS);
ALTER TABLE bkup.recovery_plans_archive ADD COLUMN archived_at timestamptz NOT NULL DEFAULT now(), ADD PRIMARY KEY (id);
