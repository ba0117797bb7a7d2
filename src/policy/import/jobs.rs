//! Jobs of any scheduler as a policy file: stores, databases, retention rules, schedules. Pure.

use std::collections::BTreeMap;

use crate::domain::{Name, Period, StoreUrl, Timing, When, ZoneName};
use crate::policy::write::{Draft, Line, Names, Part, Value, name_of, variable};
use crate::schedule::Calendar;

use super::catalog::longer;
use super::command::{Keep, Reading, Task, What};
use super::{Circumstances, Imported, counted};

/// A job as its scheduler has it.
#[derive(Debug, Clone)]
pub(super) struct Job {
    /// Where it stands, for comments: `crontab line 12`.
    pub origin: String,
    /// Its own name, where it has one.
    pub name: Option<String>,
    /// When it runs: five fields, or a word such as `@daily`.
    pub cron: String,
    /// The zone it says.
    pub timezone: Option<ZoneName>,
    /// What somebody should know about it.
    pub notes: Vec<String>,
    /// Whether its scheduler holds it.
    pub suspended: bool,
    /// How late it may begin.
    pub start_within: Option<Period>,
    /// What it does.
    pub reading: Reading,
}

/// After so many schedules the rest is left: nobody reads on, and findings about one file have a limit.
const MOST_SCHEDULES: usize = 500;
/// How many stores are written.
const MOST_STORES: usize = 20;

/// A rule that something keeps by, and where it was found.
#[derive(Debug, Clone)]
struct Hint {
    keep: Keep,
    folder: Option<String>,
    origin: String,
}

/// Writes jobs as policies. `what` is what they were read from.
pub(super) fn written(jobs: Vec<Job>, mut left: Vec<String>, what: &str, told: &Circumstances) -> Imported {
    let mut hints = Vec::new();
    let mut backups = Vec::new();
    for job in jobs {
        let of =
            |keep: &(Keep, Option<String>)| Hint { keep: keep.0, folder: keep.1.clone(), origin: job.origin.clone() };
        hints.extend(job.reading.keeps.iter().map(of));
        if job.reading.tasks.is_empty() {
            left.push(without_backup(&job));
            continue;
        }
        match rejection(&job) {
            Some(reason) => left.push(format!("{}: {reason}", job.origin)),
            None if backups.len() >= MOST_SCHEDULES => {
                left.push(format!(
                    "{}: there are more than {MOST_SCHEDULES} backups; import the rest apart",
                    job.origin
                ));
            }
            None => backups.push(job),
        }
    }
    if backups.is_empty() {
        return Imported { text: None, taken: Vec::new(), left };
    }
    let mut writer = Writer::new(what, &backups);
    let mut taken = Vec::new();
    // A base comes before what builds on it.
    backups.sort_by_key(|job| job.reading.tasks.iter().any(|task| task.what == What::Cluster { incremental: true }));
    for job in &backups {
        for (index, task) in job.reading.tasks.iter().enumerate() {
            let name = writer.schedule(job, task, index, &hints, told);
            taken.push(format!("{}: schedule.{name}", job.origin));
        }
    }
    writer.finish(&hints);
    Imported::of(writer.draft, taken, left)
}

/// Says why a job without a backup in it is left.
fn without_backup(job: &Job) -> String {
    let mut programs: Vec<&str> = job.reading.programs.iter().map(String::as_str).collect();
    programs.dedup();
    let shown = match programs.as_slice() {
        [] => "it calls no program".to_owned(),
        some => format!("`{}`", some.iter().take(3).copied().collect::<Vec<_>>().join("`, `")),
    };
    let why = match (job.reading.keeps.is_empty(), job.reading.why_not) {
        (false, _) => "it deletes what is old; what it keeps was taken as a hint for retention",
        (true, Some(why)) => why,
        (true, None) => "no program that bkup knows as a backup",
    };
    format!("{} ({shown}): {why}", job.origin)
}

/// Returns why bkup does not run by a job's rule.
fn rejection(job: &Job) -> Option<String> {
    if job.cron.eq_ignore_ascii_case("@reboot") {
        return Some(
            "it runs when the machine starts, which is no time; write it by hand with `on: request`".to_owned(),
        );
    }
    let timing = Timing::Cron { expression: job.cron.clone() };
    let when = When { timing, timezone: job.timezone.clone().unwrap_or_default() };
    Calendar::new(&when).err().map(|error| format!("its rule is none that bkup runs by: {error}"))
}

