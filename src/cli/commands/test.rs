//! `bkup test`: the tests beside the policies, offline. A test asks the planner itself, over a world that its file
//! describes; nothing outside is looked at.

use std::path::PathBuf;

use clap::Args;

use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::CliError;
use crate::cli::{plan_file, policies};
use crate::diag::{Diagnostic, Severity};
use crate::domain::TrialReport;
use crate::policy;
use crate::render::{findings_summary, trial_json, trial_junit, trial_text};
use crate::trial;

/// Arguments of `test`.
#[derive(Debug, Args)]
pub struct TestArgs {
    /// Test file, or folder of such; repeatable [default: *.bkup-test.yaml beside the policies]
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Only tests whose name contains this
    #[arg(long, value_name = "WORD")]
    pub filter: Option<String>,
    /// Write the results as JUnit XML, too
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
}

/// Runs the tests.
///
/// # Errors
/// Where the policies or the test files are invalid, or there is no test: exit 3.
pub fn run(context: &mut Context, args: &TestArgs) -> Result<Exit, CliError> {
    let files = policies::read_all(context)?;
    let policy::Judged { set, findings, suppressed } = policy::judge(&files, &policy::Facts::at(context.instant()));
    if has_errors(&findings) {
        context.ui.findings(&findings, &suppressed, &policies::sources(&files));
        return Err(CliError::InvalidPolicies { summary: findings_summary(&findings) });
    }
    let mut read = policy::read(&files).1;
    read.retain(|finding| !suppressed.contains(finding));
    let tests = policies::read_tests(context, &args.paths)?;
    let texts = policies::sources(&tests);
    let (mut suite, findings) = trial::read(&tests, &set);
    context.ui.findings(&findings, &[], &texts);
    if has_errors(&findings) {
        return Err(CliError::InvalidTests { summary: findings_summary(&findings) });
    }
    if let Some(word) = &args.filter {
        let all = suite.len();
        suite.filter(word);
        if suite.is_empty() {
            return Err(CliError::NoTests {
                looked: format!("none of {all} has {word:?} in its name"),
                help: "the names are those of `name:` in the test files; their case does not matter",
            });
        }
    }
    let report = trial::run(&suite, &set, &read);
    if let Some(path) = &args.junit {
        plan_file::write_whole(context, path, &trial_junit(&report))?;
    }
    let ui = &context.ui;
    ui.print(&if ui.is_json() { trial_json(&report) } else { trial_text(&report, &texts, &ui.style) });
    Ok(exit(&report))
}

fn has_errors(findings: &[Diagnostic]) -> bool {
    findings.iter().any(|finding| finding.severity == Severity::Error)
}

fn exit(report: &TrialReport) -> Exit {
    if report.counts().1 == 0 { Exit::Success } else { Exit::Failed }
}
