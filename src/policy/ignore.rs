//! Findings that a team has decided to live with: `# bkup: ignore[BK604] reason`, on the line of a finding or above
//! it. What is ignored is never lost: it is returned beside what is left, and its number is always printed. Pure.
//!
//! **What may be ignored:** warnings and notes, and the errors of proofs (families BK4xx to BK7xx), because a team can
//! know what a proof cannot. What reading refused cannot: a set with a hole where the refused thing was would be
//! planned as if it were whole, and its backups would be taken for ones that nobody wants any more.

use std::collections::BTreeMap;

use crate::diag::{Code, Diagnostic, Edit, Fix, Severity, Span};

use super::codes;
use super::text::{Place, Sources, comments_of, shown};
use crate::domain::DRIFT_CODES;

/// Codes that only live servers can bring about: offline nobody can tell whether their ignore is of use.
const LIVE: [Code; 4] =
    [codes::TENANT_WITHOUT_CLASS, codes::TENANT_WITHOUT_SCHEDULE, codes::PATTERN_WITHOUT_TENANT, codes::SLUG_TWICE];

/// Returns whether a finding about live tenants is told as drift by a plan.
#[must_use]
pub fn is_drift(code: Code) -> bool {
    [codes::TENANT_WITHOUT_CLASS, codes::TENANT_WITHOUT_SCHEDULE].contains(&code)
}

/// The ignore comments of a set of files, by file and the line that they are about.
#[derive(Debug, Clone, Default)]
pub(super) struct Ignores {
    by_line: BTreeMap<(String, u32), Vec<Ignore>>,
}

/// One code of one comment.
#[derive(Debug, Clone)]
struct Ignore {
    code: Code,
    place: Place,
    used: bool,
}

/// Findings, sorted by what is to be done with them.
#[derive(Debug, Default)]
pub(super) struct Sifted {
    /// Those that are left, and those about the comments themselves.
    pub left: Vec<Diagnostic>,
    /// Those that are ignored.
    pub suppressed: Vec<Diagnostic>,
}

impl Ignores {
    /// Finds the ignore comments of all files; what is wrong with them are findings.
    pub fn of(sources: &Sources, found: &mut Vec<Diagnostic>) -> Self {
        let mut ignores = Self::default();
        for file in 0..sources.count() {
            let text = sources.text(file);
            // Few files have one, and reading a file twice takes twice as long.
            if !text.contains("bkup:") {
                continue;
            }
            let comments = comments_of(text);
            for range in &comments {
                let Some(asked) = Asked::read(&text[range.clone()], range.start) else { continue };
                let line = target(sources, file, range.start);
                ignores.take(sources, file, range.clone(), &asked, line, found);
            }
        }
        ignores
    }

    fn take(
        &mut self,
        sources: &Sources,
        file: usize,
        comment: std::ops::Range<usize>,
        asked: &Asked<'_>,
        line: u32,
        found: &mut Vec<Diagnostic>,
    ) {
        let whole = Place { file, begin: comment.start, end: comment.end };
        if asked.codes.is_empty() || asked.reason.is_empty() {
            let (message, label) = if asked.codes.is_empty() {
                ("this comment ignores findings and does not name them", "which ones?")
            } else {
                ("this comment ignores findings without a reason", "why?")
            };
            let code = asked.codes.first().map_or("BK604", |(code, _)| code);
            found.push(
                Diagnostic::error(codes::IGNORE_WITHOUT_REASON, message)
                    .at(sources.span(whole), label)
                    .help(format!("write `# bkup: ignore[{}] why it is fine here`", shown(code))),
            );
            return;
        }
        for (word, begin) in &asked.codes {
            let place = Place { file, begin: *begin, end: begin + word.len() };
            let known = codes::ALL.iter().chain(&DRIFT_CODES).find(|(code, _)| code.0 == *word);
            let Some((code, _)) = known else {
                let upper = word.to_ascii_uppercase();
                let upper = Some(upper).filter(|upper| codes::ALL.iter().any(|(code, _)| code.0 == *upper));
                let message = format!("`{}` is not the code of a finding about policies", shown(word));
                let finding = Diagnostic::error(codes::IGNORE_OF_UNKNOWN, message);
                let finding = finding.at(sources.span(place), "no such code").help(match &upper {
                    Some(upper) => format!("write {upper}"),
                    None => "write the code as it stands in the finding, as in ignore[BK604]".to_owned(),
                });
                found.push(finding.fixed(upper.map(|text| Fix {
                    words: format!("write {text}"),
                    edits: vec![Edit { span: sources.span(place), text }],
                })));
                continue;
            };
            if code.0.starts_with("BK1") {
                found.push(refused(*code, sources.span(place), None));
                continue;
            }
            let key = (sources.span(whole).file, line);
            self.by_line.entry(key).or_default().push(Ignore { code: *code, place, used: false });
        }
    }

