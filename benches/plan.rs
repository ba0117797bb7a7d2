//! How long a plan takes: 10,000 tenants with 1,000,000 backups and nothing to do, and the first plan of all tenants.
//! Pure code only; the peak of the whole process is printed at the end.

#![expect(clippy::print_stdout, reason = "a bench says what it measured")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Instant as Monotonic;

use bkup::domain::{
    Applied, Backup, BackupId, BackupType, Bytes, CatalogFacts, CatalogState, ConfigurationSeen, Desired, Instant,
    Name, Narrowing, Observation, Observed, Period, Progress, ResolvedTenants, Scope, ServerFacts, Signs, StoreFacts,
    StoreMarker, Tenant, TenantRecord, Verification,
};
use bkup::plan::{Request, plan};
use bkup::policy::{LiveTenants, SourceFile, read};

const TENANTS: usize = 10_000;
/// How many backups the catalog holds of each tenant: what the rule keeps of them all.
const NIGHTS: i64 = 100;

const POLICIES: &str = r#"
version: 1
stores:
  primary:
    url: "s3://bench-backups/prod"
    region: us-east-1
    encryption: { recipients: [age1gs94g7crza4ev9g4c2rzkpm2wtajz8l4f3mr588v3c03r0s0cukqfxuych] }
databases: { app: { url: "${APP_URL}", tenants: { schemas: "tenant_*" } } }
classes:
  critical: { tenants: ["ent-*"], priority: 1, rpo: 27h }
  high: { tenants: ["pro-*"], priority: 2, rpo: 27h }
  standard: { tenants: ["*"], priority: 9, rpo: 27h }
retention:
  quarter: { daily: 100, weekly: 12, timezone: Asia/Seoul }
schedules:
  tenants: { databases: [app], backup: tenant_data, when: { cron: "0 3 * * *" }, retention: quarter, store: primary }
"#;

fn name(text: &str) -> Name {
    text.parse().unwrap_or_else(|_| unreachable!())
}

fn slug(index: usize) -> String {
    let class = ["ent", "pro", "std", "std"][index % 4];
    format!("{class}-{index:05}")
}

fn policies() -> Desired {
    let file = SourceFile { name: "bench.yaml".to_owned(), bytes: POLICIES.as_bytes().to_vec() };
    let (set, findings) = read(&[file]);
    assert!(findings.is_empty(), "{findings:?}");
    let tenants =
        (0..TENANTS).map(|index| Tenant { slug: slug(index), schema: format!("tenant_{index}"), id: None }).collect();
    set.desired(&BTreeMap::from([(name("app"), LiveTenants::Known(tenants))])).0
}

/// The newest slot: 03:00 UTC of 2026-11-24.
fn newest() -> Instant {
    Instant::constant(1_795_489_200, 0)
}

fn backup(night: i64, scope: Scope, shared: Option<BackupId>, words: &Words) -> Backup {
    let slot = Period::days(night).before(newest());
    let schedule = name("tenants");
    let (_, id) = bkup::plan::backup_id(&schedule, Some(&name("app")), &scope, slot);
    Backup {
        id,
        database: Some(words.database.clone()),
        filed_under: None,
        scope,
        backup_type: BackupType::TenantData,
        schedule: words.schedule.clone(),
        slot,
        store: words.store.clone(),
        consistent_at: Period::seconds(30).after(slot),
        completed_at: Period::seconds(60).after(slot),
        size: Bytes(1_000_000 + night.unsigned_abs()),
        original_size: Bytes(4_000_000),
        verification: Verification::Checksum,
        verified_at: Some(slot),
        drilled_at: None,
        quarantine: None,
        tombstoned_at: None,
        purge_after: None,
        purging: false,
        marks: 0,
        content: None,
        asked_for: None,
        shared,
        parent: None,
        protected: false,
        pinned_until: None,
        locked_until: None,
        duration_ms: 5000,
    }
}

/// Names as a catalog's reader hands them out: one text for all rows.
struct Words {
    database: Name,
    schedule: Name,
    store: Name,
}

fn history() -> Vec<Backup> {
    let words = Words { database: name("app"), schedule: name("tenants"), store: name("primary") };
    let mut all = Vec::with_capacity(TENANTS * NIGHTS as usize + NIGHTS as usize);
    for night in 0..NIGHTS {
        let shared = backup(night, Scope::Shared, None, &words);
        let id = shared.id.clone();
        all.push(shared);
        for index in 0..TENANTS {
            all.push(backup(night, Scope::Tenant(slug(index)), Some(id.clone()), &words));
        }
    }
    all.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    all
}

