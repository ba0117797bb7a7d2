-- A quick word on whether a row still says what was recorded of its backup: the digest over it is asked only where this
-- hash disagrees or is absent, as in rows of an earlier bkup or on a server that hashes otherwise.
ALTER TABLE bkup.executions ADD COLUMN recorded_hash bigint;
ALTER TABLE bkup.executions_archive ADD COLUMN recorded_hash bigint;
COMMENT ON COLUMN bkup.executions.recorded_hash IS
    'The server''s hash of the columns under `recorded`. Good on one version of PostgreSQL; it only saves time.';
