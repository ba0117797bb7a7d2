//! The shell: arguments to requests, wiring, terminal, exit codes.

use std::process::ExitCode;

/// Runs the program with the process's arguments and environment.
#[must_use]
pub fn main() -> ExitCode {
    ExitCode::SUCCESS
}
