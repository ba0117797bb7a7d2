//! Suite: the one layout of policy files. Random documents written in any way, every fixture and example: the same
//! meaning, the same comments in the same order, and nothing moves a second time.

use std::path::{Path, PathBuf};

use bkup::policy::{self, SourceFile};
use proptest::prelude::*;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn format(text: &str) -> Result<String, Vec<String>> {
    let file = SourceFile { name: "policy.yaml".to_owned(), bytes: text.as_bytes().to_vec() };
    policy::format(&file).map_err(|found| found.iter().map(|finding| finding.code.0.to_owned()).collect())
}

/// Returns the marks that the generator gives its comments, in their order.
fn marks(text: &str) -> Vec<&str> {
    text.split('§').skip(1).step_by(2).collect()
}

/// Returns a reading of a text by another way than that of policies.
fn reading(text: &str) -> Option<serde_json::Value> {
    serde_saphyr::from_str(text).ok()
}

#[track_caller]
fn assert_keeps(before: &str, after: &str) {
    assert_eq!(format(after).as_deref(), Ok(after), "it moves again:\n{before}\nfirst:\n{after}");
    assert_eq!(marks(after), marks(before), "comments:\n{before}\nbecame:\n{after}");
    let read = reading(before);
    assert!(read.is_none() || read == reading(after), "another meaning:\n{before}\nbecame:\n{after}");
    for line in after.lines().filter(|_| !before.contains(['|', '>'])) {
        assert_eq!(line, line.trim_end(), "white space at the end:\n{after}");
    }
    assert!(after.ends_with('\n') || before.contains(['|', '>']), "no line end:\n{after}");
}

/// Writes documents by what a list of numbers chooses.
struct Author {
    choices: Vec<u8>,
    at: usize,
    marks: usize,
    anchors: usize,
    out: String,
}

impl Author {
    /// Returns one of the numbers below `n`.
    fn pick(&mut self, n: usize) -> usize {
        let choice = self.choices.get(self.at).copied().unwrap_or(0);
        self.at += 1;
        usize::from(choice) % n
    }

    fn spaces(&mut self, least: usize) -> String {
        let more = self.pick(6);
        " ".repeat(least + more.saturating_sub(3))
    }

    fn comment(&mut self) {
        self.marks += 1;
        let begin = ["# ", "#", "#  ", "## "][self.pick(4)];
        let mark = self.marks;
        self.out.push_str(&format!("{begin}§{mark}§{}", ["", " ", " it's: [x"][mark % 3]));
    }

    /// Ends a line, with comments and blank lines as they come.
    fn end(&mut self) {
        if self.pick(4) == 0 {
            let gap = self.spaces(1);
            self.out.push_str(&gap);
            self.comment();
        }
        let trailing = [" ", "", "", ""][self.pick(4)];
        self.out.push_str(trailing);
        let end = if self.pick(9) == 0 { "\r\n" } else { "\n" };
        self.out.push_str(end);
        for _ in 0..self.pick(8).saturating_sub(5) {
            self.out.push('\n');
        }
        if self.pick(5) == 0 {
            let indent = self.pick(8);
            self.out.push_str(&" ".repeat(indent));
            self.comment();
            self.out.push('\n');
        }
    }

