//! Who may import what: the one table, its form in the documentation, and the sentence that says when it is broken.

use super::source::imports;

/// A module, its layer, and what it may import besides `diag`.
pub struct Row {
    pub layer: &'static str,
    pub module: &'static str,
    /// Module names; `adapters` stands for every module of that layer, `*` for all.
    pub may: &'static [&'static str],
}

const fn row(layer: &'static str, module: &'static str, may: &'static [&'static str]) -> Row {
    Row { layer, module, may }
}

/// The table of `docs/architecture.md`.
pub const TABLE: &[Row] = &[
    row("vocabulary", "diag", &[]),
    row("vocabulary", "domain", &[]),
    row("pure", "policy", &["domain", "schedule", "retention"]),
    row("pure", "schedule", &["domain"]),
    row("pure", "retention", &["domain"]),
    row("pure", "plan", &["domain", "schedule", "retention"]),
    row("pure", "forecast", &["domain", "schedule", "retention", "plan"]),
    row("pure", "trial", &["domain", "policy", "schedule", "retention", "plan"]),
    row("pure", "render", &["domain"]),
    row("adapters", "crypto", &["domain"]),
    row("adapters", "store", &["domain", "crypto"]),
    row("adapters", "artifact", &["domain", "crypto", "store"]),
    row("adapters", "catalog", &["domain"]),
    row("adapters", "server", &["domain"]),
    row("adapters", "engine", &["domain"]),
    row("orchestration", "observe", &["domain", "adapters"]),
    row("orchestration", "backup", &["domain", "adapters"]),
    row("orchestration", "restore", &["domain", "adapters"]),
    row("orchestration", "drill", &["domain", "adapters", "restore"]),
    row("orchestration", "rebuild", &["domain", "adapters"]),
    row("orchestration", "apply", &["domain", "plan", "adapters", "backup", "restore", "drill"]),
    row("orchestration", "notify", &["domain", "render"]),
    row("shell", "cli", &["*"]),
];

/// Returns what a module may import, itself left out.
pub fn allowed(table: &[Row], module: &str) -> Vec<&'static str> {
    let Some(row) = table.iter().find(|r| r.module == module) else { return Vec::new() };
    let mut names: Vec<&'static str> = table
        .iter()
        .filter(|other| other.module != module)
        .filter(|other| {
            (other.module == "diag" || row.may.contains(&other.module) || row.may.contains(&"*"))
                || (row.may.contains(&"adapters") && other.layer == "adapters")
        })
        .map(|other| other.module)
        .collect();
    names.sort_unstable();
    names
}

/// Returns a circle of modules that may import each other, if the table has one.
pub fn circle(table: &[Row]) -> Option<Vec<&'static str>> {
    fn walk(table: &[Row], module: &'static str, path: &mut Vec<&'static str>) -> Option<Vec<&'static str>> {
        if let Some(begin) = path.iter().position(|m| *m == module) {
            return Some(path[begin..].iter().copied().chain([module]).collect());
        }
        path.push(module);
        let found = allowed(table, module).into_iter().find_map(|next| walk(table, next, path));
        path.pop();
        found
    }
    table.iter().find_map(|row| walk(table, row.module, &mut Vec::new()))
}

/// Returns the module path of a file below `src`: `engine/process.rs` is `[engine, process]`.
pub fn module_path(file: &str) -> Vec<&str> {
    let path = file.strip_suffix(".rs").unwrap_or(file);
    path.strip_suffix("/mod").unwrap_or(path).split('/').collect()
}

/// Returns one sentence for each import of a file that the table does not allow. `file` is relative to `src`.
pub fn violations(table: &[Row], file: &str, source: &str) -> Vec<String> {
    let path = module_path(file);
    let module = path[0];
    if !table.iter().any(|r| r.module == module) {
        return vec![format!(
            "src/{file}: `{module}` is not in the table: give it a row in docs/architecture.md and in tests/it/architecture/table.rs"
        )];
    }
    let may = allowed(table, module);
    imports(source, path.len())
        .into_iter()
        .filter(|import| import.module != module && !may.contains(&import.module.as_str()))
        .map(|import| {
            let words = if may.is_empty() { "nothing".to_owned() } else { format!("`{}`", may.join("`, `")) };
            format!("src/{file}:{}: `{module}` may import {words}, and not `{}`", import.line, import.module)
        })
        .collect()
}

