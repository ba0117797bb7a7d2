//! A year twice: once through the forecast, and once through real applies on a real catalog and a store in a folder, with
//! a simulated clock. Every backup is taken, tombstoned and purged by the same apply in both.

use std::collections::BTreeMap;

use bkup::domain::{Instant, Period};
use bkup::forecast::{Life, Question, lives};

use super::{question, read_policies};
use crate::world::cluster::Major;
use crate::world::model::at;
use crate::world::setup::{BEGIN, Place, Policy, Setup};

/// How far apart applies are: 53 of them are a year.
const STEP: Period = Period::days(7);
const STEPS: i64 = 53;

#[tokio::test]
async fn a_year_of_applies_does_what_the_forecast_says_day_by_day() {
    let mut setup = Setup::start(Major::V17, Place::Folder, &["acme"]).await;
    let policy = Policy {
        schedules: "  weekly: { databases: [app], backup: database, when: { frequency: weekly, time: \"02:30\" }, \
                    start_within: 12h, retention: long, store: primary }
  tenants: { databases: [app], backup: tenant_data, when: { cron: \"0 3 1,15 * *\" }, start_within: 8d, \
                    retention: brief, store: primary }
"
        .to_owned(),
        retention: "  long: { last: 2, monthly: 4, quarterly: 3 }\n  brief: { last: 3, within: 60d }\n".to_owned(),
        guards: "{ max_delete: 50%, min_keep: 1, grace: 10d }".to_owned(),
        ..Policy::default()
    };
    setup.policy(&policy);
    let desired = read_policies(&setup.policy_text(&policy), &["acme"]);
    let length = Period::seconds(STEP.as_seconds() * STEPS);
    let forecast = lives(&Question { step: Some(STEP), ..question(&desired, BEGIN, length) }).expect("a forecast");

    let mut real: BTreeMap<String, Life> = BTreeMap::new();
    let mut now = at(BEGIN);
    for turn in 0..=STEPS {
        if turn == 0 {
            let _ = setup.first();
        } else {
            now = STEP.after(now);
            setup.now(&now.to_string());
            let _ = setup.apply().success();
        }
        note(&setup, now, &mut real).await;
        assert_eq!(points(&real, now), points(&texts(&forecast), now), "restore points at {now}");
    }
    setup.assert_whole().await;
    let forecast = texts(&forecast);
    for (id, life) in &forecast {
        assert_eq!(real.get(id), Some(life), "{id}");
    }
    assert_eq!(real.len(), forecast.len());
    let purged = forecast.values().filter(|life| life.purged_at.is_some()).count();
    let live = setup.run(&["simulate", "--live", "--for", "30d"]).success();
    assert!(live.contains("from what the catalog holds") && live.contains("as the newest of its scope"), "{live}");
    assert!(forecast.len() > 90 && purged > 60, "{} backups, {purged} purged: not much of a year", forecast.len());
}

fn texts(lives: &bkup::forecast::Lives) -> BTreeMap<String, Life> {
    lives.iter().map(|(id, life)| (id.to_string(), *life)).collect()
}

/// Reads what the catalog says of every backup, and notes what is new since the last time.
async fn note(setup: &Setup, now: Instant, lives: &mut BTreeMap<String, Life>) {
    let rows = setup
        .catalog(
            "SELECT coalesce(string_agg(backup_id || ' ' || (tombstoned_at IS NOT NULL) || ' ' || deleted, ','), '') \
             FROM bkup.executions WHERE status = 'COMPLETED'",
        )
        .await;
    for row in rows.split(',').filter(|row| !row.is_empty()) {
        let words: Vec<&str> = row.split(' ').collect();
        let [id, tombstoned, deleted] = words.as_slice() else { panic!("{row}") };
        let life = lives.entry((*id).to_owned()).or_default();
        life.taken_at = life.taken_at.or(Some(now));
        if *tombstoned == "true" {
            life.tombstoned_at = life.tombstoned_at.or(Some(now));
        }
        if *deleted == "true" {
            life.purged_at = life.purged_at.or(Some(now));
        }
    }
}

/// Counts what can be restored and is not tombstoned.
fn points(lives: &BTreeMap<String, Life>, now: Instant) -> usize {
    let is = |at: Option<Instant>| at.is_some_and(|at| at <= now);
    lives.values().filter(|life| is(life.taken_at) && !is(life.tombstoned_at)).count()
}
