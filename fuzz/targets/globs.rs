//! Patterns over slugs. A slug that is named as common to two patterns is matched by both; where none is named, no slug
//! at hand is matched by both; and no pattern makes matching slow.
#![no_main]

use bkup_fuzz::globs::{common, matches, rejection};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, &str, &str)| {
    let (a, b, slug) = input;
    let named = common(a, b);
    assert_eq!(named.is_some(), common(b, a).is_some(), "either order");
    if rejection(a).is_some() || rejection(b).is_some() {
        return;
    }
    if let Some(slug) = &named {
        assert!(matches(a, slug) && matches(b, slug), "{a:?} {b:?} {slug:?}");
    }
    let both = matches(a, slug) && matches(b, slug);
    // What is not plain is decided on the live tenants.
    let words = |pattern: &str| pattern.contains("**") && pattern.contains('/');
    let plain = |p: &str| p.len() <= 256 && !p.contains(['[', ']', '{', '}', '\\']) && !words(p);
    if plain(a) && plain(b) && both {
        assert!(named.is_some(), "{a:?} {b:?} both match {slug:?}");
    }
});
