//! Plans, reports and status in Markdown: for comments on pull requests and for step summaries. Pure.
//!
//! What stands here is read on a page that obeys more than Markdown, beside an approval. Two rules follow: text from
//! outside is shown and never obeyed ([`inline`]), and no limit hides what is lost ([`plan`]).

mod deletions;
mod inline;
mod objectives;
mod plan;
mod report;
mod split;
mod work;

pub use plan::{Markdown, PlanMarkdown, marker, plan_markdown};
pub use report::{report_markdown, status_markdown};
pub use split::clipped;
