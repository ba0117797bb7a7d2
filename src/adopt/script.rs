//! A dump as plain SQL, looked through as it passes: whole, and nothing in it that `psql` would run besides SQL.
//!
//! `psql` reads a backslash outside of quotes as a command of its own, and one of these starts a shell. So this follows
//! quotes as `psql` does, and refuses every such command but those that `pg_dump` itself writes.

use std::collections::BTreeSet;

/// The line with which `pg_dump` ends.
const END: &str = "-- PostgreSQL database dump complete";
/// How much of a line is kept to understand it.
const KEPT: usize = 64 * 1024;

/// What was found in a dump.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Script {
    /// The server's version, as a comment says it.
    pub server_version: Option<String>,
    /// The version of `pg_dump`, as a comment says it.
    pub dump_version: Option<String>,
    /// The roles that owners are given to.
    pub roles: BTreeSet<String>,
    /// Tables whose rows are inside.
    pub tables: u64,
    /// Rows that are inside.
    pub rows: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// Between quotes and comments.
    Plain,
    /// Inside `'...'`; with backslash escapes or not, and whether one was just begun.
    Literal { escapes: bool, escaped: bool },
    /// Inside `"..."`.
    Name,
    /// Inside `$tag$...$tag$`.
    Dollar(Vec<u8>),
    /// Inside `/* ... */`, so many deep.
    Comment(u32),
    /// Inside `-- ...`.
    LineComment,
    /// Rows of COPY.
    Rows,
}

/// Looks through a dump piece by piece.
#[derive(Debug)]
pub(super) struct Reader {
    state: State,
    line: Vec<u8>,
    number: u64,
    previous: u8,
    /// The first byte of the name or number that is being read, and how long it is; 0 between them.
    run: (u8, usize),
    /// Right behind a literal: whether it had backslash escapes. A quote there goes on with it.
    reopened: Option<bool>,
    dollar: Option<Vec<u8>>,
    /// Whether the line is a command of psql, which ends with it.
    command: bool,
    complete: bool,
    found: Script,
}

impl Reader {
    /// Begins.
    pub(super) fn new() -> Self {
        Self {
            state: State::Plain,
            line: Vec::new(),
            number: 1,
            previous: b'\n',
            run: (0, 0),
            reopened: None,
            dollar: None,
            command: false,
            complete: false,
            found: Script::default(),
        }
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// What in it would not be SQL to `psql`.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<(), String> {
        for byte in bytes {
            self.byte(*byte)?;
        }
        Ok(())
    }

    fn byte(&mut self, byte: u8) -> Result<(), String> {
        if byte == b'\n' {
            self.end_of_line()?;
        } else {
            // Of what stands in a dollar quote only the end matters, where its tag may stand again.
            if self.line.len() >= KEPT && matches!(self.state, State::Dollar(_)) {
                self.line.drain(..KEPT / 2);
            }
            if self.line.len() < KEPT {
                self.line.push(byte);
            }
        }
        self.previous = if self.command { byte } else { self.step(byte)? };
        Ok(())
    }