struct Writer {
    draft: Draft,
    databases: BTreeMap<Option<String>, Name>,
    stores: Vec<(StoreUrl, Name)>,
    retentions: BTreeMap<Option<Keep>, Name>,
    /// Schedules of base backups: of which database, in which store.
    bases: Vec<(Name, Name, Name)>,
}

impl Writer {
    fn new(what: &str, jobs: &[Job]) -> Self {
        let draft = Draft::new([
            format!(
                "Written by bkup import from {what}. Read it before you keep it: a command line does not say everything."
            ),
            "Then: bkup validate, bkup plan. Let the old jobs run until bkup's first backups are there and drilled."
                .to_owned(),
        ]);
        let mut writer = Self {
            draft,
            databases: BTreeMap::new(),
            stores: Vec::new(),
            retentions: BTreeMap::new(),
            bases: Vec::new(),
        };
        writer.add_databases(jobs);
        writer.add_stores(jobs);
        writer
    }

    fn add_databases(&mut self, jobs: &[Job]) {
        let mut wanted: BTreeMap<Option<String>, Option<String>> = BTreeMap::new();
        let only = {
            let mut named: Vec<&String> =
                jobs.iter().flat_map(|job| &job.reading.tasks).filter_map(|task| task.database.as_ref()).collect();
            named.sort();
            named.dedup();
            if let [only] = named.as_slice() { Some((*only).clone()) } else { None }
        };
        for task in jobs.iter().flat_map(|job| &job.reading.tasks) {
            let key = task.database.clone().or_else(|| only.clone());
            let tenants = wanted.entry(key.clone()).or_default();
            let glob = match &task.what {
                What::Tenants => Some("tenant_*".to_owned()),
                What::Schema(schema) => tenant_glob(schema).map(|(glob, _)| glob),
                _ => None,
            };
            if tenants.is_none() {
                *tenants = glob;
            }
        }
        for (key, tenants) in wanted {
            let base = key.as_deref().map_or_else(|| "main".to_owned(), |name| name_of(name, "database"));
            let comments = match &key {
                None => vec!["no command said which database: name it, and set the variable".to_owned()],
                Some(_) => Vec::new(),
            };
            let env = match &key {
                None => "DATABASE_URL".to_owned(),
                Some(_) => format!("{}_URL", base.to_ascii_uppercase().replace('-', "_")),
            };
            let mut lines = vec![Line::new("url", variable(&env))];
            if let Some(glob) = tenants {
                lines.push(
                    Line::new("tenants", Value::Inline(vec![("schemas", Value::quoted(&glob))]))
                        .note("what `*` matches is the tenant's slug"),
                );
            }
            let name = self.draft.add(Part::Databases, &base, comments, lines);
            if key.is_none() || only == key {
                self.databases.insert(None, name.clone());
            }
            self.databases.insert(key, name);
        }
    }

    fn add_stores(&mut self, jobs: &[Job]) {
        let mut urls: Vec<StoreUrl> = jobs.iter().filter_map(place_of).collect();
        urls.extend(common_folders(&urls));
        // A store inside another would count its objects: the outer one comes first and takes both.
        urls.sort_by_key(|url| url.to_string().len());
        urls.dedup();
        let mut kept: Vec<StoreUrl> = Vec::new();
        for url in urls {
            if kept.len() < MOST_STORES && !kept.iter().any(|outer| inside(&url, outer)) {
                kept.push(url);
            }
        }
        let first = jobs.iter().filter_map(place_of).find_map(|url| kept.iter().position(|outer| inside(&url, outer)));
        if let Some(first) = first {
            kept.swap(0, first);
        }
        if kept.is_empty() {
            let comments = vec!["no command said where backups go: put the place here, on another machine".to_owned()];
            let url = StoreUrl::Folder("/var/backups/bkup".to_owned());
            let name = self.store(&url, "primary", comments);
            self.stores.push((url, name));
            return;
        }
        for (index, url) in kept.into_iter().enumerate() {
            let wanted = match (&url, index) {
                (_, 0) => "primary".to_owned(),
                (StoreUrl::S3 { bucket, .. }, _) => bucket.clone(),
                (StoreUrl::Folder(path), _) => path.rsplit('/').next().unwrap_or_default().to_owned(),
            };
            let comments = match url {
                StoreUrl::Folder(_) => {
                    vec!["on the machine that is backed up? Then a copy elsewhere is needed, too".to_owned()]
                }
                StoreUrl::S3 { .. } => Vec::new(),
            };
            let name = self.store(&url, &wanted, comments);
            self.stores.push((url, name));
        }
    }

