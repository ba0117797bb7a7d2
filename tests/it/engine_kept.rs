//! Suite: what the engine asks programs and servers once, and when it asks again.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bkup::backup::{Exporter, Servers, Source};
use bkup::domain::TenantSelector;
use bkup::engine::programs::Program;
use bkup::engine::{Connection, Search, Snapshot};
use bkup::server;

use crate::world::cluster::{Cluster, Major, fresh_folder};

/// A folder with a server's programs, one of which counts how often it is started.
struct Counted {
    folder: PathBuf,
    program: Program,
}

impl Counted {
    fn of(major: Major, program: Program) -> Self {
        let folder = fresh_folder("c");
        std::fs::create_dir(&folder).expect("a folder");
        let real = major.bin();
        for entry in std::fs::read_dir(&real).expect("programs") {
            let name = entry.expect("a program").file_name();
            if name != program.file() {
                symlink(real.join(&name), folder.join(&name)).expect("a link");
            }
        }
        let counted = Self { folder, program };
        counted.write(&format!("exec '{}' \"$@\"", real.join(program.file()).display()));
        counted
    }

    /// Replaces the program.
    fn write(&self, does: &str) {
        let path = self.folder.join(self.program.file());
        let script = format!("#!/bin/sh\necho started >> '{}'\n{does}\n", self.log().display());
        let fresh = path.with_extension("fresh");
        std::fs::write(&fresh, script).expect("a script");
        std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(0o755)).expect("may run");
        std::fs::rename(&fresh, &path).expect("is in place");
    }

    fn log(&self) -> PathBuf {
        self.folder.join("starts")
    }

    fn starts(&self) -> usize {
        std::fs::read_to_string(self.log()).map_or(0, |log| log.lines().count())
    }

    fn search(&self) -> Search {
        Search { pg_bin: Some(self.folder.clone().into_os_string()), ..Search::default() }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(Path::new(&self.folder));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_says_its_version_once_until_its_file_is_another() {
    let counted = Counted::of(Major::V17, Program::PgDump);
    let search = counted.search();
    let find = async || search.clone().find(&[Program::PgDump], 17).await;
    counted.write("echo 'pg_dump (PostgreSQL) 17.4'");
    for _ in 0..3 {
        assert_eq!(find().await.expect("is found").line, "pg_dump (PostgreSQL) 17.4");
    }
    assert_eq!(counted.starts(), 1);
    // As long as before, and written within the same second.
    counted.write("echo 'pg_dump (PostgreSQL) 17.9'");
    assert_eq!(find().await.expect("is found").minor, 9);
    assert_eq!(counted.starts(), 2);
    // What did not answer is no answer.
    counted.write("exit 1");
    for starts in [3, 4] {
        let _ = find().await.expect_err("says nothing");
        assert_eq!(counted.starts(), starts);
    }
    // Nor is what one search heard another's.
    counted.write("echo 'pg_dump (PostgreSQL) 17.4'");
    let _ = (find().await.expect("is found"), counted.search().find(&[Program::PgDump], 17).await.expect("is found"));
    assert_eq!(counted.starts(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_are_dumped_once_for_many_databases_of_a_server_until_they_change() {
    for major in Major::EVERY {
        let cluster = Cluster::start(major).await;
        let counted = Counted::of(major, Program::PgDumpall);
        cluster.exec("postgres", "CREATE DATABASE one").await;
        cluster.exec("postgres", "CREATE DATABASE two").await;
        cluster.exec("postgres", "CREATE ROLE app; CREATE ROLE boss").await;
        cluster.exec("postgres", "CREATE ROLE dumper LOGIN; GRANT pg_read_all_data TO dumper").await;
        let servers = Servers::new(counted.search());
        // As a backup's role usually is.
        let asked = |database: &str| {
            let own = cluster.connection(database);
            Connection::socket(own.host(), own.port(), "dumper", database)
        };
        let export = async |database: &str| servers.export(&asked(database)).await.expect("exports");
        let roles = async |source: Box<dyn Source>| {
            let text = source.globals().await.expect("dumps");
            source.close().await.expect("was held");
            String::from_utf8_lossy(&text).into_owned()
        };
        let first = roles(export("one").await).await;
        assert!(first.contains("CREATE ROLE boss;"), "{first}");
        for database in ["two", "one", "two"] {
            assert_eq!(roles(export(database).await).await, first);
        }
        assert_eq!(counted.starts(), 1, "{major:?}");
        // Each of these is in the text.
        let mut starts = 1;
        let changes = [
            ("GRANT boss TO app", "GRANT boss TO app"),
            ("ALTER ROLE app SET work_mem = '7MB'", "7MB"),
            ("ALTER ROLE app CONNECTION LIMIT 3", "CONNECTION LIMIT 3"),
            ("COMMENT ON ROLE app IS 'said'", "said"),
            ("ALTER ROLE app VALID UNTIL '2031-02-03'", "2031-02-03"),
            ("GRANT SET ON PARAMETER maintenance_work_mem TO app", "maintenance_work_mem"),
        ];
        for (change, says) in changes {
            cluster.exec("postgres", change).await;
            let text = roles(export("two").await).await;
            assert!(text.contains(says), "{major:?}: {change}: {text}");
            assert_eq!(roles(export("one").await).await, text);
            starts += 1;
            assert_eq!(counted.starts(), starts, "{major:?}: {change}");
        }
        assert!(!format!("{servers:?}").contains("app"), "roles have settings that are secrets");
        // What was changed and changed back may have been dumped in between.
        for (change, back) in [
            ("REVOKE boss FROM app", "GRANT boss TO app"),
            ("ALTER ROLE app SUPERUSER", "ALTER ROLE app NOSUPERUSER"),
            ("ALTER ROLE app RESET work_mem", "ALTER ROLE app SET work_mem = '7MB'"),
        ] {
            cluster.exec("postgres", change).await;
            cluster.exec("postgres", back).await;
            let _ = roles(export("one").await).await;
            starts += 1;
            assert_eq!(counted.starts(), starts, "{major:?}: {back}");
        }
        // A role that came after the instant is nothing of it; one that came just before is in the text.
        let early = export("two").await;
        cluster.exec("postgres", "CREATE ROLE after").await;
        assert!(!roles(early).await.contains("CREATE ROLE after;"), "kept of the instant");
        assert_eq!(counted.starts(), starts, "{major:?}");
        assert!(roles(export("two").await).await.contains("CREATE ROLE after;"));
        starts += 1;
        // Side by side: whoever asked the server before the text was there cannot know that it still holds.
        cluster.exec("postgres", "CREATE ROLE late").await;
        let (one, two) = (export("one").await, export("two").await);
        let (one, two) = (roles(one).await, roles(two).await);
        assert!(one.contains("CREATE ROLE late;") && two.contains("CREATE ROLE late;"));
        assert_eq!(counted.starts(), starts + 2, "{major:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_see_what_a_server_shares_has_its_roles_dumped_each_time() {
    let cluster = Cluster::start(Major::V17).await;
    let counted = Counted::of(Major::V17, Program::PgDumpall);
    cluster.exec("postgres", "CREATE ROLE dumper LOGIN").await;
    cluster.exec("postgres", "CREATE DATABASE app").await;
    let own = cluster.connection("app");
    let asked = Connection::socket(own.host(), own.port(), "dumper", "app");
    let servers = Servers::new(counted.search());
    let starts = async |of: usize| {
        for _ in 0..2 {
            let source = servers.export(&asked).await.expect("exports");
            let _ = source.globals().await.expect("dumps");
            source.close().await.expect("was held");
        }
        assert_eq!(counted.starts(), of);
    };
    // Not even asked, which the server would log.
    starts(2).await;
    cluster.exec("postgres", "GRANT pg_read_all_data TO dumper").await;
    starts(3).await;
    // Each database has its own rights on what all share.
    cluster.exec("app", "REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC").await;
    let mut snapshot = Snapshot::export(&asked).await.expect("exports");
    assert!(snapshot.facts().system_identifier.is_none() && snapshot.shared().await.is_none());
    starts(5).await;
    // A refusal in the middle of the transaction leaves the snapshot as it was.
    cluster.exec("app", "GRANT EXECUTE ON FUNCTION pg_control_system() TO PUBLIC").await;
    cluster.exec("app", "REVOKE EXECUTE ON FUNCTION sha256(bytea) FROM PUBLIC").await;
    let mut snapshot = Snapshot::export(&asked).await.expect("exports");
    assert!(snapshot.facts().system_identifier.is_some() && snapshot.shared().await.is_none());
    snapshot.check().await.expect("is held");
    starts(7).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn schemas_that_are_named_like_copies_of_a_swap_are_told_from_them() {
    let cluster = Cluster::start(Major::V17).await;
    for schema in
        ["t_a", "t_b__old_1234abcd", "t_c__old_1234abcd", "t_d__new_1234abcd", "t_e__new_1234abcd", "t_f__new_1234abcx"]
    {
        cluster.exec("postgres", &format!("CREATE SCHEMA {schema}")).await;
    }
    cluster.exec("postgres", "COMMENT ON SCHEMA t_c__old_1234abcd IS 'bkup: put aside'").await;
    cluster.exec("postgres", "CREATE TABLE t_e__new_1234abcd.rows (id int)").await;
    let tenants = TenantSelector::Schemas("t_*".to_owned());
    let options = cluster.connection("postgres").options();
    let found = async || {
        let reading = server::read(&options, Some(&tenants), Duration::from_secs(20)).await.expect("answers");
        let tenants = reading.facts.tenants.expect("asked for");
        tenants.into_iter().map(|tenant| tenant.slug).collect::<Vec<_>>()
    };
    // One that was put aside, and one that is empty and not yet marked, are copies.
    assert_eq!(found().await, ["a", "b__old_1234abcd", "e__new_1234abcd", "f__new_1234abcx"]);
    cluster.exec("postgres", "COMMENT ON SCHEMA t_e__new_1234abcd IS 'bkup: loading'").await;
    assert_eq!(found().await, ["a", "b__old_1234abcd", "f__new_1234abcx"]);
}