    /// Follows one byte; returns what the next one has to know of it: 0 where it was the end of something.
    fn step(&mut self, byte: u8) -> Result<u8, String> {
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80;
        if let Some(mut tag) = self.dollar.take() {
            // `$tag$` opens a quote only where it is no part of a name before it.
            if byte == b'$' {
                self.state = State::Dollar([b"$", tag.as_slice(), b"$"].concat());
                self.line.clear();
                return Ok(0);
            }
            if word(byte) && !(tag.is_empty() && byte.is_ascii_digit()) && tag.len() < 64 {
                tag.push(byte);
                self.dollar = Some(tag);
                return Ok(byte);
            }
            // A parameter, as `$1`.
            self.run = (b'$', 1 + tag.len());
        }
        let number = self.number;
        let unclear = || Err(format!("its line {number} cannot be read as SQL beyond doubt"));
        let run = std::mem::take(&mut self.run);
        let reopened = self.reopened.take();
        let (next, seen) = match &mut self.state {
            State::Plain => match byte {
                b'\'' => {
                    let escapes = match (reopened, run) {
                        (Some(escapes), _) => escapes,
                        (None, (b'e' | b'E', 1)) => true,
                        // Some versions read `1e'...'` as a number and a literal with escapes.
                        (None, (first, _)) if first.is_ascii_digit() || first == b'$' => return unclear(),
                        (None, _) => false,
                    };
                    (Some(State::Literal { escapes, escaped: false }), 0)
                }
                b'"' => (Some(State::Name), 0),
                b'$' if run.1 == 0 => {
                    self.dollar = Some(Vec::new());
                    (None, byte)
                }
                // Behind a number it may open a quote; inside a name it belongs to it.
                b'$' if run.0.is_ascii_digit() || run.0 == b'$' => return unclear(),
                byte if byte == b'$' || word(byte) => {
                    self.run = if run.1 == 0 { (byte, 1) } else { (run.0, run.1 + 1) };
                    (None, byte)
                }
                b'-' if self.previous == b'-' => (Some(State::LineComment), 0),
                b'*' if self.previous == b'/' => (Some(State::Comment(1)), 0),
                b'\\' if self.line.len() == 1 => {
                    // Judged at the line's end, when it is known whole.
                    self.command = true;
                    (None, byte)
                }
                b'\\' => {
                    return Err(format!("its line {number} has a command of psql in it, and only SQL is run"));
                }
                _ => (None, byte),
            },
            State::Literal { escapes, escaped } => {
                if *escaped {
                    *escaped = false;
                } else if *escapes && byte == b'\\' {
                    *escaped = true;
                } else if byte == b'\'' {
                    // A doubled quote opens again at once, and its backslashes mean what they meant.
                    self.reopened = Some(*escapes);
                    self.state = State::Plain;
                    return Ok(0);
                }
                (None, byte)
            }
            State::Name => (if byte == b'"' { Some(State::Plain) } else { None }, 0),
            State::Dollar(tag) => {
                let ends = byte == b'$' && self.line.ends_with(tag);
                (if ends { Some(State::Plain) } else { None }, 0)
            }
            State::Comment(depth) => match (self.previous, byte) {
                (b'*', b'/') => {
                    *depth -= 1;
                    (if *depth == 0 { Some(State::Plain) } else { None }, 0)
                }
                (b'/', b'*') => {
                    *depth += 1;
                    (None, 0)
                }
                _ => (None, byte),
            },
            State::LineComment => (if byte == b'\n' { Some(State::Plain) } else { None }, byte),
            State::Rows => (None, byte),
        };
        if let Some(next) = next {
            self.state = next;
        }
        Ok(seen)
    }

    fn end_of_line(&mut self) -> Result<(), String> {
        let line = std::mem::take(&mut self.line);
        self.number += 1;
        if self.state == State::Rows {
            if line == b"\\." {
                self.state = State::Plain;
            } else {
                self.found.rows += 1;
            }
            return Ok(());
        }
        let text = String::from_utf8_lossy(&line);
        let comment = self.state == State::LineComment;
        if comment && text.trim_end() == END {
            self.complete = true;
        }
        if std::mem::take(&mut self.command) {
            let known = ["\\restrict ", "\\unrestrict "].iter().any(|known| text.starts_with(known));
            let number = self.number - 1;
            let refused = || Err(format!("its line {number} is a command of psql, and only SQL is run"));
            return if known { Ok(()) } else { refused() };
        }
        // With it off, a backslash escapes in every literal, and quotes end elsewhere than here.
        let lower = text.to_ascii_lowercase();
        if lower.contains("standard_conforming_strings") && !lower.contains("standard_conforming_strings = on") {
            return Err("it changes how literals are read, which no dump needs".to_owned());
        }
        if let Some(rest) = text.strip_prefix("-- Dumped from database version ").filter(|_| comment) {
            self.found.server_version = Some(rest.trim().to_owned());
        }
        if let Some(rest) = text.strip_prefix("-- Dumped by pg_dump version ").filter(|_| comment) {
            self.found.dump_version = Some(format!("pg_dump (PostgreSQL) {}", rest.trim()));
        }
        if self.state == State::Plain {
            if text.starts_with("COPY ") && text.trim_end().ends_with(" FROM stdin;") {
                self.found.tables += 1;
                self.state = State::Rows;
            }
            if let Some((_, owner)) = text.trim_end().strip_suffix(';').and_then(|t| t.rsplit_once(" OWNER TO ")) {
                self.found.roles.insert(owner.trim_matches('"').replace("\"\"", "\""));
            }
        }
        Ok(())
    }

