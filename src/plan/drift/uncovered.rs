//! What is on the protected servers and in no policy: other databases of theirs, tenants without class or schedule.

use std::collections::{BTreeMap, BTreeSet};

use super::super::coverage::covered;
use super::{View, are, listed};
use crate::domain::{
    Address, BackupType, Bytes, DriftFinding, DriftKind, DriftSeverity, Name, Neighbours, Observation, Plan, Section,
    Timing,
};

/// Databases that belong to those who run the server for others.
const VENDORS: [&str; 4] = ["rdsadmin", "cloudsqladmin", "azure_maintenance", "azure_sys"];

/// Tells for each server and each database that was read.
pub fn plan(view: &View<'_>, draft: &mut Plan) {
    databases(view, draft);
    for name in view.desired.databases.keys().filter(|name| view.observed.signs.servers.contains_key(*name)) {
        tenants(view, draft, name);
    }
}

/// A server: its identity, or where that is not known the database that leads to it.
type ServerKey<'a> = (Option<&'a str>, Option<&'a Name>);

/// One server, however many databases of the policies are on it, is told of once: at the first of them.
fn databases(view: &View<'_>, draft: &mut Plan) {
    let mut servers: BTreeMap<ServerKey<'_>, (&Name, &Neighbours)> = BTreeMap::new();
    for (name, signs) in &view.observed.signs.servers {
        match &signs.neighbours {
            Observation::Known(found) => {
                // Servers whose identity is not known are told apart by the databases that lead to them.
                let key = (found.system.as_deref(), found.system.is_none().then_some(name));
                servers.entry(key).or_insert((name, found.as_ref()));
            }
            Observation::Unreachable(why) => {
                let address = Address::of(Section::Database, name.clone());
                let words = format!("what else is on its server could not be read: {why}");
                draft.findings.push(DriftFinding::new(
                    address,
                    DriftKind::ServerUnread,
                    words,
                    "see why, and plan again",
                ));
            }
        }
    }
    for (name, found) in servers.into_values() {
        let known = covered_on(view, found);
        let others: Vec<(&String, &Option<Bytes>)> = found
            .databases
            .iter()
            .filter(|(datname, _)| !known.contains(datname.as_str()) && !VENDORS.contains(&datname.as_str()))
            .filter(|(datname, _)| *datname != "postgres" || !found.empty.contains(*datname))
            .collect();
        if others.is_empty() {
            continue;
        }
        let sized = |(datname, size): &(&String, &Option<Bytes>)| match size {
            Some(size) => format!("{datname} ({size})"),
            None => (*datname).clone(),
        };
        let names: Vec<String> = others.iter().map(sized).collect();
        let mut words = format!(
            "{} on its server and in no policy: {}",
            are(others.len() as u64, "database"),
            listed(&names, names.len() as u64)
        );
        let address = Address::of(Section::Database, name.clone());
        let help = format!(
            "add what should be backed up to `databases`; for the rest write `# bkup: ignore[BK904] why` at {address}"
        );
        let mut severity = DriftKind::DatabaseUncovered.severity();
        if let Some((unread, _)) = view.observed.servers.iter().find(|(_, server)| server.known().is_none()) {
            words.push_str(&format!(", as far as can be told while database.{unread} cannot be read"));
            severity = DriftSeverity::Note;
        }
        let finding = DriftFinding::new(address, DriftKind::DatabaseUncovered, words, help);
        draft.findings.push(finding.as_severe_as(severity));
    }
}

/// Returns the databases of a server that the policies or the catalog account for. Where servers cannot be told apart,
/// a name that is accounted for anywhere is.
fn covered_on<'a>(view: &View<'a>, server: &Neighbours) -> BTreeSet<&'a str> {
    let same = |other: Option<&str>| match (server.system.as_deref(), other) {
        (Some(one), Some(other)) => one == other,
        _ => true,
    };
    let mut covered = BTreeSet::new();
    for (name, facts) in &view.observed.servers {
        let signs = view.observed.signs.servers.get(name).and_then(|signs| signs.neighbours.known());
        if let Some(facts) = facts.known()
            && same(signs.and_then(|neighbours| neighbours.system.as_deref()))
        {
            covered.insert(facts.datname.as_str());
        }
    }
    if let Some((system, datname)) = view.edits().and_then(|edits| edits.place.as_ref())
        && same(system.as_deref())
    {
        covered.insert(datname.as_str());
    }
    covered
}

fn tenants(view: &View<'_>, draft: &mut Plan, name: &Name) {
    let address = Address::of(Section::Database, name.clone());
    let all = view.tenants(name);
    let mut tell = |kind: DriftKind, slugs: &[&str], what: &str, help: &str| {
        if !slugs.is_empty() {
            let number = slugs.len() as u64;
            let noun = if number == 1 { "1 tenant".to_owned() } else { format!("{number} tenants") };
            let words = format!("{noun} {what}: {}", listed(slugs, number));
            draft.findings.push(DriftFinding::new(address.clone(), kind, words, help));
        }
    };
    if !view.desired.classes.is_empty() {
        let without: Vec<&str> =
            all.iter().filter(|(_, class)| class.is_none()).map(|(t, _)| t.slug.as_str()).collect();
        let help = "add a class with `tenants: [\"*\"]` and the highest priority number, so that none is left out";
        tell(DriftKind::TenantWithoutClass, &without, "of no class", help);
    }
    let mut taken: BTreeSet<&str> = BTreeSet::new();
    for spec in view.desired.schedules.values() {
        let timed = !matches!(spec.when.timing, Timing::OnRequest | Timing::OnChange);
        if !timed || !spec.databases.contains(name) || !spec.tables.is_empty() {
            continue;
        }
        match spec.backup {
            BackupType::FullSystem | BackupType::Database => return,
            BackupType::TenantData => {
                let targets = covered(view.desired, spec, name);
                taken.extend(targets.iter().filter_map(|target| target.tenant).map(|tenant| tenant.slug.as_str()));
            }
            BackupType::Files | BackupType::Configuration => {}
        }
    }
    let slugs = all.iter().map(|(tenant, _)| tenant.slug.as_str());
    let without: Vec<&str> = slugs.filter(|slug| !taken.contains(slug)).collect();
    let help = "add a schedule for this database that takes every tenant, or one for their class";
    tell(DriftKind::TenantWithoutSchedule, &without, "that no schedule backs up", help);
}
