-- The digest of a backup's content as a whole: a schedule `on: change` compares it with what it sees.
ALTER TABLE bkup.executions ADD COLUMN content_digest text;
ALTER TABLE bkup.executions_archive ADD COLUMN content_digest text;
COMMENT ON COLUMN bkup.executions.content_digest IS 'SHA-256 of the configuration that the backup holds; NULL for other kinds.';
