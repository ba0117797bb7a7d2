//! The life of a backup across changes of the policies, through the binary on real servers: renames, removals, what
//! `orphans` and `explain` tell of it, and bringing back what was tombstoned.

use crate::world::cluster::Major;
use crate::world::place::{SCHEDULES, World};

/// Compares with a snapshot, ids and instants taken out.
fn snap(name: &str, text: String) {
    insta::with_settings!({ snapshot_path => "../snapshots", prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!(name, text);
    });
}

/// A world with backups of two tenants and of the database, taken by the first apply.
async fn applied() -> World {
    let world = World::new(Major::V17, &["acme", "globex"]).await;
    let _ = world.apply();
    world
}

fn ids(world: &World) -> Vec<String> {
    let json = world.run(&["--format", "json", "list", "--all"]).exits(0).json();
    let mut ids: Vec<String> =
        json["backups"].as_array().unwrap().iter().map(|b| b["id"].as_str().unwrap().to_owned()).collect();
    ids.sort();
    ids
}

#[track_caller]
fn assert_says(world: &World, args: &[&str], words: &str) {
    let said = world.run(args).success();
    assert!(said.contains(words), "{said}");
}

#[track_caller]
fn assert_quiet(world: &World) {
    let plan = world.run(&["--format", "json", "plan", "--detailed-exitcode", "--include-due"]).exits(0).json();
    assert_eq!(plan["actions"].as_array().map(Vec::len), Some(0), "{plan:#}");
}

/// Takes what differs between two runs out of a text: ids, instants, sizes, ages and digests; columns shrink to a space.
pub(crate) fn settled(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let next = |index: usize| words.get(index + 1).map_or("", |word| word.trim_end_matches([',', '.', ')', ';']));
        let settled = words.iter().enumerate().map(|(index, word)| settled_word(word, next(index)));
        format!("{}{}\n", &line[..line.len() - line.trim_start().len()], settled.collect::<Vec<_>>().join(" "))
    });
    lines.collect()
}

fn settled_word(word: &str, next: &str) -> String {
    let core = word.trim_matches(|c: char| !c.is_alphanumeric());
    let digits = |text: &str, count: usize| text.len() >= count && text.bytes().take(count).all(|b| b.is_ascii_digit());
    let hex = |text: &str| text.len() >= 8 && text.bytes().all(|b| b.is_ascii_hexdigit());
    let unit = ["B", "KiB", "MiB", "s", "min", "h", "d"].contains(&next);
    let known = if digits(core, 8) && core.as_bytes().get(8) == Some(&b'T') {
        let schedule = core.split_once("Z-").and_then(|(_, rest)| rest.rsplit_once('-')).map(|(schedule, _)| schedule);
        schedule.map_or("SLOT".to_owned(), |schedule| format!("ID-{schedule}"))
    } else if digits(core, 4) && core.as_bytes().get(4) == Some(&b'-') {
        "DATE".to_owned()
    } else if digits(core, 2) && core.as_bytes().get(2) == Some(&b':') {
        "TIME".to_owned()
    } else if core.strip_suffix(['s', 'm']).is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit())) {
        "AGE".to_owned()
    } else if hex(core) {
        "DIGEST".to_owned()
    } else if let Some((_, digest)) = core.split_once('@').filter(|(_, digest)| hex(digest)) {
        return word.replace(digest, "DIGEST");
    } else if digits(core, 1) && unit {
        "N".to_owned()
    } else {
        return word.to_owned();
    };
    word.replacen(core, &known, 1)
}