    /// Takes out the findings that are ignored. `proven` says whether they come from proofs and not from reading.
    pub fn sift(&mut self, sources: &Sources, found: Vec<Diagnostic>, proven: bool, sifted: &mut Sifted) {
        for finding in found {
            let here = finding.span.as_ref().and_then(|s| self.by_line.get_mut(&(s.file.clone(), s.line)));
            let asking = here.into_iter().flatten().filter(|ignore| ignore.code == finding.code);
            let mut asked = None;
            for ignore in asking {
                let told = std::mem::replace(&mut ignore.used, true);
                asked = asked.or(Some((ignore.place, told)));
            }
            match asked {
                None => sifted.left.push(finding),
                Some(_) if may_be_ignored(&finding, proven) => sifted.suppressed.push(finding),
                Some((place, told)) => {
                    if !told {
                        sifted.left.push(refused(finding.code, sources.span(place), finding.span.clone()));
                    }
                    sifted.left.push(finding);
                }
            }
        }
    }

    /// Returns the codes that are ignored at a line.
    pub fn at(&self, file: &str, line: u32) -> impl Iterator<Item = Code> {
        self.by_line.get(&(file.to_owned(), line)).into_iter().flatten().map(|ignore| ignore.code)
    }

    /// Returns a warning for each ignore that was of no use, once everything was sifted.
    pub fn unused(&self, sources: &Sources) -> Vec<Diagnostic> {
        let idle = self.by_line.values().flatten().filter(|ignore| {
            let live = LIVE.contains(&ignore.code) || DRIFT_CODES.iter().any(|(code, _)| *code == ignore.code);
            !ignore.used && !live
        });
        idle.map(|ignore| {
            let message = format!("nothing here has the finding {}, and this comment ignores it", ignore.code);
            Diagnostic::warning(codes::IGNORE_OF_NOTHING, message)
                .at(sources.span(ignore.place), "ignores nothing")
                .help("remove it; a finding that comes back should be seen")
        })
        .collect()
    }
}

/// Returns whether a finding is one that a team may decide to live with.
fn may_be_ignored(finding: &Diagnostic, proven: bool) -> bool {
    let promise = matches!(finding.code.0.as_bytes().get(2), Some(b'4'..=b'7'));
    finding.severity != Severity::Error || proven && promise
}

fn refused(code: Code, span: Span, finding: Option<Span>) -> Diagnostic {
    let message = format!("{code} cannot be ignored here: only warnings, notes, and what proofs find can be");
    let refused = Diagnostic::error(codes::IGNORE_OF_ERROR, message)
        .at(span, "not to be ignored")
        .help("remove the comment, and correct what the finding says");
    match finding {
        Some(finding) => refused.related(finding, "the finding"),
        None => refused,
    }
}

/// Returns the line that a comment is about: its own where something stands before it, else the next that is no
/// comment.
fn target(sources: &Sources, file: usize, begin: usize) -> u32 {
    let text = sources.text(file);
    let own = sources.span(Place { file, begin, end: begin }).line;
    let before = &text[sources.line_begin(file, begin)..begin];
    if !before.trim().is_empty() {
        return own;
    }
    let comments = text[begin..].lines().take_while(|line| line.trim_start().starts_with('#')).count();
    own.saturating_add(u32::try_from(comments).unwrap_or(u32::MAX))
}

/// What a comment asks for.
struct Asked<'t> {
    /// The codes as written, with their first byte in the file.
    codes: Vec<(&'t str, usize)>,
    reason: &'t str,
}

impl<'t> Asked<'t> {
    /// Reads a comment that begins at a byte of its file; `None` where it ignores nothing.
    fn read(comment: &'t str, at: usize) -> Option<Self> {
        let rest = comment.strip_prefix('#')?.trim_start().strip_prefix("bkup:")?.trim_start();
        let rest = rest.strip_prefix("ignore")?;
        if rest.starts_with(|c: char| c.is_alphanumeric()) {
            return None;
        }
        let (inside, reason) = match rest.trim_start().strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((inside, reason)) => (inside, reason),
            None => ("", rest),
        };
        let mut codes = Vec::new();
        for part in inside.split(',') {
            let word = part.trim();
            if !word.is_empty() {
                // Both are parts of the comment, so the distance between their begins is the place in it.
                codes.push((word, at + (word.as_ptr() as usize - comment.as_ptr() as usize)));
            }
        }
        Some(Self { codes, reason: reason.trim_matches(|c: char| c.is_whitespace() || matches!(c, ':' | '-')) })
    }
}

#[cfg(test)]
mod tests {
    use super::Asked;

    #[test]
    fn an_ignore_names_its_codes_with_their_places_and_its_reason() {
        let comment = "#  bkup: ignore[BK402, BK604] - the disk is encrypted";
        let asked = Asked::read(comment, 100).unwrap();
        let codes: Vec<&str> = asked.codes.iter().map(|(word, at)| &comment[at - 100..at - 100 + word.len()]).collect();
        assert_eq!((codes, asked.reason), (vec!["BK402", "BK604"], "the disk is encrypted"));
    }

    #[test]
    fn what_is_no_ignore_says_nothing() {
        for comment in ["# ignore[BK402] x", "# bkup: ignored[BK402] x", "# bkup is nice", "#"] {
            assert!(Asked::read(comment, 0).is_none(), "{comment}");
        }
        assert!(Asked::read("# bkup: ignore BK402 x", 0).unwrap().codes.is_empty());
    }
}
