//! Test files to tests that can be run: everything that is wrong with all of them in one run. Pure.

use std::collections::BTreeMap;

use crate::diag::{Diagnostic, Span};
use crate::domain::{Backup, Instant, Name, ResolvedTenants, Scope, Section};
use crate::policy::codes as policy_codes;
use crate::policy::decode::Context;

use crate::policy::text::{Place, Places, Sources, shown};
use crate::policy::{self, Dialect, PolicySet, SourceFile, read_texts, sort};
use crate::schedule::Calendar;

use super::codes;
use super::history::{is_slot, not_a_slot};
use super::names;
use super::raw::{self, Expect, TestFile};
use super::value::At;
use super::world::{World, world};

const DIALECT: Dialect = Dialect { file: "a test file", content: "`version` and `tests`" };

/// Every test of some files.
pub struct Suite {
    pub(super) sources: Sources,
    pub(super) tests: Vec<Test>,
}

impl Suite {
    /// Returns how many tests there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.tests.len()
    }

    /// Returns whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.tests.is_empty()
    }

    /// Keeps the tests whose name contains a word, whatever its case.
    pub fn filter(&mut self, word: &str) {
        let word = word.to_lowercase();
        self.tests.retain(|test| test.name.to_lowercase().contains(&word));
    }
}

/// One test, ready to run.
pub(super) struct Test {
    pub name: String,
    pub span: Span,
    pub world: World,
    pub expect: Expect,
}

/// Reads test files against the policies they are for. Findings come in the order of the files and of the places in
/// them; where any is an error the suite is not for running.
#[must_use]
pub fn read(files: &[SourceFile], policies: &PolicySet) -> (Suite, Vec<Diagnostic>) {
    let (sources, read, mut found) = read_texts::<TestFile>(files, &DIALECT);
    let mut cx = Context::new(&sources);
    let mut tests = Vec::new();
    for (_, file) in read {
        let Some(all) = file.tests else { continue };
        if all.value.is_empty() {
            cx.error(
                policy_codes::EMPTY_LIST,
                all.place,
                "a test file without tests shows nothing",
                "empty",
                "add one",
            );
        }
        let mut names: BTreeMap<String, Place> = BTreeMap::new();
        for test in all.value {
            if let Some(name) = &test.value.name
                && let Some(first) = names.insert(name.value.0.clone(), name.place)
            {
                let message = format!("two tests of this file are called `{}`", shown(&name.value.0));
                cx.error(policy_codes::DEFINED_TWICE, name.place, message, "the second one", "say what it shows")
                    .and(first, "the first one");
            }
            tests.extend(ready(test, policies, &mut cx));
        }
    }
    found.append(&mut cx.found);
    sort(files, &mut found);
    (Suite { sources, tests }, found)
}

/// Makes a test's world and looks at what it expects; `None` where something needed is missing.
fn ready(test: At<raw::Test>, policies: &PolicySet, cx: &mut Context<'_>) -> Option<Test> {
    if let Some(expect) = test.value.expect.as_ref().filter(|expect| is_empty(&expect.places)) {
        let help =
            "add one of: actions, no_actions, held, verdicts, findings, no_findings, refused, classes, objectives";
        cx.error(codes::NOTHING_EXPECTED, expect.place, "this test expects nothing", "nothing in here", help);
    }
    let now = test.value.at?.0;
    let world = world(&test, now, policies, cx);
    let expect = test.value.expect?.value;
    let reader = Reader { world: &world, expect: &expect };
    reader.actions(cx);
    reader.held(cx);
    reader.verdicts(cx);
    reader.findings(cx);
    reader.tenants(cx);
    let name = test.value.name?;
    Some(Test { span: cx.sources.span(name.place), name: name.value.0, world, expect })
}

const EXPECTATIONS: [&str; 9] =
    ["actions", "no_actions", "held", "verdicts", "findings", "no_findings", "refused", "classes", "objectives"];

fn is_empty(places: &Places) -> bool {
    !EXPECTATIONS.iter().any(|key| places.has(key))
}

