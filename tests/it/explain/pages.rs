//! The pages of `docs/codes`: none is missing, none is left over, and what they show is what bkup says.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use bkup::diag::{Diagnostic, Severity};
use bkup::domain::{Name, Tenant};
use bkup::policy::{self, Facts, LiveTenants, SourceFile};
use bkup::render::{Page, page};

/// The headings of every page.
const HEADINGS: [&str; 3] = ["Why it matters", "Example", "What to do"];

/// What stands beside an example: each of these where the example has no such section of its own.
const BESIDE: [(&str, &str); 4] = [
    (
        "stores",
        "primary: { url: s3://backups-of-app/prod, encryption: { recipients: [age1gs94g7crza4ev9g4c2rzkpm2wtajz8l4f3mr588v3c03r0s0cukqfxuych] } }",
    ),
    ("databases", "app: { url: \"${APP_URL}\", tenants: { schemas: \"tenant_*\" } }"),
    ("retention", "gfs: { daily: 7, weekly: 4, monthly: 12 }"),
    (
        "schedules",
        "nightly: { databases: [app], backup: database, when: { frequency: daily, time: \"02:00\" }, retention: { within: 30d }, store: primary }",
    ),
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the codes that have a page, from the folder.
fn in_folder() -> BTreeSet<String> {
    let files = std::fs::read_dir(root().join("docs/codes")).unwrap();
    let names = files.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter_map(|name| name.strip_suffix(".md").map(str::to_owned)).filter(|name| name != "README").collect()
}

/// Returns the codes that the sources say in quotes, but for the table of pages itself.
fn in_sources() -> BTreeSet<String> {
    fn walk(folder: &Path, codes: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, codes);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let quoted = text.split('"').filter(|part| part.len() == 5 && part.starts_with("BK"));
                codes.extend(quoted.filter(|part| part[2..].bytes().all(|b| b.is_ascii_digit())).map(str::to_owned));
            }
        }
    }
    let mut codes = BTreeSet::new();
    walk(&root().join("src"), &mut codes);
    codes
}

fn in_table() -> BTreeSet<String> {
    bkup::render::pages().iter().map(|(code, _)| (*code).to_owned()).collect()
}

/// Returns what is in the first set and not in the second.
fn lacking(of: &BTreeSet<String>, from: &BTreeSet<String>) -> Vec<String> {
    of.difference(from).cloned().collect()
}

#[track_caller]
fn assert_none(missing: Vec<String>, words: &str) {
    assert!(missing.is_empty(), "{words}: {}", missing.join(", "));
}

#[test]
fn the_folder_of_pages_is_the_table_in_the_program() {
    assert_none(lacking(&in_folder(), &in_table()), "pages that `src/render/pages.rs` does not list");
    assert!(bkup::render::pages().is_sorted_by(|a, b| a.0 < b.0), "sorted, each once");
    for (code, text) in bkup::render::pages() {
        let file = std::fs::read_to_string(root().join(format!("docs/codes/{code}.md"))).unwrap();
        assert_eq!(&file, text, "{code}");
    }
}

#[test]
fn every_code_of_the_sources_has_a_page() {
    assert_none(lacking(&in_sources(), &in_folder()), "codes in src without docs/codes/CODE.md");
}

#[test]
fn every_page_has_a_code_in_the_sources() {
    assert_none(lacking(&in_folder(), &in_sources()), "pages of codes that src does not have");
}

#[test]
fn every_policy_code_has_a_fixture_a_snapshot_and_a_page_that_means_the_same() {
    let names = |folder: &str| -> Vec<String> {
        let entries = std::fs::read_dir(root().join(folder)).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    let (fixtures, snapshots) = (names("tests/fixtures/policies/invalid"), names("tests/snapshots"));
    let mut missing = Vec::new();
    for (code, meaning) in policy::codes() {
        let mut need = |there: bool, what: &str| {
            if !there {
                missing.push(format!("{code}: {what}"));
            }
        };
        need(fixtures.iter().any(|name| name.starts_with(&format!("{code}-"))), "a fixture");
        need(snapshots.iter().any(|name| name.starts_with(&format!("policy-{code}-"))), "a snapshot");
        match page(code.0) {
            None => need(false, "a page"),
            Some(page) => need(page.title() == *meaning, &format!("the title `# {code}: {meaning}`")),
        }
    }
    assert_none(missing, "missing");
}

fn all() -> Vec<Page> {
    bkup::render::pages().iter().map(|(code, _)| page(code).unwrap()).collect()
}

#[test]
fn every_page_has_its_headings_and_something_below_each() {
    for page in all() {
        assert!(!page.title().is_empty() && !page.title().ends_with('.'), "{}", page.code);
        let sections = page.sections();
        assert_eq!(sections.iter().map(|section| section.heading).collect::<Vec<_>>(), HEADINGS, "{}", page.code);
        for section in sections {
            assert!(section.body.len() > 20, "{}: {}", page.code, section.heading);
            assert_eq!(section.body.matches("```").count() % 2, 0, "{}: a block is not closed", page.code);
        }
    }
}

/// Returns the fenced blocks of a language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line == format!("```{language}") {
            out.push(lines.by_ref().take_while(|line| *line != "```").map(|line| format!("{line}\n")).collect());
        } else if line.starts_with("```") {
            lines.by_ref().find(|line| *line == "```");
        }
    }
    out
}