    fn store(&mut self, url: &StoreUrl, wanted: &str, mut comments: Vec<String>) -> Name {
        comments.push("add encryption: { recipients: [...] } with the key that `bkup key generate` prints".to_owned());
        self.draft.add(Part::Stores, wanted, comments, vec![Line::new("url", Value::text(&url.to_string()))])
    }

    fn store_of(&self, job: &Job) -> Name {
        let place = place_of(job);
        let outer = |url: &StoreUrl| self.stores.iter().find(|(outer, _)| inside(url, outer));
        let found = place.as_ref().and_then(outer).or_else(|| self.stores.first());
        found.map_or_else(some_name, |(_, name)| name.clone())
    }

    /// Returns the retention rule of a job, and what to say about it.
    fn retention(&mut self, job: &Job, hints: &[Hint], told: &Circumstances) -> (Name, String) {
        let own = job.reading.keeps.iter().find(|(_, folder)| near(folder.as_deref(), &job.reading.folders));
        let own = own.or_else(|| job.reading.keeps.first().filter(|_| job.reading.keeps.len() == 1));
        let cluster = job.reading.tasks.iter().any(|task| matches!(task.what, What::Cluster { .. }));
        let nowhere = job.reading.folders.is_empty() && job.reading.stores.is_empty();
        // A rule for another folder, or another program's, says nothing of this job.
        let fits = |hint: &&Hint| match hint.keep {
            Keep::Last(_) => cluster,
            Keep::Within(_) => hints.len() == 1 && nowhere,
        };
        let elsewhere = || {
            let near = hints.iter().find(|hint| near(hint.folder.as_deref(), &job.reading.folders));
            near.or_else(|| hints.iter().find(fits))
        };
        let (keep, why) = match own {
            Some((keep, _)) => (*keep, "the command's own rule".to_owned()),
            None => match elsewhere() {
                Some(hint) => (hint.keep, format!("as {} does it", hint.origin)),
                None => return (self.rule(None), "nothing says how long: decide".to_owned()),
            },
        };
        if let Keep::Within(asked) = keep {
            let timing = Timing::Cron { expression: job.cron.clone() };
            let zone = job.timezone.clone().or_else(|| told.timezone.clone()).unwrap_or_default();
            if let Some(kept) = longer(asked, &When { timing, timezone: zone }, told.now) {
                let why =
                    format!("{why}, but for longer: {asked} is shorter than the time between two of these; decide");
                return (self.rule(Some(Keep::Within(kept))), why);
            }
        }
        (self.rule(Some(keep)), why)
    }

    fn rule(&mut self, keep: Option<Keep>) -> Name {
        if let Some(name) = self.retentions.get(&keep) {
            return name.clone();
        }
        let (wanted, comment, lines) = match keep {
            Some(Keep::Within(period)) => (
                format!("within-{period}"),
                "what is older goes; bkup also keeps the newest backups of each scope (guards: \
                 min_keep), however old they are",
                vec![Line::new("within", Value::word(period))],
            ),
            Some(Keep::Last(count)) => {
                (format!("last-{count}"), "the old job kept so many", vec![Line::new("last", Value::word(count))])
            }
            None => (
                "gfs".to_owned(),
                "a usual choice, since nothing says how long",
                vec![
                    Line::new("daily", Value::word(7)),
                    Line::new("weekly", Value::word(4)),
                    Line::new("monthly", Value::word(12)),
                ],
            ),
        };
        let name = self.draft.add(Part::Retention, &wanted, vec![comment.to_owned()], lines);
        self.retentions.insert(keep, name.clone());
        name
    }

