//! Mends findings by the edits that they carry. Pure.
//!
//! A fix is made whole or not at all: all its edits, or none. Of two that touch the same bytes the first one wins, and
//! the other is left for the next turn, in which its place has moved. A fix never changes what is protected, kept or
//! deleted: whoever adds one to a finding answers for that (see `Told::fix`).

use std::collections::BTreeMap;

use crate::diag::{Diagnostic, Edit, Fix};

use super::SourceFile;

/// What came of mending a set of files once.
#[derive(Debug, Clone, Default)]
pub struct Mended {
    /// Every file, with its edits made.
    pub files: Vec<SourceFile>,
    /// The indices of the findings whose fixes were made.
    pub done: Vec<usize>,
    /// The indices of those whose fixes touch another one's bytes, or bytes that are not there.
    pub left: Vec<usize>,
}

/// Makes the fixes of findings, in their order.
#[must_use]
pub fn mend(files: &[SourceFile], findings: &[Diagnostic]) -> Mended {
    let mut mended = Mended::default();
    let mut taken: BTreeMap<&str, Vec<&Edit>> = BTreeMap::new();
    for (index, fix) in findings.iter().enumerate().filter_map(|(index, finding)| Some((index, finding.fix.as_ref()?)))
    {
        if is_free(files, &taken, fix) {
            for edit in &fix.edits {
                let edits = taken.entry(edit.span.file.as_str()).or_default();
                // What two findings want alike is done once.
                if !edits.contains(&edit) {
                    edits.push(edit);
                }
            }
            mended.done.push(index);
        } else {
            mended.left.push(index);
        }
    }
    mended.files = files
        .iter()
        .map(|file| match taken.remove(file.name.as_str()) {
            Some(edits) => SourceFile { name: file.name.clone(), bytes: edited(&file.bytes, edits) },
            None => file.clone(),
        })
        .collect();
    mended
}

/// Makes edits in a text; `None` where two of them touch the same bytes, or one lies outside it.
#[must_use]
pub fn apply_edits(text: &str, edits: &[Edit]) -> Option<String> {
    let apart = edits.iter().enumerate().all(|(index, edit)| edits[..index].iter().all(|other| is_apart(edit, other)));
    let inside = edits.iter().all(|edit| lies_in(text, edit));
    (apart && inside).then(|| String::from_utf8_lossy(&edited(text.as_bytes(), edits.iter().collect())).into_owned())
}

fn edited(bytes: &[u8], mut edits: Vec<&Edit>) -> Vec<u8> {
    edits.sort();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    for edit in edits {
        out.extend_from_slice(bytes.get(at..edit.span.begin).unwrap_or_default());
        out.extend_from_slice(edit.text.as_bytes());
        at = edit.span.end;
    }
    out.extend_from_slice(bytes.get(at..).unwrap_or_default());
    out
}

/// Returns whether all edits of a fix lie in the files, apart from each other and from those that are taken.
fn is_free(files: &[SourceFile], taken: &BTreeMap<&str, Vec<&Edit>>, fix: &Fix) -> bool {
    let text = |edit: &Edit| {
        let file = files.iter().find(|file| file.name == edit.span.file)?;
        std::str::from_utf8(&file.bytes).ok()
    };
    let is_free = |(index, edit): (usize, &Edit)| {
        let others = taken.get(edit.span.file.as_str()).map_or(&[][..], Vec::as_slice);
        text(edit).is_some_and(|text| lies_in(text, edit))
            && others.iter().all(|other| *other == edit || is_apart(edit, other))
            && fix.edits[..index].iter().all(|other| other.span.file != edit.span.file || is_apart(edit, other))
    };
    !fix.edits.is_empty() && fix.edits.iter().enumerate().all(is_free)
}

fn lies_in(text: &str, edit: &Edit) -> bool {
    edit.span.begin <= edit.span.end && text.get(edit.span.begin..edit.span.end).is_some()
}

/// Returns whether two edits of one file touch no common byte, and do not begin at the same one: which of them would
/// come first?
fn is_apart(one: &Edit, other: &Edit) -> bool {
    let (one, other) = (&one.span, &other.span);
    one.begin != other.begin && (one.end <= other.begin || other.end <= one.begin)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{apply_edits, mend};
    use crate::diag::{Code, Diagnostic, Edit, Fix, Span};
    use crate::policy::SourceFile;

    fn edit(begin: usize, end: usize, text: &str) -> Edit {
        let span = Span { file: "a.yaml".to_owned(), begin, end, line: 1, column: 1 };
        Edit { span, text: text.to_owned() }
    }

    fn finding(edits: Vec<Edit>) -> Diagnostic {
        let mut finding = Diagnostic::error(Code("BK110"), "x");
        finding.fix = Some(Fix { words: "mend it".to_owned(), edits });
        finding
    }

    fn file(text: &str) -> Vec<SourceFile> {
        vec![SourceFile { name: "a.yaml".to_owned(), bytes: text.as_bytes().to_vec() }]
    }

    #[test]
    fn the_first_of_two_that_overlap_wins_and_a_fix_is_whole() {
        let findings = [
            finding(vec![edit(1, 3, "X")]),
            finding(vec![edit(2, 4, "Y"), edit(6, 7, "Z")]),
            finding(vec![edit(3, 4, "")]),
            finding(vec![edit(1, 3, "X")]),
            finding(vec![edit(90, 91, "no")]),
            finding(vec![]),
        ];
        let mended = mend(&file("01234567"), &findings);
        assert_eq!(mended.files[0].bytes, b"0X4567");
        assert_eq!((mended.done, mended.left), (vec![0, 2, 3], vec![1, 4, 5]));
    }

    #[test]
    fn nothing_is_cut_inside_a_character() {
        assert_eq!(apply_edits("ä", &[edit(1, 2, "x")]), None);
        assert_eq!(apply_edits("ä", &[edit(0, 2, "x"), edit(2, 2, "y")]).as_deref(), Some("xy"));
        assert_eq!(apply_edits("ab", &[edit(1, 1, "x"), edit(1, 1, "y")]), None);
    }

    proptest! {
        #[test]
        fn edits_change_their_places_and_nothing_else(
            parts in proptest::collection::vec(("[a-zü\\n]{0,6}", "[a-zü\\n]{1,6}", "[A-Z]{0,4}"), 0..8),
            last in "[a-zü]{0,6}",
        ) {
            let (mut before, mut after, mut edits) = (String::new(), String::new(), Vec::new());
            for (kept, old, new) in &parts {
                before.push_str(kept);
                after.push_str(kept);
                edits.push(edit(before.len(), before.len() + old.len(), new));
                before.push_str(old);
                after.push_str(new);
            }
            before.push_str(&last);
            after.push_str(&last);
            prop_assert_eq!(apply_edits(&before, &edits), Some(after.clone()));
            edits.reverse();
            prop_assert_eq!(apply_edits(&before, &edits), Some(after.clone()), "in any order");
            let mended = mend(&file(&before), &[finding(edits.clone())]);
            if !edits.is_empty() {
                prop_assert_eq!(&mended.files[0].bytes, after.as_bytes());
            }
        }

        #[test]
        fn overlapping_edits_are_refused(
            text in "[a-z]{8,20}",
            a in 0usize..8, la in 1usize..4, b in 0usize..8, lb in 1usize..4,
        ) {
            let edits = [edit(a, (a + la).min(8), "x"), edit(b, (b + lb).min(8), "y")];
            let overlap = a < (b + lb).min(8) && b < (a + la).min(8);
            prop_assert_eq!(apply_edits(&text, &edits).is_none(), overlap);
        }
    }
}
