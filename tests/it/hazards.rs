//! Suite: hazards. What five designs did that loses data, each as a policy file that the real binary refuses without
//! any environment; and the page that says what bkup does instead, held to what there is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::policy::entries;
use crate::world::cluster::Major;
use crate::world::run::Ran;
use crate::world::setup::{Place, Setup, ran};

/// How many there are.
const HAZARDS: usize = 14;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Validates a file or folder of the repository, with an environment of these variables alone.
fn validate(path: &Path, env: &[(&str, &str)]) -> Ran {
    let mut command = assert_cmd::Command::new(assert_cmd::cargo::cargo_bin!("bkup"));
    command.env_clear().envs(env.iter().copied()).current_dir(root());
    ran(command.arg("validate").arg("-p").arg(path).timeout(Duration::from_secs(120)).output().unwrap())
}

/// Returns the hazard's number, which a file's name begins with.
fn number(path: &Path) -> usize {
    path.file_name().unwrap().to_str().unwrap()[..2].parse().unwrap()
}

/// Returns the code that a file says it expects.
fn expected(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    let comments: Vec<&str> = text.lines().take_while(|line| line.starts_with("# ")).collect();
    let code = comments.last().and_then(|line| line.strip_prefix("# expects: "));
    assert!(comments.len() >= 3, "{}: what the design did and why it loses data", path.display());
    code.unwrap_or_else(|| panic!("{}: the last comment says no code", path.display())).to_owned()
}

fn rows(page: &str) -> BTreeMap<usize, &str> {
    page.lines().filter_map(|line| Some((line.strip_prefix("| ")?.split_once(' ')?.0.parse().ok()?, line))).collect()
}

/// Returns every file of Rust code below a folder.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn each_hazard_is_refused_with_its_own_code_and_no_other() {
    let fixtures = entries("hazards");
    let numbers: Vec<usize> = fixtures.iter().map(|path| number(path)).collect();
    assert_eq!(numbers, (1..=HAZARDS).collect::<Vec<_>>());
    for path in fixtures {
        let code = expected(&path);
        let ran = validate(path.strip_prefix(root()).unwrap(), &[]).exits(3);
        let said = ran.stdout + &ran.stderr;
        let errors: BTreeSet<&str> = said
            .lines()
            .filter_map(|line| line.strip_prefix("error[")?.split_once(']'))
            .map(|(code, _)| code)
            .collect();
        assert_eq!(errors, BTreeSet::from([code.as_str()]), "{}:\n{said}", path.display());
    }
}

#[test]
fn the_page_has_a_row_for_each_hazard_with_its_code_and_with_tests_that_there_are() {
    let page = std::fs::read_to_string(root().join("docs/hazards.md")).unwrap();
    let rows = rows(&page);
    assert_eq!(rows.keys().copied().collect::<Vec<_>>(), (1..=HAZARDS).collect::<Vec<_>>());
    for path in entries("hazards") {
        let row = rows[&number(&path)];
        let code = expected(&path);
        assert!(row.contains(&format!("[{code}](codes/{code}.md)")), "{code} is not linked in:\n{row}");
    }
    let mut files = Vec::new();
    sources(&root().join("src"), &mut files);
    sources(&root().join("tests/it"), &mut files);
    let code: String = files.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    let mut named = 0;
    for word in page.split('`').filter(|word| word.matches('_').count() > 4 && !word.contains(' ')) {
        assert!(code.contains(&format!("fn {word}()")), "there is no test {word}");
        named += 1;
    }
    assert!(named >= 10, "runtime guards are named with their tests");
}

#[test]
fn an_objective_that_no_schedule_can_meet_is_shown_with_the_first_night_that_breaks_it() {
    let path = Path::new("tests/fixtures/policies/invalid/rpo-impossible.yaml");
    for (now, nights) in [
        ("2026-03-01T00:00:00Z", "25 h between 02:00 on 25 and 02:00 on 26 October 2026, Europe/Berlin"),
        ("2026-11-01T00:00:00Z", "25 h between 02:00 on 31 October and 02:00 on 1 November 2027, Europe/Berlin"),
    ] {
        let ran = validate(path, &[("BKUP_NOW", now), ("TZ", "Asia/Seoul")]).exits(3);
        let said = ran.stdout + &ran.stderr;
        for words in ["error[BK402]: the database `app` can lose 26 h, and its `rpo` is 1 h", nights, "`rpo: 26h`"] {
            assert!(said.contains(words), "{words:?} is not in:\n{said}");
        }
    }
}

#[test]
fn a_day_of_25_hours_is_named_by_its_date() {
    let path = Path::new("tests/fixtures/policies/hazards/14-a-day-of-25-hours.yaml");
    let ran = validate(path, &[("BKUP_NOW", "2026-03-01T00:00:00Z")]).exits(3);
    let said = ran.stdout + &ran.stderr;
    assert!(said.contains("25 h between 02:30 on 25 and 02:30 on 26 October 2026, Europe/Berlin"), "{said}");
}

/// Sets when the files of a folder were modified.
fn touch(folder: &Path, when: SystemTime) -> usize {
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            count += touch(&path, when);
        } else {
            std::fs::File::open(&path).unwrap().set_modified(when).unwrap();
            count += 1;
        }
    }
    count
}

#[tokio::test]
async fn when_an_object_was_modified_decides_nothing() {
    let mut setup = Setup::start(Major::V17, Place::Folder, &["acme"]).await;
    let _ = setup.first();
    let before = setup.manifests().await;
    let listed = setup.run(&["list"]).success();
    // As after a move to another class, a copy back from a replica, or a restore of the store itself.
    for seconds in [86_400, 4_000_000_000] {
        let when = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        assert!(touch(&setup.folder(), when) > 3);
        setup.assert_converges().await;
        assert_eq!(setup.manifests().await, before);
        assert_eq!(setup.run(&["list"]).success(), listed);
    }
    setup.assert_whole().await;
}
