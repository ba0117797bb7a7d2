//! `validate --fix`: makes the fixes of all findings, reads again, and writes what has changed.

use std::collections::BTreeSet;

use super::context::Context;
use super::{rewrite, wiring};
use crate::diag::Diagnostic;
use crate::policy::{Judged, SourceFile, mend};
use crate::render::FixMade;

/// After so many turns what is still found is left to people: a fix whose finding comes back would go on for ever.
const MOST_TURNS: usize = 10;

/// What came of it.
pub struct Outcome {
    /// The files as they are now.
    pub files: Vec<SourceFile>,
    /// What is said about them.
    pub judged: Judged,
    /// The fixes, with the places as they were when each was made.
    pub made: Vec<FixMade>,
    /// Why files could not be written; they are as they were.
    pub failures: Vec<Diagnostic>,
}

/// Mends files as far as findings know how. What cannot be written is reported as it is.
pub fn run(context: &Context, read: Vec<SourceFile>, judged: Judged) -> Outcome {
    let (files, judged, made) = mended(context, &read, judged);
    let mut failures = Vec::new();
    let mut failed = BTreeSet::new();
    for (before, after) in read.iter().zip(&files) {
        // A fix is made of text and gives text.
        if before.bytes != after.bytes
            && let Ok(text) = std::str::from_utf8(&after.bytes)
            && let Err(failure) = rewrite::rewrite(context, before, text)
        {
            failures.push(*failure);
            failed.insert(before.name.clone());
        }
    }
    if failures.is_empty() {
        return Outcome { files, judged, made, failures };
    }
    // What is judged is what stands in the files now.
    let pairs = read.into_iter().zip(files);
    let files: Vec<SourceFile> =
        pairs.map(|(before, after)| if failed.contains(&before.name) { before } else { after }).collect();
    let judged = wiring::judge(&files, context.instant());
    let made = made.into_iter().filter(|made| !failed.contains(&made.file)).collect();
    Outcome { files, judged, made, failures }
}

fn mended(context: &Context, read: &[SourceFile], judged: Judged) -> (Vec<SourceFile>, Judged, Vec<FixMade>) {
    let (mut files, mut judged, mut made) = (read.to_vec(), judged, Vec::new());
    let mut states: Vec<(Vec<SourceFile>, usize)> = Vec::new();
    for _ in 0..MOST_TURNS {
        let next = mend(&files, &judged.findings);
        if next.done.is_empty() {
            break;
        }
        // Where one place serves two that want it otherwise, as an anchor can, two fixes undo each other: neither is made.
        if let Some(index) = states.iter().position(|(files, _)| *files == next.files) {
            let (state, count) = states.swap_remove(index);
            made.truncate(count);
            judged = wiring::judge(&state, context.instant());
            files = state;
            break;
        }
        states.push((files, made.len()));
        made.extend(next.done.iter().filter_map(|index| FixMade::of(judged.findings.get(*index)?)));
        files = next.files;
        judged = wiring::judge(&files, context.instant());
    }
    (files, judged, made)
}
