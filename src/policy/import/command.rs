//! What a command line does for backups: which program, which database, where to, and for how long. Pure. Nothing of a
//! command line is ever repeated but names of programs, databases and places that were looked at letter by letter:
//! command lines hold passwords.

use std::collections::BTreeMap;

use crate::domain::{Period, StoreUrl};
use crate::policy::write::label;

use super::places::{folder_of, store_of};
use super::shell::{Command, commands};

/// What is backed up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    /// One database.
    Database,
    /// One schema of it, or those a pattern names.
    Schema(String),
    /// Every tenant, by a script that says so in its name.
    Tenants,
    /// Some tables.
    Tables(Vec<String>),
    /// Every database of a server.
    AllDatabases,
    /// Roles and settings.
    Globals,
    /// The whole server, as files; whether only what changed.
    Cluster {
        /// Whether only what changed.
        incremental: bool,
    },
    /// A script whose name says that it backs up.
    Script,
}

/// A backup that a command takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Task {
    /// What of.
    pub what: What,
    /// The program's name.
    pub program: String,
    /// The database, where the command says it.
    pub database: Option<String>,
}

/// How long things are kept, as far as a command says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Keep {
    /// By age.
    Within(Period),
    /// The newest so many.
    Last(u32),
}

/// Everything that one command line does for backups.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Reading {
    /// The backups it takes; usually one.
    pub tasks: Vec<Task>,
    /// How long something is kept, and below which folder.
    pub keeps: Vec<(Keep, Option<String>)>,
    /// Where backups are sent to.
    pub stores: Vec<StoreUrl>,
    /// Where backups are written.
    pub folders: Vec<String>,
    /// What else somebody should know.
    pub notes: Vec<String>,
    /// The programs that are called, by name.
    pub programs: Vec<String>,
    /// Why it is none of these, where that is known.
    pub why_not: Option<&'static str>,
}

/// Variables that a command runs with.
pub(super) type Env = BTreeMap<String, String>;

/// Reads a shell text.
pub(super) fn read_text(text: &str, env: &Env) -> Reading {
    let mut reader = Reader { env: env.clone(), out: Reading::default() };
    reader.text(text, 0);
    reader.out
}

/// Reads a program with its arguments, without a shell.
pub(super) fn read_words(words: &[String], env: &Env) -> Reading {
    let mut reader = Reader { env: env.clone(), out: Reading::default() };
    reader.command(&Command { words: words.to_vec(), out: None }, 0);
    reader.out
}

struct Reader {
    env: Env,
    out: Reading,
}

const DEEPEST: usize = 4;

/// Programs that start the program named after them, and their options that take a word.
const WRAPPERS: [(&str, &[&str]); 22] = [
    ("sudo", &["-u", "-g", "-h", "-p", "--user", "--group"]),
    ("doas", &["-u"]),
    ("runuser", &["-u", "-g"]),
    ("gosu", &[]),
    ("su-exec", &[]),
    ("nice", &["-n"]),
    ("ionice", &["-c", "-n"]),
    ("nohup", &[]),
    ("time", &[]),
    ("exec", &[]),
    ("env", &["-u"]),
    ("timeout", &["-k", "-s"]),
    ("flock", &["-w", "-E"]),
    ("chronic", &[]),
    ("cronic", &[]),
    ("setsid", &[]),
    ("command", &[]),
    ("systemd-cat", &["-t", "-p"]),
    ("if", &[]),
    ("then", &[]),
    ("do", &[]),
    ("else", &[]),
];

const SHELLS: [&str; 7] = ["sh", "bash", "dash", "zsh", "ash", "ksh", "su"];
const INTERPRETERS: [&str; 8] = ["python", "python3", "ruby", "perl", "node", "php", "source", "."];
/// Programs that start others somewhere else.
const ELSEWHERE: [&str; 7] = ["docker", "podman", "nerdctl", "docker-compose", "kubectl", "oc", "ssh"];
const FOREIGN: [&str; 8] =
    ["mysqldump", "mariadb-dump", "mongodump", "xtrabackup", "mariabackup", "sqlite3", "redis-cli", "restic"];

