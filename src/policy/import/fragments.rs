//! The fragments in which design documents say how backups are meant: `backup_retention`, `schedules` and
//! `recovery_priorities`, in a YAML file or in the code blocks of a Markdown text. Pure. Where the fragments contradict
//! themselves, what can hold is written, with what they said beside it.

use crate::domain::{Instant, Name, Period, Timing, WalSpec, When, ZoneName};
use crate::policy::globs;
use crate::policy::text::{Node, Sources};
use crate::policy::write::{Draft, Line, Part, Value, duration, label, name_of, variable};
use crate::schedule::Calendar;

use super::catalog::worst;
use super::documents::{Document, at, blocks, documents, entries, get, line_of, scalar, texts};
use super::places::store_of;
use super::{Circumstances, Imported};

/// How many schedules and classes are read.
const MOST: usize = 200;

const KEYS: [&str; 3] = ["backup_retention", "schedules", "recovery_priorities"];

/// Reads fragments; `name` is the file's, whose ending tells Markdown from YAML.
#[must_use]
pub fn fragments(name: &str, text: &str, told: &Circumstances) -> Imported {
    let lower = name.to_ascii_lowercase();
    let markdown = lower.ends_with(".md") || lower.ends_with(".markdown") || text.lines().any(|l| l.starts_with("```"));
    let all = if markdown { blocks(text) } else { documents(text) };
    let mut reader = Reader::new(told.now);
    for document in &all {
        reader.document(document);
    }
    reader.store = text.match_indices("s3://").take(100).find_map(|(begin, _)| {
        let rest = &text[begin..];
        let end = rest.find(|c: char| c.is_whitespace() || "\"'`<>)".contains(c)).unwrap_or(rest.len());
        store_of(&rest[..end])
    });
    reader.written(&label(name), told)
}

/// A schedule of the fragments.
#[derive(Debug)]
struct Found {
    name: String,
    line: usize,
    cron: String,
    tenants: Option<Vec<String>>,
    kind: String,
    /// What may be lost under it at worst.
    worst: Option<Period>,
}

impl Found {
    /// Returns whether it takes everything, of no tenant in particular.
    fn is_full(&self) -> bool {
        self.tenants.is_none() && !self.name.contains("tenant") && matches!(self.kind.as_str(), "full" | "physical")
    }
}

/// A class of the fragments.
#[derive(Debug)]
struct Class {
    name: String,
    line: usize,
    tenants: Vec<String>,
    rpo: Option<Period>,
    rto: Option<Period>,
    method: Option<String>,
}

struct Reader {
    now: Instant,
    counts: Vec<(&'static str, u32)>,
    counts_line: usize,
    window: Option<(i64, usize)>,
    tenant_days: Vec<(String, i64, usize)>,
    schedules: Vec<Found>,
    wal_lag: Option<(Period, usize)>,
    wal: Option<usize>,
    classes: Vec<Class>,
    left: Vec<String>,
    taken: Vec<String>,
    store: Option<crate::domain::StoreUrl>,
}

impl Reader {
    const fn new(now: Instant) -> Self {
        Self {
            now,
            counts: Vec::new(),
            counts_line: 0,
            window: None,
            tenant_days: Vec::new(),
            schedules: Vec::new(),
            wal_lag: None,
            wal: None,
            classes: Vec::new(),
            left: Vec::new(),
            taken: Vec::new(),
            store: None,
        }
    }

    fn document(&mut self, document: &Document) {
        let line = document.line;
        let (tree, sources) = match &document.tree {
            Ok((tree, sources)) => (tree, sources),
            Err(why) => return self.left.push(format!("the block at line {line}: {why}")),
        };
        let of = |node: &Node| line + line_of(node, sources) - 1;
        let known: Vec<&str> = KEYS.into_iter().filter(|key| get(tree, key).is_some()).collect();
        if known.is_empty() {
            let why = match get(tree, "kind").and_then(scalar) {
                Some("CronJob") => "it is a CronJob: import it with --cronjobs".to_owned(),
                Some(kind) => format!("it is a {}", label(kind)),
                None => format!("it has none of {}", KEYS.join(", ")),
            };
            return self.left.push(format!("the block at line {line}: {why}"));
        }
        for entry in entries(Some(tree)) {
            match entry.key.as_str() {
                "backup_retention" => self.retention(&entry.value, line, sources),
                "schedules" => self.schedules(&entry.value, &mut Vec::new(), line, sources),
                "recovery_priorities" => self.classes(&entry.value, line, sources),
                other => {
                    self.left.push(format!("line {}: `{}` is no fragment of policies", of(&entry.value), label(other)))
                }
            }
        }
    }

