//! What an object's name says of it. Pure. The forms are those that common scripts write: a time of the scripts' clock,
//! which says no zone, an ending for the format, a folder for tenants.

use jiff::civil::{Date, DateTime, Time};

use crate::domain::{FoundForm, Scope};

/// The endings of backups, the longest first.
const ENDINGS: [(&str, FoundForm); 5] = [
    (".sql.gz", FoundForm::Sql),
    (".tar.gz", FoundForm::DirectoryTar),
    (".tgz", FoundForm::DirectoryTar),
    (".dump", FoundForm::Archive),
    (".pgdump", FoundForm::Archive),
];
/// The endings of what lies beside a backup and tells of it.
const SIDECARS: [&str; 2] = [".sha256", ".meta"];

/// A name understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The form.
    pub form: FoundForm,
    /// What it is of: a database or a tenant, whose name is as the path says it.
    pub scope: Scope,
    /// The time in the name.
    pub civil: DateTime,
    /// Whether the name says the time of day too.
    pub exact: bool,
    /// The keys under which a checksum or facts may lie beside it.
    pub sidecars: Vec<String>,
}

/// What a name is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sorted {
    /// A backup's.
    Backup(Named),
    /// It looks like a backup's, and cannot be taken for one; the reason.
    Refused(String),
    /// Of something that lies beside a backup.
    Sidecar,
    /// Of something else.
    Other,
}

/// Sorts a key.
#[must_use]
pub fn sort(key: &str) -> Sorted {
    let refused = |why: &str| Sorted::Refused(why.to_owned());
    let (folders, file) = key.rsplit_once('/').unwrap_or(("", key));
    if SIDECARS.iter().any(|ending| file.ends_with(ending)) {
        return Sorted::Sidecar;
    }
    let Some((stem, form)) = ENDINGS.iter().find_map(|(ending, form)| Some((file.strip_suffix(ending)?, *form))) else {
        return Sorted::Other;
    };
    let folders: Vec<&str> = folders.split('/').filter(|folder| !folder.is_empty()).collect();
    if folders.contains(&"base") || matches!(stem, "base" | "pg_wal") || stem.starts_with("base_") {
        return refused("it looks like a base backup, which this version of bkup does not restore");
    }
    let Some((name, civil, exact)) = timed(stem) else {
        return refused("its name says no time, such as 20240101_030000, so nobody knows of when it is");
    };
    let Some(civil) = civil else { return refused("the time in its name is none") };
    let scope = match folders.iter().position(|folder| *folder == "tenants") {
        None => Scope::Database,
        Some(at) => match (folders.get(at + 1), name) {
            (Some(folder), "") => Scope::Tenant((*folder).to_owned()),
            (Some(folder), name) if *folder != name => {
                return refused(&format!("its folder is of the tenant {folder:?}, and its name of {name:?}"));
            }
            (_, "") => return refused("it lies among tenants, and its name says of which one it is not"),
            (_, name) => Scope::Tenant(name.to_owned()),
        },
    };
    if scope.tenant().is_some() && form != FoundForm::Archive {
        return refused(
            "a tenant is adopted from a custom-format archive only: from anything else it cannot be told apart",
        );
    }
    let whole = key.len() - (file.len() - stem.len());
    let mut sidecars: Vec<String> = SIDECARS.iter().map(|ending| format!("{key}{ending}")).collect();
    sidecars.extend(SIDECARS.iter().map(|ending| format!("{}{ending}", &key[..whole])));
    Sorted::Backup(Named { form, scope, civil, exact, sidecars })
}

