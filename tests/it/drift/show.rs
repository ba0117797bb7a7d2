//! What drift looks like, for people and for programs.

use bkup::domain::{BackupId, Bytes, Damage, DocumentSign, ObjectSigns, Observation, RowEdit};
use bkup::render::{Style, drift_json, drift_text, plan_text};

use super::{HOSTILE, address, edits, first_backup, neighbours, rule, store, with_bucket};
use crate::world::cluster::Major;
use crate::world::model::Model;
use crate::world::setup::{Place, Setup};

/// A world in which much is wrong.
fn adrift() -> Model {
    let mut model = with_bucket(|bucket| {
        bucket.lifecycle = Observation::Known(Some(vec![rule("")]));
        bucket.versioning = Observation::Unreachable("the store denies it: it takes s3:GetBucketVersioning".to_owned());
        bucket.public = Observation::Known(Some(vec!["its policy lets everybody in".to_owned()]));
    });
    let edit = RowEdit { column: "frequency".to_owned(), found: HOSTILE.to_owned(), written: "CRON".to_owned() };
    edits(&mut model).documents.insert(address("schedule.tenants"), DocumentSign { intact: true, edits: vec![edit] });
    edits(&mut model).schedules_by_hand = (vec![HOSTILE.to_owned(), "mine".to_owned()], 2);
    let damage = |backup: BackupId| Damage { backup, words: "its data object is gone".to_owned(), gone: true };
    let damaged = vec![damage(first_backup(&mut model))];
    let stray_examples = vec!["backups/app/old.dump".to_owned()];
    let strays =
        ObjectSigns { damaged, strays: 3, stray_bytes: Bytes(3 << 20), stray_examples, ..ObjectSigns::default() };
    store(&mut model).objects = strays;
    neighbours(&mut model).databases.insert("billing".to_owned(), Some(Bytes(120 << 20)));
    model
}

fn shown(text: &str) {
    assert!(!text.contains(['\u{1b}', '\u{202e}']), "a name reaches the terminal as it is: {text:?}");
}

#[test]
fn drift_is_laid_out_for_people() {
    let plan = adrift().plan();
    let text = drift_text(&plan, Some("bkup apply"), &Style::plain());
    shown(&text);
    insta::with_settings!({ snapshot_path => "../../snapshots", prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("drift_text", text);
    });
}

#[test]
fn a_plan_shows_its_drift_where_it_belongs() {
    let plan = adrift().plan();
    let text =
        plan_text(bkup::render::PlanView { plan: &plan, next: Some("bkup apply"), full: false }, &Style::plain());
    shown(&text);
    insta::with_settings!({ snapshot_path => "../../snapshots", prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("drift_plan", text);
    });
}

#[test]
fn drift_in_ascii_holds_nothing_else() {
    let plan = adrift().plan();
    let style = Style { unicode: false, ..Style::plain() };
    assert!(drift_text(&plan, None, &style).is_ascii());
}

#[test]
fn drift_as_json_has_kind_code_severity_and_help_of_each() {
    let plan = adrift().plan();
    let text = drift_json(&plan);
    shown(&text);
    let read: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(read["drift"], plan.counts().drift);
    assert_eq!(read["actions"].as_array().map(Vec::len), Some(2));
    for finding in read["findings"].as_array().unwrap() {
        for key in ["address", "kind", "code", "severity", "words", "help"] {
            assert!(finding[key].as_str().is_some_and(|text| !text.is_empty()), "{key}: {finding}");
        }
    }
}

#[tokio::test]
async fn programs_get_drift_as_sarif_and_annotations_at_the_line_of_its_thing() {
    let setup = Setup::start(Major::V17, Place::Folder, &["acme"]).await;
    let _ = setup.apply().success();
    setup.cluster.exec("postgres", "CREATE DATABASE billing").await;
    let github = setup.run(&["drift", "--format", "github"]).exits(0);
    assert!(github.stdout.starts_with("::warning file=bkup.yaml,line=4,"), "{}", github.stdout);
    let sarif = setup.run(&["drift", "--format", "sarif", "--detailed-exitcode"]).exits(2);
    let read: serde_json::Value = serde_json::from_str(&sarif.stdout).unwrap();
    let run = &read["runs"][0];
    assert_eq!(run["results"][0]["ruleId"], "BK904");
    assert_eq!(run["tool"]["driver"]["rules"][0]["id"], "BK904");
    assert_eq!(setup.run(&["drift", "--target", "store.nothing"]).code, 64);
    let narrowed = setup.run(&["drift", "--target", "store.*", "--detailed-exitcode"]).exits(0);
    assert!(narrowed.stdout.contains("narrowed: target store.*"), "{}", narrowed.stdout);
}