fn observed(desired: &Desired, backups: Vec<Backup>) -> Observed {
    let manifests = backups.len() as u64;
    let applied = desired.documents.iter().map(|(address, document)| {
        let retention = address.name().and_then(|name| desired.schedules.get(name)).map(|spec| spec.retention.clone());
        let applied = Applied {
            body: document.body.clone(),
            digest: document.digest,
            since: Period::days(400).before(newest()),
            archived_at: None,
            retention,
        };
        (address.clone(), applied)
    });
    let tenants: Option<Vec<Tenant>> = desired.tenants.values().next().map(|resolved| match resolved {
        ResolvedTenants::Known(known) => known.iter().map(|(tenant, _)| tenant.clone()).collect(),
        _ => Vec::new(),
    });
    let seen = tenants.iter().flatten().map(|tenant| TenantRecord {
        database: name("app"),
        slug: tenant.slug.clone(),
        schema: tenant.schema.clone(),
        last_seen_at: newest(),
        offboarded_at: None,
    });
    let facts = CatalogFacts {
        version: 1,
        lineage: "bench".to_owned(),
        serial: 1,
        simulated: None,
        applied: applied.collect(),
        backups,
        drills: BTreeMap::new(),
        progress: vec![Progress { schedule: name("tenants"), database: Some(name("app")), settled: newest() }],
        garbage: Vec::new(),
        canceled: Vec::new(),
        leased: Vec::new(),
        removals: BTreeMap::new(),
        stores: BTreeMap::from([(name("primary"), "store".to_owned())]),
        tenants: seen.collect(),
    };
    let server = ServerFacts {
        version_num: 170_000,
        datname: "app".to_owned(),
        size: Bytes(1 << 40),
        tenants,
        tenants_unread: None,
        configuration: ConfigurationSeen::NotAsked,
    };
    let marker = StoreMarker { format_version: "1.0".to_owned(), store_id: "store".to_owned() };
    let store = StoreFacts { marker: Some(marker), manifests, ..StoreFacts::default() };
    Observed {
        catalog: Observation::Known(CatalogState::Present(Box::new(facts))),
        stores: BTreeMap::from([(name("primary"), Observation::Known(store))]),
        servers: BTreeMap::from([(name("app"), Observation::Known(server))]),
        clocks: Vec::new(),
        signs: Signs::default(),
    }
}

fn request() -> Request {
    Request {
        now: Period::hours(2).after(newest()),
        simulated: false,
        tool_version: "bench".to_owned(),
        catalog_version: 1,
        identities: Default::default(),
        requested: Default::default(),
        on_demand: None,
        asked_for: None,
        requested_drills: Default::default(),
        narrowing: Narrowing::default(),
        allow_delete: None,
        with_kept: false,
    }
}

/// The peak of this process's memory in MiB, where the system says it.
fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib / 1024)
}

/// The processor time of this process so far, where the system says it: others that use the machine are not in it.
fn processor() -> Option<f64> {
    let spent = std::fs::read_to_string("/proc/self/schedstat").ok()?;
    spent.split_whitespace().next()?.parse::<f64>().ok().map(|nanoseconds| nanoseconds / 1e9)
}

fn timed(what: &str, desired: &Desired, observed: &Observed, actions: std::ops::RangeInclusive<usize>) {
    let before = processor();
    let mut times: Vec<f64> = (0..5)
        .map(|_| {
            let begun = Monotonic::now();
            let plan = black_box(plan(desired, observed, &request()));
            let took = begun.elapsed().as_secs_f64();
            assert!(
                actions.contains(&plan.actions.len()),
                "{} actions, {:?}",
                plan.actions.len(),
                plan.actions.first()
            );
            took
        })
        .collect();
    times.sort_by(f64::total_cmp);
    println!("{what}: {:.2} s median, {:.2} to {:.2} s", times[2], times[0], times[4]);
    if let (Some(before), Some(after)) = (before, processor()) {
        println!("  {:.2} s of a processor each", (after - before) / times.len() as f64);
    }
}

fn main() {
    let desired = policies();
    let world = observed(&desired, Vec::new());
    timed("the first plan of 10,000 tenants", &desired, &world, TENANTS..=TENANTS + 10);
    drop(world);
    let world = observed(&desired, history());
    if let Some(peak) = peak() {
        println!("the world takes {peak} MiB");
    }
    timed("a plan with nothing to do, 1,000,000 backups", &desired, &world, 0..=0);
    if let Some(peak) = peak() {
        println!("peak memory: {peak} MiB");
    }
}
