-- Renames, removals, and backups that were brought back.

-- What an address is called now. A runner that still holds an old plan finds here that the work goes by another name.
CREATE TABLE bkup.moves (
    moved_from          text        COLLATE "C" PRIMARY KEY,
    moved_to            text        COLLATE "C" NOT NULL,
    moved_at            timestamptz NOT NULL,
    run                 text
);

-- What becomes of the backups of something that left the policies, where the policies said it.
CREATE TABLE bkup.removals (
    address             text        COLLATE "C" PRIMARY KEY,
    backups             text        NOT NULL CHECK (backups IN ('keep', 'expire', 'delete')),
    recorded_at         timestamptz NOT NULL,
    run                 text
);

ALTER TABLE bkup.executions ADD COLUMN filed_under text, ADD COLUMN pinned_until timestamptz;
ALTER TABLE bkup.executions_archive ADD COLUMN filed_under text, ADD COLUMN pinned_until timestamptz;
COMMENT ON COLUMN bkup.executions.filed_under IS 'The database''s name in the store''s keys, where it was renamed since.';
COMMENT ON COLUMN bkup.executions.pinned_until IS 'Until when a backup that was brought back is kept whatever the rules say.';
