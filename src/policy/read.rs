//! Reads the files of a set: bytes to trees to raw sections to typed things, then everything that concerns more than
//! one thing. Pure.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::diag::Diagnostic;
use crate::domain::{Moved, Name, Removed, RetentionRule};

use super::check::{self, Known};
use super::decode::{Context, Decode};
use super::ignore::{Ignores, Sifted};
use super::raw::{self, File, Item, Listed, Marked, Marks, Named, Once};
use super::set::{PolicySet, Thing};
use super::text::{self, Kind, Place, Sources};
use super::{Facts, SourceFile, codes};

/// How many nodes the files of a set stand for at most, aliases followed: some 20,000 schedules. What is read of them
/// is kept, with the place of each, and is most of the memory that a judgement takes.
const MOST_NODES: usize = 500_000;

/// Reads a set of policy files. Findings come in the order of the files and of the places in them. The set holds what
/// could be read: where any finding is an error it is good for showing, never for acting.
#[must_use]
pub fn read(files: &[SourceFile]) -> (PolicySet, Vec<Diagnostic>) {
    let (sources, texts, mut found) = read_in(files);
    let mut complete = true;
    let mut cx = Context::new(&sources);
    for file in 0..files.len() {
        check::refuse_secret_keys(file, &mut cx);
    }
    let mut all = Sections::default();
    let mut nodes = 0_usize;
    for text in texts {
        // One tree at a time: of what is none of the language nothing stays.
        let tree = text.and_then(|file| text::parse(&sources, file, &mut found).map(|tree| (file, tree)));
        let tree = tree.filter(|(file, tree)| {
            nodes = nodes.saturating_add(tree.weight);
            let fits = nodes <= MOST_NODES;
            if !fits && nodes - tree.weight <= MOST_NODES {
                let place = Place { file: *file, begin: 0, end: 0 };
                let message = "the policies are too large together: this file and those after it are not read";
                let help = "part them into sets that are applied apart, each with its own `catalog`";
                cx.error(codes::TOO_LARGE, place, message, "here it becomes too much", help);
            }
            fits
        });
        match tree.and_then(|(file, tree)| file_of::<File>(file, &tree, &POLICIES, &mut cx)) {
            Some(file) => all.take(file, &mut cx),
            None => complete = false,
        }
    }
    let mut set = PolicySet::default();
    all.fill(&mut set, complete, &mut cx);
    found.append(&mut cx.found);
    sort(files, &mut found);
    set.sources = sources;
    (set, found)
}

/// Reads a set and proves what it promises. Where something could not be made of the files nothing is proven of the
/// rest: a promise that only the missing part keeps would be said to be broken.
///
/// Findings that a comment ignores are taken out, where they may be; see `ignore`.
#[must_use]
pub fn judge(files: &[SourceFile], facts: &Facts) -> Judged {
    let (mut set, found) = read(files);
    let mut sifted = Sifted::default();
    let mut ignores = Ignores::of(&set.sources, &mut sifted.left);
    ignores.sift(&set.sources, found, false, &mut sifted);
    let mut of_reading = sifted.left.clone();
    sort(files, &mut of_reading);
    if set.whole {
        ignores.sift(&set.sources, set.prove(facts), true, &mut sifted);
        // Where nothing was proven, nobody can tell what an ignore would have been good for.
        sifted.left.extend(ignores.unused(&set.sources));
    }
    set.ignores = ignores;
    let Sifted { left: mut findings, mut suppressed } = sifted;
    sort(files, &mut findings);
    sort(files, &mut suppressed);
    Judged { set, findings, of_reading, suppressed }
}

/// A set of policies, and what is to be said about it.
#[derive(Debug)]
pub struct Judged {
    /// What could be read.
    pub set: PolicySet,
    /// The findings, in the order of the files and of the places in them.
    pub findings: Vec<Diagnostic>,
    /// Those of them that reading found, in the same order: an error among these is something that nobody can act on,
    /// while an error of a proof is a promise that cannot be kept.
    pub of_reading: Vec<Diagnostic>,
    /// The findings that comments ignore, in the same order; their number is always printed.
    pub suppressed: Vec<Diagnostic>,
}