    fn word(&mut self) -> &'static str {
        let words = [
            "daily",
            "s3://a/b",
            "\"${APP_URL}\"",
            "'${KEY_2}'",
            "'it''s'",
            "\"a # b\"",
            "02:00",
            "10%",
            "7",
            "tenant_a#b",
            "\"tab\\t\"",
            "~",
            "two words",
            "-1",
            "a:b",
            "\"x: [y\"",
        ];
        words[self.pick(words.len())]
    }

    fn key(&mut self, index: usize) -> String {
        let key = ["stores", "when", "\"quoted\"", "'k'", "a b"][self.pick(5)];
        let place = key.len() - usize::from(key.ends_with(['"', '\'']));
        format!("{}{index}{}", &key[..place], &key[place..])
    }

    /// Writes a value behind a key or a dash whose collection stands at a column; ends the line.
    fn value(&mut self, column: usize, depth: usize) {
        let gap = self.spaces(1);
        match self.pick(if depth == 0 { 8 } else { 12 }) {
            0..=2 => {
                let word = self.word();
                self.out.push_str(&format!("{gap}{word}"));
                self.end();
            }
            3 | 4 => {
                self.out.push_str(&gap);
                self.flow(column + 1, 2);
                self.end();
            }
            5 => {
                let header = ["|", ">", "|-", ">+", "|2"][self.pick(5)];
                self.out.push_str(&format!("{gap}{header}\n"));
                let indent = " ".repeat(if header == "|2" { column + 2 } else { column + 1 + self.pick(4) });
                for line in ["first  ", "", "  deeper # no comment", "last"].iter().take(1 + self.pick(4)) {
                    self.out.push_str(&if line.is_empty() { "\n".to_owned() } else { format!("{indent}{line}\n") });
                }
            }
            6 => {
                let indent = " ".repeat(column + 1 + self.pick(3));
                let text =
                    ["plain\n@and more\n\n@still", "\"quoted  \n@and \\\n@ more\"", "'single\n\n@more'"][self.pick(3)];
                self.out.push_str(&format!("{gap}{}", text.replace('@', &indent)));
                self.end();
            }
            7 => {
                if self.anchors > 0 && self.pick(2) == 0 {
                    let anchor = 1 + self.pick(self.anchors);
                    self.out.push_str(&format!("{gap}*a{anchor}"));
                } else {
                    let word = self.word();
                    self.anchors += 1;
                    let anchor = self.anchors;
                    self.out.push_str(&format!("{gap}&a{anchor}{gap}{word}"));
                }
                self.end();
            }
            8 | 9 => {
                self.end();
                let indent = column + 1 + self.pick(4);
                self.map(indent, depth - 1, true);
            }
            _ => {
                self.end();
                let indent = column + self.pick(4);
                self.list(indent, depth - 1, true);
            }
        }
    }

    fn map(&mut self, column: usize, depth: usize, indented: bool) {
        for index in 0..1 + self.pick(4) {
            if index > 0 || indented {
                self.out.push_str(&" ".repeat(column));
            }
            let key = self.key(index);
            self.out.push_str(&key);
            let colon = [":", ":", " :"][self.pick(3)];
            self.out.push_str(colon);
            self.value(column, depth);
        }
    }

    fn list(&mut self, column: usize, depth: usize, indented: bool) {
        for index in 0..1 + self.pick(3) {
            if index > 0 || indented {
                self.out.push_str(&" ".repeat(column));
            }
            self.out.push('-');
            if depth > 0 && self.pick(3) == 0 {
                let gap = self.spaces(1);
                self.out.push_str(&gap);
                if self.pick(2) == 0 {
                    self.map(column + 1 + gap.len(), depth - 1, false);
                } else {
                    self.list(column + 1 + gap.len(), depth - 1, false);
                }
            } else {
                self.value(column, depth);
            }
        }
    }

    /// Goes on inside brackets: on the same line, or the next one after a comment.
    fn gap(&mut self, column: usize) {
        match self.pick(7) {
            0 => self.out.push(' '),
            1 | 2 => {
                if self.pick(2) == 0 {
                    self.out.push(' ');
                    self.comment();
                }
                self.out.push('\n');
                if self.pick(4) == 0 {
                    self.out.push_str(&" ".repeat(column));
                    self.comment();
                    self.out.push('\n');
                }
                let indent = column + self.pick(4);
                self.out.push_str(&" ".repeat(indent));
            }
            _ => {}
        }
    }

    fn flow(&mut self, column: usize, depth: usize) {
        let is_map = self.pick(2) == 0;
        self.out.push(if is_map { '{' } else { '[' });
        let entries = self.pick(5);
        for index in 0..entries {
            self.gap(column);
            if is_map {
                let key = self.key(index);
                self.out.push_str(&key);
                let colon = [": ", ":  ", " : "][self.pick(3)];
                self.out.push_str(colon);
            }
            if depth > 0 && self.pick(3) == 0 {
                self.flow(column, depth - 1);
            } else {
                let word = self.word();
                self.out.push_str(word);
            }
            self.gap(column);
            if index + 1 < entries || self.pick(3) == 0 {
                self.out.push(',');
            }
        }
        self.gap(column);
        self.out.push(if is_map { '}' } else { ']' });
    }
}

