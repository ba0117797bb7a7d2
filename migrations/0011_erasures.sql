-- Tenants whose data somebody asked to be erased: what was consented to, by whom, and how far it got. The rows stay: they
-- are the evidence that it was done.
CREATE TABLE bkup.erasures (
    digest              text        COLLATE "C" PRIMARY KEY,
    database            text        NOT NULL,
    slug                text        NOT NULL,
    reason              text,
    asked_by            text        NOT NULL,
    run                 text,
    begun_at            timestamptz NOT NULL,
    completed_at        timestamptz,
    evidence            jsonb
);
COMMENT ON COLUMN bkup.erasures.digest IS 'The digest of what was consented to: the tenant and the backups of it.';
CREATE INDEX erasures_tenant ON bkup.erasures (database, slug, begun_at DESC);

CREATE TABLE bkup.erased_backups (
    backup_id           text        COLLATE "C" PRIMARY KEY,
    erasure             text        COLLATE "C" NOT NULL REFERENCES bkup.erasures (digest),
    store               text        NOT NULL,
    keys_destroyed_at   timestamptz,
    deleted_at          timestamptz
);