impl Reader {
    fn text(&mut self, text: &str, depth: usize) {
        for command in commands(text) {
            self.command(&command, depth);
        }
    }

    fn command(&mut self, command: &Command, depth: usize) {
        let words = self.strip(&command.words);
        let Some((first, rest)) = words.split_first() else { return };
        let program = base(first).to_owned();
        if depth < DEEPEST && SHELLS.contains(&program.as_str()) {
            return self.shell(&program, rest, command, depth);
        }
        if depth < DEEPEST && INTERPRETERS.contains(&program.as_str())
            || (program == "npm" || program == "yarn" || program == "pnpm" || program == "make")
        {
            let script = rest.iter().find(|word| !word.starts_with('-') && *word != "run");
            return self.script(script.map_or("", |word| word.as_str()), rest);
        }
        if depth < DEEPEST && ELSEWHERE.contains(&program.as_str()) {
            return self.elsewhere(&program, rest, command, depth);
        }
        if let Some(out) = command.out.as_deref().and_then(folder_of) {
            self.out.folders.push(out);
        }
        self.out.programs.push(label(&program));
        self.program(&program, rest);
    }

    /// Removes assignments and wrappers before the program.
    fn strip(&mut self, words: &[String]) -> Vec<String> {
        let mut at = 0;
        while let Some(word) = words.get(at) {
            if let Some((name, value)) = assignment(word) {
                let value = self.resolve(value);
                self.env.insert(name.to_owned(), value);
                at += 1;
                continue;
            }
            if matches!(word.as_str(), "{" | "}" | "!" | "while" | "until" | "fi" | "done" | "export") {
                at += 1;
                continue;
            }
            let Some((wrapper, with_word)) = WRAPPERS.iter().find(|(name, _)| *name == base(word)) else { break };
            at += 1;
            while let Some(option) = words.get(at).filter(|word| word.starts_with('-')) {
                at += if with_word.contains(&option.as_str()) { 2 } else { 1 };
                if option == "--" {
                    break;
                }
            }
            // `timeout 1h`, `flock /run/lock`, `gosu postgres` take one word of their own first.
            if ["timeout", "flock", "gosu", "su-exec"].contains(wrapper) {
                at += 1;
                if words.get(at).is_some_and(|word| word == "-c") {
                    return ["sh".to_owned()].into_iter().chain(words[at..].iter().cloned()).collect();
                }
            }
        }
        words.get(at..).unwrap_or_default().to_vec()
    }

    fn shell(&mut self, program: &str, rest: &[String], command: &Command, depth: usize) {
        let flag = rest.iter().position(|word| word.starts_with('-') && !word.starts_with("--") && word.ends_with('c'));
        if let Some(text) = flag.and_then(|at| rest.get(at + 1)) {
            let text = text.clone();
            if let Some(out) = command.out.as_deref().and_then(folder_of) {
                self.out.folders.push(out);
            }
            return self.text(&text, depth + 1);
        }
        if program != "su"
            && let Some(at) = rest.iter().position(|word| !word.starts_with('-'))
        {
            return self.script(&rest[at].clone(), &rest[at + 1..]);
        }
        self.out.programs.push(program.to_owned());
    }

    fn elsewhere(&mut self, program: &str, rest: &[String], command: &Command, depth: usize) {
        let known = |word: &String| is_known(base(word)) || SHELLS[..6].contains(&base(word)) || script_like(word);
        match rest.iter().position(known) {
            Some(at) => {
                self.out.notes.push(format!("it runs through `{program}`: bkup needs a way to the server of its own"));
                self.command(&Command { words: rest[at..].to_vec(), out: command.out.clone() }, depth + 1);
            }
            // `ssh host "pg_dump ..."` has its command in one word.
            None => match rest.iter().find(|word| word.contains(' ')).filter(|_| program == "ssh") {
                Some(text) => self.text(&text.clone(), depth + 1),
                None => self.out.programs.push(program.to_owned()),
            },
        }
    }

