//! Log lines for debugging, on standard error, only where `-v` or `BKUP_LOG` asks for them.

use tracing_subscriber::EnvFilter;

use super::args::LogFormat;
use super::context::Context;
use super::failure::CliError;

/// Starts logging where it is asked for. `BKUP_LOG` is a filter such as `bkup=debug`; `-v` is `info`, `-vv` `debug`.
///
/// # Errors
/// Where `BKUP_LOG` is no filter.
pub(super) fn start(context: &Context) -> Result<(), CliError> {
    let filter = match (context.env("BKUP_LOG"), context.global.verbose) {
        (Some(filter), _) => filter,
        (None, 0) => return Ok(()),
        (None, 1) => "bkup=info".to_owned(),
        (None, 2) => "bkup=debug".to_owned(),
        (None, _) => "bkup=trace,info".to_owned(),
    };
    let filter = EnvFilter::try_new(&filter).map_err(|error| {
        CliError::usage(
            format!("BKUP_LOG is {filter:?}: {error}"),
            "write a level or a list such as bkup=debug,sqlx=info",
        )
    })?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(context.ui.err_style.colour);
    // It fails only where a subscriber is set already, as in tests.
    let _ = match context.global.log_format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    Ok(())
}