    fn retention(&mut self, node: &Node, base: usize, sources: &Sources) {
        for entry in entries(Some(node)) {
            let line = base + line_of(&entry.value, sources) - 1;
            match entry.key.as_str() {
                "full_backups" | "full" | "database" => {
                    for tier in entries(Some(&entry.value)) {
                        let tiers = ["last", "hourly", "daily", "weekly", "monthly", "quarterly", "yearly"];
                        let key = tiers.into_iter().find(|key| *key == tier.key);
                        let count = scalar(&tier.value).and_then(|text| text.parse::<u32>().ok());
                        match (key, count.filter(|count| (1..=100_000).contains(count))) {
                            (Some(key), Some(count)) => {
                                self.counts.push((key, count));
                                self.counts_line = line;
                            }
                            _ => self
                                .left
                                .push(format!("line {line}: `{}` of full backups is no count", label(&tier.key))),
                        }
                    }
                }
                "wal_archives" | "wal_archive" | "wal" => {
                    let days = get(&entry.value, "retention_days").and_then(days_of);
                    match days {
                        Some(days) => self.window = Some((days, line)),
                        None => self.left.push(format!("line {line}: how long WAL is kept is no number of days")),
                    }
                }
                "tenant_backups" | "tenants" => {
                    for kind in entries(Some(&entry.value)) {
                        let line = base + line_of(&kind.value, sources) - 1;
                        match days_of(&kind.value) {
                            Some(days) => self.tenant_days.push((kind.key.clone(), days, line)),
                            None => self.left.push(format!("line {line}: `{}` is no number of days", label(&kind.key))),
                        }
                    }
                }
                other => self.left.push(format!("line {line}: retention of `{}` is not known", label(other))),
            }
        }
    }

    fn schedules(&mut self, node: &Node, path: &mut Vec<String>, base: usize, sources: &Sources) {
        let line = base + line_of(node, sources) - 1;
        if let Some(cron) = get(node, "schedule").or_else(|| get(node, "cron")).and_then(scalar) {
            let name = path.join("-");
            let kind = get(node, "type").and_then(scalar).unwrap_or_default().to_ascii_lowercase();
            let tenants = get(node, "tenants").map(|node| texts(Some(node)));
            let cron = cron.split_whitespace().collect::<Vec<_>>().join(" ");
            let when = When { timing: Timing::Cron { expression: cron.clone() }, timezone: ZoneName::default() };
            let plain = cron.bytes().all(|b| b.is_ascii_alphanumeric() || b" */,-#@".contains(&b));
            if !plain || cron.len() > 200 {
                self.left.push(format!("line {line}: the rule of `{}` is no cron expression", label(&name)));
                return;
            }
            match Calendar::new(&when) {
                Err(error) => {
                    let why = format!("the rule of `{}` is none that bkup runs by: {error}", label(&name));
                    self.left.push(format!("line {line}: {why}"));
                }
                Ok(_) if self.schedules.len() >= MOST => {
                    self.left.push(format!("line {line}: there are more than {MOST} schedules"));
                }
                Ok(calendar) => {
                    let worst = worst(&calendar, calendar.default_start_within(), self.now);
                    self.schedules.push(Found { name, line, cron, tenants, kind, worst });
                }
            }
            return;
        }
        if get(node, "continuous").is_some() || path.last().is_some_and(|name| name.starts_with("wal")) {
            self.wal = Some(line);
            if let Some(lag) = get(node, "max_lag").and_then(scalar) {
                match lag.parse::<Period>().ok().filter(|period| period.as_seconds() > 0) {
                    Some(period) => self.wal_lag = Some((period, line)),
                    None => self.left.push(format!("line {line}: max_lag is no duration")),
                }
            }
            return;
        }
        let below = entries(Some(node));
        if below.is_empty() || path.len() > 6 {
            self.left.push(format!("line {line}: `{}` says no `schedule`", label(&path.join("-"))));
        } else {
            for entry in below {
                path.push(entry.key.clone());
                self.schedules(&entry.value, path, base, sources);
                path.pop();
            }
        }
    }