/// Returns the document that some numbers choose.
fn document(choices: Vec<u8>) -> String {
    let mut author = Author { choices, at: 0, marks: 0, anchors: 0, out: String::new() };
    if author.pick(4) == 0 {
        author.comment();
        author.out.push('\n');
    }
    author.out.push_str("version: 1");
    author.end();
    for index in 0..1 + author.pick(4) {
        author.out.push_str(&format!("section{index}:"));
        author.value(0, 3);
    }
    if author.pick(5) == 0 {
        author.out.truncate(author.out.trim_end().len());
    }
    author.out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_document_keeps_its_meaning_and_its_comments(choices in proptest::collection::vec(any::<u8>(), 0..250)) {
        let before = document(choices);
        match format(&before) {
            Ok(after) => assert_keeps(&before, &after),
            Err(codes) => prop_assert!(!codes.contains(&"BK975".to_owned()), "thrown away:\n{before}"),
        }
    }

    #[test]
    fn any_text_ends_in_a_layout_or_in_findings(
        words in proptest::collection::vec(
            proptest::sample::select(vec![
                "a", ": ", "\n", "  ", "- ", "{", "}", "[", "]", ", ", "&x ", "*x", "<<: ", "\"", "'", "|\n", "# c", " #",
                "? ", "ä", "\t", "\r\n", "---\n", "!t ", "1", "${A}", ">-", "\n\n",
            ]),
            0..50,
        ),
    ) {
        let before = words.concat();
        if let Ok(after) = format(&before) {
            prop_assert_eq!(format(&after), Ok(after.clone()));
            let (read, again) = (reading(&before), reading(&after));
            prop_assert!(read.is_none() || read == again, "{}\nbecame\n{}", before, after);
        }
    }
}

#[test]
fn most_of_what_the_generator_writes_is_yaml() {
    let mut seed = 1u32;
    let mut next = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 16).to_le_bytes()[0]
    };
    let good = (0..300).filter(|_| format(&document((0..200).map(|_| next()).collect())).is_ok()).count();
    assert!(good > 200, "only {good} of 300 are");
}

fn yaml_below(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            yaml_below(&path, out);
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            out.push(path);
        }
    }
}

#[test]
fn every_fixture_and_example_keeps_its_meaning_or_says_why_it_is_left_alone() {
    let mut paths = Vec::new();
    for folder in ["tests/fixtures/policies", "examples/policies"] {
        yaml_below(&root().join(folder), &mut paths);
    }
    assert!(paths.len() > 60);
    for path in paths {
        let Ok(before) = std::fs::read_to_string(&path) else { continue };
        match format(&before) {
            Ok(after) => assert_keeps(&before, &after),
            Err(codes) => {
                let syntax = ["BK101", "BK102", "BK104", "BK105", "BK109", "BK119"];
                assert!(codes.iter().any(|code| syntax.contains(&code.as_str())), "{}: {codes:?}", path.display());
                assert!(!codes.contains(&"BK975".to_owned()), "{}", path.display());
            }
        }
    }
}

#[test]
fn the_examples_are_formatted() {
    let mut paths = Vec::new();
    yaml_below(&root().join("examples/policies"), &mut paths);
    for path in paths {
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(format(&text).as_deref(), Ok(text.as_str()), "run `bkup fmt {}`", path.display());
    }
}

#[test]
fn an_ugly_file_becomes_a_neat_one() {
    let before = std::fs::read_to_string(root().join("tests/fixtures/policies/ugly.yaml")).unwrap();
    let after = format(&before).unwrap();
    insta::with_settings!({ snapshot_path => "../snapshots", prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!("policy-format-ugly", after);
    });
}
