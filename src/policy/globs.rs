//! Globs over slugs: `*` any characters, `?` one (one byte of UTF-8), `[a-z]` one of these, `{a,b}` one of these texts.
//! Pure.

use std::collections::VecDeque;

use globset::{Glob, GlobMatcher};

/// Several globs, any of which may match.
#[derive(Debug, Clone)]
pub(super) struct Globs(Vec<GlobMatcher>);

impl Globs {
    /// Makes ready what is valid among the patterns.
    pub fn new(patterns: &[String]) -> Self {
        Self(patterns.iter().filter_map(|pattern| Glob::new(pattern).ok()).map(|glob| glob.compile_matcher()).collect())
    }

    /// Returns whether any of them matches.
    pub fn matches(&self, slug: &str) -> bool {
        self.0.iter().any(|glob| glob.is_match(slug))
    }
}

/// Returns why a pattern is not a glob.
pub(super) fn rejection(pattern: &str) -> Option<String> {
    Glob::new(pattern).err().map(|error| error.kind().to_string())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    Is(u8),
    Any,
    Star,
}

/// How far both patterns have been read.
type Position = (usize, usize);

/// Returns a slug that both patterns match, where there is one. Exact for patterns of plain characters, `*` and `?`;
/// `None` for all others, which are decided on the live tenants. Takes time and memory with the product of the lengths
/// of those patterns whose plain beginnings and ends agree; patterns longer than 256 bytes are not plain.
pub(super) fn common(a: &str, b: &str) -> Option<String> {
    if differ(a.bytes(), b.bytes()) || differ(a.bytes().rev(), b.bytes().rev()) {
        return None;
    }
    let (a, b) = (pieces(a)?, pieces(b)?);
    // The shortest common text is a shortest path from (0, 0) to the ends; each step takes one byte, or none past a
    // star.
    let end = (a.len(), b.len());
    let width = b.len() + 1;
    let mut from: Vec<Option<(Position, Option<u8>)>> = vec![None; (a.len() + 1) * width];
    let mut queue = VecDeque::from([(0, 0)]);
    while let Some((i, j)) = queue.pop_front() {
        if (i, j) == end {
            let mut text = Vec::new();
            let mut at = end;
            while at != (0, 0) {
                let (before, taken) = from[at.0 * width + at.1]?;
                text.extend(taken);
                at = before;
            }
            text.reverse();
            // Both patterns are text, so their bytes can only meet in whole characters.
            return String::from_utf8(text).ok();
        }
        let (left, right) = (a.get(i).copied(), b.get(j).copied());
        let mut steps: Vec<(Position, Option<u8>)> = Vec::new();
        if left == Some(Piece::Star) {
            steps.push(((i + 1, j), None));
        }
        if right == Some(Piece::Star) {
            steps.push(((i, j + 1), None));
        }
        if let (Some(left), Some(right)) = (left, right) {
            let next = |piece: Piece, at: usize| if piece == Piece::Star { at } else { at + 1 };
            let taken = match (left, right) {
                (Piece::Is(x), Piece::Is(y)) if x != y => None,
                (Piece::Is(c), _) | (_, Piece::Is(c)) => Some(c),
                (Piece::Star, Piece::Star) => None,
                _ => Some(b'x'),
            };
            if let Some(taken) = taken {
                steps.push(((next(left, i), next(right, j)), Some(taken)));
            }
        }
        for (to, taken) in steps {
            let known = &mut from[to.0 * width + to.1];
            if to != (0, 0) && known.is_none() {
                *known = Some(((i, j), taken));
                queue.push_back(to);
            }
        }
    }
    None
}

/// Returns how much work [`common`] makes, in steps of some ten nanoseconds.
pub(super) fn cost(a: &str, b: &str) -> usize {
    if differ(a.bytes(), b.bytes()) || differ(a.bytes().rev(), b.bytes().rev()) {
        return 8;
    }
    a.len().min(256) * b.len().min(256) + 8
}

/// Returns whether two patterns, read from the same end, have different plain bytes before anything that is none.
fn differ(a: impl Iterator<Item = u8>, b: impl Iterator<Item = u8>) -> bool {
    let plain = |byte: u8| !matches!(byte, b'*' | b'?' | b'[' | b']' | b'{' | b'}' | b'\\');
    a.zip(b).take_while(|(x, y)| plain(*x) && plain(*y)).any(|(x, y)| x != y)
}

