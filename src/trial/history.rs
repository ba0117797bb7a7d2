//! From the entries of a history to the backups they stand for: every slot of a schedule's calendar, with the ids the
//! planner gives and the shared archives it would have taken. Pure.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::domain::{
    Backup, BackupId, BackupType, Bytes, Desired, Instant, Name, Period, ScheduleSpec, Scope, Section, Verification,
};
use crate::plan::{backup_id, covered};
use crate::policy::codes as policy_codes;
use crate::policy::decode::Context;
use crate::policy::text::{Place, shown};
use crate::schedule::Calendar;

use super::codes;
use super::names;
use super::raw::Entry;
use super::value::{At, Edge};

/// How many backups a test may have: a planner over more of them is a bench, not a test.
const MOST: usize = 100_000;
/// What a backup weighs in the store.
const SIZE: Bytes = Bytes(1 << 20);
/// What it weighs before compression.
const ORIGINAL: Bytes = Bytes(4 << 20);
/// How long one takes.
const TAKES: Period = Period::minutes(1);

/// What there is.
#[derive(Default)]
pub(super) struct History {
    /// The backups, by id.
    pub backups: BTreeMap<BackupId, Backup>,
    /// Before which instant each schedule with a history had been applied.
    pub since: BTreeMap<Name, Instant>,
}

/// Makes the backups of a history; `now` is the test's clock, and `desired` has every tenant that lives.
pub(super) fn history(entries: &[At<Entry>], now: Instant, desired: &Desired, cx: &mut Context<'_>) -> History {
    let mut history = History::default();
    for entry in entries {
        let Some(name) = &entry.value.schedule else { continue };
        if !names::refer(Section::Schedule, name, entry.places.get("schedule"), desired, cx) {
            continue;
        }
        let Some(spec) = desired.schedules.get(name) else { continue };
        let reader = Reader { entry, name, spec, now, desired };
        if let Some(slots) = reader.slots(cx) {
            reader.take(&slots, &mut history, cx);
        }
    }
    history
}

/// One entry and what it speaks of.
struct Reader<'a> {
    entry: &'a At<Entry>,
    name: &'a Name,
    spec: &'a ScheduleSpec,
    now: Instant,
    desired: &'a Desired,
}

