//! The files of a drill: written below a folder of their own, compared with their list, and removed. They need no server.

use tokio::time::Instant as Monotonic;

use super::checks;
use super::run::{Drill, Seen, Subject, phase};
use crate::domain::{Bytes, Check, CheckResult};
use crate::restore::{self, FilesProof, RestoreError, Workshop};

/// Restores one backup of files and compares it, where the plan asks for a comparison.
pub(super) async fn attempt(
    workshop: &Workshop,
    drill: &Drill,
    subject: &Subject,
    number: usize,
    seen: &mut Seen,
) -> Result<(), RestoreError> {
    let id = subject.part.backup.as_str();
    let folder = workshop.folder.join(format!("bkup-{}-files-{number}", drill.tag));
    let begun = Monotonic::now();
    let opened = seen.blame(&subject.part, restore::open(subject.origin.clone()).await)?;
    seen.phases.push(phase("open key", id, begun));
    // Dropped early, as when the lease is lost, it would leave the folder.
    let _guard = Guard(folder.clone());
    let begun = Monotonic::now();
    let filled = restore::fill_files(&opened, &folder).await;
    let result = match seen.blame(&subject.part, filled) {
        Ok(()) => {
            seen.phases.push(phase("fetch and write", id, begun));
            seen.fetched = seen.fetched.plus(subject.origin.manifest.parts.iter().map(|part| Bytes(part.size)).sum());
            compare(&opened, &folder, drill, subject, seen).await
        }
        Err(error) => Err(error),
    };
    let begun = Monotonic::now();
    let removed = restore::remove_files(folder).await;
    seen.phases.push(phase("remove files", id, begun));
    result.and(removed)
}

async fn compare(
    opened: &restore::Opened,
    folder: &std::path::Path,
    drill: &Drill,
    subject: &Subject,
    seen: &mut Seen,
) -> Result<(), RestoreError> {
    if !drill.work.checks.contains(&Check::TablesEqual) {
        return Ok(());
    }
    let begun = Monotonic::now();
    let compared = restore::prove_files(opened, folder).await;
    let proof = seen.blame(&subject.part, compared)?;
    seen.phases.push(phase("check", &checks::word(&Check::TablesEqual), begun));
    seen.checks.push(result(&proof, subject));
    Ok(())
}

fn result(proof: &FilesProof, subject: &Subject) -> CheckResult {
    let equal = format!("{} files with {} equal", proof.files, proof.bytes);
    let observed = if proof.is_equal() {
        let lacks =
            [(proof.left_out, "left out of the backup"), (proof.unsettled, "changed while they were backed up")];
        let lacks = lacks.iter().filter(|(count, _)| *count > 0).map(|(count, words)| format!("; {count} {words}"));
        std::iter::once(equal).chain(lacks).collect()
    } else {
        format!("{} different: {}", proof.different, proof.examples.join(", "))
    };
    CheckResult {
        check: checks::word(&Check::TablesEqual),
        tenant: None,
        passed: proof.is_equal(),
        observed,
        expected: format!("{} entries as recorded in {}", proof.entries, subject.part.backup),
        differences: Vec::new(),
    }
}

/// Removes a folder when it is dropped.
struct Guard(std::path::PathBuf);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = crate::engine::files::remove_all(&self.0);
    }
}
