-- What each run did, as its own report tells it, and the word that stops one.

CREATE TABLE bkup.runs (
    run                 text        COLLATE "C" PRIMARY KEY,
    plan_digest         text        NOT NULL,
    runner              text        NOT NULL,
    actor               text        NOT NULL,
    begun_at            timestamptz NOT NULL,
    ended_at            timestamptz,
    elapsed_ms          bigint,
    counts              jsonb       NOT NULL DEFAULT '{}',
    report              jsonb,
    seen_at             timestamptz NOT NULL DEFAULT clock_timestamp(),
    canceled_at         timestamptz,
    canceled_by         text,
    cancel_reason       text
);
COMMENT ON COLUMN bkup.runs.seen_at IS 'By this database''s own clock; a run without an end that was not seen for a while is dead.';
CREATE INDEX runs_begun ON bkup.runs (begun_at DESC, run DESC);

-- A canceled slot is not taken again by itself: the planner asks for the newest one of each scope.
CREATE INDEX executions_canceled ON bkup.executions (schedule, database, scope, slot DESC) WHERE status = 'CANCELED';
CREATE INDEX executions_run ON bkup.executions (run) WHERE run IS NOT NULL;
CREATE INDEX plan_actions_run ON bkup.plan_actions (run) WHERE run IS NOT NULL;