    /// Reads `$NAME`, `${NAME}` and `${NAME:-default}` where the variable is known.
    fn resolve(&self, word: &str) -> String {
        let Some(inside) = word.strip_prefix('$') else { return word.to_owned() };
        let inside = inside.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or(inside);
        let (name, default) = inside.split_once(":-").unwrap_or((inside, ""));
        match self.env.get(name) {
            Some(value) if !value.starts_with('$') => value.clone(),
            _ if !default.is_empty() => default.to_owned(),
            _ => word.to_owned(),
        }
    }

    fn task(&mut self, what: What, program: &str, database: Option<String>) {
        let from_env = || self.env.get("PGDATABASE").and_then(|name| database_name(name));
        let database = database.and_then(|text| database_name(&self.resolve(&text))).or_else(from_env);
        self.out.tasks.push(Task { what, program: label(program), database });
    }

    fn program(&mut self, program: &str, args: &[String]) {
        let has = |word: &str| args.iter().any(|arg| arg == word || arg.starts_with(&format!("{word}=")));
        match program {
            "pg_dump" => self.pg_dump(args),
            "pg_dumpall" => {
                let globals = ["-g", "--globals-only", "-r", "--roles-only", "-t", "--tablespaces-only"];
                let what = if globals.into_iter().any(has) { What::Globals } else { What::AllDatabases };
                self.output(args, &["-f", "--file"]);
                self.task(what, program, None);
            }
            "pg_basebackup" => {
                self.output(args, &["-D", "--pgdata"]);
                let incremental = has("-i") || has("--incremental");
                self.task(What::Cluster { incremental }, program, None);
            }
            "wal-g" | "wal-e" if has("backup-push") => {
                self.task(What::Cluster { incremental: false }, program, None);
                self.prefix();
            }
            "wal-g" | "wal-e" if has("delete") => {
                let count = args.iter().rev().find_map(|arg| arg.parse().ok()).filter(|count| *count > 0);
                if let Some(count) = count.filter(|_| has("retain")) {
                    self.out.keeps.push((Keep::Last(count), None));
                }
                self.out.why_not = Some("it deletes old backups; bkup does that by retention rules");
            }
            "pgbackrest" if has("backup") => {
                let kind = value_of(args, &["--type"]).unwrap_or_default();
                self.task(What::Cluster { incremental: kind == "incr" || kind == "diff" }, program, None);
            }
            "barman" if has("backup") => self.task(What::Cluster { incremental: false }, program, None),
            "wal-g" | "wal-e" | "pgbackrest" | "barman" => {
                self.out.why_not = Some("it belongs to that program's own upkeep");
            }
            "find" => self.find(args),
            "aws" | "s3cmd" | "rclone" | "gsutil" | "mc" | "azcopy" => self.upload(program, args),
            "tmpreaper" | "tmpwatch" => self.out.why_not = Some("it deletes old files"),
            "vacuumdb" | "reindexdb" | "psql" => self.out.why_not = Some("it is upkeep of the database, no backup"),
            "pg_restore" => self.out.why_not = Some("it restores; recovery plans and drills do that"),
            _ if FOREIGN.contains(&program) => self.out.why_not = Some("it backs up something else than PostgreSQL"),
            _ if script_like(program) => self.script(program, args),
            _ => {}
        }
    }