#[tokio::test]
async fn renames_of_schedules_and_a_database_keep_everything_restorable() {
    let world = applied().await;
    let before = ids(&world);
    let objects = world.objects("backups");
    world.policy(
        "schedules.yaml",
        &SCHEDULES
            .replace("nightly:", "every-night:")
            .replace("  tenants:\n", "  all-tenants:\n")
            .replace("[app]", "[shop]"),
    );
    world.policy("places.yaml", &world.places().replace("  app:\n", "  shop:\n"));
    let offered = world.run(&["plan"]).success();
    for entry in [
        "{ from: database.app, to: database.shop }",
        "{ from: schedule.nightly, to: schedule.every-night }",
        "{ from: schedule.tenants, to: schedule.all-tenants }",
    ] {
        assert!(offered.contains(entry), "{offered}");
    }
    world.policy(
        "moved.yaml",
        "version: 1\nmoved:\n  - { from: database.app, to: database.shop }\n  - { from: schedule.nightly, to: schedule.every-night }\n  \
         - { from: schedule.tenants, to: schedule.all-tenants }\n",
    );
    snap("life_rename_plan", settled(&world.run(&["plan"]).success()));
    let _ = world.apply();
    assert_eq!(ids(&world), before, "no slot was run twice");
    assert_eq!(world.objects("backups"), objects, "nothing was written or moved in the store");
    assert_quiet(&world);
    std::fs::remove_file(world.cli.path("policies/moved.yaml")).unwrap();
    assert_quiet(&world);
    // What was taken under the old names is found, explained, restored and bound to its digest key.
    let json =
        world.run(&["--format", "json", "list", "--database", "shop", "--schedule", "all-tenants"]).exits(0).json();
    assert_eq!(json["backups"].as_array().map(Vec::len), Some(3), "{json:#}");
    let old = world.backups("tenant=acme").pop().unwrap();
    let told = world.run(&["explain", &old]).success();
    assert!(told.contains("it lies under app"), "{told}");
    let _ = world.run(&["restore", &old]).exits(0);
}

#[tokio::test]
async fn a_removed_schedule_deletes_nothing_and_its_backups_are_listed_with_their_dates() {
    let world = applied().await;
    let before = ids(&world);
    let (head, tail) = SCHEDULES.split_once("  nightly:").unwrap();
    let rest = tail.split_once("  tenants:\n").unwrap().1;
    world.policy("schedules.yaml", &format!("{head}  tenants:\n{rest}"));
    let _ = world.apply();
    assert_eq!(ids(&world), before);
    assert_quiet(&world);
    snap("life_orphans", settled(&world.run(&["orphans"]).success()));
    let json = world.run(&["--format", "json", "orphans"]).exits(0).json();
    assert_eq!(json["orphans"][0]["address"], "schedule.nightly");
    assert_eq!(json["orphans"][0]["backups"][0]["state"], "kept");
    // Emptied by mistake: refused, and nothing happens.
    world.policy("schedules.yaml", "version: 1\n");
    let refused = world.run(&["apply", "--auto-approve"]).exits(4);
    assert!(refused.stdout.contains("empty_desired"), "{}", refused.stdout);
    world.policy("schedules.yaml", "");
    let _ = world.run(&["apply", "--auto-approve"]).exits(3);
    world.policy("schedules.yaml", SCHEDULES);
    assert_eq!(ids(&world), before);
}

#[tokio::test]
async fn a_removal_that_deletes_asks_for_consent_and_what_it_takes_can_be_brought_back() {
    let world = applied().await;
    let database = world.backups("database").pop().unwrap();
    snap("life_explain_kept", settled(&world.run(&["explain", &database]).success()));
    let (head, tail) = SCHEDULES.split_once("  nightly:").unwrap();
    let rest = tail.split_once("  tenants:\n").unwrap().1;
    world.policy("schedules.yaml", &format!("{head}  tenants:\n{rest}"));
    world.policy("removed.yaml", "version: 1\nremoved: [{ from: schedule.nightly, backups: delete }]\n");
    let refused = world.run(&["plan"]).exits(4);
    snap("life_removal_refused", settled(&refused.stdout));
    let plan = world.run(&["--format", "json", "plan"]).exits(4).json();
    let change = &plan["change_digest"].as_str().unwrap()[..12];
    let _ = world.run(&["apply", "--auto-approve", "--allow-delete", "100%"]).exits(64);
    let _ = world.run(&["apply", "--auto-approve", "--allow-delete", &format!("100%@{change}")]).exits(0);
    assert_quiet(&world);
    snap("life_explain_tombstoned", settled(&world.run(&["explain", &database[..20]]).success()));
    // Brought back, it is kept although its removal says delete; the mark stands beside the tombstone's.
    assert_says(&world, &["undelete", &database], "is back; kept until");
    assert_quiet(&world);
    let marks = world.objects("marks");
    let names: Vec<&str> = marks.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["0-tombstone.json", "1-undelete.json"]);
    snap("life_explain_brought_back", settled(&world.run(&["explain", &database]).success()));
    assert_says(&world, &["undelete", &database], "was not tombstoned");
    let _ = world.run(&["undelete", "20010101T000000Z"]).exits(1);
    // Given back to the rules it goes again, and that is told.
    assert_says(&world, &["undelete", &database, "--for", "0s"], "the next plan may tombstone it");
    let _ = world.run(&["plan"]).exits(4);
}