/// Takes the time off the end of a name: `name_YYYYMMDD_HHMMSS` or `name_YYYYMMDD`. The time is absent where the digits
/// are no date.
fn timed(stem: &str) -> Option<(&str, Option<DateTime>, bool)> {
    let is_sign = |c: char| matches!(c, '_' | '-' | 'T' | '.');
    let run = |text: &str| text.len() - text.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let last = run(stem);
    let (date, time, rest) = match last {
        14.. => (&stem[stem.len() - 14..stem.len() - 6], Some(&stem[stem.len() - 6..]), &stem[..stem.len() - 14]),
        8 => (&stem[stem.len() - 8..], None, &stem[..stem.len() - 8]),
        6 => {
            let before = stem[..stem.len() - 6].strip_suffix(is_sign)?;
            if run(before) < 8 {
                return None;
            }
            (&before[before.len() - 8..], Some(&stem[stem.len() - 6..]), &before[..before.len() - 8])
        }
        _ => return None,
    };
    let digits = |text: &str| text.parse::<i16>().ok();
    let small = |text: &str| text.parse::<i8>().ok();
    let civil = (|| {
        let day = Date::new(digits(&date[..4])?, small(&date[4..6])?, small(&date[6..])?).ok()?;
        let time = match time {
            None => Time::midnight(),
            Some(time) => Time::new(small(&time[..2])?, small(&time[2..4])?, small(&time[4..])?, 0).ok()?,
        };
        Some(day.to_datetime(time))
    })();
    Some((rest.trim_end_matches(is_sign), civil, time.is_some()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn backup(key: &str) -> Named {
        match sort(key) {
            Sorted::Backup(named) => named,
            other => panic!("{key}: {other:?}"),
        }
    }

    #[test]
    fn the_names_that_scripts_write_are_understood() {
        for (key, form, scope, at) in [
            ("daily/20240101_030000.dump", FoundForm::Archive, "database", "2024-01-01T03:00:00"),
            ("daily/20240101.dump", FoundForm::Archive, "database", "2024-01-01T00:00:00"),
            ("insightdesk_20240229_235959.dump", FoundForm::Archive, "database", "2024-02-29T23:59:59"),
            ("migrations/pre_migration_20240101_030000.dump", FoundForm::Archive, "database", "2024-01-01T03:00:00"),
            ("full/clinicx_full_20240101_020000.tar.gz", FoundForm::DirectoryTar, "database", "2024-01-01T02:00:00"),
            ("full/backup_20231201.sql.gz", FoundForm::Sql, "database", "2023-12-01T00:00:00"),
            ("tenants/acme/acme_20240101_030000.dump", FoundForm::Archive, "tenant=acme", "2024-01-01T03:00:00"),
            ("tenants/acme_20240101.dump", FoundForm::Archive, "tenant=acme", "2024-01-01T00:00:00"),
            ("tenants/a-7/20240101_030000.dump", FoundForm::Archive, "tenant=a-7", "2024-01-01T03:00:00"),
        ] {
            let named = backup(key);
            assert_eq!((named.form, named.scope.to_string().as_str()), (form, scope), "{key}");
            assert_eq!(named.civil.to_string(), at, "{key}");
        }
        assert!(!backup("daily/20240101.dump").exact);
        let sidecars = backup("daily/20240101_030000.dump").sidecars;
        assert!(sidecars.contains(&"daily/20240101_030000.sha256".to_owned()), "{sidecars:?}");
        assert!(backup("full/b_20231201.sql.gz").sidecars.contains(&"full/b_20231201.sql.gz.meta".to_owned()));
    }

    #[test]
    fn what_cannot_be_told_is_refused_with_its_reason() {
        for (key, why) in [
            ("full/latest.tar.gz", "no time"),
            ("partial_backup.dump", "no time"),
            ("daily/20240230_030000.dump", "is none"),
            ("daily/20240101_250000.dump", "is none"),
            ("tenants/acme/other_20240101_030000.dump", "its folder is of the tenant"),
            ("tenants/20240101_030000.dump", "among tenants"),
            ("base/backup_20240101_030000/base.tar.gz", "base backup"),
            ("tenants/acme/acme_20240101_030000.sql.gz", "custom-format"),
        ] {
            assert!(matches!(sort(key), Sorted::Refused(words) if words.contains(why)), "{key}: {:?}", sort(key));
        }
        for key in ["daily/20240101_030000.sha256", "full/b_20231201.sql.gz.meta"] {
            assert_eq!(sort(key), Sorted::Sidecar);
        }
        for key in
            ["logs/backup_report_20240101.json", "wal/000000010000000000000001", "backups/app/x/archive.dump.zst"]
        {
            assert_eq!(sort(key), Sorted::Other);
        }
    }

    proptest! {
        #[test]
        fn no_name_makes_it_panic(key in "\\PC{0,60}", tail in "(_?[0-9]{0,16}(_[0-9]{0,8})?)(\\.dump|\\.sql\\.gz|)") {
            let _sorted = sort(&format!("{key}{tail}"));
        }
    }
}
