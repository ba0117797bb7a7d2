//! The policies that benches judge: 1,000 files with 10,000 schedules, and one that they share, without a finding that
//! is an error, so that every proof runs to its end.

use std::fmt::Write as _;

use bkup::policy::SourceFile;

const FILES: usize = 1_000;
const SCHEDULES_OF_A_FILE: usize = 10;
const ZONES: [&str; 6] = ["UTC", "Asia/Seoul", "Europe/Berlin", "America/New_York", "Australia/Sydney", "Asia/Kolkata"];

/// What all teams share: stores, classes, retention.
fn shared() -> String {
    let mut text = "version: 1\n\nstores:\n".to_owned();
    for index in 0..20 {
        text.push_str(&format!(
            "  store-{index}:\n    url: s3://backups-{index}/prod\n    region: us-east-1\n    encryption:\n      recipients: [\"age1gs94g7crza4ev9g4c2rzkpm2wtajz8l4f3mr588v3c03r0s0cukqfxuych\"]\n      identity: \"${{BKUP_AGE_IDENTITY}}\"\n"
        ));
    }
    text.push_str("\nclasses:\n");
    for (priority, (class, rpo)) in [("gold", "6h"), ("silver", "27h"), ("bronze", "8d")].iter().enumerate() {
        let priority = priority + 1;
        text.push_str(&format!(
            "  {class}: {{ tenants: [\"{class}-*\"], priority: {priority}, rpo: {rpo}, rto: {priority}d }}\n"
        ));
    }
    text.push_str("\nretention:\n  gfs: { daily: 7, weekly: 4, monthly: 12, yearly: 5, timezone: Asia/Seoul }\n  quarter: { within: 90d, max_age: 400d }\n  cold: { within: 1y }\n");
    text
}

/// One team's file: a database, its schedules, a recovery plan.
fn team(index: usize) -> String {
    let (store, zone) = (index % 20, ZONES[index % ZONES.len()]);
    let mut text = format!(
        "# team {index}\nversion: 1\n\ndatabases:\n  team-{index}:\n    url: \"${{TEAM_{index}_URL}}\"\n    tenants: {{ schemas: \"tenant_*\" }}\n\nschedules:\n"
    );
    for number in 0..SCHEDULES_OF_A_FILE {
        let minute = (index * 7 + number * 13) % 60;
        // Away from the hours that clock changes skip and repeat.
        let hour = 4 + (index + number) % 20;
        let (backup, when) = match number % 5 {
            0 => ("database", format!("{{ frequency: daily, time: \"{hour:02}:{minute:02}\", timezone: {zone} }}")),
            1 => ("tenant_data", format!("{{ cron: \"{minute} */6 * * *\", timezone: {zone} }}")),
            2 => ("tenant_data", format!("{{ cron: \"{minute} 9-18 * * mon-fri\", timezone: {zone} }}")),
            3 => ("database", format!("{{ frequency: weekly, days: [sun, wed], time: \"{hour:02}:{minute:02}\" }}")),
            _ => ("tenant_data", format!("{{ every: {}m }}", 15 + minute)),
        };
        let tenants = if backup == "tenant_data" { "\n    tenants: { class: [gold, silver] }" } else { "" };
        let _ = write!(
            text,
            "  team-{index}-{number}:\n    databases: [team-{index}]\n    backup: {backup}{tenants}\n    when: {when}\n    start_within: 10m\n    retention: {}\n    store: store-{store}\n    compression: zstd:3\n",
            ["gfs", "quarter", "cold"][number % 3]
        );
    }
    let _ = write!(
        text,
        "\nrecovery_plans:\n  team-{index}:\n    description: What team {index} does when its database is lost\n    type: full_recovery\n    scope: all_systems\n    severity: sev1\n    databases: [team-{index}]\n    rto: 4h\n    rpo: 2d\n    requires: [database]\n    minimum_backup_age: 24h\n    steps:\n      - manual: Assess the damage\n      - restore: {{ backup: database, from: latest, into: scratch }}\n      - check: [tables]\n      - manual: Resume traffic\n    approval: {{ status: approved, by: cto@example.com, at: 2026-01-15 }}\n    contacts: {{ primary: ops@example.com }}\n    drill:\n      every: 30d\n      target: latest\n      into: scratch\n"
    );
    text
}

/// Returns the files.
pub fn thousand() -> Vec<SourceFile> {
    let file = |name: String, text: String| SourceFile { name, bytes: text.into_bytes() };
    std::iter::once(file("policies/shared.yaml".to_owned(), shared()))
        .chain((0..FILES).map(|index| file(format!("policies/team-{index:03}.yaml"), team(index))))
        .collect()
}
