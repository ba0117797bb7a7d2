//! From bytes to trees: the texts of the files, places in them, and YAML with every scalar as it was written. Pure.

mod lexeme;
mod node;
mod source;
mod syntax;
mod yaml;

pub(super) use lexeme::{Lexeme, LexemeKind, Word, comments_of, lexemes, meaning};
pub(super) use node::{Entry, Kind, Meaning, Node, Style, shown, similar, surely};
pub(super) use source::{Place, Places, Sources};
pub(super) use yaml::{MOST_FINDINGS, parse};
