-- What was recorded of a backup when it was made, so that a row changed by hand is seen.

ALTER TABLE bkup.executions ADD COLUMN manifest_size bigint, ADD COLUMN recorded text;
ALTER TABLE bkup.executions_archive ADD COLUMN manifest_size bigint, ADD COLUMN recorded text;
COMMENT ON COLUMN bkup.executions.recorded IS 'SHA-256 over the columns that came from the manifest, as they were written.';
