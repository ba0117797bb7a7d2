//! Kubernetes CronJob manifests to policies. Pure.

use crate::domain::{Period, ZoneName};
use crate::policy::text::Node;
use crate::policy::write::label;

use super::command::{Env, Reading, read_text, read_words};
use super::documents::{at, documents, get, items, scalar, texts};
use super::jobs::{Job, written};
use super::{Circumstances, Imported};

/// Reads manifests: each a name, for messages, and a text of any number of documents.
#[must_use]
pub fn cronjobs(files: &[(String, String)], told: &Circumstances) -> Imported {
    let (mut jobs, mut left) = (Vec::new(), Vec::new());
    for (file, text) in files {
        let file = label(file);
        for document in documents(text) {
            let place = format!("{file} line {}", document.line);
            match document.tree {
                Ok((tree, _)) => take(&tree, &place, 0, &mut jobs, &mut left),
                Err(why) => left.push(format!("{place}: {why}")),
            }
        }
    }
    written(jobs, left, "CronJob manifests", told)
}

fn take(node: &Node, place: &str, depth: usize, jobs: &mut Vec<Job>, left: &mut Vec<String>) {
    let kind = get(node, "kind").and_then(scalar).unwrap_or_default();
    let name = at(node, &["metadata", "name"]).and_then(scalar).unwrap_or_default();
    let api = get(node, "apiVersion").and_then(scalar).unwrap_or_default();
    if kind == "List" || kind.ends_with("List") && !items(get(node, "items")).is_empty() {
        if depth > 3 {
            left.push(format!("{place}: a list inside lists, too deep to read"));
            return;
        }
        for item in items(get(node, "items")) {
            take(item, place, depth + 1, jobs, left);
        }
        return;
    }
    if kind != "CronJob" || !api.starts_with("batch/") {
        let what = if kind.is_empty() { "it has no `kind`".to_owned() } else { format!("it is a {}", label(kind)) };
        let named = if name.is_empty() { String::new() } else { format!(" ({})", label(name)) };
        left.push(format!("{place}{named}: {what}, and not a CronJob of batch/v1"));
        return;
    }
    let origin =
        format!("CronJob {} ({place})", if name.is_empty() { "without a name".to_owned() } else { label(name) });
    match job(node, name, origin.clone()) {
        Ok(job) => jobs.push(job),
        Err(why) => left.push(format!("{origin}: {why}")),
    }
}

fn job(node: &Node, name: &str, origin: String) -> Result<Job, &'static str> {
    let spec = get(node, "spec").ok_or("it has no `spec`")?;
    let schedule = get(spec, "schedule").and_then(scalar).ok_or("it has no `schedule`")?;
    let mut notes = Vec::new();
    let (prefix, cron) = match schedule.trim().split_once(char::is_whitespace) {
        Some((first, rest)) if first.starts_with("CRON_TZ=") || first.starts_with("TZ=") => {
            (first.split_once('=').map(|(_, zone)| zone), rest)
        }
        _ => (None, schedule.trim()),
    };
    let known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'*' | b'/' | b',' | b'-' | b'#' | b'@' | b' ' | b'?');
    if cron.len() > 200 || !cron.bytes().all(known) {
        return Err("its `schedule` is no cron expression");
    }
    // Kubernetes takes `?` for `*`.
    let cron =
        cron.split_whitespace().map(|field| if field == "?" { "*" } else { field }).collect::<Vec<_>>().join(" ");
    let zone = get(spec, "timeZone").and_then(scalar).or(prefix);
    let timezone = zone.and_then(|zone| ZoneName::try_from(zone.to_owned()).ok());
    match (zone, &timezone) {
        (Some(zone), None) => notes.push(format!("its zone `{}` is none that bkup knows: this is UTC", label(zone))),
        (None, _) => notes.push("it says no timeZone: the cluster's controller decides, usually UTC".to_owned()),
        _ => {}
    }
    let suspended = get(spec, "suspend").and_then(scalar).is_some_and(|word| word == "true");
    let start_within = get(spec, "startingDeadlineSeconds").and_then(scalar).and_then(|text| text.parse::<i64>().ok());
    let start_within = start_within.filter(|seconds| (1..=31_536_000).contains(seconds)).map(Period::seconds);
    let pod = at(spec, &["jobTemplate", "spec", "template", "spec"]).ok_or("it has no pod to run")?;
    let mut reading = Reading::default();
    for list in ["initContainers", "containers"] {
        for container in items(get(pod, list)) {
            merge(&mut reading, read_container(container));
        }
    }
    if let Some(policy) = get(spec, "concurrencyPolicy").and_then(scalar).filter(|policy| *policy == "Replace") {
        notes.push(format!("concurrencyPolicy {}: bkup lets a backup that runs go on instead", label(policy)));
    }
    Ok(Job { origin, name: Some(name.to_owned()), cron, timezone, notes, suspended, start_within, reading })
}

fn read_container(container: &Node) -> Reading {
    let mut env = Env::new();
    for item in items(get(container, "env")) {
        if let (Some(name), Some(value)) = (get(item, "name").and_then(scalar), get(item, "value").and_then(scalar)) {
            env.insert(name.to_owned(), value.to_owned());
        }
    }
    let words: Vec<String> =
        texts(get(container, "command")).into_iter().chain(texts(get(container, "args"))).collect();
    // `$(NAME)` is how Kubernetes writes a variable; a shell's `$(...)` has more in it than a name.
    let words: Vec<String> = words.into_iter().map(|word| kubernetes_variables(&word, &env)).collect();
    if words.is_empty() {
        let image = get(container, "image").and_then(scalar).unwrap_or_default();
        let program = image.rsplit('/').next().unwrap_or_default().split([':', '@']).next().unwrap_or_default();
        return read_text(program, &env);
    }
    read_words(&words, &env)
}

fn kubernetes_variables(word: &str, env: &Env) -> String {
    match word.strip_prefix("$(").and_then(|rest| rest.strip_suffix(')')).and_then(|name| env.get(name)) {
        Some(value) => value.clone(),
        None => word.to_owned(),
    }
}

fn merge(all: &mut Reading, one: Reading) {
    all.tasks.extend(one.tasks);
    all.keeps.extend(one.keeps);
    all.stores.extend(one.stores);
    all.folders.extend(one.folders);
    all.notes.extend(one.notes);
    all.programs.extend(one.programs);
    all.why_not = all.why_not.or(one.why_not);
}
