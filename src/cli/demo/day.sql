-- A day of business: every tenant gets some orders. {at} is the instant of the next backup.
DO $day$
DECLARE tenant record;
BEGIN
    FOR tenant IN SELECT nspname AS schema, row_number() OVER (ORDER BY nspname) AS n
                  FROM pg_namespace WHERE nspname LIKE 'tenant\_%' LOOP
        EXECUTE format(
            $sql$INSERT INTO %1$I.orders (customer_id, sku, quantity, state, placed_at)
                 SELECT c.id, p.sku, (c.id + i) %% 3 + 1, 'open', {at}::timestamptz - i * interval '83 minutes'
                 FROM generate_series(1, 4 + %2$s %% 9) i
                 JOIN %1$I.customers c ON c.id = (i * 41 + extract(doy FROM {at}::timestamptz)::int * 7) %% 180 + 1
                 JOIN %1$I.products p ON p.sku = 'SKU-' || to_char((c.id + i) %% 42 + 1, 'FM0000')$sql$,
            tenant.schema, tenant.n);
    END LOOP;
END $day$