/// How a kind of files speaks of itself.
pub(crate) struct Dialect {
    /// One of them: `a policy file`.
    pub file: &'static str,
    /// What it is a mapping of: `sections`.
    pub content: &'static str,
}

const POLICIES: Dialect = Dialect { file: "a policy file", content: "sections" };

/// The texts of files, what each of those that could be read became, by its index, and what was found.
pub(crate) type Read<T> = (Sources, Vec<(usize, T)>, Vec<Diagnostic>);

/// Reads files of another kind than policies, in the same strict way: what each says, and every finding.
pub(crate) fn read_texts<T: Decode>(files: &[SourceFile], dialect: &Dialect) -> Read<T> {
    let (sources, trees, mut found) = read_trees(files);
    let mut cx = Context::new(&sources);
    let read = trees.iter().filter_map(|(file, tree)| Some((*file, file_of(*file, tree, dialect, &mut cx)?))).collect();
    found.append(&mut cx.found);
    (sources, read, found)
}

/// Takes the files' texts in; a file that is no text has a finding instead of an index.
fn read_in(files: &[SourceFile]) -> (Sources, Vec<Option<usize>>, Vec<Diagnostic>) {
    let mut sources = Sources::default();
    let mut found = Vec::new();
    let texts = files.iter().map(|file| take_in(file, &mut sources, &mut found)).collect();
    (sources, texts, found)
}

/// Takes the files' texts in and makes trees of them; a file that is no YAML has a finding instead of a tree.
fn read_trees(files: &[SourceFile]) -> Read<Arc<text::Node>> {
    let (sources, texts, mut found) = read_in(files);
    let tree = |file: usize| text::parse(&sources, file, &mut found).map(|tree| (file, tree));
    let trees = texts.into_iter().flatten().filter_map(tree).collect();
    (sources, trees, found)
}

/// Puts findings in the order of the files and of the places in them.
pub(crate) fn sort(files: &[SourceFile], found: &mut [Diagnostic]) {
    let order: BTreeMap<&str, usize> =
        files.iter().enumerate().rev().map(|(index, file)| (file.name.as_str(), index)).collect();
    found.sort_by_cached_key(|finding| {
        finding.span.as_ref().map(|span| (order.get(span.file.as_str()).copied(), span.begin, finding.code))
    });
}

/// Takes a file's text in; `None` where it is no text, and the finding says so.
pub(super) fn take_in(file: &SourceFile, sources: &mut Sources, found: &mut Vec<Diagnostic>) -> Option<usize> {
    match std::str::from_utf8(&file.bytes) {
        Ok(text) => Some(sources.add(&file.name, text.to_owned())),
        Err(error) => {
            // Up to the first wrong byte the lossy text has the same bytes, so the place is exact.
            let begin = error.valid_up_to();
            let index = sources.add(&file.name, String::from_utf8_lossy(&file.bytes).into_owned());
            let span = sources.span(Place { file: index, begin, end: begin + '\u{fffd}'.len_utf8() });
            let wide = file.bytes.starts_with(&[0xff, 0xfe]) || file.bytes.starts_with(&[0xfe, 0xff]);
            let help = if wide { "this looks like UTF-16: save the file as UTF-8" } else { "save the file as UTF-8" };
            found.push(
                Diagnostic::error(codes::NOT_UTF8, "the file is not UTF-8 text")
                    .at(span, "the first byte that is not")
                    .help(help),
            );
            None
        }
    }
}

/// Reads the sections of a file; `None` where it is none of this language and version.
fn file_of<T: Decode>(file: usize, tree: &text::Node, dialect: &Dialect, cx: &mut Context<'_>) -> Option<T> {
    let Kind::Map(entries) = &tree.kind else {
        let (message, place) = match &tree.kind {
            Kind::Null => ("the file is empty".to_owned(), Place { file, begin: 0, end: 0 }),
            _ => {
                let (file, content, this) = (dialect.file, dialect.content, tree.described());
                (format!("{file} is a mapping of {content}, and this is {this}"), tree.place)
            }
        };
        let label = format!("no {}", dialect.content);
        cx.error(codes::NO_MAPPING, place, message, label, "begin the file with `version: 1`");
        return None;
    };
    match entries.iter().find(|entry| entry.key == "version") {
        None => {
            let place = super::record::head(tree);
            let told = cx.error(
                codes::NO_VERSION,
                place,
                "the file does not say which version of the policy language it is in",
                "before this",
                "begin it with `version: 1`",
            );
            // There is one version so far. A mapping in brackets has no line of its own for it.
            if told.begins_line(place) {
                told.fix("add `version: 1`", &[(Place { end: place.begin, ..place }, "version: 1\n")]);
            }
        }
        Some(entry) => {
            // In another version every key may mean something else: nothing more is said about the file.
            if let Kind::Scalar { text, .. } = &entry.value.kind
                && text != "1"
            {
                cx.field::<super::raw::Version>("version", &entry.value);
                return None;
            }
        }
    }
    T::decode(tree, cx)
}

