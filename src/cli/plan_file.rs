//! Plans on disk: written whole or not at all, read with their form and digests checked.

use std::io::Write;
use std::path::Path;

use super::context::Context;
use super::failure::{CliError, reason};
use super::wiring;
use crate::domain::Plan;
use crate::render::read_plan;

/// The largest plan file: some hundred thousand actions.
const LARGEST: u64 = 512 << 20;

/// Whether a plan's digests agree with its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Integrity {
    /// They do.
    Sound,
    /// They do not: it was edited, or written by a version that knows more fields. It may be shown, never applied.
    Altered,
}

/// Reads a plan; `-` is standard input.
///
/// # Errors
/// Where the file cannot be read, is no plan, or is of another major version.
pub fn read(context: &Context, path: &Path) -> Result<(Plan, Integrity), CliError> {
    let name = path.display().to_string();
    let unreadable = |error: std::io::Error| CliError::Unreadable { path: name.clone(), why: reason(&error) };
    let reader: Box<dyn std::io::Read> = if path == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(context.cwd.join(path)).map_err(unreadable)?)
    };
    let mut text = String::new();
    std::io::Read::read_to_string(&mut std::io::Read::take(reader, LARGEST), &mut text).map_err(unreadable)?;
    let plan = read_plan(&text).map_err(|source| CliError::Plan { path: name.clone(), source })?;
    let agrees = wiring::plan_digests(&plan) == (plan.digest, plan.change_digest);
    Ok((plan, if agrees { Integrity::Sound } else { Integrity::Altered }))
}

/// Reads a plan to apply: one whose digests do not agree is refused.
///
/// # Errors
/// As [`read`], and where the plan was altered.
pub fn read_to_apply(context: &Context, path: &Path) -> Result<Plan, CliError> {
    match read(context, path)? {
        (plan, Integrity::Sound) => Ok(plan),
        (_, Integrity::Altered) => Err(CliError::PlanAltered { path: path.display().to_string() }),
    }
}

/// Writes a file whole: beside it first, then in its place, so that a full disk or a kill leaves no half plan that a
/// later job would read.
///
/// # Errors
/// Where it cannot be written.
pub fn write_whole(context: &Context, path: &Path, text: &str) -> Result<(), CliError> {
    let path = context.cwd.join(path);
    let failed = |error: std::io::Error| CliError::unwritable(&path, &error);
    // A device or a pipe cannot be replaced, only written to.
    if std::fs::metadata(&path).is_ok_and(|kind| !kind.is_file()) {
        return std::fs::write(&path, text).map_err(failed);
    }
    let mut beside = path.clone().into_os_string();
    beside.push(format!(".{}.part", std::process::id()));
    let write = || -> std::io::Result<()> {
        let mut file = std::fs::File::create(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&beside, &path)
    };
    write().map_err(|error| {
        // What is left beside is of no use to anyone.
        let _ = std::fs::remove_file(&beside);
        failed(error)
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::Parser;

    use super::write_whole;
    use crate::cli::args::Arguments;
    use crate::cli::context::Context;
    use crate::cli::failure::CliError;

    fn context(dir: &Path) -> Context {
        let mut context = Context::of_process(Arguments::parse_from(["bkup", "schema"]).global).unwrap();
        context.cwd = dir.to_owned();
        context
    }

    #[test]
    fn a_file_is_replaced_whole_and_nothing_else_is_left() {
        let dir = tempfile::tempdir().unwrap();
        for text in ["a longer first plan", "short"] {
            write_whole(&context(dir.path()), Path::new("plan.json"), text).unwrap();
            assert_eq!(std::fs::read_to_string(dir.path().join("plan.json")).unwrap(), text);
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_device_is_written_to_and_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        write_whole(&context(dir.path()), Path::new("/dev/null"), "text").unwrap();
        assert!(!std::fs::metadata("/dev/null").unwrap().is_file());
        let full = write_whole(&context(dir.path()), Path::new("/dev/full"), "text");
        assert!(matches!(full, Err(CliError::Unwritable { why, .. }) if why.contains("no space")));
    }

    #[test]
    fn a_folder_that_is_not_there_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let error = write_whole(&context(dir.path()), Path::new("no/plan.json"), "text").unwrap_err();
        assert!(error.to_string().ends_with("no/plan.json: no such file or directory"), "{error}");
    }
}