    /// Ends it.
    ///
    /// # Errors
    /// Why it is no whole dump.
    pub(super) fn finish(self) -> Result<Script, String> {
        if self.state == State::Rows {
            return Err("it ends within the rows of a table".to_owned());
        }
        if !self.complete {
            return Err("it lacks the line with which pg_dump ends, so it was cut, or is no dump of pg_dump".to_owned());
        }
        Ok(self.found)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Script, String> {
        let mut reader = Reader::new();
        reader.feed(text.as_bytes())?;
        reader.finish()
    }

    const HEAD: &str = "--\n-- PostgreSQL database dump\n--\n\n\\restrict abc\n-- Dumped from database version 17.1\n\
        -- Dumped by pg_dump version 17.2\nSET x = 'a\\';\nCREATE FUNCTION f() AS $_$ begin\n\\! rm\n end $_$;\n\
        ALTER TABLE t OWNER TO \"o\"\"x\";\nCOPY public.t (a) FROM stdin;\n1\n\\N\n\\\\! rm\n\\.\n\n/* \\! /* x */ */\n";

    #[test]
    fn a_whole_dump_is_understood() {
        let found = read(&format!("{HEAD}\n{END}\n--\n\\unrestrict abc\n")).unwrap();
        assert_eq!((found.tables, found.rows), (1, 3));
        assert_eq!(found.server_version.as_deref(), Some("17.1"));
        assert!(found.roles.contains("o\"x"), "{:?}", found.roles);
    }

    #[test]
    fn a_cut_dump_is_none() {
        assert!(read(HEAD).unwrap_err().contains("lacks the line"));
        assert!(read("COPY t (a) FROM stdin;\n1\n").unwrap_err().contains("within the rows"));
    }

    #[test]
    fn commands_of_psql_are_refused_wherever_they_stand() {
        for evil in [
            "\\! rm -rf /\n",
            "SELECT 1; \\! rm\n",
            "SELECT 'a' \\g |sh\n",
            "SELECT E'it\\'s', 1 \\! rm\n",
            "SELECT $a$ x $a$; \\! rm\n",
            "SELECT a$b$c; \\! rm\n",
            "-- x\n\\i /etc/passwd\n",
            "/* x */ \\copy t from program 'sh'\n",
            "\\connect other\n",
            "SELECT E'a'$b$ ' $b$ \\! rm '\n",
            "SELECT 1$b$ ' $b$ \\! rm '\n",
            "SELECT $1$b$ ' $b$ \\! rm '\n",
            "SELECT 1e'\\' \\! rm '\n",
            "SELECT E'a''\\' ' \\! rm\n",
            "SELECT 'a\\' \\! rm '\n",
            "/*/ ' */ \\! rm '\n",
            "SET standard_conforming_strings = off;\nSELECT 'a\\'' \\! rm\n",
            "\\! rm '\n'\n",
        ] {
            assert!(read(&format!("{evil}{END}\n")).is_err(), "{evil}");
        }
    }

    proptest! {
        #[test]
        fn pieces_of_any_size_read_the_same(cut in 1_usize..40) {
            let text = format!("{HEAD}{END}\n");
            let mut reader = Reader::new();
            for piece in text.as_bytes().chunks(cut) {
                reader.feed(piece).unwrap();
            }
            prop_assert_eq!(reader.finish(), read(&text));
        }
    }
}
