-- Who does what: plans, claims, slots that are settled, and the audit chain.

CREATE TABLE bkup.plans (
    digest              text        PRIMARY KEY,
    change_digest       text        NOT NULL,
    policy_digest       text        NOT NULL,
    lineage             text,
    serial              bigint      NOT NULL,
    as_of               timestamptz NOT NULL,
    document            jsonb       NOT NULL,
    run                 text        NOT NULL,
    status              text        NOT NULL DEFAULT 'RUNNING' CHECK (status IN ('RUNNING', 'FINISHED')),
    begun_at            timestamptz NOT NULL,
    finished_at         timestamptz
);
CREATE INDEX plans_begun ON bkup.plans (begun_at DESC);

CREATE TABLE bkup.plan_actions (
    plan_digest         text        NOT NULL REFERENCES bkup.plans (digest) ON DELETE CASCADE,
    action_id           text        NOT NULL,
    ordinal             integer     NOT NULL,
    kind                text        NOT NULL,
    address             text        NOT NULL,
    class               text        NOT NULL,
    outcome             text        CHECK (outcome IN ('done', 'already_done', 'skipped', 'claimed', 'failed',
                                                       'violated', 'not_reached')),
    detail              jsonb,
    elapsed_ms          bigint,
    retries             integer,
    run                 text,
    ended_at            timestamptz,
    PRIMARY KEY (plan_digest, action_id)
);

-- One row for each piece of work, whatever plan it stands in. It stays when the work is over: the token only grows.
CREATE TABLE bkup.claims (
    action_id           text        PRIMARY KEY,
    token               bigint      NOT NULL CHECK (token > 0),
    runner              text        NOT NULL,
    claimed_at          timestamptz NOT NULL,
    heartbeat_at        timestamptz NOT NULL,
    lease_until         timestamptz
);
COMMENT ON COLUMN bkup.claims.lease_until IS 'By this database''s own clock; NULL: free.';

-- Slots up to `settled` are done or recorded as missed. An empty database stands for none.
CREATE TABLE bkup.schedule_progress (
    schedule            text        NOT NULL,
    database            text        NOT NULL DEFAULT '',
    settled             timestamptz NOT NULL,
    updated_at          timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (schedule, database)
);
CREATE TABLE bkup.missed_slots (
    schedule            text        NOT NULL,
    database            text        NOT NULL DEFAULT '',
    slot                timestamptz NOT NULL,
    scopes              bigint      NOT NULL,
    recorded_at         timestamptz NOT NULL,
    PRIMARY KEY (schedule, database, slot)
);

-- Append-only; `hash` covers the row and the hash of the one before.
CREATE TABLE bkup.audit_log (
    seq                 bigint      PRIMARY KEY CHECK (seq > 0),
    at                  timestamptz NOT NULL,
    actor               text        NOT NULL,
    run                 text,
    event               text        NOT NULL,
    subject             text        NOT NULL,
    facts               jsonb       NOT NULL,
    previous            text,
    hash                text        NOT NULL UNIQUE,
    CHECK ((seq = 1) = (previous IS NULL))
);
CREATE INDEX audit_log_subject ON bkup.audit_log (subject, seq);

CREATE FUNCTION bkup.refuse_audit_change() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog
    AS $$ BEGIN
        RAISE EXCEPTION 'the audit log is append-only' USING ERRCODE = 'insufficient_privilege';
    END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON bkup.audit_log FOR EACH ROW
    EXECUTE FUNCTION bkup.refuse_audit_change();
CREATE TRIGGER never_truncated BEFORE TRUNCATE ON bkup.audit_log FOR EACH STATEMENT
    EXECUTE FUNCTION bkup.refuse_audit_change();
