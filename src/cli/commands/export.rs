//! `bkup export`: the policies as what runs them: CronJobs, workflows, timers. Offline; what it writes is derived from the
//! policies alone.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::CliError;
use crate::cli::policies;
use crate::cli::session::Session;
use crate::cli::{new_files, plan_file, version};
use crate::policy::export::{Ask, HEADER, Target, export};

/// Arguments of `export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// For what
    #[arg(value_enum, value_name = "TARGET")]
    pub target: To,
    /// Write files below this folder; one that `bkup export` did not write is never replaced
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// kubernetes: the container image [default: bkup:VERSION]
    #[arg(long, value_name = "IMAGE")]
    pub image: Option<String>,
    /// systemd: where the program is
    #[arg(long, value_name = "PATH", default_value = "/usr/local/bin/bkup")]
    pub program: String,
    /// github-actions: the action that steps use [default: none, steps call the program]
    #[arg(long, value_name = "OWNER/REPOSITORY@COMMIT", value_parser = action)]
    pub action: Option<String>,
    /// systemd, github-actions: the policies' folder [default: /etc/bkup/policies; policies]
    #[arg(long, value_name = "DIR")]
    pub folder: Option<String>,
}

/// What the policies can become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum To {
    /// CronJobs.
    #[value(help = None::<&str>)]
    Kubernetes,
    /// Workflows.
    #[value(help = None::<&str>)]
    GithubActions,
    /// Services and timers.
    #[value(help = None::<&str>)]
    Systemd,
}

fn action(text: &str) -> Result<String, String> {
    let (place, mark) = text.split_once('@').ok_or("write owner/repository@commit")?;
    let plain = |word: &str| word.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c)) && !word.is_empty();
    let commit = mark.split(' ').next().unwrap_or_default();
    // A tag can be moved to other code that would then have every secret of the job.
    let pinned = commit.len() == 40 && commit.bytes().all(|b| b.is_ascii_hexdigit());
    let comment = mark.strip_prefix(commit).unwrap_or_default();
    let said = comment.is_empty() || comment.strip_prefix(" # ").is_some_and(plain);
    if plain(place) && pinned && said {
        Ok(text.to_owned())
    } else {
        Err("write owner/repository@commit with the commit's 40 digits".to_owned())
    }
}

/// Writes what was asked for.
///
/// # Errors
/// Where the policies are invalid, or a file is there that is somebody else's.
pub fn run(context: &mut Context, args: &ExportArgs) -> Result<Exit, CliError> {
    let files = policies::read_all(context)?;
    let session = Session::of_files(context, &files)?;
    let (target, folder) = match args.target {
        To::Kubernetes => (Target::Kubernetes, "policies"),
        To::GithubActions => (Target::GithubActions, "policies"),
        To::Systemd => (Target::Systemd, "/etc/bkup/policies"),
    };
    let ask = Ask {
        folder: args.folder.clone().unwrap_or_else(|| folder.to_owned()),
        image: args.image.clone().unwrap_or_else(|| format!("bkup:{}", version::SHORT)),
        program: args.program.clone(),
        action: args.action.clone(),
    };
    let made = export(&session.base, &session.set.catalog_url(), target, &ask);
    match &args.out {
        Some(folder) => write(context, folder, &made)?,
        None => print(context, target, &made),
    }
    Ok(Exit::Success)
}

fn print(context: &Context, target: Target, made: &[(String, String)]) {
    let ui = &context.ui;
    if ui.is_json() {
        let files: serde_json::Map<_, _> =
            made.iter().map(|(name, text)| (name.clone(), text.as_str().into())).collect();
        let json = serde_json::json!({ "format_version": "1.0", "files": files });
        return ui.print(&format!("{json:#}\n"));
    }
    let mut out = String::new();
    for (number, (name, text)) in made.iter().enumerate() {
        match target {
            // One stream of documents, for `kubectl apply -f -`.
            Target::Kubernetes if number > 0 => out.push_str(&format!("---\n{text}")),
            Target::Kubernetes => out.push_str(text),
            _ => out.push_str(&format!("{}# ---- {name} ----\n{text}", if number > 0 { "\n" } else { "" })),
        }
    }
    ui.print(&out);
}

/// Writes the files: new ones, and over those that an earlier export wrote.
fn write(context: &Context, folder: &Path, made: &[(String, String)]) -> Result<(), CliError> {
    let path = |name: &String| folder.join(name);
    let text_of = |name: &String| std::fs::read_to_string(context.cwd.join(path(name)));
    let (mut new, mut old, mut foreign) = (Vec::new(), Vec::new(), Vec::new());
    for (name, text) in made {
        match text_of(name) {
            Ok(there) if there.starts_with(HEADER) => old.push((path(name), text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => new.push((path(name), text.clone())),
            _ => foreign.push(path(name).display().to_string()),
        }
    }
    if !foreign.is_empty() {
        return Err(CliError::WouldOverwrite { paths: foreign });
    }
    new_files::write_new(context, &new)?;
    for (path, text) in old {
        plan_file::write_whole(context, &path, text)?;
    }
    let ui = &context.ui;
    let names: Vec<String> = made.iter().map(|(name, _)| path(name).display().to_string()).collect();
    if ui.is_json() {
        ui.print(&format!("{:#}\n", serde_json::json!({ "format_version": "1.0", "files": names })));
    } else {
        let lines: String = names.iter().map(|name| format!("  {}\n", ui.style.name(name))).collect();
        ui.print(&format!("Wrote\n{lines}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::action;

    #[test]
    fn an_action_is_pinned_to_a_commit() {
        let commit = "0123456789abcdef0123456789abcdef01234567";
        for good in [format!("o/r@{commit}"), format!("o/r/sub@{commit} # v1.2.3")] {
            assert_eq!(action(&good), Ok(good.clone()));
        }
        for bad in [
            "o/r",
            "o/r@v1",
            "o/r@main",
            &format!("o/r@{commit}\n"),
            &format!("o r@{commit}"),
            &format!("o/r@{commit} # a\nb"),
        ] {
            assert!(action(bad).is_err(), "{bad}");
        }
    }
}