    fn schedule(&mut self, job: &Job, task: &Task, index: usize, hints: &[Hint], told: &Circumstances) -> Name {
        let mut comments = vec![format!("from {}: `{}`", job.origin, task.program)];
        comments.extend(job.notes.iter().cloned());
        comments.extend(job.reading.notes.iter().cloned());
        let database = self.databases.get(&task.database).or_else(|| self.databases.get(&None));
        let database = database.cloned().unwrap_or_else(some_name);
        let store = self.store_of(job);
        let mut lines = vec![Line::new("databases", Value::words([&database]))];
        let base = self.bases.iter().find(|(of, at, _)| *of == database && *at == store);
        let (kind, said) = what_lines(&task.what, base.map(|(.., name)| name), &mut comments);
        lines.extend(said);
        lines.push(when(job, told));
        if let Some(period) = job.start_within {
            lines.push(Line::new("start_within", Value::word(period)));
        }
        let (retention, why) = self.retention(job, hints, told);
        lines.push(Line::new("retention", Value::text(retention.as_str())).note(why));
        lines.push(Line::new("store", Value::text(store.as_str())));
        if job.suspended {
            lines.push(super::pause(told.now, "its scheduler holds it"));
        }
        let wanted = match (&job.name, index) {
            (Some(name), 0) => name.clone(),
            _ => {
                let of = if kind.is_empty() { database.as_str() } else { kind };
                format!("{}-{of}", pace(&job.cron))
            }
        };
        let name = self.draft.add(Part::Schedules, &wanted, comments, lines);
        if task.what == (What::Cluster { incremental: false }) {
            self.bases.push((database, store, name.clone()));
        }
        name
    }

    fn finish(&mut self, hints: &[Hint]) {
        let unused: Vec<&Hint> = hints.iter().filter(|hint| !self.retentions.contains_key(&Some(hint.keep))).collect();
        for hint in unused.into_iter().take(50) {
            let what = match hint.keep {
                Keep::Within(period) => format!("deletes what is older than {period}"),
                Keep::Last(count) => format!("keeps the last {}", counted(count as usize, "backup")),
            };
            self.draft.say(format!("no schedule took this as its rule: {} {what}", hint.origin));
        }
    }
}

/// Returns the line for when a job runs.
fn when(job: &Job, told: &Circumstances) -> Line {
    let mut entries = vec![("cron", Value::quoted(&job.cron))];
    let zone = job.timezone.as_ref().or(told.timezone.as_ref());
    if let Some(zone) = zone.filter(|zone| **zone != ZoneName::default()) {
        entries.push(("timezone", Value::text(zone.as_str())));
    }
    let line = Line::new("when", Value::Inline(entries));
    if zone.is_none() { line.note("UTC: no zone was given; its scheduler's may differ") } else { line }
}

/// Returns the lines for what is backed up, and a word for names.
fn what_lines(what: &What, base: Option<&Name>, comments: &mut Vec<String>) -> (&'static str, Vec<Line>) {
    let of = |kind: &str| Line::new("backup", Value::word(kind));
    match what {
        What::Database => ("", vec![of("database")]),
        What::Script => {
            comments
                .push("a guess from the script's name: look into it for what it takes and where it puts it".to_owned());
            ("", vec![of("database")])
        }
        What::Tenants => ("tenants", vec![of("tenant_data")]),
        What::Schema(schema) => match tenant_glob(schema) {
            Some((_, slug)) if slug == "*" => ("tenants", vec![of("tenant_data")]),
            Some((_, slug)) => ("tenant", vec![of("tenant_data"), Line::new("tenants", Value::globs([slug]))]),
            None => {
                comments.push("it took one schema; bkup takes the whole database, or one tenant's schema".to_owned());
                ("", vec![of("database")])
            }
        },
        What::Tables(tables) if tables.is_empty() => ("", vec![of("database")]),
        What::Tables(tables) => {
            if tables.iter().any(|table| !table.contains('.')) {
                comments.push("a table without a schema is taken for one of `public`".to_owned());
            }
            let full = |table: &String| if table.contains('.') { table.clone() } else { format!("public.{table}") };
            ("tables", vec![of("database"), Line::new("tables", Value::globs(tables.iter().map(full)))])
        }
        What::AllDatabases => {
            comments.push(
                "it took every database of the server: write one under `databases` for each; roles that a database needs \
                 are in its backups"
                    .to_owned(),
            );
            ("", vec![of("database")])
        }
        What::Globals => ("configuration", vec![of("configuration")]),
        What::Cluster { incremental: true } => match base {
            Some(base) => {
                let base = Line::new("base", Value::text(base.as_str()));
                ("incremental", vec![of("full_system"), Line::new("engine", Value::word("incremental")), base])
            }
            None => {
                comments.push("it took what had changed, and nothing here makes the base for that: decide".to_owned());
                ("cluster", vec![of("full_system")])
            }
        },
        What::Cluster { incremental: false } => ("cluster", vec![of("full_system")]),
    }
}

