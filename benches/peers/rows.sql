-- Rows as applications have them: ids, words, documents, amounts, times. Not filler: compression must have work to do.
set client_min_messages = warning;
-- Variables: :first and :last, the numbers of the rows to make. The same numbers make the same rows.
select setseed((:first % 1000) / 1000.0);

create table if not exists sentences (id int primary key, body text not null);

insert into sentences
select s, string_agg(w.word, ' ' order by random())
from generate_series(1, 8000) s
cross join lateral (
  select (array['the','invoice','payment','of','tenant','customer','was','received','and','checked','by','support','after',
    'delivery','please','call','back','before','Monday','order','number','missing','address','changed','to','street',
    'Berlin','Seoul','Austin','refund','issued','through','card','bank','transfer','waiting','for','approval','from',
    'manager','contract','renewed','until','next','year','with','discount','shipment','delayed','weather','appointment',
    'patient','record','updated','report','attached','see','file','error','while','opening','page','browser','version',
    'login','failed','password','reset','sent','email','phone','meeting','moved','room','thanks','kind','regards','team',
    'quarter','budget','review','open','closed','ticket','priority','high','low','urgent','question','answer','pending',
    'warehouse','stock','item','returned','damaged','replacement','ordered','supplier','price','increase','notice'
  ])[1 + floor(random() * 100)::int] as word
  from generate_series(1, 12 + (s % 25)) where s = s
) w
where not exists (select from sentences)
group by s;

create table if not exists messages (
  id bigint primary key, uid uuid not null, tenant int not null, sender text not null, subject text not null,
  body text not null, created_at timestamptz not null, read_at timestamptz
);
create table if not exists events (
  id bigint primary key, uid uuid not null, tenant int not null, kind text not null, payload jsonb not null,
  occurred_at timestamptz not null
);
create table if not exists invoices (
  id bigint primary key, uid uuid not null, tenant int not null, customer text not null, net numeric(14, 2) not null,
  tax numeric(14, 2) not null, rate numeric(6, 4) not null, due_on date not null, paid_at timestamptz
);

insert into messages
select n.id, md5('m' || n.id)::uuid, n.id % 180, lower(split_part(a.body, ' ', 2)) || n.id % 7919 || '@example.com',
  left(a.body, 60), b.body || '. ' || c.body || '.', timestamptz '2024-01-01' + n.id * interval '7.31 seconds',
  case when n.r1 < 0.7 then timestamptz '2024-01-01' + n.id * interval '7.31 seconds' + n.r2 * interval '3 days' end
from (
  select id, random() r1, random() r2, 1 + floor(random() * 8000)::int s1, 1 + floor(random() * 8000)::int s2,
    1 + floor(random() * 8000)::int s3
  from generate_series(:first::bigint, :last::bigint) id offset 0
) n
join sentences a on a.id = n.s1 join sentences b on b.id = n.s2 join sentences c on c.id = n.s3;

insert into events
select n.id, md5('e' || n.id)::uuid, n.id % 180,
  (array['created', 'updated', 'viewed', 'deleted', 'exported'])[1 + floor(n.r1 * 5)::int],
  jsonb_build_object('actor', md5('u' || n.id % 50021)::uuid, 'ip', host('10.0.0.0'::inet + (n.id * 7919) % 16777216),
    'duration_ms', round((n.r2 * 4000)::numeric, 3), 'path', '/app/' || split_part(a.body, ' ', 3) || '/' || n.id % 99991,
    'tags', jsonb_build_array(split_part(a.body, ' ', 1), split_part(a.body, ' ', 4)), 'note', left(a.body, 90)),
  timestamptz '2024-01-01' + n.id * interval '3.17 seconds'
from (
  select id, random() r1, random() r2, 1 + floor(random() * 8000)::int s1
  from generate_series(:first::bigint, :last::bigint) id offset 0
) n
join sentences a on a.id = n.s1;

insert into invoices
select n.id, md5('i' || n.id)::uuid, n.id % 180, initcap(left(a.body, 24)), round((n.r1 * 9000)::numeric, 2),
  round((n.r1 * 9000 * 0.19)::numeric, 2), round(n.r2::numeric, 4), date '2024-01-01' + (n.id % 900)::int,
  case when n.r2 < 0.8 then timestamptz '2024-01-01' + n.id * interval '11.7 seconds' end
from (
  select id, random() r1, random() r2, 1 + floor(random() * 8000)::int s1
  from generate_series(:first::bigint, :last::bigint) id offset 0
) n
join sentences a on a.id = n.s1;

select pg_database_size(current_database()) as bytes;