impl Reader<'_> {
    fn place(&self, key: &str) -> Place {
        self.entry.places.get(key)
    }

    fn no_history(&self, key: &str, message: String, label: &str, help: String, cx: &mut Context<'_>) {
        cx.error(codes::NO_HISTORY, self.place(key), message, label, help);
    }

    /// Returns the slots of the entry, in order; `None` where a finding says why there are none.
    fn slots(&self, cx: &mut Context<'_>) -> Option<Vec<Instant>> {
        // A rule that the calendar refuses never gets past reading the policies.
        let calendar = Calendar::new(&self.spec.when).ok()?;
        let range = ["from", "to", "except"].into_iter().find(|key| self.entry.places.has(key));
        match (self.entry.places.has("slot"), range) {
            (true, Some(key)) => {
                let message = format!("an entry has `slot` or `from`, and this one has both `slot` and `{key}`");
                let help = "keep `slot` for one backup, or `from`, `to` and `except` for many";
                cx.error(policy_codes::CONFLICT, self.place(key), message, "one of them is too much", help)
                    .and(self.place("slot"), "the other");
                None
            }
            (false, _) if !self.entry.places.has("from") => {
                let message = "this entry does not say which slots were taken";
                let help = "add `slot: 2026-01-01T02:00:00Z`, or `from: 2026-01-01`";
                cx.error(policy_codes::CONFLICT, self.entry.place, message, "neither `slot` nor `from`", help);
                None
            }
            (true, None) => self.one(&calendar, cx),
            (false, _) => self.range(&calendar, cx),
        }
    }

    fn one(&self, calendar: &Calendar, cx: &mut Context<'_>) -> Option<Vec<Instant>> {
        let slot = self.entry.value.slot?.0;
        if slot > self.now {
            let message = format!("this slot is after {}, the clock of the test", self.now);
            self.no_history("slot", message, "not yet", "a history is of the past: take an earlier slot".into(), cx);
            return None;
        }
        if !is_slot(calendar, slot) {
            let (message, help) = not_a_slot(self.name, calendar, slot);
            self.no_history("slot", message, "no slot of it", help, cx);
            return None;
        }
        Some(vec![slot])
    }

    fn range(&self, calendar: &Calendar, cx: &mut Context<'_>) -> Option<Vec<Instant>> {
        let zone = self.spec.when.timezone.zone();
        let from = self.entry.value.from?;
        if self.entry.places.has("to") && self.entry.value.to.is_none() {
            return None;
        }
        let to = self.entry.value.to.unwrap_or(Edge::Instant(self.now));
        if calendar.is_never() {
            let message = format!("`{}` runs when somebody asks, and has no slots between two days", self.name);
            let help = "write an entry with `slot` for each backup that was taken".to_owned();
            self.no_history("from", message, "no slots", help, cx);
            return None;
        }
        let (begin, end) = (begin(from, &zone), end(to, &zone));
        if begin > self.now {
            let message = format!("this history begins after {}, the clock of the test", self.now);
            let help = "a history is of the past: begin it earlier".to_owned();
            self.no_history("from", message, "not yet", help, cx);
            return None;
        }
        if begin > end {
            let message = "this history ends before it begins".to_owned();
            self.no_history("to", message, "before `from`", "exchange `from` and `to`".into(), cx);
            return None;
        }
        if self::begin(to, &zone) > self.now {
            let message = format!("this history goes on after {}, the clock of the test", self.now);
            let help = "a history is of the past: end it earlier, or leave `to` out".to_owned();
            self.no_history("to", message, "not yet", help, cx);
            return None;
        }
        let slots: Vec<Instant> =
            calendar.between(Period::seconds(1).before(begin), end.min(self.now)).take(MOST + 1).collect();
        if slots.is_empty() {
            let message = format!("`{}` has no slot in this time", self.name);
            let help = calendar
                .next_after(begin)
                .map_or_else(|| "correct the days".to_owned(), |next| format!("its first slot from there is {next}"));
            self.no_history("from", message, "no slot from here", help, cx);
            return None;
        }
        let except = self.except(&slots, &zone, cx);
        Some(slots.into_iter().filter(|slot| !except.contains(slot)).collect())
    }

    /// Returns the slots that are left out; a day or instant that leaves none out is a mistake.
    fn except(&self, slots: &[Instant], zone: &TimeZone, cx: &mut Context<'_>) -> BTreeSet<Instant> {
        let mut except = BTreeSet::new();
        for edge in self.entry.value.except.iter().flatten() {
            let is_out = |slot: &&Instant| match edge.value {
                Edge::Day(day) => zone.to_datetime(**slot).date() == day,
                Edge::Instant(instant) => **slot == instant,
            };
            let before = except.len();
            except.extend(slots.iter().filter(is_out).copied());
            if except.len() == before {
                let message = format!("`except` leaves out no slot of `{}` here", self.name);
                let help = format!("days are those of {}; correct it or remove it", self.spec.when.timezone);
                cx.error(codes::NO_HISTORY, edge.place, message, "no slot, or left out already", help);
            }
        }
        except
    }

    /// Adds the backups of the slots.
    fn take(&self, slots: &[Instant], history: &mut History, cx: &mut Context<'_>) {
        let Some(first) = slots.first() else { return };
        let since = history.since.entry(self.name.clone()).or_insert(*first);
        *since = (*since).min(*first);
        let Some(databases) = self.databases(cx) else { return };
        let mut scopes: Vec<(Option<&Name>, Scope)> = Vec::new();
        for database in databases {
            scopes.extend(self.scopes(database).into_iter().map(|scope| (database, scope)));
        }
        let Some(scopes) = self.chosen(scopes, cx) else { return };
        if scopes.len().saturating_mul(slots.len()) + history.backups.len() > MOST {
            let message = format!("the history of a test has at most {MOST} backups, and this makes it more");
            let help = "a shorter history, or fewer tenants, shows the same".to_owned();
            return self.no_history("", message, "too many", help, cx);
        }
        let marks = self.marks(cx);
        for slot in slots {
            for (database, scope) in &scopes {
                let shared = (self.spec.backup == BackupType::TenantData).then(|| {
                    let backup = self.backup(*slot, *database, &Scope::Shared, None, &Marks::default());
                    let id = backup.id.clone();
                    history.backups.entry(id.clone()).or_insert(backup);
                    id
                });
                let backup = self.backup(*slot, *database, scope, shared, &marks);
                history.backups.insert(backup.id.clone(), backup);
            }
        }
    }

    /// What the schedule covers in a database.
    fn scopes(&self, database: Option<&Name>) -> Vec<Scope> {
        match (self.spec.backup, database) {
            (BackupType::Files, _) | (_, None) => vec![Scope::Files(self.name.clone())],
            (BackupType::FullSystem, _) => vec![Scope::System],
            (BackupType::Configuration, _) => vec![Scope::Configuration],
            (BackupType::Database, _) if !self.spec.tables.is_empty() => vec![Scope::Tables(self.name.clone())],
            (BackupType::Database | BackupType::TenantData, Some(database)) => {
                covered(self.desired, self.spec, database).into_iter().map(|target| target.scope).collect()
            }
        }
    }

    /// The databases the entry is about; files have none.
    fn databases(&self, cx: &mut Context<'_>) -> Option<Vec<Option<&Name>>> {
        let Some(database) = &self.entry.value.database else {
            let all: Vec<Option<&Name>> = self.spec.databases.iter().map(Some).collect();
            return Some(if all.is_empty() { vec![None] } else { all });
        };
        if !names::refer(Section::Database, database, self.place("database"), self.desired, cx) {
            return None;
        }
        if !self.spec.databases.contains(database) {
            let message = format!("`{}` does not back up the database `{database}`", self.name);
            let help = "name one of its `databases`, or leave the key out".to_owned();
            self.no_history("database", message, "not of this schedule", help, cx);
            return None;
        }
        Some(vec![Some(database)])
    }

    /// Keeps the scopes of the tenants that the entry names.
    fn chosen<'s>(
        &self,
        scopes: Vec<(Option<&'s Name>, Scope)>,
        cx: &mut Context<'_>,
    ) -> Option<Vec<(Option<&'s Name>, Scope)>> {
        let Some(wanted) = &self.entry.value.tenants else {
            if scopes.is_empty() {
                let message = format!("`{}` covers no tenant that lives in this test", self.name);
                self.no_history("schedule", message, "nobody", "name some under `tenants` of the test".into(), cx);
                return None;
            }
            return Some(scopes);
        };
        let mut all_there = true;
        for (index, slug) in wanted.iter().enumerate() {
            if !scopes.iter().any(|(_, scope)| scope.tenant() == Some(slug.0.as_str())) {
                all_there = false;
                let message = format!("`{}` covers no tenant `{}` in this test", self.name, shown(&slug.0));
                let help = "name it under `tenants` of the test, or another one here".to_owned();
                self.no_history(&format!("tenants[{index}]"), message, "not covered", help, cx);
            }
        }
        let is_wanted = |scope: &Scope| scope.tenant().is_some_and(|slug| wanted.iter().any(|w| w.0 == slug));
        all_there.then(|| scopes.into_iter().filter(|(_, scope)| is_wanted(scope)).collect())
    }

    /// What is said of the entry's backups beside that they are there.
    fn marks(&self, cx: &mut Context<'_>) -> Marks {
        let raw = &self.entry.value;
        for (key, moment) in [("drilled", raw.drilled), ("tombstoned", raw.tombstoned)] {
            if let Some(moment) = moment.filter(|moment| moment.0 > self.now) {
                let message = format!("`{key}: {}` is after {}, the clock of the test", moment.0, self.now);
                self.no_history(key, message, "not yet", "take an earlier instant".into(), cx);
            }
        }
        let until = |at: Instant| self.desired.guards.grace.after(at);
        Marks {
            unverified: raw.verified == Some(false),
            quarantined: raw.quarantined == Some(true),
            protected: raw.protected == Some(true),
            drilled: raw.drilled.map(|moment| moment.0),
            tombstoned: raw.tombstoned.map(|moment| (moment.0, until(moment.0))),
        }
    }

    fn backup(
        &self,
        slot: Instant,
        database: Option<&Name>,
        scope: &Scope,
        shared: Option<BackupId>,
        marks: &Marks,
    ) -> Backup {
        let (_, id) = backup_id(self.name, database, scope, slot);
        let done = TAKES.after(slot);
        let verification = match (marks.unverified, marks.drilled) {
            (_, Some(_)) => Verification::Restore,
            (true, None) => Verification::None,
            (false, None) => Verification::Checksum,
        };
        Backup {
            id,
            database: database.cloned(),
            filed_under: None,
            scope: scope.clone(),
            backup_type: self.spec.backup,
            schedule: self.name.clone(),
            slot,
            store: self.spec.store.clone(),
            consistent_at: slot,
            completed_at: done,
            size: SIZE,
            original_size: ORIGINAL,
            verification,
            verified_at: (verification > Verification::None).then_some(done),
            drilled_at: marks.drilled,
            quarantine: marks.quarantined.then(|| "the test says so".to_owned()),
            tombstoned_at: marks.tombstoned.map(|(at, _)| at),
            purge_after: marks.tombstoned.map(|(_, until)| until),
            purging: false,
            marks: u32::from(marks.tombstoned.is_some()),
            shared,
            parent: None,
            content: None,
            protected: marks.protected,
            asked_for: None,
            pinned_until: None,
            locked_until: None,
            duration_ms: TAKES.as_seconds().unsigned_abs() * 1000,
        }
    }
}

