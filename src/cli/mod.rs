//! The shell: arguments to requests, wiring, terminal, exit codes.

pub mod args;
pub mod commands;
pub mod context;
pub mod exit;
pub mod failure;
pub mod github;
pub mod lives;
pub mod mend;
pub mod new_files;
pub mod output;
pub mod plan_file;
pub mod policies;
pub mod prices;
pub mod progress;
pub mod rewrite;
pub mod session;
pub mod survey;
pub mod ui;
pub mod wiring;

mod demo;
mod formats;
mod logging;
mod signal;
pub(crate) mod version;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};

use args::{Arguments, Command};
use context::Context;
use exit::Exit;
use failure::CliError;

use crate::diag::Explain;
use crate::render::{Sources, diagnostics_text};

/// Runs the program with the process's arguments and environment.
#[must_use]
pub fn main() -> ExitCode {
    let (out_style, err_style) = context::bare_styles();
    let command = Arguments::command().term_width(out_style.width.min(100));
    let arguments = match command.try_get_matches_from(std::env::args_os()) {
        Ok(matches) => Arguments::from_arg_matches(&matches),
        Err(error) => Err(error),
    };
    let arguments = match arguments {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are no errors; everything else is wrong usage, for which clap says 2.
            let wrong = error.use_stderr();
            let style = if wrong { err_style } else { out_style };
            let text = error.render();
            context::bare_print(&if style.colour { text.ansi().to_string() } else { text.to_string() }, wrong);
            return if wrong { Exit::Usage.into() } else { Exit::Success.into() };
        }
    };
    let mut context = match Context::of_process(arguments.global) {
        Ok(context) => context,
        Err(error) => {
            let text = diagnostics_text(&[error.explain()], &Sources::new(), &err_style);
            context::bare_print(&text, true);
            return error.exit().into();
        }
    };
    run(&mut context, arguments.command).into()
}

/// Runs one command and returns how it ended. Whatever it failed with is shown here, once.
pub fn run(context: &mut Context, command: Command) -> Exit {
    let started = formats::check(context.global.format, &command).and_then(|()| logging::start(context));
    let tells = command.tells_how_it_ended();
    let exit = finish(context, started, command);
    if tells {
        github::ended(context, exit);
    }
    exit
}

fn finish(context: &mut Context, started: Result<(), CliError>, command: Command) -> Exit {
    let exit = match started.and_then(|()| dispatch(context, command)) {
        Ok(exit) => exit,
        Err(error) => {
            let finding = error.explain();
            context.ui.failure(&finding);
            github::annotate(context, &[finding], &Sources::new());
            error.exit()
        }
    };
    if let Some(exit) = context.stopped_by() {
        return exit;
    }
    if let (Some(why), Exit::Success) = (context.ui.out.failure(), exit) {
        let error = CliError::Unwritable { path: "standard output".to_owned(), why };
        context.ui.failure(&error.explain());
        return error.exit();
    }
    exit
}

fn dispatch(context: &mut Context, command: Command) -> Result<Exit, CliError> {
    match command {
        Command::Adopt(args) => commands::adopt::run(context, &args),
        Command::Validate(args) => commands::validate::run(context, &args),
        Command::Test(args) => commands::test::run(context, &args),
        Command::Explain(args) => commands::explain::run(context, &args),
        Command::Init(args) => commands::init::run(context, &args),
        Command::Import(args) => commands::import::run(context, &args),
        Command::Fmt(args) => commands::fmt::run(context, &args),
        Command::Schema(args) => commands::schema::run(context, &args),
        Command::Plan(args) => commands::plan::run(context, &args),
        Command::Drift(args) => commands::drift::run(context, &args),
        Command::Apply(args) => commands::apply::run(context, &args),
        Command::Status(args) => commands::status::run(context, &args),
        Command::List(args) => commands::list::run(context, &args),
        Command::Logs(args) => commands::logs::run(context, &args),
        Command::Cancel(args) => commands::cancel::run(context, &args),
        Command::Orphans(args) => commands::orphans::run(context, &args),
        Command::Undelete(args) => commands::undelete::run(context, &args),
        Command::Erase(args) => commands::erase::run(context, &args),
        Command::Restore(args) => commands::restore::run(context, &args),
        Command::Backup(args) => commands::backup::run(context, &args),
        Command::Drill(args) => commands::drill::run(context, &args),
        Command::Simulate(args) => commands::simulate::run(context, &args),
        Command::Show(args) => commands::show::run(context, &args),
        Command::Export(args) => commands::export::run(context, &args),
        Command::Catalog(args) => commands::catalog::run(context, &args),
        Command::Audit(args) => commands::audit::run(context, &args),
        Command::Key(args) => commands::key::run(context, &args),
        Command::Demo(args) => commands::demo::run(context, &args),
        Command::Completions(args) => commands::completions::run(context, &args),
        Command::Man(args) => commands::man::run(context, &args),
    }
}
