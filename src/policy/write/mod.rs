//! Writes policies as text that people keep: comments where a choice needs its reason, quotes where YAML or the
//! language demands them. Pure. What is written here always reads back without an error; hostile names, texts and
//! secrets are made harmless on the way in, not trusted.

mod aside;
mod comment;
mod draft;
mod names;
mod scalar;
mod spec;
mod tree;

pub(super) use aside::{alerts_lines, channel_lines, mark_lines};
pub(super) use comment::{harmless, label};
pub(super) use draft::{Draft, Part};
pub(super) use names::{Names, name_of};
pub(super) use spec::{
    class_lines, database_lines, guards_lines, plan_lines, retention_lines, schedule_lines, store_lines, when_value,
};
pub(super) use tree::{Line, Value, duration, variable};

#[cfg(test)]
mod tests;