/// Returns the rows of a documentation table as (layer, module, what it may import), abbreviations as written.
pub fn documented(markdown: &str) -> Vec<(String, String, String)> {
    let mut layer = String::new();
    let mut rows = Vec::new();
    for line in markdown.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, l, module, _, may, _] = cells[..] else { continue };
        let Some(module) = module.strip_prefix('`').and_then(|m| m.strip_suffix('`')) else { continue };
        if !l.is_empty() {
            layer = l.to_owned();
        }
        rows.push((layer.clone(), module.to_owned(), may.replace('`', "")));
    }
    rows
}

/// Returns a row as the documentation must write it.
pub fn written(row: &Row) -> (String, String, String) {
    let may = match row.may {
        [] => "nothing".to_owned(),
        ["*"] => "anything".to_owned(),
        names => names.join(" "),
    };
    (row.layer.to_owned(), row.module.to_owned(), may)
}

#[cfg(test)]
mod tests {
    use super::{Row, allowed, circle, documented, row, violations};

    const SMALL: &[Row] = &[
        row("vocabulary", "diag", &[]),
        row("vocabulary", "domain", &[]),
        row("pure", "plan", &["domain"]),
        row("adapters", "store", &["domain"]),
        row("orchestration", "apply", &["adapters", "plan"]),
        row("shell", "cli", &["*"]),
    ];

    #[test]
    fn abbreviations_stand_for_their_modules() {
        assert_eq!(allowed(SMALL, "apply"), ["diag", "plan", "store"]);
        assert_eq!(allowed(SMALL, "cli"), ["apply", "diag", "domain", "plan", "store"]);
        assert!(allowed(SMALL, "diag").is_empty());
    }

    #[test]
    fn a_circle_in_the_table_is_named() {
        assert_eq!(circle(SMALL), None);
        let round = [row("pure", "a", &["b"]), row("pure", "b", &["c"]), row("pure", "c", &["a"])];
        assert_eq!(circle(&round), Some(vec!["a", "b", "c", "a"]));
    }

    #[test]
    fn a_forbidden_import_gives_the_sentence_that_says_what_is_allowed() {
        assert_eq!(
            violations(SMALL, "plan/order.rs", "//! x\nuse crate::domain::A;\nfn f() { crate::store::put() }\n"),
            ["src/plan/order.rs:3: `plan` may import `diag`, `domain`, and not `store`"]
        );
        assert_eq!(
            violations(SMALL, "domain/time.rs", "use super::super::plan::Plan;"),
            ["src/domain/time.rs:1: `domain` may import `diag`, and not `plan`"]
        );
        assert_eq!(
            violations(SMALL, "diag.rs", "use crate::{domain, diag::Code};"),
            ["src/diag.rs:1: `diag` may import nothing, and not `domain`"]
        );
        assert_eq!(violations(SMALL, "store/mod.rs", "use crate::*;").len(), 1);
        assert_eq!(violations(SMALL, "extra/mod.rs", "").len(), 1);
    }

    #[test]
    fn what_is_allowed_is_silent() {
        for (file, source) in [
            ("apply/mod.rs", "use crate::{diag::Code, plan::plan, store};\nuse crate::apply::run;"),
            ("cli/mod.rs", "use crate::apply;"),
            ("diag.rs", "mod tests { use super::{Code, Span}; }"),
            ("plan/order.rs", "mod tests { use super::super::order; use super::sort; }"),
        ] {
            assert!(violations(SMALL, file, source).is_empty(), "{file}: {:?}", violations(SMALL, file, source));
        }
    }

    #[test]
    fn the_documented_table_is_read_with_its_layers() {
        let text = "| layer | module | one line | may import |\n|---|---|---|---|\n| pure | `plan` | x | `domain` |\n| | `render` | y | nothing |\n";
        let expect = |l: &str, m: &str, i: &str| (l.to_owned(), m.to_owned(), i.to_owned());
        assert_eq!(documented(text), [expect("pure", "plan", "domain"), expect("pure", "render", "nothing")]);
    }
}