/// What a test expects, before the plan is made.
struct Reader<'a> {
    world: &'a World,
    expect: &'a Expect,
}

impl Reader<'_> {
    fn actions(&self, cx: &mut Context<'_>) {
        let wanted = self.expect.actions.iter().flat_map(|list| &list.value);
        for action in wanted {
            self.action(&action.value, action.place, &action.places, cx);
        }
        let ruled_out = self.expect.no_actions.iter().flat_map(|list| &list.value);
        for action in ruled_out {
            self.action(&action.value.0, action.place, &action.places, cx);
        }
        if let Some(list) = self.expect.no_actions.as_ref().filter(|list| list.value.is_empty()) {
            let help = "write `actions: []` for a plan without actions";
            cx.error(codes::NOTHING_EXPECTED, list.place, "`no_actions` rules nothing out", "empty", help);
        }
    }

    fn action(&self, raw: &raw::Action, place: Place, places: &Places, cx: &mut Context<'_>) {
        let keys = ["kind", "class", "address", "schedule", "database", "scope", "slot", "store", "plan"];
        if !keys.iter().any(|key| places.has(key)) {
            let help = "say which action is meant, as in { kind: back_up, schedule: nightly }";
            cx.error(codes::NOTHING_EXPECTED, place, "this says nothing about an action", "any action", help);
        }
        self.refer(Section::Schedule, raw.schedule.as_ref(), places.get("schedule"), cx);
        self.refer(Section::Database, raw.database.as_ref(), places.get("database"), cx);
        self.refer(Section::Store, raw.store.as_ref(), places.get("store"), cx);
        self.refer(Section::RecoveryPlan, raw.plan.as_ref(), places.get("plan"), cx);
        if let Some(address) = &raw.address {
            names::refer_to(&address.0, places.get("address"), &self.world.desired, cx);
        }
        if let (Some(schedule), Some(slot)) = (&raw.schedule, raw.slot) {
            self.slot(schedule, slot.0, places.get("slot"), cx);
        }
        if let Some(scope) = &raw.scope {
            self.scope(&scope.0, places.get("scope"), cx);
        }
    }

    fn held(&self, cx: &mut Context<'_>) {
        for held in self.expect.held.iter().flat_map(|list| &list.value) {
            if !["address", "reason", "database", "scope"].iter().any(|key| held.places.has(key)) {
                let help = "say which work is meant, as in { address: schedule.nightly }";
                cx.error(codes::NOTHING_EXPECTED, held.place, "this says nothing about held work", "any work", help);
            }
            if let Some(address) = &held.value.address {
                names::refer_to(&address.0, held.places.get("address"), &self.world.desired, cx);
            }
            self.refer(Section::Database, held.value.database.as_ref(), held.places.get("database"), cx);
        }
    }

    fn verdicts(&self, cx: &mut Context<'_>) {
        for verdict in self.expect.verdicts.iter().flat_map(|list| &list.value) {
            let raw = &verdict.value;
            let place = |key: &str| verdict.places.get(key);
            if raw.keep == Some(false) && verdict.places.has("by") {
                let message = "nothing keeps a backup that does not stay";
                cx.error(policy_codes::CONFLICT, place("by"), message, "says nothing here", "remove `by`")
                    .and(place("keep"), "it does not stay");
            }
            let known = self.refer(Section::Schedule, raw.schedule.as_ref(), place("schedule"), cx)
                & self.refer(Section::Database, raw.database.as_ref(), place("database"), cx);
            let (Some(schedule), Some(slot)) = (&raw.schedule, raw.slot) else { continue };
            if !known || !self.slot(schedule, slot.0, place("slot"), cx) {
                continue;
            }
            if !self.world.sees_catalog() || self.world.backups().any(|backup| is_meant(backup, raw)) {
                continue;
            }
            let message = format!("the history of this test holds no such backup of `{schedule}`");
            let help = "a verdict is about a backup of the history: add it there, or correct this one";
            cx.error(codes::NO_HISTORY, place("slot"), message, "no backup", help);
        }
    }

    fn findings(&self, cx: &mut Context<'_>) {
        if let Some(list) = self.expect.no_findings.as_ref().filter(|list| list.value.is_empty()) {
            let help = "write `findings: []` for none at all";
            cx.error(codes::NOTHING_EXPECTED, list.place, "`no_findings` rules nothing out", "empty", help);
        }
        let lists = [&self.expect.findings, &self.expect.no_findings];
        for code in lists.into_iter().flatten().flat_map(|list| &list.value) {
            let all = policy::codes();
            if all.iter().any(|(known, _)| known.0 == code.value.0) {
                continue;
            }
            let help = "write a code as `bkup validate` shows it, as in BK211";
            cx.bad_value(code.place, format!("`{}` is not the code of a finding", shown(&code.value.0)), help);
        }
    }

    /// Classes and objectives, which are about tenants.
    fn tenants(&self, cx: &mut Context<'_>) {
        for (slug, class) in self.expect.classes.iter().flat_map(|classes| &classes.0) {
            self.refer(Section::Class, Some(class), slug.place, cx);
            if !self.slugs(None).any(|living| living == slug.value) {
                names::no_tenant(&slug.value, self.slugs(None), slug.place, cx);
            }
        }
        for objective in self.expect.objectives.iter().flat_map(|list| &list.value) {
            let (raw, place) = (&objective.value, |key: &str| objective.places.get(key));
            if !self.refer(Section::Database, raw.database.as_ref(), place("database"), cx) {
                continue;
            }
            let (Some(database), Some(tenant)) = (&raw.database, &raw.tenant) else { continue };
            if !self.slugs(Some(database)).any(|living| living == tenant.0) {
                names::no_tenant(&tenant.0, self.slugs(Some(database)), place("tenant"), cx);
            }
        }
    }

    /// The slugs of the tenants that live in a database, or in any.
    fn slugs(&self, database: Option<&Name>) -> impl Iterator<Item = &str> + Clone {
        let of = self.world.living.tenants.iter();
        let database = database.cloned();
        of.filter(move |(name, _)| database.as_ref().is_none_or(|only| only == *name))
            .filter_map(|(_, tenants)| match tenants {
                ResolvedTenants::Known(tenants) => Some(tenants),
                ResolvedTenants::Unknown(_) => None,
            })
            .flatten()
            .map(|(tenant, _)| tenant.slug.as_str())
    }

    /// Looks a name up where one is written; true where there is nothing to complain of.
    fn refer(&self, section: Section, name: Option<&Name>, place: Place, cx: &mut Context<'_>) -> bool {
        name.is_none_or(|name| names::refer(section, name, place, &self.world.desired, cx))
    }

    fn scope(&self, scope: &Scope, place: Place, cx: &mut Context<'_>) {
        if let Some(slug) = scope.tenant().filter(|slug| !self.slugs(None).any(|living| living == *slug)) {
            names::no_tenant(slug, self.slugs(None), place, cx);
        }
    }

    /// Looks whether an instant is a slot of a schedule. A shared archive can be of an instant that is none, but nobody
    /// writes that by hand.
    fn slot(&self, schedule: &Name, slot: Instant, place: Place, cx: &mut Context<'_>) -> bool {
        let spec = self.world.desired.schedules.get(schedule);
        let Some(calendar) = spec.and_then(|spec| Calendar::new(&spec.when).ok()) else { return true };
        if is_slot(&calendar, slot) {
            return true;
        }
        let (message, help) = not_a_slot(schedule, &calendar, slot);
        cx.error(codes::NO_HISTORY, place, message, "no slot of it", help);
        false
    }
}

/// Returns whether a backup is one that a verdict speaks of. Shared archives are spoken of by their scope only.
pub(super) fn is_meant(backup: &Backup, raw: &raw::Verdict) -> bool {
    let scope = match &raw.scope {
        Some(scope) => scope.0 == backup.scope,
        None => backup.scope != Scope::Shared,
    };
    Some(&backup.schedule) == raw.schedule.as_ref()
        && Some(backup.slot) == raw.slot.map(|slot| slot.0)
        && (raw.database.is_none() || raw.database == backup.database)
        && scope
}
