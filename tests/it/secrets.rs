//! Suite: secrets never leave. Unmistakable ones are set, every command runs in every format and at every level of
//! logging, also where it fails, and nothing that is printed, written, stored or started holds one of them.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;

use bkup::cli::args::Arguments;
use bkup::engine::Connection;
use clap::CommandFactory as _;

use crate::faults::{Lock, descendants, dump_of, only_tenants};
use crate::world::asked::say;
use crate::world::cluster::Major;
use crate::world::s3::S3Server;
use crate::world::setup::{Place, Policy, Setup, ran};

const DATABASE_PASSWORD: &str = "canary-database-4711";
const CATALOG_PASSWORD: &str = "canary-catalog-4712";
const SESSION_TOKEN: &str = "canary-session-token-4713";
const SLACK: &str = "https://hooks.slack.example/services/canary-slack-4714";
const PAGER: &str = "https://pager.example/canary-webhook-4715";
const PAGER_SECRET: &str = "canary-hmac-4716";
const SMTP: &str = "smtps://mailer:canary-smtp-4717@mail.example";

/// Every command with what it is run with. `@` stands for the backup that is there. What needs neither catalog nor
/// store nor database runs once; the rest in every round.
const OFFLINE: &[&[&str]] = &[
    &["validate"],
    &["test"],
    &["explain", "store.primary"],
    &["explain", "*"],
    &["fmt", "--check"],
    &["export", "kubernetes"],
    &["export", "github-actions"],
    &["export", "systemd"],
    &["init", "roles"],
    &["init", "iam"],
    &["schema"],
    &["simulate", "--for", "30d"],
    &["completions", "bash"],
    &["man"],
];
const ONLINE: &[&[&str]] = &[
    &["validate", "--live"],
    &["init", "--url", "${APP_URL}", "--store", "s3://bkup-test/other", "--no-workflows", "--out", "made"],
    &["import", "--catalog"],
    &["simulate", "--for", "10d", "--live"],
    &["plan", "--out", "plan.json"],
    &["apply", "--auto-approve", "--report", "report.json"],
    &["apply", "plan.json"],
    &["drift"],
    &["status"],
    &["list"],
    &["logs"],
    &["logs", "@"],
    &["cancel", "@"],
    &["orphans"],
    &["undelete", "@"],
    &["adopt", "--from", "file:///nowhere"],
    &["show", "plan.json"],
    &["audit", "verify"],
    &["catalog", "migrate"],
    &["catalog", "rebuild", "--auto-approve"],
    &["catalog", "rebuild", "--auto-approve", "--into", "${BESIDE_URL}"],
    &["backup", "tenants"],
    &["backup", "--tenant", "acme", "--reason", "before a migration"],
    &["restore", "@", "--into", "folder:restored"],
    &["restore", "no-such-backup"],
    &["restore", "--tenant", "acme", "--into", "live", "--plan", "restore.json"],
    &["restore", "--tenant", "acme", "--table", "tenant_acme.orders", "--into", "live"],
    &["restore", "--undo"],
    &["erase", "tenant", "acme"],
    &["key", "erase", "acme"],
    &["drill", "no-such-plan"],
];
/// Commands that are not run here, and why that is no hole.
const LEFT_OUT: &[(&str, &str)] = &[
    ("demo", "it knows nothing of the environment: a server, a store and keys of its own"),
    ("key generate", "printing a new key is what it is for; `the_key_that_is_made_is_printed_once` looks at it"),
];
/// How results and log lines are printed.
const WAYS: &[&[&str]] = &[
    &["--format", "json", "-vv", "--log-format", "json"],
    &["--format", "text", "-vvv"],
    &["--format", "sarif", "-v"],
    &["--format", "github"],
    &["--format", "markdown", "-vv"],
];

#[track_caller]
fn assert_clean(what: &str, text: &str, canaries: &[String]) {
    for canary in canaries {
        if let Some(at) = text.find(canary.as_str()) {
            let begin = text[..at].char_indices().rev().nth(300).map_or(0, |(index, _)| index);
            panic!("{what} holds {canary}: ...{}", &text[begin..at + canary.len()]);
        }
    }
}