/// What an entry says of its backups.
#[derive(Default)]
struct Marks {
    unverified: bool,
    quarantined: bool,
    protected: bool,
    drilled: Option<Instant>,
    /// When, and until when it can be brought back.
    tombstoned: Option<(Instant, Instant)>,
}

/// Returns whether an instant is a slot; of a schedule that runs on request every instant may be one.
pub(super) fn is_slot(calendar: &Calendar, instant: Instant) -> bool {
    calendar.is_never() || calendar.last_at_or_before(instant) == Some(instant)
}

/// Says that an instant is no slot, and which ones are near.
pub(super) fn not_a_slot(schedule: &Name, calendar: &Calendar, instant: Instant) -> (String, String) {
    let near: Vec<String> = [calendar.last_at_or_before(instant), calendar.next_after(instant)]
        .into_iter()
        .flatten()
        .map(|slot| slot.to_string())
        .collect();
    (format!("`{schedule}` has no slot at {instant}"), format!("its slots around it are {}", near.join(" and ")))
}

fn day_begin(day: Date, zone: &TimeZone) -> Option<Instant> {
    day.to_zoned(zone.clone()).ok().map(|begin| begin.timestamp())
}

fn begin(edge: Edge, zone: &TimeZone) -> Instant {
    match edge {
        Edge::Day(day) => day_begin(day, zone).unwrap_or(Instant::MIN),
        Edge::Instant(instant) => instant,
    }
}

/// The last whole second of it.
fn end(edge: Edge, zone: &TimeZone) -> Instant {
    match edge {
        Edge::Day(day) => {
            let next = day.tomorrow().ok().and_then(|next| day_begin(next, zone)).unwrap_or(Instant::MAX);
            Period::seconds(1).before(next)
        }
        Edge::Instant(instant) => instant,
    }
}
