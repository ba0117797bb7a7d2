//! Secrets never leave: unmistakable ones are set, every command runs, also where it fails, and nothing that is printed,
//! written, stored or started holds one of them.

use std::os::unix::fs::PermissionsExt;

use crate::faults::{Lock, descendants, dump_of, only_tenants};
use crate::world::cluster::Major;
use crate::world::s3::S3Server;
use crate::world::setup::{Place, Setup, ran};

const PASSWORD: &str = "canary-password-4711";

fn assert_clean(what: &str, text: &str, canaries: &[String]) {
    for canary in canaries {
        assert!(!text.contains(canary.as_str()), "{what} holds a secret: {text}");
    }
}

#[tokio::test]
async fn no_secret_is_printed_written_stored_or_passed_on() {
    // Tests ask as superuser; the program under test must know a password.
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let hba = folder.path().join("pg_hba.conf");
    std::fs::write(&hba, "local all postgres trust\nlocal all all scram-sha-256\n").unwrap();
    let settings = [("hba_file", hba.to_str().unwrap())];
    let slugs = ["acme", "globex"];
    let mut setup = Setup::start_with(Major::V17, Place::S3(S3Server::start()), &slugs, &settings).await;
    only_tenants(&setup);
    let role = format!("CREATE ROLE canary SUPERUSER LOGIN PASSWORD '{PASSWORD}'");
    setup.cluster.exec("postgres", &role).await;
    for name in ["APP_URL", "BKUP_CATALOG_URL"] {
        let with_password =
            setup.env[name].replacen("postgres://postgres@", &format!("postgres://canary:{PASSWORD}@"), 1);
        assert!(with_password.contains(PASSWORD));
        setup.set(name, &with_password);
    }
    let identity = setup.env["BKUP_AGE_IDENTITY"].clone();
    let canaries = [PASSWORD.to_owned(), crate::world::s3::SECRET_KEY.to_owned(), identity];
    let _ = setup.first();

    let wrong_password = |setup: &mut Setup, name: &str| {
        let wrong = setup.env[name].replace(PASSWORD, &format!("{PASSWORD}-wrong"));
        setup.set(name, &wrong);
    };
    let right = setup.env.clone();
    for round in ["right", "database", "catalog", "store"] {
        setup.env = right.clone();
        setup.now("2026-03-03T03:10:00Z");
        match round {
            "database" => wrong_password(&mut setup, "APP_URL"),
            "catalog" => wrong_password(&mut setup, "BKUP_CATALOG_URL"),
            "store" => setup.set("AWS_SECRET_ACCESS_KEY", &format!("{}-wrong", canaries[1])),
            _ => {}
        }
        for args in [
            &["validate"][..],
            &["plan", "--out", "plan.json"],
            &["apply", "--auto-approve", "--report", "report.json"],
            &["status"],
            &["list"],
            &["show", "plan.json"],
            &["backup", "tenants"],
            &["restore", "no-such-backup", "--into", "scratch"],
            &["drill", "no-such-plan", "--auto-approve"],
        ] {
            for more in [&[][..], &["--format", "json", "-vv"]] {
                let ran = setup.run(&[args, more].concat());
                let what = format!("{round}: {args:?} {more:?}");
                assert_clean(&what, &ran.stdout, &canaries);
                assert_clean(&what, &ran.stderr, &canaries);
                if round == "catalog" && args[0] == "apply" {
                    assert_eq!(ran.code, 1, "the wrong password is refused: {}", ran.stderr);
                }
            }
        }
        for file in ["plan.json", "report.json"] {
            assert_clean(file, &setup.read(file), &canaries);
        }
    }

    // While a dump runs, what other users see of it is its command line.
    setup.env = right;
    setup.now("2026-03-04T03:10:00Z");
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
    for key in keys {
        let bytes = setup.s3().bytes(&key).unwrap();
        assert_clean(&key, &String::from_utf8_lossy(&bytes), &canaries);
    }
    setup.assert_converges().await;
}