    fn classes(&mut self, node: &Node, base: usize, sources: &Sources) {
        for entry in entries(Some(node)) {
            let line = base + line_of(&entry.value, sources) - 1;
            let mut period = |key: &str| {
                let text = get(&entry.value, key).and_then(scalar)?;
                let period = text.parse::<Period>().ok().filter(|period| period.as_seconds() > 0);
                if period.is_none() {
                    self.left.push(format!("line {line}: {key} of `{}` is no duration", label(&entry.key)));
                }
                period
            };
            let (rpo, rto) = (period("rpo"), period("rto"));
            let tenants = texts(get(&entry.value, "tenants"));
            let (good, bad): (Vec<String>, Vec<String>) = tenants.into_iter().partition(|glob| usable(glob));
            for _ in &bad {
                self.left.push(format!("line {line}: a pattern of `{}` is no glob", label(&entry.key)));
            }
            if good.is_empty() {
                self.left.push(format!("line {line}: `{}` names no tenants", label(&entry.key)));
                continue;
            }
            let word = at(&entry.value, &["method"])
                .and_then(scalar)
                .map(|word| word.to_ascii_lowercase().replace(['-', ' '], "_"));
            let method = word.as_deref().filter(|word| ["hot_standby", "warm_standby", "cold_backup"].contains(word));
            if word.is_some() && method.is_none() {
                self.left.push(format!("line {line}: the method of `{}` is none that bkup knows", label(&entry.key)));
            }
            let method = method.map(str::to_owned);
            if self.classes.len() >= MOST {
                self.left.push(format!("line {line}: there are more than {MOST} classes"));
                continue;
            }
            self.classes.push(Class { name: entry.key.clone(), line, tenants: good, rpo, rto, method });
        }
    }

    fn written(mut self, file: &str, told: &Circumstances) -> Imported {
        let mut draft = Draft::new([
            format!("Written by bkup import from the fragments in {file}."),
            "Comments say where they contradict themselves and what was written instead; \"decide\" is for a person."
                .to_owned(),
        ]);
        if self.counts.is_empty() && self.tenant_days.is_empty() && self.schedules.is_empty() && self.classes.is_empty()
        {
            return Imported::of(draft, Vec::new(), self.left);
        }
        let store = self.add_store(&mut draft);
        let database = self.add_database(&mut draft, &store);
        self.add_classes(&mut draft);
        let full = self.add_retention(&mut draft);
        self.add_schedules(&mut draft, &database, &store, &full, told);
        Imported::of(draft, self.taken, self.left)
    }

    fn add_store(&self, draft: &mut Draft) -> Name {
        let key = "add encryption: { recipients: [...] } with the key that `bkup key generate` prints".to_owned();
        let (comment, url) = match &self.store {
            Some(url) => ("the first place that the document names: decide".to_owned(), url.to_string()),
            None => ("the fragments name no place: decide".to_owned(), "file:///var/backups/bkup".to_owned()),
        };
        draft.add(Part::Stores, "primary", vec![comment, key], vec![Line::new("url", Value::text(&url))])
    }

    /// Returns whether WAL is archived by these fragments, and something makes the base that it needs.
    fn archives(&self) -> bool {
        (self.window.is_some() || self.wal.is_some()) && self.schedules.iter().any(Found::is_full)
    }

    fn add_database(&mut self, draft: &mut Draft, store: &Name) -> Name {
        let mut lines = vec![Line::new("url", variable("DATABASE_URL"))];
        let tenants = !self.classes.is_empty() || self.schedules.iter().any(|found| found.tenants.is_some());
        if tenants || !self.tenant_days.is_empty() {
            lines.push(
                Line::new("tenants", Value::Inline(vec![("schemas", Value::quoted("tenant_*"))]))
                    .note("decide: what `*` matches is the slug"),
            );
        }
        let mut comments = Vec::new();
        if self.archives() {
            lines.push(self.wal_line(store));
        } else if let Some(line) = self.wal.or(self.window.map(|(_, line)| line)) {
            comments.push(format!(
                "line {line} archives WAL, and no schedule makes a base backup (type: full) to start from: decide"
            ));
        }
        draft.add(Part::Databases, "main", comments, lines)
    }

