-- For people. Ages are counted by the catalog's own clock, which is simulated in simulated catalogs.

CREATE VIEW bkup.backup_status AS
SELECT t.database, t.slug AS tenant_slug, t.tenant_id, t.slug AS tenant_name, t.class, newest.backup_id,
       newest.backup_date, newest.backup_size, newest.duration AS duration_seconds, newest.status,
       coalesce(newest.verification IN ('checksum', 'restore'), false) AS verified, newest.verified_at,
       bkup.clock() - newest.backup_date AS age
FROM bkup.tenants t
LEFT JOIN LATERAL (
    SELECT e.backup_id, coalesce(e.consistent_at, e.started_at) AS backup_date, e.backup_size, e.duration, e.status,
           e.verification, e.verified_at
    FROM bkup.executions e
    WHERE e.database = t.database AND e.scope = 'tenant=' || t.slug AND NOT e.deleted
    ORDER BY e.started_at DESC NULLS LAST LIMIT 1
) newest ON true
WHERE t.offboarded_at IS NULL OR newest.backup_id IS NOT NULL
ORDER BY newest.backup_date DESC NULLS LAST;

CREATE VIEW bkup.plans_needing_test AS
SELECT id, plan_name, last_tested_at, test_frequency_days,
       last_tested_at + make_interval(days => test_frequency_days) AS due_for_testing
FROM bkup.recovery_plans
WHERE status = 'APPROVED' AND NOT deleted
  AND (last_tested_at IS NULL OR last_tested_at + make_interval(days => test_frequency_days) <= bkup.clock())
ORDER BY last_tested_at ASC NULLS FIRST;

CREATE VIEW bkup.pending_approvals AS
SELECT id, plan_name, plan_type, created_at
FROM bkup.recovery_plans
WHERE status IN ('DRAFT', 'PENDING_APPROVAL') AND NOT deleted
ORDER BY created_at DESC;

CREATE VIEW bkup.success_rate AS
SELECT backup_type, count(*) AS total, count(*) FILTER (WHERE status = 'COMPLETED') AS successful,
       round(100.0 * count(*) FILTER (WHERE status = 'COMPLETED') / count(*), 2) AS success_rate
FROM bkup.executions
WHERE NOT deleted AND created_at >= now() - interval '30 days'
GROUP BY backup_type;
