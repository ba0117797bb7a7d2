//! From bytes to trees: the texts of the files, places in them, and YAML with every scalar as it was written. Pure.

mod lexeme;
mod node;
mod source;
mod syntax;
mod yaml;

pub(super) use lexeme::{Lexeme, LexemeKind, Word, comments_of, lexemes, meaning};
pub(super) use node::surely;
pub(crate) use node::{Entry, Kind, Meaning, Node, Style, shown, similar};
pub(crate) use source::{Place, Places, Sources};
pub(crate) use yaml::{MOST_FINDINGS, parse};
