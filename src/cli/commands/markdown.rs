//! The options that write a result as Markdown beside the text, shared by `plan`, `apply`, `show` and `status`.

use std::path::PathBuf;

use clap::Args;

use crate::cli::context::Context;
use crate::cli::failure::CliError;
use crate::cli::plan_file;
use crate::render::Markdown;

/// How a result becomes Markdown.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Markdown")]
pub struct MarkdownArgs {
    /// Write the result as Markdown beside the text
    #[arg(long, value_name = "FILE")]
    pub md_out: Option<PathBuf>,
    /// How long that may be, in bytes; deletions, refusals and breaches are never cut
    #[arg(long, value_name = "BYTES", default_value_t = 60_000, hide_short_help = true)]
    pub md_max_bytes: usize,
    /// Tells the comments of several policy sets on one pull request apart
    #[arg(long, value_name = "KEY", default_value = "default", value_parser = key, hide_short_help = true)]
    pub md_key: String,
}

fn key(text: &str) -> Result<String, String> {
    // It stands in an HTML comment.
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    if plain && !text.is_empty() && text.len() <= 64 && !text.contains("--") && !text.ends_with('-') {
        Ok(text.to_owned())
    } else {
        Err("write at most 64 letters, digits, dots, underscores and single dashes".to_owned())
    }
}

impl MarkdownArgs {
    /// Writes the result where asked, and says where it is longer than asked.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn write(&self, context: &Context, make: impl FnOnce() -> Markdown) -> Result<(), CliError> {
        let Some(path) = &self.md_out else { return Ok(()) };
        let made = make();
        self.warn(context, &made);
        plan_file::write_whole(context, path, &made.text)
    }

    /// Says where a text is longer than asked.
    pub fn warn(&self, context: &Context, made: &Markdown) {
        if !made.fits {
            context.ui.note(&format!(
                "the Markdown has {} bytes, more than --md-max-bytes {}: refusals, deletions and breaches are never cut",
                made.text.len(),
                self.md_max_bytes
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::key;

    #[test]
    fn a_key_cannot_end_the_comment_it_stands_in() {
        for good in ["default", "prod.eu_1", "a-b"] {
            assert!(key(good).is_ok(), "{good}");
        }
        for bad in ["", "a b", "-->", "a--b", "a-", "ä", "<x>", &"a".repeat(65)] {
            assert!(key(bad).is_err(), "{bad}");
        }
    }
}