    fn pg_dump(&mut self, args: &[String]) {
        const WITH_WORD: [&str; 16] =
            ["-h", "-p", "-U", "-d", "-f", "-F", "-j", "-n", "-N", "-t", "-T", "-E", "-Z", "-S", "-e", "--role"];
        self.output(args, &["-f", "--file"]);
        let named = value_of(args, &["-d", "--dbname"]);
        // The last word counts: one that stands before it can be a password after `-W`.
        let mut database = None;
        let mut at = 0;
        while at < args.len() {
            let word = &args[at];
            if WITH_WORD.contains(&word.as_str()) {
                at += 1;
            } else if word.starts_with("--") && !word.contains('=') {
                // A long option may have its value in the next word; the last word is the database either way.
                let next = args.get(at + 1).is_some_and(|next| !next.starts_with('-')) && at + 2 < args.len();
                let takes = ["--host", "--port", "--username", "--file", "--format", "--jobs", "--schema", "--table"];
                at += usize::from(next && takes.contains(&word.as_str()));
            } else if !word.starts_with('-') {
                database = Some(word.clone());
            }
            at += 1;
        }
        let database = named.or(database);
        let tables = values_of(args, &["-t", "--table"]);
        let what = if !tables.is_empty() {
            What::Tables(tables.iter().filter_map(|table| pattern(table)).collect())
        } else if let Some(schema) = value_of(args, &["-n", "--schema"]) {
            What::Schema(pattern(&self.resolve(&schema)).unwrap_or_default())
        } else {
            What::Database
        };
        if args.iter().any(|arg| arg == "-s" || arg == "--schema-only") {
            self.out.notes.push("it took the structure without the data; bkup takes both".to_owned());
        }
        self.task(what, "pg_dump", database);
    }

    fn output(&mut self, args: &[String], options: &[&str]) {
        if let Some(folder) = value_of(args, options).and_then(|path| folder_of(&self.resolve(&path))) {
            self.out.folders.push(folder);
        }
    }

    fn prefix(&mut self) {
        let url = ["WALG_S3_PREFIX", "WALE_S3_PREFIX"].into_iter().find_map(|name| self.env.get(name));
        if let Some(url) = url.and_then(|url| store_of(url)) {
            self.out.stores.push(url);
        }
    }

    fn find(&mut self, args: &[String]) {
        let deletes = args.iter().any(|arg| matches!(arg.as_str(), "-delete" | "-exec" | "-execdir"));
        let age = |option: &str| {
            let at = args.iter().position(|arg| arg == option)?;
            args.get(at + 1)?.strip_prefix('+')?.parse::<i64>().ok().filter(|count| (1..=36_500_000).contains(count))
        };
        let period = age("-mtime")
            .filter(|days| *days <= 36_500)
            .map(Period::days)
            .or_else(|| age("-mmin").map(Period::minutes));
        self.out.why_not = Some("it deletes old files; bkup does that by retention rules");
        if let Some(period) = period {
            let folder = args.first().filter(|arg| !arg.starts_with('-')).map(|arg| self.resolve(arg));
            let folder = folder.and_then(|folder| super::places::plain_folder(&folder));
            if !deletes {
                self.out.notes.push("`find` lists old files here; it was taken for what deletes them".to_owned());
            }
            self.out.keeps.push((Keep::Within(period), folder));
        }
    }

    fn upload(&mut self, program: &str, args: &[String]) {
        let copies = ["cp", "mv", "sync", "put", "copy", "copyto", "rcat", "mirror", "pipe"];
        if !args.iter().any(|arg| copies.contains(&arg.as_str())) {
            return;
        }
        match args.iter().rev().find(|arg| arg.contains("://")).map(|arg| self.resolve_in(arg)) {
            Some(url) if url.starts_with("s3://") => match store_of(&url) {
                Some(store) => self.out.stores.push(store),
                None => self.out.notes.push("it sends to a bucket whose name stands in a variable".to_owned()),
            },
            _ => self.out.notes.push(format!("it sends copies away with `{program}`: give the store that place's URL")),
        }
    }

    /// Replaces variables that are known inside a text.
    fn resolve_in(&self, text: &str) -> String {
        let mut out = text.to_owned();
        for (name, value) in self.env.iter().filter(|(_, value)| !value.contains('$') && value.len() < 200) {
            out = out.replace(&format!("${{{name}}}"), value);
            let bare = format!("${name}");
            // `$NAME` ends where no letter goes on.
            if let Some(at) = out.find(&bare) {
                let goes_on = out[at + bare.len()..].starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
                if !goes_on {
                    out.replace_range(at..at + bare.len(), value);
                }
            }
        }
        out
    }

