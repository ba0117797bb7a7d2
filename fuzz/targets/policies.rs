//! Bytes to policies, judged, shown, resolved and formatted. Whatever the bytes are: no panic, a finding for each error
//! with its place inside the text, the same findings twice, and a layout that stays as it is.
#![no_main]

use std::collections::BTreeMap;

use bkup_fuzz::diag::{Diagnostic, Severity, Span};
use bkup_fuzz::domain::{Instant, Name, Tenant};
use bkup_fuzz::policy::{self, Facts, Judged, LiveTenants, SourceFile};
use bkup_fuzz::render::{Style, diagnostics_json, diagnostics_text};
use libfuzzer_sys::fuzz_target;

/// Parts the bytes into two files, so that what concerns a set is reached.
const NEXT_FILE: &[u8] = b"\n%%%\n";

fuzz_target!(|bytes: &[u8]| {
    let cut = bytes.windows(NEXT_FILE.len()).position(|window| window == NEXT_FILE);
    let parts = cut.map_or((bytes, None), |at| (&bytes[..at], Some(&bytes[at + NEXT_FILE.len()..])));
    let file = |name: &str, bytes: &[u8]| SourceFile { name: name.to_owned(), bytes: bytes.to_vec() };
    let mut files = vec![file("a.yaml", parts.0)];
    files.extend(parts.1.map(|bytes| file("b.yaml", bytes)));
    let facts = Facts::at(Instant::constant(1_790_000_000, 0));

    let Judged { set, findings: found, suppressed, .. } = policy::judge(&files, &facts);
    for finding in found.iter().chain(&suppressed) {
        check(finding, &files);
    }
    assert_eq!(policy::judge(&files, &facts).findings, found, "the same files have the same findings");

    for file in &files {
        let Ok(formatted) = policy::format(file) else { continue };
        let again = policy::format(&SourceFile { name: file.name.clone(), bytes: formatted.clone().into_bytes() });
        assert_eq!(again.as_ref(), Ok(&formatted), "what is formatted stays as it is");
    }

    let sources = files
        .iter()
        .filter_map(|file| Some((file.name.clone(), policy::masked(std::str::from_utf8(&file.bytes).ok()?))))
        .collect();
    for style in [Style::plain(), Style { unicode: false, ..Style::plain() }] {
        let text = diagnostics_text(&found, &sources, &style);
        assert!(found.is_empty() == text.is_empty());
        assert!(!text.contains(['\u{1b}', '\0', '\u{7}', '\u{202e}']), "nothing a terminal would act on");
    }
    assert!(serde_json::from_str::<serde_json::Value>(&diagnostics_json(&found)).is_ok());

    let tenant = |slug: &str| Tenant { slug: slug.to_owned(), schema: format!("tenant_{slug}"), id: None };
    let live: BTreeMap<Name, LiveTenants> = set
        .databases()
        .map(|(name, _)| (name.clone(), LiveTenants::Known(vec![tenant("acme"), tenant("\"; DROP SCHEMA")])))
        .collect();
    let (_desired, _found) = set.desired(&live);
});

fn check(finding: &Diagnostic, files: &[SourceFile]) {
    let inside = |span: &Span| {
        files.iter().find(|file| file.name == span.file).is_some_and(|file| {
            let lines = file.bytes.iter().filter(|byte| **byte == b'\n').count() + 1;
            // The text of a file that is not UTF-8 is longer than its bytes.
            let text = String::from_utf8_lossy(&file.bytes);
            span.line >= 1
                && span.column >= 1
                && span.line as usize <= lines
                && text.get(span.begin..span.end).is_some()
        })
    };
    assert!(policy::codes().iter().any(|(code, _)| *code == finding.code), "{finding:?}");
    assert!(finding.span.as_ref().is_some_and(inside), "{finding:?}");
    assert!(finding.related.iter().all(|related| inside(&related.span)), "{finding:?}");
    assert!(!finding.message.is_empty() && finding.message.len() < 4096, "{finding:?}");
    if finding.severity == Severity::Error {
        assert!(finding.help.as_ref().is_some_and(|help| !help.is_empty()), "{finding:?}");
    }
    for edit in finding.fix.iter().flat_map(|fix| &fix.edits) {
        assert!(inside(&edit.span), "{finding:?}");
    }
}
