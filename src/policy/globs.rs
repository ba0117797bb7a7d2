//! Globs over slugs: `*` any characters, `?` one, `[a-z]` one of these, `{a,b}` one of these texts. Pure.

use std::collections::{BTreeMap, VecDeque};

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
    Is(char),
    Any,
    Star,
}

/// How far both patterns have been read.
type Position = (usize, usize);

/// Returns a slug that both patterns match, where there is one. Exact for patterns of plain characters, `*` and `?`;
/// `None` for all others, which are decided on the live tenants.
pub(super) fn common(a: &str, b: &str) -> Option<String> {
    let (a, b) = (pieces(a)?, pieces(b)?);
    // The shortest common text is a shortest path from (0, 0) to the ends; each step takes one character, or none past
    // a star.
    let mut from: BTreeMap<Position, (Position, Option<char>)> = BTreeMap::new();
    let mut queue = VecDeque::from([(0, 0)]);
    let end = (a.len(), b.len());
    while let Some((i, j)) = queue.pop_front() {
        if (i, j) == end {
            let mut text = Vec::new();
            let mut at = end;
            while at != (0, 0) {
                let (before, taken) = from[&at];
                text.extend(taken);
                at = before;
            }
            return Some(text.into_iter().rev().collect());
        }
        let (left, right) = (a.get(i).copied(), b.get(j).copied());
        let mut steps: Vec<(Position, Option<char>)> = Vec::new();
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
                _ => Some('x'),
            };
            if let Some(taken) = taken {
                steps.push(((next(left, i), next(right, j)), Some(taken)));
            }
        }
        for (to, taken) in steps {
            if to != (0, 0) && !from.contains_key(&to) {
                from.insert(to, ((i, j), taken));
                queue.push_back(to);
            }
        }
    }
    None
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
    if pattern.len() > 256 {
        return None;
    }
    let mut pieces = Vec::new();
    for c in pattern.chars() {
        match c {
            '*' if pieces.last() == Some(&Piece::Star) => {}
            '*' => pieces.push(Piece::Star),
            '?' => pieces.push(Piece::Any),
            '[' | ']' | '{' | '}' | '\\' => return None,
            c => pieces.push(Piece::Is(c)),
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