    /// Judges a script by its name, which is all there is of it.
    fn script(&mut self, path: &str, args: &[String]) {
        let name = base(path).to_ascii_lowercase();
        self.out.programs.push(label(base(path)));
        let all = args.iter().take(3).fold(name.clone(), |all, arg| format!("{all} {}", arg.to_ascii_lowercase()));
        let says = |words: &[&str]| words.iter().any(|word| all.contains(word));
        if !says(&["backup", "dump"]) {
            return;
        }
        if says(&["restore", "recover", "drill"]) {
            self.out.why_not = Some("it restores or drills; recovery plans do that");
        } else if says(&["validate", "verify", "check", "test", "monitor", "status", "list-", "logs"]) {
            self.out.why_not = Some("it checks or watches; bkup verifies every backup and drills by plan");
        } else if says(&["cleanup", "clean", "purge", "prune", "rotate", "expire", "delete"]) {
            self.out.why_not = Some("it deletes old backups; bkup does that by retention rules");
        } else {
            let what = if says(&["tenant"]) {
                What::Tenants
            } else if says(&["basebackup", "base-backup", "base_backup"]) {
                What::Cluster { incremental: false }
            } else {
                What::Script
            };
            if name.contains("increment") {
                self.out.notes.push("its name says incremental: look into the script what it takes".to_owned());
            }
            self.task(what, base(path), None);
        }
    }
}

fn is_known(program: &str) -> bool {
    ["pg_dump", "pg_dumpall", "pg_basebackup", "wal-g", "wal-e", "pgbackrest", "barman"].contains(&program)
}

fn script_like(word: &str) -> bool {
    let name = base(word).to_ascii_lowercase();
    let ending = [".sh", ".bash", ".py", ".rb", ".pl"].iter().any(|ending| name.ends_with(ending));
    ending || (name.contains("backup") || name.contains("dump")) && !name.starts_with('-') && !name.contains('=')
}

/// Returns the last part of a path.
fn base(path: &str) -> &str {
    path.trim_end_matches('/').rsplit('/').next().unwrap_or(path)
}

fn assignment(word: &str) -> Option<(&str, &str)> {
    let (name, value) = word.split_once('=')?;
    let starts = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    (starts && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')).then_some((name, value))
}

fn values_of(args: &[String], options: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for (at, arg) in args.iter().enumerate() {
        for option in options {
            if arg == option {
                found.extend(args.get(at + 1).cloned());
            } else if let Some(rest) = arg.strip_prefix(option) {
                match (option.starts_with("--"), rest.strip_prefix('=')) {
                    (true, Some(value)) => found.push(value.to_owned()),
                    (false, _) if !rest.is_empty() && !arg.starts_with("--") => found.push(rest.to_owned()),
                    _ => {}
                }
            }
        }
    }
    found
}

fn value_of(args: &[String], options: &[&str]) -> Option<String> {
    values_of(args, options).into_iter().next()
}

/// Returns a database's name out of a name, a URL or keywords; `None` for anything that is not surely one.
pub(super) fn database_name(text: &str) -> Option<String> {
    let name = match text.split_once("://") {
        Some((_, rest)) => rest.split_once('/').map(|(_, path)| path.split(['?', '#']).next().unwrap_or_default())?,
        None if text.contains('=') => text.split_whitespace().find_map(|word| word.strip_prefix("dbname="))?,
        None => text,
    };
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
    (plain && !name.is_empty() && name.len() <= 63).then(|| name.to_owned())
}

/// Returns a pattern of tables or schemas, of plain characters only.
fn pattern(text: &str) -> Option<String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'*' | b'?');
    (!text.is_empty() && text.len() <= 128 && text.bytes().all(plain)).then(|| text.to_owned())
}