/// Judges an example as it would stand in a set: beside a store, a database, a rule and a schedule, unless it has its
/// own. A comment `# live tenants of app: a, b` resolves the set with these tenants too.
fn judged(example: &str) -> Vec<Diagnostic> {
    let file = |name: &str, text: String| SourceFile { name: name.to_owned(), bytes: text.into_bytes() };
    let has = |section: &str| example.lines().any(|line| line.starts_with(&format!("{section}:")));
    let mut files = vec![file("example.yaml", example.to_owned())];
    for (section, thing) in BESIDE.iter().filter(|(section, _)| !has(section)) {
        files.push(file(&format!("{section}.yaml"), format!("version: 1\n{section}:\n  {thing}\n")));
    }
    let facts = Facts::at("2026-11-20T12:00:00Z".parse().unwrap());
    let policy::Judged { set, findings: mut found, .. } = policy::judge(&files, &facts);
    let mut live: BTreeMap<Name, LiveTenants> = BTreeMap::new();
    for line in example.lines().filter_map(|line| line.strip_prefix("# live tenants of ")) {
        let (database, slugs) = line.split_once(": ").unwrap();
        let tenant = |(index, slug): (usize, &str)| Tenant {
            slug: slug.to_owned(),
            schema: format!("tenant_{index}"),
            id: None,
        };
        let tenants = slugs.split(", ").enumerate().map(tenant).collect();
        live.insert(database.parse().unwrap(), LiveTenants::Known(tenants));
    }
    if !live.is_empty() {
        found.extend(set.desired(&live).1);
    }
    found
}

#[test]
fn every_example_of_a_policy_code_triggers_it_in_the_words_of_the_page() {
    for (code, _) in policy::codes() {
        let Some(page) = page(code.0) else { continue };
        let example = page.sections()[1].body;
        let Some(policies) = blocks(example, "yaml").into_iter().next() else { continue };
        let found = judged(&policies);
        assert!(found.iter().any(|finding| finding.code == *code), "{code}: the example gives {found:#?}");
        let said: BTreeSet<String> = found
            .iter()
            .map(|finding| {
                let severity = format!("{:?}", finding.severity).to_lowercase();
                format!("{severity}[{}]: {}", finding.code, finding.message)
            })
            .collect();
        let heads = ["error[", "warning[", "note["];
        for line in blocks(example, "text").iter().flat_map(|block| block.lines()) {
            if heads.iter().any(|head| line.starts_with(head)) {
                assert!(said.contains(line), "{code}: the page shows\n  {line}\nand bkup says\n  {said:#?}");
            }
        }
    }
}

#[test]
fn what_a_page_advises_helps() {
    for (code, _) in policy::codes() {
        let Some(page) = page(code.0) else { continue };
        for policies in blocks(page.sections()[2].body, "yaml") {
            let found = judged(&policies);
            let whole = policies.starts_with("version:");
            let bad = |finding: &&Diagnostic| {
                finding.code == *code || whole && finding.severity == Severity::Error && finding.code.0 < "BK300"
            };
            assert_eq!(found.iter().find(bad), None, "{code}");
        }
    }
}

#[test]
fn the_index_lists_every_page() {
    let mut index = String::from(
        "# Codes\n\nEvery finding and every error of bkup has a code, which is never given another meaning. \
         `bkup explain CODE` prints its page.\n\nAn example stands beside a store `primary`, a database `app`, a \
         retention rule `gfs` and a schedule `nightly`, unless it has its own.\n",
    );
    let families = [
        ("BK1", "Syntax"),
        ("BK2", "References and patterns"),
        ("BK3", "Schedules"),
        ("BK4", "Objectives"),
        ("BK5", "Retention"),
        ("BK6", "Security"),
        ("BK7", "Recovery plans"),
        ("BK8", "Catalog, stores, servers, programs, plans, command line"),
        ("BK9", "Drift and commands"),
    ];
    for (family, title) in families {
        let pages: Vec<Page> = all().into_iter().filter(|page| page.code.starts_with(family)).collect();
        if pages.is_empty() {
            continue;
        }
        index.push_str(&format!("\n## {family}xx: {title}\n\n"));
        for page in pages {
            index.push_str(&format!("- [{0}]({0}.md): {1}\n", page.code, page.title()));
        }
    }
    let path = root().join("docs/codes/README.md");
    #[expect(clippy::disallowed_methods, reason = "whoever runs the test says so")]
    let bless = std::env::var_os("BKUP_BLESS").is_some();
    if bless {
        std::fs::write(&path, &index).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == index, "docs/codes/README.md is not up to date: run this test with BKUP_BLESS=1");
}