    /// Returns the line for WAL: a lag that is promised as a whole is shared by what it consists of.
    fn wal_line(&mut self, store: &Name) -> Line {
        let mut entries = vec![("store", Value::text(store.as_str()))];
        let mut comments = Vec::new();
        if let Some((lag, line)) = self.wal_lag {
            let timeout = WalSpec::ARCHIVE_TIMEOUT;
            if lag > timeout {
                let rest = Period::seconds(lag.as_seconds() - timeout.as_seconds());
                entries.push(("archive_timeout", Value::word(timeout)));
                entries.push(("max_lag", Value::word(rest)));
                comments.push(format!(
                    "line {line} says max_lag {lag}. A segment first waits for archive_timeout, then for the archive: what \
                     can be lost is the sum. With an archive_timeout of {lag}, too, that would be {}; here the sum is {lag}.",
                    Period::seconds(lag.as_seconds().saturating_mul(2))
                ));
            } else {
                comments.push(format!(
                    "line {line} says max_lag {lag}, and a segment waits for {timeout} before it is archived at all: decide"
                ));
            }
            self.taken.push(format!("line {line}: database.main.wal"));
        }
        if let Some((days, line)) = self.window {
            entries.push(("window", Value::word(format!("{days}d"))));
            comments.push(format!("line {line} keeps WAL for {days} days: any instant of them can be restored"));
            self.taken.push(format!("line {line}: database.main.wal.window"));
        }
        comments.into_iter().fold(Line::new("wal", Value::Inline(entries)), Line::above)
    }

    fn add_classes(&mut self, draft: &mut Draft) {
        let known = ["critical", "high", "medium", "standard", "low"];
        let rank =
            |class: &Class| known.iter().position(|name| class.name.eq_ignore_ascii_case(name)).unwrap_or(known.len());
        let mut classes = std::mem::take(&mut self.classes);
        classes.sort_by_key(rank);
        for (index, class) in classes.iter().enumerate() {
            let mut comments = vec![format!("from line {}", class.line)];
            for earlier in &classes[..index] {
                if let Some(slug) = common(&class.tenants, &earlier.tenants) {
                    comments.push(format!(
                        "`{}` is in `{}`, too, which wins by its priority",
                        label(&slug),
                        label(&earlier.name)
                    ));
                }
            }
            let mut lines =
                vec![Line::new("tenants", Value::globs(&class.tenants)), Line::new("priority", Value::word(index + 1))];
            let (bound, by) = self.bound(class);
            match (class.rpo, bound) {
                (Some(rpo), Some(bound)) if rpo < bound => {
                    let line = Line::new("rpo", Value::period(bound));
                    lines.push(line.above(format!(
                        "the document says {rpo}, which no schedule of it can keep: {} is what {by} gives; decide",
                        duration(bound)
                    )));
                }
                (Some(rpo), None) => comments
                    .push(format!("the document says rpo: {rpo}, and no schedule of it covers these tenants: decide")),
                (Some(rpo), Some(_)) => lines.push(Line::new("rpo", Value::period(rpo))),
                (None, Some(bound)) => {
                    comments.push(format!("no rpo is given; {by} can keep rpo: {}", duration(bound)))
                }
                (None, None) => {
                    comments.push("no rpo is given, and no schedule covers these tenants: decide".to_owned())
                }
            }
            if let Some(rto) = class.rto {
                lines.push(Line::new("rto", Value::word(rto)).note("proven by drills only"));
            }
            if let Some(method) = class.method.as_deref() {
                let line = Line::new("method", Value::word(method));
                let standby = method != "cold_backup";
                lines.push(if standby { line.note("a standby is observed, not provided") } else { line });
            }
            let name = draft.add(Part::Classes, &class.name, comments, lines);
            self.taken.push(format!("line {}: class.{name}", class.line));
        }
        if !classes.is_empty() && !classes.iter().any(|class| class.tenants.iter().any(|glob| glob == "*")) {
            draft.say(
                "decide: a tenant whose slug matches none of the classes' patterns has no class and no promise; a last class \
                 with tenants: [\"*\"] takes them",
            );
        }
        self.classes = classes;
    }

