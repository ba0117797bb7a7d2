//! Crontabs, of a user or of the system, to policies. Pure.

use std::collections::BTreeMap;

use crate::domain::ZoneName;
use crate::policy::write::label;

use super::command::{Env, Reading, read_text};
use super::jobs::{Job, written};
use super::{Circumstances, Imported};

/// Names that stand in the sixth column of a system crontab more often than a program does.
const USERS: [&str; 14] = [
    "root",
    "postgres",
    "backup",
    "barman",
    "pgbackrest",
    "www-data",
    "ubuntu",
    "admin",
    "deploy",
    "app",
    "nobody",
    "daemon",
    "bkup",
    "walg",
];
/// Words that begin a command and are no users.
const BEGINNINGS: [&str; 14] = [
    "sudo", "nice", "ionice", "env", "flock", "timeout", "bash", "sh", "cd", "pg_dump", "find", "docker", "test", "su",
];

/// Reads a crontab. Its comments are not repeated: they can hold anything.
#[must_use]
pub fn crontab(text: &str, told: &Circumstances) -> Imported {
    let mut env: Env = BTreeMap::new();
    let mut zone = Zone::default();
    let (mut jobs, mut left) = (Vec::new(), Vec::new());
    for (index, line) in text.lines().enumerate() {
        let origin = format!("crontab line {}", index + 1);
        let line = line.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some((name, value)) = setting(line) {
            match name {
                "CRON_TZ" => zone.cron = Some(value.parse_zone()),
                "TZ" => zone.jobs = Some(value.parse_zone()),
                _ => {
                    if matches!(name, "MAILTO" | "MAILFROM") {
                        left.push(format!(
                            "{origin} ({name}): whom to tell of failures is said by channels and alerts"
                        ));
                    }
                    env.insert(name.to_owned(), value.to_owned());
                }
            }
            continue;
        }
        match split(line) {
            Some((cron, command)) => jobs.push(job(origin, cron, command, &zone, &env)),
            None => left.push(format!("{origin}: it is neither a setting, nor five fields and a command")),
        }
    }
    written(jobs, left, "a crontab", told)
}

/// What the file says about zones: `CRON_TZ` is of the schedule, `TZ` of the jobs, and some crons take it for both.
#[derive(Debug, Clone, Default)]
struct Zone {
    cron: Option<Result<ZoneName, String>>,
    jobs: Option<Result<ZoneName, String>>,
}

trait ParseZone {
    fn parse_zone(&self) -> Result<ZoneName, String>;
}

impl ParseZone for &str {
    fn parse_zone(&self) -> Result<ZoneName, String> {
        ZoneName::try_from((*self).to_owned()).map_err(|_| label(self))
    }
}

fn job(origin: String, cron: String, command: &str, zone: &Zone, env: &Env) -> Job {
    let mut notes = Vec::new();
    let mut timezone = None;
    match (&zone.cron, &zone.jobs) {
        (Some(Ok(zone)), _) => timezone = Some(zone.clone()),
        (None, Some(Ok(zone))) => {
            timezone = Some(zone.clone());
            notes.push("the zone is its TZ, which not every cron runs by: check".to_owned());
        }
        (Some(Err(zone)), _) | (None, Some(Err(zone))) => {
            notes.push(format!("its zone `{zone}` is none that bkup knows: this is UTC, write an IANA name"));
        }
        (None, None) => {}
    }
    let reading = read_command(command, env);
    Job { origin, name: None, cron, timezone, notes, suspended: false, start_within: None, reading }
}

/// Reads a command, with or without a user before it.
fn read_command(command: &str, env: &Env) -> Reading {
    let command = without_percent(command);
    if let Some((first, rest)) = command.split_once(char::is_whitespace) {
        let rest = rest.trim_start();
        let name = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
        let next = rest.split_whitespace().next().unwrap_or_default();
        let looks_so = USERS.contains(&first)
            || next.starts_with('/') && !BEGINNINGS.contains(&first)
            || BEGINNINGS.contains(&next) && !BEGINNINGS.contains(&first);
        if first.bytes().all(name) && looks_so {
            let reading = read_text(rest, env);
            // A program may be called like a user; then what follows it tells nothing.
            if !reading.tasks.is_empty() || !reading.keeps.is_empty() || reading.why_not.is_some() {
                return reading;
            }
            let with = read_text(&command, env);
            return if with.tasks.is_empty() { reading } else { with };
        }
    }
    read_text(&command, env)
}

/// Ends a command at its first bare `%`, after which cron gives it input, and makes `\%` a `%`.
fn without_percent(command: &str) -> String {
    let mut out = String::new();
    let mut chars = command.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' if chars.peek() == Some(&'%') => {
                out.push('%');
                chars.next();
            }
            '%' => break,
            c => out.push(c),
        }
    }
    out
}

/// Reads `NAME = value`, with or without quotes.
fn setting(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    let name = name.trim_matches(|c| c == '"' || c == '\'');
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let fits = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && name.bytes().all(plain);
    let value =
        ['"', '\''].into_iter().find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote)).unwrap_or(value);
    fits.then_some((name, value))
}

/// Splits a line into its rule, in one spelling, and its command.
fn split(line: &str) -> Option<(String, &str)> {
    // Some crons take a dash before the rule for "do not log".
    let line = line.strip_prefix('-').unwrap_or(line);
    if line.starts_with('@') {
        let (word, command) = line.split_once(char::is_whitespace)?;
        let plain = word.len() <= 20 && word[1..].bytes().all(|b| b.is_ascii_alphanumeric());
        return plain.then(|| (word.to_owned(), command.trim_start()));
    }
    let mut rest = line;
    let mut fields = Vec::new();
    for _ in 0..5 {
        let end = rest.find(char::is_whitespace)?;
        let field = &rest[..end];
        let known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'*' | b'/' | b',' | b'-' | b'#');
        if end > 100 || !field.bytes().all(known) {
            return None;
        }
        // Minute and hour are never words: a sentence is no rule.
        if fields.len() < 2 && !field.starts_with(|c: char| c.is_ascii_digit() || c == '*') {
            return None;
        }
        fields.push(field);
        rest = rest[end..].trim_start();
    }
    (!rest.is_empty()).then(|| (fields.join(" "), rest))
}
