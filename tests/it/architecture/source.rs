//! Reads Rust source far enough to see what it imports: comments and literals blanked, paths to the crate's own
//! modules found. Pure: text in, findings out.

/// Returns the source with comments and the content of literals replaced by spaces; lines stay where they are.
pub fn code_only(source: &str) -> String {
    let chars: Vec<char> = source.chars().collect();
    let mut out = String::with_capacity(source.len());
    let mut at = 0;
    let blank = |c: char| if c == '\n' { '\n' } else { ' ' };
    while at < chars.len() {
        let end = literal_end(&chars, at);
        if end > at {
            out.extend(chars[at..end].iter().copied().map(blank));
            at = end;
        } else {
            out.push(chars[at]);
            at += 1;
        }
    }
    out
}

/// Returns where the comment or literal that begins here ends; the same place where none begins.
fn literal_end(chars: &[char], at: usize) -> usize {
    let next = |n: usize| chars.get(at + n).copied();
    match chars[at] {
        '/' if next(1) == Some('/') => position(chars, at, |i| chars[i] == '\n'),
        '/' if next(1) == Some('*') => {
            let (mut depth, mut i) = (1, at + 2);
            while i < chars.len() && depth > 0 {
                match (chars[i], chars.get(i + 1)) {
                    ('/', Some('*')) => (depth, i) = (depth + 1, i + 2),
                    ('*', Some('/')) => (depth, i) = (depth - 1, i + 2),
                    _ => i += 1,
                }
            }
            i
        }
        '"' => quoted_end(chars, at + 1, '"'),
        '\'' if next(1) == Some('\\') => quoted_end(chars, at + 1, '\''),
        '\'' if next(2) == Some('\'') => at + 3,
        'r' if !follows_word(chars, at) || matches!(chars.get(at.wrapping_sub(1)), Some('b' | 'c')) => {
            let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
            if next(hashes + 1) != Some('"') {
                return at;
            }
            let begin = at + hashes + 2;
            let close = |i: usize| chars[i] == '"' && (1..=hashes).all(|n| chars.get(i + n) == Some(&'#'));
            (position(chars, begin, close) + 1 + hashes).min(chars.len())
        }
        _ => at,
    }
}

fn position(chars: &[char], from: usize, found: impl Fn(usize) -> bool) -> usize {
    (from..chars.len()).find(|i| found(*i)).unwrap_or(chars.len())
}

