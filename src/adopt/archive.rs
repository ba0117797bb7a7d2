//! Archives of `pg_dump` that a script left: whole or not, and what is inside.

use std::io::Read;

use crate::artifact::TarReader;
use crate::domain::Bytes;
use crate::engine::archive::{ArchiveError, ArchiveReader, Event};
use crate::engine::{DumpScope, DumpSummary, summary_of};

use super::gunzip::gunzip;

/// What a custom-format archive is.
pub(super) struct Inside {
    /// What its table of contents says.
    pub summary: DumpSummary,
    /// How many of its bytes are the archive.
    pub whole: Bytes,
    /// The server's version.
    pub server_version: Option<String>,
    /// The database's name.
    pub datname: Option<String>,
    /// When it says that it was made: seconds, minutes, hours, day, month from 0, years since 1900.
    pub created: [i32; 7],
}

/// Reads a custom-format archive to its end.
pub(super) fn custom(mut source: impl Read) -> Result<Inside, String> {
    let mut reader = ArchiveReader::of_file();
    let mut buffer = vec![0; 256 * 1024];
    let mut bytes: u64 = 0;
    loop {
        let count = source.read(&mut buffer).map_err(|error| error.to_string())?;
        if count == 0 {
            break;
        }
        let seen = reader.feed(&buffer[..count], &mut |_: Event<'_>| Ok::<(), ArchiveError>(()));
        seen.map_err(|error| error.to_string())?;
        bytes += count as u64;
    }
    let whole = reader.ended_at().unwrap_or(bytes);
    let toc = reader.finish().map_err(|error| error.to_string())?;
    let text = |bytes: &Option<Vec<u8>>| bytes.as_ref().map(|b| String::from_utf8_lossy(b).into_owned());
    let mut summary = summary_of(&toc, &DumpScope::Database);
    summary.dump_version =
        text(&toc.header.dump_version).map(|v| format!("pg_dump (PostgreSQL) {v}")).unwrap_or_default();
    Ok(Inside {
        summary,
        whole: Bytes(whole),
        server_version: text(&toc.header.server_version),
        datname: text(&toc.header.database),
        created: toc.header.created,
    })
}

/// Reads a gzipped tar file of a directory-format archive to its end; returns how many data files are in it.
pub(super) fn directory(source: impl Read) -> Result<u64, String> {
    let mut tar = TarReader::new(gunzip(source));
    let (mut toc, mut files, mut base) = (false, 0, false);
    while let Some(member) = tar.next_member().map_err(|error| error.to_string())? {
        let name = member.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        base |= matches!(name.as_str(), "PG_VERSION" | "backup_label" | "pg_control");
        if name == "toc.dat" {
            let mut magic = [0; 5];
            tar.read_exact(&mut magic).map_err(|error| format!("toc.dat: {error}"))?;
            if &magic != b"PGDMP" {
                return Err("its toc.dat is no table of contents".to_owned());
            }
            toc = true;
        } else if name.ends_with(".gz") {
            // What is inside is compressed once more, with a sum of its own.
            std::io::copy(&mut gunzip(&mut tar), &mut std::io::sink()).map_err(|error| format!("{name}: {error}"))?;
            files += 1;
        } else if !member.folder {
            std::io::copy(&mut tar, &mut std::io::sink()).map_err(|error| format!("{name}: {error}"))?;
            files += 1;
        }
    }
    if base {
        return Err("it is a base backup, which this version of bkup does not restore".to_owned());
    }
    if toc { Ok(files) } else { Err("it has no toc.dat, so it is no directory-format archive of pg_dump".to_owned()) }
}
