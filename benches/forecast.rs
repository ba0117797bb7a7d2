//! How long a look ahead takes: 400 days of 10,000 tenants, from a year as if and from a catalog that holds them all.
//! Pure code only.

use std::collections::BTreeMap;
use std::hint::black_box;

use bkup::domain::{
    Backup, BackupId, BackupType, Bytes, Desired, Instant, Name, Period, ResolvedTenants, Scope, Tenant, Verification,
};
use bkup::forecast::{Counts, Question, Start, World, forecast};
use bkup::policy::{LiveTenants, SourceFile, read};
use criterion::{Criterion, criterion_group, criterion_main};

const TENANTS: usize = 10_000;
/// How many nights the catalog holds of each tenant.
const NIGHTS: i64 = 30;

const POLICIES: &str = r#"
version: 1
stores:
  primary:
    url: "s3://bench-backups/prod"
    region: us-east-1
    encryption: { recipients: [age1gs94g7crza4ev9g4c2rzkpm2wtajz8l4f3mr588v3c03r0s0cukqfxuych] }
databases: { app: { url: "${APP_URL}", objectives: { rpo: 27h }, tenants: { schemas: "tenant_*" } } }
classes:
  critical: { tenants: ["ent-*"], priority: 1, rpo: 8h }
  high: { tenants: ["pro-*"], priority: 2, rpo: 27h }
  standard: { tenants: ["*"], priority: 9, rpo: 27h }
retention:
  gfs: { daily: 7, weekly: 4, monthly: 12, yearly: 5, timezone: Asia/Seoul }
  window: { within: 14d }
schedules:
  nightly: { databases: [app], backup: database, when: { frequency: daily, time: "02:00", timezone: Asia/Seoul }, retention: gfs, store: primary }
  tenants: { databases: [app], backup: tenant_data, when: { cron: "0 3 * * *" }, retention: gfs, store: primary }
  often: { databases: [app], backup: tenant_data, tenants: { class: [critical] }, when: { cron: "15 */6 * * *" }, retention: window, store: primary }
"#;

fn begin() -> Instant {
    Instant::constant(1_795_003_200, 0)
}

fn slug(index: usize) -> String {
    let class = ["ent", "pro", "std", "std"][index % 4];
    format!("{class}-{index:05}")
}

fn policies(tenants: Vec<Tenant>) -> Desired {
    let file = SourceFile { name: "bench.yaml".to_owned(), bytes: POLICIES.as_bytes().to_vec() };
    let (set, findings) = read(&[file]);
    assert!(findings.is_empty(), "{findings:?}");
    let app: Name = "app".parse().unwrap_or_else(|_| unreachable!());
    set.desired(&BTreeMap::from([(app, LiveTenants::Known(tenants))])).0
}

fn tenants(count: usize) -> Vec<Tenant> {
    (0..count).map(|index| Tenant { slug: slug(index), schema: format!("tenant_{index}"), id: None }).collect()
}

/// Three hundred thousand backups, each of its own size.
fn history(desired: &Desired) -> Vec<Backup> {
    let mut all = Vec::new();
    for known in desired.tenants.values() {
        let ResolvedTenants::Known(known) = known else { continue };
        for (index, (tenant, _)) in known.iter().enumerate() {
            for night in 1..=NIGHTS {
                let slot = Period::hours(24 * night + 9).before(begin());
                all.push(Backup {
                    id: BackupId::from_text(format!("{night:03}-{}", tenant.slug)),
                    database: "app".parse().ok(),
                    filed_under: None,
                    scope: Scope::Tenant(tenant.slug.clone()),
                    backup_type: BackupType::TenantData,
                    schedule: "tenants".parse().unwrap_or_else(|_| unreachable!()),
                    slot,
                    store: "primary".parse().unwrap_or_else(|_| unreachable!()),
                    consistent_at: Period::seconds(index as i64 % 600).after(slot),
                    completed_at: Period::seconds(index as i64 % 600 + 5).after(slot),
                    size: Bytes(1_000_000 + index as u64),
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
                    shared: None,
                    parent: None,
                    protected: false,
                    pinned_until: None,
                    locked_until: None,
                    duration_ms: 5000,
                });
            }
        }
    }
    all
}

fn question<'a>(desired: &'a Desired, start: Start<'a>, counts: Option<Counts>) -> Question<'a> {
    Question {
        after: (desired, "bench".to_owned()),
        before: None,
        start,
        begin: begin(),
        length: Period::days(400),
        faults: Default::default(),
        seed: 1,
        growth: Default::default(),
        prices: None,
        databases: BTreeMap::new(),
        counts,
        step: None,
        tool_version: "bench".to_owned(),
        catalog_version: 1,
    }
}

fn forecasts(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("400 days of 10,000 tenants");
    group.sample_size(10);
    let placeholders = policies(
        ["ent-any", "pro-any", "any"]
            .map(|slug| Tenant { slug: slug.to_owned(), schema: slug.to_owned(), id: None })
            .to_vec(),
    );
    let counts = Counts { by_class: BTreeMap::new(), otherwise: Some(TENANTS as u64 / 3) };
    group.bench_function("as if for a year", |bencher| {
        let asked = question(&placeholders, Start::AsIf(Period::days(365)), Some(counts.clone()));
        bencher.iter(|| forecast(black_box(&asked)));
    });
    let live = policies(tenants(TENANTS));
    let mut facts = World::empty_catalog(1);
    facts.backups = history(&live);
    group.bench_function("from a catalog of 300,000 backups", |bencher| {
        let asked = question(&live, Start::Catalog(&facts), None);
        bencher.iter(|| forecast(black_box(&asked)));
    });
    group.finish();
}

criterion_group!(benches, forecasts);
criterion_main!(benches);
