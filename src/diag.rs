//! Diagnostics: what is wrong, where, and what to do about it, as data. Rendering is elsewhere.

use schemars::JsonSchema;
use serde::Serialize;

/// A stable code, `BK` and three digits. A code is never given another meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
pub struct Code(#[schemars(regex(pattern = "^BK[0-9]{3}$"))] pub &'static str);

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It cannot work, or would lose data.
    Error,
    /// It works and is likely not meant.
    Warning,
    /// Worth knowing.
    Note,
}

/// A place in a file: byte offsets into its text, and the line and column (from 1, in characters) of the begin.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub struct Span {
    /// The file as given by the user.
    pub file: String,
    /// The first byte.
    pub begin: usize,
    /// The byte after the last.
    pub end: usize,
    /// The line of the begin, from 1.
    pub line: u32,
    /// The column of the begin, from 1, in characters.
    pub column: u32,
}

/// A second place that explains the first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Related {
    /// Where.
    pub span: Span,
    /// What is there.
    pub words: String,
}

/// One edit of a file: the bytes of a place and what stands there instead.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub struct Edit {
    /// What is replaced; an empty place is an insertion.
    pub span: Span,
    /// The text that takes its place.
    pub text: String,
}

/// A safe way to mend a finding: the policies mean afterwards what the finding's help says, and nothing else changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Fix {
    /// What it does, in the imperative: `quote the value`.
    pub words: String,
    /// The edits, which are made together or not at all.
    pub edits: Vec<Edit>,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Diagnostic {
    /// Its code.
    pub code: Code,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, one sentence without a full stop.
    pub message: String,
    /// Where; absent where there is no source.
    pub span: Option<Span>,
    /// What is said at the place.
    pub label: Option<String>,
    /// Other places.
    pub related: Vec<Related>,
    /// What to do about it: a concrete edit or command.
    pub help: Option<String>,
    /// A safe way to mend it, where there is one; `validate --fix` does it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<Fix>,
}

impl Diagnostic {
    /// Makes a finding without a place.
    #[must_use]
    pub fn new(code: Code, severity: Severity, message: impl Into<String>) -> Self {
        Self {
            code,
            severity,
            message: message.into(),
            span: None,
            label: None,
            related: Vec::new(),
            help: None,
            fix: None,
        }
    }

    /// Makes an error.
    #[must_use]
    pub fn error(code: Code, message: impl Into<String>) -> Self {
        Self::new(code, Severity::Error, message)
    }

    /// Makes a warning.
    #[must_use]
    pub fn warning(code: Code, message: impl Into<String>) -> Self {
        Self::new(code, Severity::Warning, message)
    }

    /// Adds the place.
    #[must_use]
    pub fn at(mut self, span: Span, label: impl Into<String>) -> Self {
        self.span = Some(span);
        self.label = Some(label.into());
        self
    }

    /// Adds another place.
    #[must_use]
    pub fn related(mut self, span: Span, words: impl Into<String>) -> Self {
        self.related.push(Related { span, words: words.into() });
        self
    }

    /// Adds what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds a safe way to mend it, where there is one.
    #[must_use]
    pub fn fixed(mut self, fix: Option<Fix>) -> Self {
        self.fix = fix;
        self
    }
}

/// Any module's error, ready to be rendered once: what failed, its stable code, what to do.
pub trait Explain: std::error::Error {
    /// Returns the error as a finding.
    fn explain(&self) -> Diagnostic;
}