    /// Returns the worst-case loss under the best schedule that covers a class, and which schedule that is.
    fn bound(&self, class: &Class) -> (Option<Period>, String) {
        let covers = |found: &&Found| match &found.tenants {
            None => !found.name.contains("tenant"),
            Some(globs) => class.tenants.iter().all(|own| globs.iter().any(|glob| glob == "*" || glob == own)),
        };
        let bounds = self.schedules.iter().filter(covers).filter_map(|found| Some((found.worst?, &found.name)));
        match bounds.min_by_key(|(period, _)| *period) {
            Some((period, name)) => (Some(period), format!("`{}`", name_of(name, "schedule"))),
            None => (None, String::new()),
        }
    }

    fn add_retention(&mut self, draft: &mut Draft) -> Name {
        if self.counts.is_empty() {
            let comment = "the fragments do not say how long full backups are kept: decide".to_owned();
            let lines = [("daily", 7), ("weekly", 4), ("monthly", 12)];
            let lines = lines.into_iter().map(|(key, count)| Line::new(key, Value::word(count))).collect();
            return draft.add(Part::Retention, "gfs", vec![comment], lines);
        }
        let mut seen = Vec::new();
        let mut lines = Vec::new();
        for (key, count) in &self.counts {
            if !seen.contains(key) {
                seen.push(*key);
                lines.push(Line::new(key, Value::word(count)));
            }
        }
        let comments = vec![
            format!("from line {}", self.counts_line),
            "a tier takes its backups out of one schedule's: nothing is copied from daily/ to weekly/".to_owned(),
        ];
        let name = draft.add(Part::Retention, "gfs", comments, lines);
        self.taken.push(format!("line {}: retention.{name}", self.counts_line));
        name
    }

    fn add_schedules(&mut self, draft: &mut Draft, database: &Name, store: &Name, full: &Name, told: &Circumstances) {
        let mut tenant_rules = Vec::new();
        let scheduled_days = self
            .tenant_days
            .iter()
            .find(|(key, ..)| key.to_ascii_lowercase().contains("sched"))
            .map(|(_, days, _)| *days);
        for (key, days, line) in std::mem::take(&mut self.tenant_days) {
            let within = Line::new("within", Value::word(format!("{days}d")));
            let wanted = format!("tenant-{}", name_of(&key, "kept"));
            let name = draft.add(Part::Retention, &wanted, vec![format!("from line {line}")], vec![within]);
            self.taken.push(format!("line {line}: retention.{name}"));
            tenant_rules.push((key.to_ascii_lowercase(), name));
        }
        let rule = |word: &str| tenant_rules.iter().find(|(key, _)| key.contains(word)).map(|(_, name)| name.clone());
        let archives = self.archives();
        let scheduled = rule("sched").unwrap_or_else(|| full.clone());
        let schedules = std::mem::take(&mut self.schedules);
        for found in &schedules {
            let mut comments = vec![format!("from line {}", found.line)];
            let of_tenants = found.tenants.is_some() || found.name.contains("tenant");
            let mut lines = vec![Line::new("databases", Value::words([database]))];
            if of_tenants {
                lines.push(Line::new("backup", Value::word("tenant_data")));
                let globs: Vec<String> = found.tenants.iter().flatten().filter(|glob| usable(glob)).cloned().collect();
                if !globs.is_empty() && globs != ["*"] {
                    lines.push(Line::new("tenants", Value::globs(&globs)));
                }
                overlaps(found, &schedules, &mut comments);
                self.promised_elsewhere(found, &schedules, &mut comments);
            } else {
                let full = archives && found.is_full();
                lines.push(Line::new("backup", Value::word(if full { "full_system" } else { "database" })));
                if full {
                    comments.push(
                        "type full: the files of the whole server, which WAL can be replayed on; a dump (backup: database) \
                         cannot be the base of point-in-time recovery"
                            .to_owned(),
                    );
                } else if !found.kind.is_empty() && found.kind != "database" {
                    comments.push(format!(
                        "its type is `{}`; decide whether the server's files are meant",
                        label(&found.kind)
                    ));
                }
            }
            let mut when = vec![("cron", Value::quoted(&found.cron))];
            if let Some(zone) = told.timezone.as_ref().filter(|zone| **zone != ZoneName::default()) {
                when.push(("timezone", Value::text(zone.as_str())));
            }
            let line = Line::new("when", Value::Inline(when));
            lines.push(if told.timezone.is_none() { line.note("UTC: no zone is given, decide") } else { line });
            let short = |days: i64| found.worst.is_some_and(|worst| Period::days(days) <= worst);
            let rule = if !of_tenants {
                full
            } else if scheduled_days.is_some_and(short) {
                comments.push("its retention is shorter than the time between two of these backups: decide".to_owned());
                full
            } else {
                &scheduled
            };
            lines.push(Line::new("retention", Value::text(rule.as_str())));
            lines.push(Line::new("store", Value::text(store.as_str())));
            let name = draft.add(Part::Schedules, &found.name, comments, lines);
            self.taken.push(format!("line {}: schedule.{name}", found.line));
        }
        if let Some(rule) = rule("demand") {
            let lines = vec![
                Line::new("databases", Value::words([database])),
                Line::new("backup", Value::word("tenant_data")),
                Line::new("when", Value::Inline(vec![("on", Value::word("request"))])),
                Line::new("retention", Value::text(rule.as_str())),
                Line::new("store", Value::text(store.as_str())),
            ];
            let comment = "for the retention of tenants on demand: `bkup backup` runs it".to_owned();
            draft.add(Part::Schedules, "tenants-on-demand", vec![comment], lines);
        }
        self.schedules = schedules;
    }

