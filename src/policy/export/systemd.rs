//! Policies as systemd services with timers. Pure.

use super::{Ask, Needs, header};

/// Returns the files.
pub(super) fn files(needs: &Needs, ask: &Ask) -> Vec<(String, String)> {
    let minutes = match needs.cadence.minute_field(0) {
        // systemd counts steps from a begin.
        field if field.starts_with("*/") => field.replacen('*', "0", 1),
        field => field,
    };
    let zone = needs.cadence.zone.as_str();
    let mut out = Vec::new();
    let mut add = |name: &str, what: &str, args: &str, calendar: &str, identity: bool| {
        out.push((format!("{name}.service"), service(needs, ask, name, what, args, identity)));
        out.push((format!("{name}.timer"), timer(name, what, calendar)));
    };
    add("bkup-apply", &needs.everything(), "apply --auto-approve", &format!("*-*-* *:{minutes}:00 UTC"), false);
    let what = "Prunes what no retention rule keeps any more, within the guards.";
    let args = "apply --auto-approve --only retention";
    add("bkup-retention", what, args, &format!("*-*-* 05:41:00 {zone}"), false);
    if needs.drills {
        let what = "Restores into a scratch server what drills ask for, when they are due.";
        add("bkup-drill", what, "apply --auto-approve --only drills", &format!("*-*-* 06:23:00 {zone}"), true);
    }
    out
}

fn service(needs: &Needs, ask: &Ask, name: &str, what: &str, args: &str, identity: bool) -> String {
    let list = |names: &std::collections::BTreeSet<String>| names.iter().cloned().collect::<Vec<_>>().join(", ");
    let mut about = format!("{what}\n\nIt runs as the user bkup: useradd --system --home-dir /var/lib/bkup bkup\n");
    about.push_str(&format!("/etc/bkup/bkup.env (0600, root) holds {}", list(&needs.variables)));
    if needs.s3 {
        about.push_str(", and AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION unless the machine has a role");
    }
    if identity && !needs.identities.is_empty() {
        about.push_str(&format!(
            "\n/etc/bkup/identity.env (0600, root) holds {}: for drills alone",
            list(&needs.identities)
        ));
    }
    let files = if identity && !needs.identities.is_empty() {
        "EnvironmentFile=/etc/bkup/bkup.env\nEnvironmentFile=/etc/bkup/identity.env\n"
    } else {
        "EnvironmentFile=/etc/bkup/bkup.env\n"
    };
    let mut out = header("systemd", &about);
    let what = title(what);
    out.push_str(&format!(
        "[Unit]\nDescription={what}\nDocumentation=man:bkup(1)\nWants=network-online.target\nAfter=network-online.target\n\n\
         [Service]\nType=oneshot\nUser=bkup\nGroup=bkup\n{files}ExecStart={} {args} --policies {}\n\
         # Someone else held the work all the time: it is done, and nothing to wake anybody for.\nSuccessExitStatus=7\n\
         # After the signal bkup stops claiming work, aborts uploads, writes its report and releases its claims.\n\
         KillMode=mixed\nTimeoutStopSec=30\nTimeoutStartSec=6h\nStateDirectory=bkup\nSyslogIdentifier={name}\n\
         Nice=10\nIOSchedulingClass=idle\nNoNewPrivileges=yes\nPrivateTmp=yes\nPrivateDevices=yes\nProtectSystem=strict\n\
         ProtectHome=yes\nProtectKernelTunables=yes\nProtectKernelModules=yes\nProtectControlGroups=yes\n\
         RestrictSUIDSGID=yes\nRestrictRealtime=yes\nLockPersonality=yes\nCapabilityBoundingSet=\n\
         RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX\nUMask=0077\n",
        unit_word(&ask.program),
        unit_word(&ask.folder)
    ));
    for path in needs.folders.values() {
        out.push_str(&format!("ReadWritePaths={}\n", unit_word(path)));
    }
    out
}

/// Returns the first sentence, without its full stop: what a unit is called.
fn title(what: &str) -> &str {
    what.lines().next().unwrap_or_default().trim_end_matches('.')
}

fn timer(name: &str, what: &str, calendar: &str) -> String {
    let what = title(what);
    let mut out = header("systemd", &format!("When {name}.service runs."));
    out.push_str(&format!(
        "[Unit]\nDescription={what}: the clock\n\n[Timer]\nOnCalendar={calendar}\n# What was due while the machine was off \
         is done when it is back.\nPersistent=true\nAccuracySec=1s\nUnit={name}.service\n\n[Install]\nWantedBy=timers.target\n"
    ));
    out
}

/// Quotes a word of a unit: its specifiers and its variables are not for paths.
fn unit_word(word: &str) -> String {
    let text = word.replace('%', "%%");
    let plain = text.chars().all(|c| c.is_alphanumeric() || "-_./:@%+=,".contains(c));
    if plain && !text.is_empty() {
        return text;
    }
    let inside = text.replace('\\', "\\\\").replace('"', "\\\"").replace('$', "$$");
    format!("\"{inside}\"")
}