/// The sections of all files, with the things of each in the order they are written.
#[derive(Default)]
struct Sections {
    file: File,
    /// Where each name stands first, by the word for its section: looked up for every thing of thousands of files.
    places: HashMap<(&'static str, Name), Place>,
}

impl Sections {
    /// Adds a file's sections.
    fn take(&mut self, file: File, cx: &mut Context<'_>) {
        let Self { file: all, places } = self;
        once("catalog", &mut all.catalog, file.catalog, cx);
        once("guards", &mut all.guards, file.guards, cx);
        once("alerts", &mut all.alerts, file.alerts, cx);
        named("store", &mut all.stores, file.stores, places, cx);
        named("database", &mut all.databases, file.databases, places, cx);
        named("class", &mut all.classes, file.classes, places, cx);
        named("retention rule", &mut all.retention, file.retention, places, cx);
        named("schedule", &mut all.schedules, file.schedules, places, cx);
        named("recovery plan", &mut all.recovery_plans, file.recovery_plans, places, cx);
        named("channel", &mut all.channels, file.channels, places, cx);
        listed(&mut all.moved, file.moved);
        listed(&mut all.removed, file.removed);
    }

    /// Makes the things, with defaults filled in, and looks at how they fit together.
    fn fill(self, set: &mut PolicySet, complete: bool, cx: &mut Context<'_>) {
        let file = self.file;
        let known = Known::of(&file, complete);
        let mut whole = complete;
        set.catalog_place = file.catalog.as_ref().map(|catalog| catalog.places.get("url"));
        set.catalog = file.catalog.and_then(|catalog| {
            check::url("catalog", catalog.raw.url.as_ref(), "url", &catalog.places, cx);
            catalog.raw.url
        });
        set.guards = file.guards.map(|once| Thing {
            spec: once.raw.spec(&once.places, cx),
            place: once.place,
            places: once.places,
            marks: Marks::default(),
        });
        set.stores = things(
            file.stores,
            |item, raw, cx| {
                check::store(raw, &item.places, cx);
                raw.spec(&item.places, cx)
            },
            &mut whole,
            cx,
        );
        set.databases = things(
            file.databases,
            |item, raw, cx| {
                check::url("database", raw.url.as_ref(), "url", &item.places, cx);
                raw.spec(&item.places, cx)
            },
            &mut whole,
            cx,
        );
        let several_classes = file.classes.as_ref().is_some_and(|classes| classes.0.len() > 1);
        set.classes = things(
            file.classes,
            |item, raw, cx| {
                check::class(raw, several_classes, &item.places, cx);
                raw.spec(&item.places, cx)
            },
            &mut whole,
            cx,
        );
        set.retentions = things(file.retention, |item, raw, cx| Some(raw.spec("", &item.places, cx)), &mut whole, cx);
        let retentions: BTreeMap<Name, RetentionRule> =
            set.retentions.iter().map(|(name, thing)| (name.clone(), thing.spec.clone())).collect();
        set.schedules = things(
            file.schedules,
            |item, raw, cx| {
                check::schedule(raw, &item.places, &known, cx);
                raw.spec(&item.places, &retentions, cx)
            },
            &mut whole,
            cx,
        );
        set.recovery_plans = things(file.recovery_plans, |item, raw, cx| raw.spec(&item.places, cx), &mut whole, cx);
        set.channels = things(file.channels, |item, raw, cx| raw.spec(&item.places, cx), &mut whole, cx);
        set.alerts = file.alerts.map(|once| Thing {
            spec: once.raw.spec(),
            place: once.place,
            places: once.places,
            marks: Marks::default(),
        });
        let moved = |raw: &raw::Move| Some(Moved { from: raw.from.clone()?, to: raw.to.clone()? });
        set.moved = entries(file.moved, moved, &mut whole);
        let removed = |raw: &raw::Removal| Some(Removed { from: raw.from.clone()?, backups: raw.backups? });
        set.removed = entries(file.removed, removed, &mut whole);
        check::encryption(set, cx);
        check::databases(set, &known, cx);
        check::alerts(set, &known, cx);
        check::transitions(set, &known, cx);
        check::bases(&set.schedules, cx);
        check::on_demand(&set.schedules, cx);
        check::passwords(&set.schedules, &set.stores, cx);
        check::classes(&set.classes, cx);
        check::stores(&set.stores, &known, cx);
        check::tenants(set, cx);
        check::recovery_plans(set, &known, cx);
        set.whole = whole && !cx.found.iter().any(|finding| finding.code == codes::UNKNOWN_REFERENCE);
    }
}

/// Takes in a section that stands once.
fn once<T>(what: &str, all: &mut Option<Once<T>>, next: Option<Once<T>>, cx: &mut Context<'_>) {
    let Some(next) = next else { return };
    match all {
        None => *all = Some(next),
        Some(first) => {
            let message = format!("`{what}` stands twice, and a set of policies has it once");
            cx.error(codes::DEFINED_TWICE, next.place, message, "the second one", "keep one of them")
                .and(first.place, "the first one");
        }
    }
}

/// Takes in a section of names.
fn named<T>(
    what: &'static str,
    all: &mut Option<Named<T>>,
    next: Option<Named<T>>,
    places: &mut HashMap<(&'static str, Name), Place>,
    cx: &mut Context<'_>,
) {
    let Some(next) = next else { return };
    let all = &mut all.get_or_insert_with(|| Named(Vec::new())).0;
    for item in next.0 {
        match places.entry((what, item.name.clone())) {
            Entry::Vacant(entry) => {
                entry.insert(item.place);
                all.push(item);
            }
            Entry::Occupied(first) => {
                let message = format!("the {what} `{}` is defined twice", item.name);
                let help = "remove or rename one of them: all files are one set";
                cx.error(codes::DEFINED_TWICE, item.place, message, "the second one", help)
                    .and(*first.get(), "the first one");
            }
        }
    }
}

/// Takes in the entries of a list.
fn listed<T>(all: &mut Option<Listed<T>>, next: Option<Listed<T>>) {
    let Some(next) = next else { return };
    all.get_or_insert_with(|| Listed(Vec::new())).0.extend(next.0);
}

/// Makes the entries of a list; one that cannot be made has its findings and is left out, and the set is not whole.
fn entries<R, T>(list: Option<Listed<R>>, make: impl Fn(&R) -> Option<T>, whole: &mut bool) -> Vec<Thing<T>> {
    let mut made = Vec::new();
    for entry in list.into_iter().flat_map(|list| list.0) {
        match make(&entry.raw) {
            Some(spec) => {
                made.push(Thing { spec, place: entry.place, places: entry.places, marks: Marks::default() });
            }
            None => *whole = false,
        }
    }
    made
}

/// Makes the things of a section; one that cannot be made has its findings and is left out, and the set is not whole.
fn things<R: Marked, T>(
    section: Option<Named<R>>,
    mut make: impl FnMut(&Item<R>, &R, &mut Context<'_>) -> Option<T>,
    whole: &mut bool,
    cx: &mut Context<'_>,
) -> BTreeMap<Name, Thing<T>> {
    let items = section.map(|section| section.0).unwrap_or_default();
    let mut things = BTreeMap::new();
    for item in items {
        match item.raw.as_ref().and_then(|raw| make(&item, raw, cx)) {
            Some(spec) => {
                let marks = item.raw.as_ref().map(Marked::marks).unwrap_or_default();
                things.insert(item.name, Thing { spec, place: item.place, places: item.places, marks });
            }
            None => *whole = false,
        }
    }
    things
}
