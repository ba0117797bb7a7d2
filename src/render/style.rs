//! How text is laid out for one reader: Unicode or ASCII, colour or none, and how wide. Pure.

use super::escape::{ascii, escape};

/// What the reader's terminal can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Whether characters outside ASCII may be written.
    pub unicode: bool,
    /// Whether colour may be. It is never the only signal.
    pub colour: bool,
    /// Columns.
    pub width: usize,
}

impl Style {
    /// A style for files and tests: Unicode, without colour, 100 columns.
    #[must_use]
    pub const fn plain() -> Self {
        Self { unicode: true, colour: false, width: 100 }
    }

    /// Returns a name or sentence from outside as it may be shown: escaped, and in ASCII where the terminal asks.
    #[must_use]
    pub fn name(&self, text: &str) -> String {
        if self.unicode { escape(text) } else { ascii(&escape(text)) }
    }

    /// Colours text that is already escaped.
    #[must_use]
    pub fn paint(&self, tone: Tone, text: &str) -> String {
        if self.colour && !text.is_empty() {
            format!("\u{1b}[{}m{text}\u{1b}[0m", tone.code())
        } else {
            text.to_owned()
        }
    }

    /// Returns a symbol in the reader's alphabet, without colour.
    #[must_use]
    pub const fn symbol(&self, symbol: Symbol) -> &'static str {
        let (unicode, ascii) = symbol.forms();
        if self.unicode { unicode } else { ascii }
    }

    /// Returns a symbol in its colour.
    #[must_use]
    pub fn mark(&self, symbol: Symbol) -> String {
        self.paint(symbol.tone(), self.symbol(symbol))
    }

    /// Returns the separator between facts of one line.
    #[must_use]
    pub const fn dot(&self) -> &'static str {
        if self.unicode { " · " } else { " | " }
    }

    /// Returns a heading.
    #[must_use]
    pub fn heading(&self, text: &str) -> String {
        self.paint(Tone::Strong, text)
    }
}

/// What colour says, beside the words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// It is well.
    Good,
    /// It failed, is refused, or deletes.
    Bad,
    /// Look at this.
    Warn,
    /// Something else: a link, a note.
    Note,
    /// Headings.
    Strong,
    /// Less important.
    Dim,
}

impl Tone {
    const fn code(self) -> &'static str {
        match self {
            Self::Good => "32",
            Self::Bad => "31",
            Self::Warn => "33",
            Self::Note => "36",
            Self::Strong => "1",
            Self::Dim => "2",
        }
    }
}

/// The signs of plans and reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Symbol {
    /// Is made.
    Create,
    /// Is altered.
    Update,
    /// Goes away for good.
    Remove,
    /// Goes and comes back another.
    Replace,
    /// From one value to another.
    Arrow,
    /// Look here: drift, a breach.
    Attention,
    /// Runs.
    Run,
    /// Is pruned; it can be brought back for a while.
    Prune,
    /// Is kept from harm: a guard, a hold.
    Shield,
    /// It is well.
    Good,
    /// It failed.
    Bad,
}

impl Symbol {
    const fn forms(self) -> (&'static str, &'static str) {
        match self {
            Self::Create => ("+", "+"),
            Self::Update => ("~", "~"),
            Self::Remove => ("-", "-"),
            Self::Replace => ("-/+", "-/+"),
            Self::Arrow => ("→", "->"),
            Self::Attention => ("!", "!"),
            Self::Run => ("▶", ">"),
            Self::Prune => ("✂", "8<"),
            Self::Shield => ("⛨", "#"),
            Self::Good => ("✓", "ok"),
            Self::Bad => ("✗", "x"),
        }
    }

    /// Returns its colour.
    #[must_use]
    pub const fn tone(self) -> Tone {
        match self {
            Self::Create | Self::Good => Tone::Good,
            Self::Update | Self::Replace | Self::Attention => Tone::Warn,
            Self::Remove | Self::Prune | Self::Bad => Tone::Bad,
            Self::Arrow => Tone::Dim,
            Self::Run | Self::Shield => Tone::Note,
        }
    }
}
