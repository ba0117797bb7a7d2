-- Who asked for a backup, and why: for those that no calendar asked for.
ALTER TABLE bkup.executions ADD COLUMN requested_by text, ADD COLUMN request_reason text, ADD COLUMN request_tables text[];
ALTER TABLE bkup.executions_archive
    ADD COLUMN requested_by text, ADD COLUMN request_reason text, ADD COLUMN request_tables text[];
COMMENT ON COLUMN bkup.executions.requested_by IS 'Who asked for it with `bkup backup`; NULL where a schedule''s calendar did.';
COMMENT ON COLUMN bkup.executions.request_reason IS 'Why, in the words of whoever asked.';
COMMENT ON COLUMN bkup.executions.request_tables IS 'The globs over schema.table that were asked for, where no schedule lists them.';