fn quoted_end(chars: &[char], mut at: usize, quote: char) -> usize {
    while at < chars.len() && chars[at] != quote {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

fn follows_word(chars: &[char], at: usize) -> bool {
    at > 0 && is_word(chars[at - 1])
}

const fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// A path that reaches a module of the crate: which one, and on which line (from 1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// The first segment below the crate's root.
    pub module: String,
    /// The line, from 1.
    pub line: usize,
}

/// Returns every path in the source that begins at the crate's root: `crate::x`, inside `use` or inline, each member
/// of `crate::{a, b::c}`, and chains of `super::` that climb out of a file `depth` modules deep and of the modules
/// that are written inside it.
pub fn imports(source: &str, depth: usize) -> Vec<Import> {
    let code: Vec<char> = code_only(source).chars().collect();
    let mut found = Vec::new();
    let (mut at, mut line, mut braces) = (0, 1, 0);
    let mut inline_modules: Vec<usize> = Vec::new();
    while at < code.len() {
        match code[at] {
            '\n' => line += 1,
            '{' => braces += 1,
            '}' => {
                braces = usize::saturating_sub(braces, 1);
                inline_modules.retain(|begin| *begin < braces + 1);
            }
            _ => {}
        }
        if follows_word(&code, at) || !is_word(code[at]) {
            at += 1;
            continue;
        }
        let word = word_at(&code, at);
        let mut after = at + word.len();
        let root = match word.as_str() {
            "mod" if opens_module(&code, after) => {
                inline_modules.push(braces + 1);
                None
            }
            "crate" if next_word(&code, after) == "as" => {
                found.push(Import { module: "crate as".to_owned(), line });
                None
            }
            "crate" => path_separator(&code, after),
            "super" => {
                let (count, end) = supers(&code, at);
                after = end;
                (count == depth + inline_modules.len()).then_some(end)
            }
            _ => None,
        };
        let names = root.map(|root| members(&code, root)).unwrap_or_default();
        found.extend(names.into_iter().map(|module| Import { module, line }));
        line += code[at..after].iter().filter(|c| **c == '\n').count();
        at = after;
    }
    found
}

/// Whether a name and an open brace follow: a module written inside the file.
fn opens_module(code: &[char], at: usize) -> bool {
    let name = skip_space(code, at);
    let end = name + word_at(code, name).len();
    end > name && code.get(skip_space(code, end)) == Some(&'{')
}

fn word_at(code: &[char], at: usize) -> String {
    code[at..].iter().take_while(|c| is_word(**c)).collect()
}

fn skip_space(code: &[char], at: usize) -> usize {
    position(code, at, |i| !code[i].is_whitespace())
}

fn next_word(code: &[char], at: usize) -> String {
    word_at(code, skip_space(code, at))
}

/// Returns the place after `::`, white space around it allowed.
fn path_separator(code: &[char], at: usize) -> Option<usize> {
    let at = skip_space(code, at);
    (code.get(at) == Some(&':') && code.get(at + 1) == Some(&':')).then(|| skip_space(code, at + 2))
}

/// Counts a chain of `super::` and returns the place after it.
fn supers(code: &[char], mut at: usize) -> (usize, usize) {
    let mut count = 0;
    while word_at(code, at) == "super" {
        let end = at + "super".len();
        count += 1;
        match path_separator(code, end) {
            Some(after) => at = after,
            None => return (count, end),
        }
    }
    (count, at)
}

/// Returns the first segments at this place: one name, `*`, or the members of a group.
fn members(code: &[char], at: usize) -> Vec<String> {
    match code.get(at) {
        Some('*') => vec!["*".to_owned()],
        Some('{') => {
            let (mut names, mut depth, mut i, mut wanted) = (Vec::new(), 1, at + 1, true);
            while i < code.len() && depth > 0 {
                match code[i] {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    ',' if depth == 1 => wanted = true,
                    '*' if wanted => names.push("*".to_owned()),
                    c if wanted && is_word(c) => {
                        let name = word_at(code, i);
                        i += name.len() - 1;
                        names.push(name);
                        wanted = false;
                    }
                    _ => {}
                }
                i += 1;
            }
            names
        }
        _ => Some(word_at(code, at)).filter(|w| !w.is_empty()).into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::{code_only, imports};

    #[track_caller]
    fn modules(source: &str, depth: usize) -> Vec<String> {
        imports(source, depth).into_iter().map(|i| format!("{}:{}", i.line, i.module)).collect()
    }

    #[test]
    fn blanks_comments_and_literals_and_nothing_else() {
        for (source, code) in [
            ("a // crate::x\nb", "a            \nb"),
            ("a /* x /* y */ z */ b", "a                   b"),
            (r#"f("crate::x \" y", 1)"#, "f(               , 1)"),
            ("r#\"a \" b\"# + br\"x\" + rest", "           + b     + rest"),
            ("'\\'' 'x' 'static '\u{e9}'", "         'static    "),
            ("r#type + for_r\"x\"", "r#type + for_r   "),
        ] {
            assert_eq!(code_only(source).trim_end(), code.trim_end(), "{source}");
        }
    }

    #[test]
    fn finds_every_way_to_reach_a_module() {
        for (source, depth, expected) in [
            ("use crate::domain::Lsn;", 1, vec!["1:domain"]),
            ("\nuse crate::{\n  domain::{A, B as C},\n  diag,\n};", 1, vec!["2:domain", "2:diag"]),
            ("fn f() -> crate :: store::Key { crate::crypto::x() }", 1, vec!["1:store", "1:crypto"]),
            ("use crate::*;", 1, vec!["1:*"]),
            ("use crate as it;", 1, vec!["1:crate as"]),
            ("pub(crate) fn f() {}", 1, vec![]),
            ("// crate::engine\nlet a = \"crate::engine\";", 1, vec![]),
            ("macro_rules! m { () => { $crate::engine::x() } }", 1, vec!["1:engine"]),
            ("use super::Sibling;", 2, vec![]),
            ("use super::super::engine::run;", 2, vec!["1:engine"]),
            ("use super::engine::run;", 1, vec!["1:engine"]),
            ("use super::{engine, plan};\n", 1, vec!["1:engine", "1:plan"]),
            ("mod tests {\n use super::plan;\n}\nuse super::store;", 1, vec!["4:store"]),
            (
                "mod tests { mod deep { use super::super::super::plan; } use super::super::store; }",
                1,
                vec!["1:plan", "1:store"],
            ),
            ("mod sibling;\nfn f() { super::go() }", 2, vec![]),
        ] {
            assert_eq!(modules(source, depth), expected, "{source}");
        }
    }
}