/// Returns whether `outer` surely matches every slug that `inner` matches. Sound for all patterns: where it says no, it
/// may still be so, as for patterns with braces that are not written alike.
pub(super) fn contains(outer: &str, inner: &str) -> bool {
    let (Some(outer), Some(inner)) = (pieces(outer), pieces(inner)) else { return outer == inner || outer == "*" };
    // Row by row over the inner pieces: which beginnings of the outer pattern take in what was read so far.
    let mut reached = vec![false; outer.len() + 1];
    reached[0] = true;
    let past_stars = |reached: &mut Vec<bool>| {
        for at in 0..outer.len() {
            if reached[at] && outer[at] == Piece::Star {
                reached[at + 1] = true;
            }
        }
    };
    past_stars(&mut reached);
    for piece in &inner {
        let mut next = vec![false; outer.len() + 1];
        for at in (0..outer.len()).filter(|at| reached[*at]) {
            match outer[at] {
                Piece::Star => next[at] = true,
                // A star of the inner pattern stands for texts of any length: only a star takes it in.
                Piece::Any => next[at + 1] |= *piece != Piece::Star,
                Piece::Is(_) => next[at + 1] |= *piece == outer[at],
            }
        }
        past_stars(&mut next);
        reached = next;
    }
    reached[outer.len()]
}

fn pieces(pattern: &str) -> Option<Vec<Piece>> {
    // Beside a slash, two stars are a word of their own: `**/x` matches `x`, too.
    if pattern.len() > 256 || pattern.contains("**") && pattern.contains('/') {
        return None;
    }
    let mut pieces = Vec::new();
    for byte in pattern.bytes() {
        match byte {
            b'*' if pieces.last() == Some(&Piece::Star) => {}
            b'*' => pieces.push(Piece::Star),
            b'?' => pieces.push(Piece::Any),
            b'[' | b']' | b'{' | b'}' | b'\\' => return None,
            byte => pieces.push(Piece::Is(byte)),
        }
    }
    Some(pieces)
}

#[cfg(test)]
mod tests {
    use super::{Globs, common, contains};
    use proptest::prelude::*;

    #[test]
    fn two_patterns_meet_exactly_where_a_slug_matches_both() {
        for (a, b, meet) in [
            ("enterprise-*", "premium-*", false),
            ("enterprise-*", "*", true),
            ("*-eu", "acme-*", true),
            ("a*b", "b*a", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("acme", "acme", true),
            ("*", "*", true),
            ("", "*", true),
            ("**/", "", false),
            ("?", "ä", false),
            ("??", "ä", true),
            ("ä*", "ä?", true),
        ] {
            assert_eq!(common(a, b).is_some(), meet, "{a} {b}");
        }
    }

    #[test]
    fn a_pattern_contains_another_only_where_it_surely_does() {
        for (outer, inner, contained) in [
            ("*", "enterprise-*", true),
            ("enterprise-*", "enterprise-*", true),
            ("enterprise-*", "*", false),
            ("*-eu", "acme-*-eu", true),
            ("a?", "ab", true),
            ("a?", "a*", false),
            ("{a,b}", "{a,b}", true),
            ("{a,b}", "a", false),
            ("*", "[ab]", true),
        ] {
            assert_eq!(contains(outer, inner), contained, "{outer} {inner}");
        }
    }

    proptest! {
        #[test]
        fn what_is_said_to_be_contained_is(a in "[ab*?]{0,6}", b in "[ab*?]{0,6}", slug in "[ab]{0,6}") {
            let one = |pattern: &str| Globs::new(&[pattern.to_owned()]);
            if contains(&a, &b) && one(&b).matches(&slug) {
                prop_assert!(one(&a).matches(&slug), "{a} {b} {slug:?}");
            }
        }

        #[test]
        fn what_is_named_as_common_matches_both(a in "[ab*?]{0,6}", b in "[ab*?]{0,6}", slug in "[ab]{0,6}") {
            let one = |pattern: &str| Globs::new(&[pattern.to_owned()]);
            match common(&a, &b) {
                Some(slug) => prop_assert!(one(&a).matches(&slug) && one(&b).matches(&slug), "{a} {b} {slug:?}"),
                None => prop_assert!(!(one(&a).matches(&slug) && one(&b).matches(&slug)), "{a} {b} {slug:?}"),
            }
        }
    }
}
