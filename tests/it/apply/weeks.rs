//! Weeks of simulated time: backups come, are tombstoned, and go, and every day ends with nothing to do.

use crate::world::cluster::Major;
use crate::world::setup::{Place, Policy, Setup};

#[tokio::test]
async fn weeks_pass_and_the_store_holds_what_retention_keeps_and_no_more() {
    let mut setup = Setup::start(Major::V17, Place::Folder, &["acme", "globex"]).await;
    let mut policy =
        Policy { retention: "  short: { last: 3 }\n  brief: { last: 2 }\n".to_owned(), ..Policy::default() };
    policy.schedules = policy.schedules.replacen(
        "database, when: { frequency: daily, time: \"02:30\" }, retention: short",
        "database, when: { frequency: daily, time: \"02:30\" }, retention: brief",
        1,
    );
    assert!(policy.schedules.contains("brief"));
    setup.policy(&policy);
    let _ = setup.first();
    let mut gone = 0;
    for day in 1_u64..=20 {
        setup.now(&format!("2026-03-{:02}T03:{:02}:00Z", day + 2, day));
        let before = setup.manifests().await;
        let _ = setup.apply().success();
        let after = setup.manifests().await;
        gone += before.iter().filter(|key| !after.contains(key)).count();
        // Day 0 made one of each. What falls out is a tombstone for two days, and then gone.
        let expected = |keep: u64| (keep.min(day + 1), (day + 1).saturating_sub(keep).min(2));
        for (scope, keep) in [("database", 2), ("tenant=acme", 3), ("tenant=globex", 3)] {
            let counted = setup
                .catalog(&format!(
                    "SELECT count(*) FILTER (WHERE tombstoned_at IS NULL) || ' ' || \
                            count(*) FILTER (WHERE tombstoned_at IS NOT NULL) \
                     FROM bkup.executions WHERE status = 'COMPLETED' AND NOT deleted AND scope = '{scope}'"
                ))
                .await;
            let (live, tombstoned) = expected(keep);
            assert_eq!(counted, format!("{live} {tombstoned}"), "{scope} on day {day}");
        }
        // Whoever is there finds the shared archive it needs.
        let widows = setup
            .catalog(
                "SELECT count(*) FROM bkup.executions t LEFT JOIN bkup.executions s \
                   ON s.backup_id = t.shared AND s.status = 'COMPLETED' AND NOT s.deleted \
                 WHERE t.status = 'COMPLETED' AND NOT t.deleted AND t.shared IS NOT NULL AND s.backup_id IS NULL",
            )
            .await;
        assert_eq!(widows, "0", "day {day}");
        if day % 4 == 0 || (3..=8).contains(&day) {
            setup.assert_converges().await;
            setup.assert_whole().await;
        }
    }
    // 21 nights; of the database 4 are left, of each tenant 5, of shared archives at most those and two in grace.
    assert!((17 + 2 * 16 + 14..=17 + 2 * 16 + 16).contains(&gone), "{gone} manifests are gone");
    let list = setup.run(&["list", "--format", "json"]).json();
    assert_eq!(list.to_string().matches("tenant=acme").count(), 3, "{list}");
}

#[tokio::test]
async fn a_grace_period_that_is_shortened_meanwhile_keeps_the_promise_that_was_made() {
    let mut setup = Setup::start(Major::V17, Place::Folder, &["acme"]).await;
    let graced = |grace: &str| Policy {
        retention: "  short: { last: 1 }\n".to_owned(),
        guards: format!("{{ max_delete: 50%, min_keep: 1, grace: {grace} }}"),
        ..Policy::default()
    };
    setup.policy(&graced("7d"));
    let _ = setup.first();
    setup.now("2026-03-03T03:10:00Z");
    let _ = setup.apply().success();
    setup.policy(&graced("1d"));
    let tombstoned = "SELECT count(*) FROM bkup.executions WHERE tombstoned_at IS NOT NULL AND NOT deleted \
                      AND slot::date = '2026-03-02' AND scope <> 'shared'";
    for (now, left) in [("2026-03-05T03:10:00Z", "2"), ("2026-03-10T03:09:00Z", "2"), ("2026-03-10T03:11:00Z", "0")] {
        setup.now(now);
        let _ = setup.apply().success();
        assert_eq!(setup.catalog(tombstoned).await, left, "at {now}");
        setup.assert_converges().await;
    }
    setup.assert_whole().await;
}