    /// Says which classes' tenants a frequent schedule leaves to a rarer one.
    fn promised_elsewhere(&self, found: &Found, all: &[Found], comments: &mut Vec<String>) {
        let Some(globs) = &found.tenants else { return };
        let rarer = |other: &Found| other.worst > found.worst && other.tenants.is_some();
        if !all.iter().any(rarer) {
            return;
        }
        for class in &self.classes {
            let inside = |glob: &String| globs.contains(glob) || globs.iter().any(|glob| glob == "*");
            let (taken, missed): (Vec<&String>, Vec<&String>) = class.tenants.iter().partition(|glob| inside(glob));
            if !taken.is_empty() && !missed.is_empty() {
                let missed: Vec<String> = missed.into_iter().map(|glob| format!("\"{}\"", label_glob(glob))).collect();
                comments.push(format!(
                    "class `{}` also has {}, which only a rarer schedule covers: decide, or write tenants: {{ class: {} }}",
                    label(&class.name),
                    missed.join(", "),
                    name_of(&class.name, "class")
                ));
            }
        }
    }
}

fn overlaps(found: &Found, all: &[Found], comments: &mut Vec<String>) {
    let Some(globs) = &found.tenants else { return };
    for other in all.iter().filter(|other| other.line != found.line) {
        if let Some(both) = other.tenants.as_ref().and_then(|other| common(globs, other)) {
            comments.push(format!(
                "a tenant such as `{}` is in `{}`, too: it gets the backups of both",
                label(&both),
                name_of(&other.name, "schedule")
            ));
        }
    }
}

fn label_glob(glob: &str) -> String {
    glob.chars().take(60).filter(|c| c.is_ascii_alphanumeric() || "*?-_.".contains(*c)).collect()
}

/// Returns a slug that some pattern of each list matches.
fn common(a: &[String], b: &[String]) -> Option<String> {
    a.iter().take(50).find_map(|a| b.iter().take(50).find_map(|b| globs::common(a, b)))
}

/// Returns whether a pattern is one that a policy can have.
fn usable(glob: &str) -> bool {
    !glob.trim().is_empty() && glob.len() <= 200 && !glob.contains('$') && globs::rejection(glob).is_none()
}

fn days_of(node: &Node) -> Option<i64> {
    let text = scalar(node)?;
    let days = text.parse::<i64>().ok().or_else(|| Some(text.parse::<Period>().ok()?.as_seconds() / 86_400))?;
    (1..=36_500).contains(&days).then_some(days)
}