#[test]
fn every_command_is_looked_at() {
    fn paths(command: &clap::Command, above: &str, found: &mut BTreeSet<String>) {
        for sub in command.get_subcommands() {
            let path = format!("{above}{}", sub.get_name());
            if sub.has_subcommands() {
                paths(sub, &format!("{path} "), found);
            } else {
                found.insert(path);
            }
        }
    }
    let mut all = BTreeSet::new();
    paths(&Arguments::command(), "", &mut all);
    let run = |path: &String| {
        let words: Vec<&str> = path.split(' ').collect();
        OFFLINE.iter().chain(ONLINE).any(|args| args.starts_with(&words))
            || LEFT_OUT.iter().any(|(left_out, _)| left_out == path)
    };
    let missed: Vec<&String> = all.iter().filter(|path| !run(path)).collect();
    assert!(missed.is_empty(), "add {missed:?} to the commands of tests/it/secrets.rs");
    for (left_out, _) in LEFT_OUT {
        assert!(all.contains(*left_out), "{left_out} is no command");
    }
}

/// An installation whose every secret is a canary.
async fn with_canaries() -> (Setup, Vec<String>, tempfile::TempDir) {
    // Tests ask as superuser; the program under test must know a password.
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let hba = folder.path().join("pg_hba.conf");
    std::fs::write(&hba, "local all postgres trust\nlocal all all scram-sha-256\n").unwrap();
    let settings = [("hba_file", hba.to_str().unwrap())];
    let slugs = ["acme", "globex"];
    let mut setup = Setup::start_with(Major::V17, Place::S3(S3Server::start()), &slugs, &settings).await;
    only_tenants(&setup);
    for (role, password, variable) in
        [("canary", DATABASE_PASSWORD, "APP_URL"), ("keeper", CATALOG_PASSWORD, "BKUP_CATALOG_URL")]
    {
        let sql = format!("CREATE ROLE {role} SUPERUSER LOGIN PASSWORD '{password}'");
        setup.cluster.exec("postgres", &sql).await;
        let url = setup.env[variable].replacen("postgres://postgres@", &format!("postgres://{role}:{password}@"), 1);
        assert!(url.contains(password));
        setup.set(variable, &url);
    }
    setup.cluster.exec("postgres", "CREATE DATABASE beside").await;
    let beside = setup.cluster.url("beside");
    let keeper = format!("postgres://keeper:{CATALOG_PASSWORD}@");
    setup.set("BESIDE_URL", &beside.replacen("postgres://postgres@", &keeper, 1));
    assert!(setup.env["BESIDE_URL"].contains(CATALOG_PASSWORD));
    for (variable, secret) in [
        ("AWS_SESSION_TOKEN", SESSION_TOKEN),
        ("SLACK_WEBHOOK", SLACK),
        ("PAGER_URL", PAGER),
        ("PAGER_SECRET", PAGER_SECRET),
        ("SMTP_URL", SMTP),
    ] {
        setup.set(variable, secret);
    }
    let channels = "channels:
  ops: { slack: \"${SLACK_WEBHOOK}\" }
  mail: { email: [ops@example.com], smtp: \"${SMTP_URL}\" }
  pager: { webhook: \"${PAGER_URL}\", secret: \"${PAGER_SECRET}\" }
alerts:
  routes: { critical: [pager, ops, mail], warning: [ops], info: [] }
";
    let mut policy = Policy { more: channels.to_owned(), ..Policy::default() };
    policy.schedules = policy.schedules.lines().nth(1).unwrap().to_owned() + "\n";
    setup.policy(&policy);
    let identity = setup.env["BKUP_AGE_IDENTITY"].clone();
    let mut canaries: Vec<String> =
        [DATABASE_PASSWORD, CATALOG_PASSWORD, SESSION_TOKEN, crate::world::s3::SECRET_KEY, PAGER_SECRET, &identity]
            .map(str::to_owned)
            .to_vec();
    canaries.extend(
        [SLACK, PAGER, SMTP].map(|url| url[url.find("canary").unwrap()..].trim_end_matches("@mail.example").to_owned()),
    );
    (setup, canaries, folder)
}

/// Runs a command and looks at everything it says and leaves.
fn look(setup: &Setup, canaries: &[String], round: &str, args: &[&str], way: &[&str]) -> i32 {
    let ran = setup.run(&[args, way].concat());
    let what = format!("{round}: {args:?} {way:?}");
    assert_clean(&what, &ran.stdout, canaries);
    // GitHub's runner takes these lines out of its log: that is how it learns what to hide. Nobody else is told.
    let masks = |line: &&str| round == "actions" && line.starts_with("::add-mask::");
    let said: Vec<&str> = ran.stderr.lines().filter(|line| !masks(line)).collect();
    assert_clean(&what, &said.join("\n"), canaries);
    assert!(!ran.stderr.contains("panicked"), "{what}: {}", ran.stderr);
    ran.code
}

/// Looks at every file that the runs left in their folder, policies included: they name variables.
fn look_at_files(setup: &Setup, canaries: &[String]) -> usize {
    fn walk(folder: &std::path::Path, canaries: &[String]) -> usize {
        let items = std::fs::read_dir(folder).unwrap().flatten();
        items
            .map(|item| {
                if item.path().is_dir() {
                    return walk(&item.path(), canaries);
                }
                let bytes = std::fs::read(item.path()).unwrap();
                assert_clean(&item.path().display().to_string(), &String::from_utf8_lossy(&bytes), canaries);
                1
            })
            .sum()
    }
    walk(&setup.path(""), canaries)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_printed_written_stored_or_passed_on() {
    let (mut setup, canaries, _folder) = with_canaries().await;
    let _ = setup.first();
    let right = setup.env.clone();
    let mut runs = 0;
    for args in OFFLINE {
        for way in WAYS {
            let _any = look(&setup, &canaries, "offline", args, way);
            runs += 1;
        }
    }
    let identity_file = setup.path("../home/identity.txt");
    std::fs::write(&identity_file, format!("# mine\n{}\n", right["BKUP_AGE_IDENTITY"])).unwrap();
    let passfile = setup.path("../home/passfile");
    std::fs::write(&passfile, format!("*:*:*:canary:{DATABASE_PASSWORD}\n")).unwrap();
    std::fs::set_permissions(&passfile, std::fs::Permissions::from_mode(0o600)).unwrap();
    let backup = setup.catalog("SELECT min(backup_id) FROM bkup.executions WHERE scope = 'tenant=acme'").await;
    let other_key = setup.run(&["key", "generate"]).success();
    let other_key = other_key.split_whitespace().find(|word| word.starts_with("AGE-SECRET-KEY-")).unwrap().to_owned();
    let all: Vec<String> = canaries.iter().cloned().chain([other_key.clone()]).collect();

    for (number, round) in ["right", "actions", "files", "database", "unreachable", "catalog", "store", "denied", "key"]
        .into_iter()
        .enumerate()
    {
        setup.env = right.clone();
        setup.now(&format!("2026-03-{:02}T03:10:00Z", number + 3));
        let wrong = |setup: &mut Setup, name: &str, from: &str, to: &str| {
            let value = setup.env[name].replace(from, to);
            assert_ne!(value, setup.env[name]);
            setup.set(name, &value);
        };
        match round {
            "actions" => {
                for (name, value) in [("GITHUB_ACTIONS", "true".to_owned())].into_iter().chain(
                    ["GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY"].map(|name| (name, setup.path(name).display().to_string())),
                ) {
                    setup.set(name, &value);
                }
            }
            "files" => {
                setup.set("BKUP_AGE_IDENTITY", &identity_file.display().to_string());
                let from = format!("canary:{DATABASE_PASSWORD}@");
                wrong(&mut setup, "APP_URL", &from, "canary@");
                setup.set("PGPASSFILE", &passfile.display().to_string());
                let url = format!("{}&passfile={}", setup.env["APP_URL"], passfile.display());
                setup.set("APP_URL", &url);
            }
            "database" => wrong(&mut setup, "APP_URL", DATABASE_PASSWORD, &format!("{DATABASE_PASSWORD}-wrong")),
            "unreachable" => {
                let url = format!("postgres://canary:{DATABASE_PASSWORD}@127.0.0.1:1/app");
                setup.set("APP_URL", &url);
            }
            "catalog" => {
                wrong(&mut setup, "BKUP_CATALOG_URL", CATALOG_PASSWORD, &format!("{CATALOG_PASSWORD}-wrong"));
            }
            "store" => {
                let wrong = format!("{}-wrong", crate::world::s3::SECRET_KEY);
                setup.set("AWS_SECRET_ACCESS_KEY", &wrong);
            }
            "denied" => setup.s3().deny("PUT"),
            "key" => setup.set("BKUP_AGE_IDENTITY", &other_key),
            _ => {}
        }
        for (index, args) in ONLINE.iter().enumerate() {
            let args: Vec<&str> = args.iter().map(|arg| if *arg == "@" { backup.as_str() } else { *arg }).collect();
            // What works is looked at in every way; a failure in two of them, turn by turn.
            let ways: Vec<&[&str]> = match round {
                "right" => WAYS.to_vec(),
                _ => vec![WAYS[index % 2], WAYS[(index + number) % WAYS.len()]],
            };
            for way in ways {
                let code = look(&setup, &all, round, &args, way);
                runs += 1;
                if args[..1] == ["apply"] && round == "catalog" {
                    assert_ne!(code, 0, "the wrong password is refused");
                }
            }
        }
        // The filter of the log lines is the user's own: also what other people's code says is looked at.
        setup.set("BKUP_LOG", "trace");
        setup.set("RUST_LOG", "trace");
        for args in [&["plan"][..], &["apply", "--auto-approve"], &["list"]] {
            let _any = look(&setup, &all, round, args, &["--log-format", "json"]);
            runs += 1;
        }
        setup.s3().deny("NONE");
    }
    let files = look_at_files(&setup, &all);
    assert!(files >= 5, "plan, report, policies and what was made: {files}");

    // While a dump runs, what other users see of it is its command line.
    setup.env = right;
    setup.now("2026-03-20T03:10:00Z");
    let lock = Lock::take(&setup, "tenant_acme.orders").await;
    let child = setup.spawn(&["apply", "--auto-approve", "-vv"]);
    let _ = dump_of(&child);
    let programs = descendants(child.id());
    assert!(!programs.is_empty());
    for (_, line) in programs {
        assert_clean("a command line", &line, &canaries);
    }
    lock.release().await;
    let ran = ran(child.wait_with_output().unwrap()).exits(0);
    assert_clean("a run with -vv", &(ran.stdout + &ran.stderr), &canaries);

    let mut rows = 0;
    let tables = "SELECT string_agg(relname, ',') FROM pg_class \
                  WHERE relnamespace = 'bkup'::regnamespace AND relkind = 'r' AND relname <> 'digest_keys'";
    for table in setup.catalog(tables).await.split(',') {
        let text = setup.catalog(&format!("SELECT string_agg(t::text, E'\\n') FROM bkup.{table} t")).await;
        rows += text.lines().count();
        assert_clean(table, &text, &canaries);
    }
    assert!(rows > 50, "the catalog was looked at: {rows}");
    let keys = setup.s3().keys();
    assert!(keys.len() > 10);
    for key in &keys {
        let bytes = setup.s3().bytes(key).unwrap();
        assert_clean(key, &String::from_utf8_lossy(&bytes), &canaries);
    }
    say(&format!(
        "secrets: {} canaries, {runs} runs of every command, {files} files, {rows} rows, {} objects",
        all.len(),
        keys.len()
    ));
}

#[test]
fn what_holds_a_secret_does_not_show_it_when_it_is_debugged() {
    let url = format!("postgres://canary:{DATABASE_PASSWORD}@db.example/app?sslmode=verify-full");
    let made = bkup::crypto::generate_identity(crate::world::model::at("2026-03-01T00:00:00Z"));
    let text = secrecy::ExposeSecret::expose_secret(&made.text).to_owned();
    let key = text.lines().find(|line| line.starts_with("AGE-SECRET-KEY-")).unwrap().to_owned();
    let connection = crate::world::s3::connection("http://127.0.0.1:1", "p");
    let identities = bkup::crypto::Identity::parse_all(&text).unwrap();
    let digest_key =
        bkup::catalog::DigestKey { id: "id".to_owned(), key: zeroize::Zeroizing::new(b"canary-digest".to_vec()) };
    let shown = [
        format!("{:?}", Connection::parse(&url).unwrap()),
        format!("{:#?}", Connection::parse(&url)),
        format!("{:?}", Connection::parse(&format!("postgres://canary:{DATABASE_PASSWORD}@[bad/app"))),
        format!("{made:?}"),
        format!("{identities:?}"),
        format!("{connection:?}"),
        format!("{digest_key:?}"),
    ];
    let canaries = [DATABASE_PASSWORD, &key, crate::world::s3::SECRET_KEY, "canary-digest"].map(str::to_owned);
    let bytes = format!("{:?}", b"canary-digest".to_vec());
    for text in shown {
        assert_clean("a debugged value", &text, &canaries);
        assert!(!text.contains(&bytes[1..bytes.len() - 1]), "{text}");
    }
}

#[test]
fn the_key_that_is_made_is_printed_once() {
    let ran = crate::world::run::cli().run(&["key", "generate", "-vvv"]).exits(0);
    assert_eq!(ran.stdout.matches("AGE-SECRET-KEY-").count(), 1);
    assert!(!ran.stderr.contains("AGE-SECRET-KEY-"), "{}", ran.stderr);
}
