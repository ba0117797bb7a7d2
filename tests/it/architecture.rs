//! Suite: the house itself. Reads the repository's own sources and holds them to the table of `docs/architecture.md`
//! and to the rules of `CONTRIBUTING.md`. Each rule is a function over text, tried on small inputs below.

mod source;
mod table;

use std::path::{Path, PathBuf};

use source::code_only;
use table::{TABLE, circle, documented, violations, written};

/// The longest file there may be, in lines.
const LONGEST_FILE: usize = 600;

/// The source files that may lift the ban on clocks, environment, program starts and exits, with the reason's place.
const MAY_LIFT_THE_BAN: &[&str] = &["src/cli/context.rs", "src/cli/exit.rs", "src/engine/process.rs"];

/// What a pure module has no business with.
const EFFECTS: &[&str] = &[
    "std::fs",
    "std::net",
    "std::env",
    "std::process",
    "std::thread",
    "tokio::",
    "sqlx::",
    "aws_config::",
    "aws_sdk_s3::",
];

/// Features that are never switched on, with the reason.
const BANNED_FEATURES: &[(&str, &str, &str)] = &[
    ("age", "ssh", "it brings `rsa`, which has an open advisory"),
    ("aws-sdk-s3", "rustls", "it brings a second, older TLS stack"),
    ("aws-config", "rustls", "it brings a second, older TLS stack"),
    ("sqlx", "any", "the catalog is PostgreSQL"),
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the repository's files as (path with forward slashes, text), sorted; binary files and build products left out.
fn files(below: &str, extensions: &[&str]) -> Vec<(String, String)> {
    fn walk(dir: &Path, out: &mut Vec<PathBuf>) {
        let Ok(entries) = std::fs::read_dir(dir) else { return };
        for entry in entries.map(|e| e.expect("a readable folder")) {
            let name = entry.file_name();
            let kind = entry.file_type().expect("a file type");
            if ["target", ".git", "node_modules"].iter().any(|skipped| name == *skipped) {
                continue;
            }
            if kind.is_dir() {
                walk(&entry.path(), out);
            } else if kind.is_file() {
                out.push(entry.path());
            }
        }
    }
    let mut paths = Vec::new();
    walk(&root().join(below), &mut paths);
    paths.sort();
    let wanted = |p: &Path| extensions.is_empty() || p.extension().is_some_and(|e| extensions.iter().any(|x| e == *x));
    paths
        .into_iter()
        .filter(|p| wanted(p))
        .filter_map(|p| {
            let text = String::from_utf8(std::fs::read(&p).expect("a readable file")).ok()?;
            Some((p.strip_prefix(root()).expect("below the root").to_string_lossy().into_owned(), text))
        })
        .collect()
}

fn rust_files() -> Vec<(String, String)> {
    let found: Vec<_> = ["src", "tests", "benches"].iter().flat_map(|dir| files(dir, &["rs"])).collect();
    assert!(found.len() > 40, "only {} source files were found: the walk is broken", found.len());
    found
}

#[track_caller]
fn assert_none(problems: Vec<String>) {
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

#[test]
fn every_import_is_in_the_table() {
    let sources = rust_files();
    let problems = sources.iter().filter_map(|(path, text)| Some((path.strip_prefix("src/")?, text)));
    assert_none(
        problems
            .filter(|(file, _)| !["lib.rs", "main.rs"].contains(file))
            .flat_map(|(file, text)| violations(TABLE, file, text))
            .collect(),
    );
}

#[test]
fn the_table_has_no_circle() {
    assert_eq!(circle(TABLE), None, "modules that may import each other in a circle");
}

#[test]
fn the_table_is_the_one_in_the_documentation() {
    let text = std::fs::read_to_string(root().join("docs/architecture.md")).expect("docs/architecture.md");
    let constant: Vec<_> = TABLE.iter().map(written).collect();
    assert_eq!(documented(&text), constant, "docs/architecture.md and tests/it/architecture/table.rs differ");
}

#[test]
fn every_module_has_a_row_and_every_row_a_module() {
    let lib = code_only(&std::fs::read_to_string(root().join("src/lib.rs")).expect("src/lib.rs"));
    let mut declared: Vec<&str> =
        lib.lines().filter_map(|l| l.trim().strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    let mut rows: Vec<&str> = TABLE.iter().map(|r| r.module).collect();
    declared.sort_unstable();
    rows.sort_unstable();
    assert_eq!(declared, rows);
}

#[test]
fn pure_modules_touch_nothing_outside() {
    let pure: Vec<&str> =
        TABLE.iter().filter(|r| ["vocabulary", "pure"].contains(&r.layer)).map(|r| r.module).collect();
    let problems = rust_files()
        .into_iter()
        .filter(|(path, _)| path.strip_prefix("src/").is_some_and(|file| pure.contains(&table::module_path(file)[0])));
    assert_none(problems.flat_map(|(path, text)| effects(&path, &text)).collect());
}

/// Returns one sentence for each effect that a pure file reaches for.
fn effects(path: &str, text: &str) -> Vec<String> {
    let code = code_only(text);
    let squeezed: Vec<String> = code.lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    let lines = squeezed.iter().enumerate();
    lines
        .flat_map(|(n, line)| EFFECTS.iter().filter(move |e| line.contains(**e)).map(move |e| (n + 1, e)))
        .map(|(n, e)| {
            format!("{path}:{n}: `{}` in a pure module: take what it gives as a parameter", e.trim_end_matches(':'))
        })
        .collect()
}

#[test]
fn every_file_says_what_it_is_for_and_is_short_enough_to_read() {
    assert_none(rust_files().iter().flat_map(|(path, text)| shape(path, text)).collect());
}

/// Returns what is wrong with a file's opening, length, name and marks of unfinished work.
fn shape(path: &str, text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if !text.starts_with("//! ") {
        problems.push(format!("{path}: does not open with `//!` and what the file is for"));
    }
    let lines = text.lines().count();
    if lines > LONGEST_FILE {
        problems.push(format!("{path}: {lines} lines; {LONGEST_FILE} is the wall, so split it by concept"));
    }
    if path == "src/main.rs" && lines > 30 {
        problems.push(format!("{path}: {lines} lines; what it does belongs in src/cli"));
    }
    let banned = ["utils", "util", "common", "helpers", "helper", "errors", "misc"];
    if let Some(name) = table::module_path(path).iter().find(|part| banned.contains(part)) {
        problems.push(format!("{path}: `{name}` is no concept: name what the file holds"));
    }
    let code = code_only(text);
    for mark in ["todo!(", "unimplemented!(", "dbg!("] {
        if code.contains(mark) {
            problems.push(format!("{path}: `{mark}` is unfinished work"));
        }
    }
    let ignored = text.lines().zip(code.lines()).filter(|(_, code)| code.contains("#[ignore"));
    problems.extend(ignored.filter(|(line, _)| !runs_elsewhere(line, text)).map(|(line, _)| {
        format!(
            "{path}: `{}` skips a test; only one that another test starts may say so: run by NAME, ...",
            line.trim()
        )
    }));
    problems
}

/// Whether an ignored test is the inner half of another one in the same file, which starts it as a process of its own.
fn runs_elsewhere(line: &str, text: &str) -> bool {
    let reason = line.split_once("\"run by ").map(|(_, rest)| rest);
    reason.and_then(|r| r.split([',', ' ', '"']).next()).is_some_and(|name| text.contains(&format!("fn {name}(")))
}

#[test]
fn the_ban_on_effects_is_lifted_only_where_effects_live() {
    assert_none(rust_files().iter().filter_map(|(path, text)| lifted(path, text)).collect());
}

/// Returns a sentence where a source file lifts the ban and is not one of those that may.
fn lifted(path: &str, text: &str) -> Option<String> {
    let lifts = code_only(text).contains("disallowed_methods");
    (lifts && path.starts_with("src/") && !MAY_LIFT_THE_BAN.contains(&path))
        .then(|| format!("{path}: lifts `clippy::disallowed_methods`; only {} may", MAY_LIFT_THE_BAN.join(", ")))
}

#[test]
fn no_file_names_a_place_on_somebodys_machine() {
    let all = files("", &[]);
    assert!(all.len() > 60, "only {} files were found: the walk is broken", all.len());
    assert_none(all.iter().flat_map(|(path, text)| machine_paths(path, text)).collect());
}

/// Returns one sentence for each absolute path below a developer's own folders. The needles are put together here so
/// that this file does not hold them.
fn machine_paths(path: &str, text: &str) -> Vec<String> {
    let needles = [["/wo", "rk/"].concat(), ["/ro", "ot/"].concat(), ["/Us", "ers/"].concat()];
    let mut problems = Vec::new();
    for (n, line) in text.lines().enumerate() {
        for needle in &needles {
            let hit = line
                .match_indices(needle.as_str())
                .any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || "._-}*/".contains(c)));
            if hit {
                problems.push(format!("{path}:{}: names `{needle}...`, a place on one machine", n + 1));
            }
        }
    }
    problems
}

#[test]
fn there_is_one_build_and_no_banned_feature() {
    assert_none(features(&std::fs::read_to_string(root().join("Cargo.toml")).expect("Cargo.toml")));
}

/// Returns what is wrong with the features of a manifest whose dependencies stand on one line each.
fn features(manifest: &str) -> Vec<String> {
    let mut problems = Vec::new();
    for line in manifest.lines() {
        if line.trim() == "[features]" {
            problems.push("Cargo.toml: has features; there is one build, and it is the one that is tested".to_owned());
        }
        for (name, feature, reason) in BANNED_FEATURES {
            if line.split('=').next().is_some_and(|l| l.trim() == *name) && line.contains(&format!("\"{feature}\"")) {
                problems.push(format!("Cargo.toml: `{name}` with the feature `{feature}`: {reason}"));
            }
        }
    }
    problems
}

#[test]
fn every_relative_link_in_the_documentation_leads_somewhere() {
    let pages: Vec<_> = files("", &["md"]).into_iter().filter(|(path, _)| !path.starts_with("tests/")).collect();
    assert!(pages.len() > 15, "only {} pages were found", pages.len());
    let exists = |path: &Path| root().join(path).exists();
    assert_none(pages.iter().flat_map(|(path, text)| dead_links(path, text, &exists)).collect());
}

/// Returns one sentence for each relative link whose target does not exist.
fn dead_links(page: &str, text: &str, exists: &dyn Fn(&Path) -> bool) -> Vec<String> {
    let folder = Path::new(page).parent().unwrap_or(Path::new(""));
    let mut problems = Vec::new();
    for (n, line) in text.lines().enumerate() {
        for (at, _) in line.match_indices("](") {
            let target = line[at + 2..].split([')', '#']).next().unwrap_or("");
            if target.is_empty() || target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            if !exists(&folder.join(target)) {
                problems.push(format!("{page}:{}: links to {target}, which does not exist", n + 1));
            }
        }
    }
    problems
}

mod rules {
    //! The rules tried on small inputs: each must be able to fail.
    use super::*;

    #[test]
    fn a_file_without_a_purpose_or_with_unfinished_work_is_refused() {
        assert!(shape("src/plan/order.rs", "//! Orders actions.\nfn f() { /* todo!( */ }\n").is_empty());
        assert_eq!(shape("src/plan/order.rs", "fn f() {}\n").len(), 1);
        assert_eq!(shape("src/plan/order.rs", "//! x\nfn f() { todo!() }\n#[ignore]\nfn g() {}\n").len(), 2);
        let inner = "//! x\n#[ignore = \"run by outer, in a process of its own\"]\nfn inner() {}\n";
        assert_eq!(shape("tests/it/store.rs", inner).len(), 1);
        assert!(shape("tests/it/store.rs", &format!("{inner}fn outer() {{}}\n")).is_empty());
        assert_eq!(shape("src/plan/utils.rs", "//! x\n").len(), 1);
        assert_eq!(shape("src/errors/mod.rs", "//! x\n").len(), 1);
        assert_eq!(shape("src/plan/order.rs", &format!("//! x\n{}", "\n".repeat(LONGEST_FILE))).len(), 1);
        assert_eq!(shape("src/main.rs", &format!("//! x\n{}", "\n".repeat(30))).len(), 1);
    }

    #[test]
    fn an_effect_in_a_pure_file_is_seen_and_one_in_a_comment_is_not() {
        assert_eq!(effects("src/plan/mod.rs", "use std::fs;\nfn f() { tokio::spawn(x) }\n").len(), 2);
        assert!(effects("src/plan/mod.rs", "// std::fs is not for us\nlet a = \"std::env\";\n").is_empty());
    }

    #[test]
    fn the_ban_may_be_lifted_in_its_places_only() {
        let text = "#[expect(clippy::disallowed_methods, reason = \"x\")]";
        assert!(lifted("src/engine/dump.rs", text).is_some());
        assert!(lifted("src/engine/process.rs", text).is_none());
        assert!(lifted("tests/it/world/run.rs", text).is_none());
        assert!(lifted("src/engine/dump.rs", "// disallowed_methods").is_none());
    }

    #[test]
    fn machine_paths_are_seen_where_they_begin_a_path() {
        let place = ["/wo", "rk/wt"].concat();
        assert_eq!(machine_paths("a.md", &format!("see {place}/x\n({place})")).len(), 2);
        assert!(machine_paths("a.md", &format!("the {} folder, $PWD/x{place}", "net/work/")).is_empty());
    }

    #[test]
    fn features_are_refused_by_name() {
        assert!(features("[dependencies]\nage = { version = \"1\", features = [\"armor\"] }\n").is_empty());
        assert_eq!(features("[features]\nage = { version = \"1\", features = [\"ssh\"] }\n").len(), 2);
    }

    #[test]
    fn a_link_is_followed_from_its_page() {
        let exists = |path: &Path| path == Path::new("docs/policy.md");
        let text = "[a](policy.md#x) [b](nothing.md) [c](https://example.com/) [d](#here)";
        assert_eq!(
            dead_links("docs/index.md", text, &exists),
            ["docs/index.md:1: links to nothing.md, which does not exist"]
        );
    }
}