/// Returns the pattern of tenant schemas that a schema belongs to, and its slug: `tenant_a` gives `tenant_*` and `a`.
fn tenant_glob(schema: &str) -> Option<(String, String)> {
    let prefixes = ["tenant_", "tenant-", "customer_", "client_", "org_"];
    let prefix = prefixes.into_iter().find(|prefix| schema.len() > prefix.len() && schema.starts_with(prefix))?;
    Some((format!("{prefix}*"), schema[prefix.len()..].to_owned()))
}

/// Returns where a job's backups go: sent to, or else written to.
fn place_of(job: &Job) -> Option<StoreUrl> {
    let folder = || job.reading.folders.first().cloned().map(StoreUrl::Folder);
    job.reading.stores.first().cloned().or_else(folder)
}

/// Returns the folders that hold several of a machine's: `/backup` for `/backup/full` and `/backup/tenants`.
fn common_folders(urls: &[StoreUrl]) -> Vec<StoreUrl> {
    let mut groups: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for url in urls {
        if let StoreUrl::Folder(path) = url {
            let parts: Vec<&str> = path.split('/').skip(1).collect();
            let first = parts.first().copied().unwrap_or_default();
            let known = groups.entry(first).or_insert_with(|| parts.clone());
            let same = known.iter().zip(&parts).take_while(|(a, b)| a == b).count();
            known.truncate(same);
        }
    }
    // What everything lies below is no place for backups.
    let too_wide = ["var", "home", "mnt", "srv", "opt", "data", "usr"];
    let wide = |parts: &[&str]| parts.len() == 1 && too_wide.contains(&parts[0]);
    groups
        .into_values()
        .filter(|parts| !wide(parts))
        .map(|parts| StoreUrl::Folder(format!("/{}", parts.join("/"))))
        .collect()
}

fn inside(inner: &StoreUrl, outer: &StoreUrl) -> bool {
    let below = |inner: &str, outer: &str| {
        outer.is_empty() || inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    match (inner, outer) {
        (StoreUrl::S3 { bucket: a, prefix: p }, StoreUrl::S3 { bucket: b, prefix: q }) => a == b && below(p, q),
        (StoreUrl::Folder(p), StoreUrl::Folder(q)) => below(p, q),
        _ => false,
    }
}

fn near(hint: Option<&str>, folders: &[String]) -> bool {
    let Some(hint) = hint else { return false };
    let below = |a: &str, b: &str| a == b || a.strip_prefix(b).is_some_and(|rest| rest.starts_with('/'));
    folders.iter().any(|folder| below(folder, hint) || below(hint, folder))
}

/// Returns a word for how often a rule runs.
fn pace(cron: &str) -> &'static str {
    let fields: Vec<&str> = cron.split_whitespace().collect();
    match fields.as_slice() {
        [word] => match word.to_ascii_lowercase().as_str() {
            "@hourly" => "hourly",
            "@weekly" => "weekly",
            "@monthly" => "monthly",
            "@yearly" | "@annually" => "yearly",
            _ => "daily",
        },
        [_, hour, day, month, weekday] => {
            let fixed = |field: &str| field.bytes().all(|b| b.is_ascii_alphanumeric());
            match (fixed(hour), *day, *month, *weekday) {
                (true, "*", "*", "*") => "daily",
                (true, "*", "*", weekday) if fixed(weekday) => "weekly",
                (true, day, "*", "*") if fixed(day) => "monthly",
                (true, day, month, "*") if fixed(day) && fixed(month) => "yearly",
                (false, "*", "*", "*") => "hourly",
                _ => "regular",
            }
        }
        _ => "regular",
    }
}

/// Returns a name for what has one in every file that this writes.
fn some_name() -> Name {
    Names::default().give("primary", "primary")
}
