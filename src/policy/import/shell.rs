//! A shell text as simple commands, as far as finding programs in it needs. Pure. Nothing is expanded or run; what a
//! shell would read differently ends as a word that no program is called.

/// The longest text that is looked at.
const MOST_BYTES: usize = 64 << 10;
/// After so many commands nobody looks on.
const MOST_COMMANDS: usize = 200;

/// One command: its words with quotes removed and expansions left as written, and where its output goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Command {
    /// Program and arguments, with what stands before them.
    pub words: Vec<String>,
    /// The file that standard output is redirected to.
    pub out: Option<String>,
}

/// Splits a text into commands, in order.
pub(super) fn commands(text: &str) -> Vec<Command> {
    let end = (0..=text.len().min(MOST_BYTES)).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let mut lexer = Lexer { chars: text[..end].chars().collect(), at: 0, word: None, redirect: None, all: Vec::new() };
    lexer.all.push(Command::default());
    lexer.run();
    lexer.all.retain(|command| !command.words.is_empty() || command.out.is_some());
    lexer.all
}

struct Lexer {
    chars: Vec<char>,
    at: usize,
    word: Option<String>,
    /// Whether the next word is a file, and of standard output.
    redirect: Option<bool>,
    all: Vec<Command>,
}

impl Lexer {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn push(&mut self, c: char) {
        self.word.get_or_insert_default().push(c);
    }

    fn end_word(&mut self) {
        let Some(word) = self.word.take() else { return };
        let Some(command) = self.all.last_mut() else { return };
        match self.redirect.take() {
            Some(true) => command.out = Some(word),
            Some(false) => {}
            None => command.words.push(word),
        }
    }

    fn end_command(&mut self) {
        self.end_word();
        self.redirect = None;
        self.all.push(Command::default());
    }

    fn run(&mut self) {
        while let Some(c) = self.peek(0) {
            if self.all.len() > MOST_COMMANDS {
                return;
            }
            self.at += 1;
            match c {
                '\n' | ';' | '|' | '(' | ')' => self.end_command(),
                '&' if self.peek(0) == Some('>') => {
                    self.end_word();
                    self.at += 1;
                    self.redirect_to(true);
                }
                '&' => self.end_command(),
                '>' | '<' => {
                    let fd = self.word.as_ref().is_some_and(|word| word.chars().all(|c| c.is_ascii_digit()));
                    let stdout = if fd { self.word.take().as_deref() == Some("1") } else { true };
                    self.end_word();
                    self.redirect_to(c == '>' && stdout);
                }
                '#' if self.word.is_none() => {
                    while self.peek(0).is_some_and(|c| c != '\n') {
                        self.at += 1;
                    }
                }
                '\'' => self.quoted('\''),
                '"' => self.quoted('"'),
                '\\' => match self.peek(0) {
                    Some('\n') => self.at += 1,
                    Some(c) => {
                        self.at += 1;
                        self.push(c);
                    }
                    None => {}
                },
                '$' if matches!(self.peek(0), Some('(' | '{')) => self.expansion(),
                '`' => {
                    self.push('`');
                    self.until('`');
                }
                c if c.is_whitespace() => self.end_word(),
                c => self.push(c),
            }
        }
        self.end_word();
    }

    fn redirect_to(&mut self, stdout: bool) {
        while matches!(self.peek(0), Some('>' | '<' | '|')) {
            self.at += 1;
        }
        if self.peek(0) == Some('&') {
            self.at += 1;
            while self.peek(0).is_some_and(|c| c.is_ascii_digit() || c == '-') {
                self.at += 1;
            }
            return;
        }
        self.redirect = Some(stdout);
    }

    fn quoted(&mut self, quote: char) {
        self.word.get_or_insert_default();
        while let Some(c) = self.peek(0) {
            self.at += 1;
            match c {
                c if c == quote => return,
                '\\' if quote == '"' && matches!(self.peek(0), Some('"' | '\\' | '$' | '`' | '\n')) => {
                    let c = self.peek(0).unwrap_or('\\');
                    self.at += 1;
                    if c != '\n' {
                        self.push(c);
                    }
                }
                '$' if quote == '"' && matches!(self.peek(0), Some('(' | '{')) => self.expansion(),
                c => self.push(c),
            }
        }
    }

    /// Takes `$(...)` or `${...}` into the word as it stands.
    fn expansion(&mut self) {
        let mut depth = 0_usize;
        self.push('$');
        while let Some(c) = self.peek(0) {
            self.at += 1;
            self.push(c);
            match c {
                '(' | '{' => depth += 1,
                ')' | '}' => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        return;
                    }
                }
                '\'' => self.until('\''),
                _ => {}
            }
        }
    }

    fn until(&mut self, end: char) {
        while let Some(c) = self.peek(0) {
            self.at += 1;
            self.push(c);
            if c == end {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::commands;

    fn words(text: &str) -> Vec<Vec<String>> {
        commands(text).into_iter().map(|command| command.words).collect()
    }

    #[test]
    fn quotes_pipes_and_expansions_are_read_as_a_shell_does() {
        assert_eq!(
            words("PGPASSWORD='a b' pg_dump \"$DB\" | gzip -9"),
            [vec!["PGPASSWORD=a b", "pg_dump", "$DB"], vec!["gzip", "-9"]]
        );
        assert_eq!(
            words("cd /x && pg_dump -d a\\ b; echo $(date +'%F )' | x) # done"),
            [vec!["cd", "/x"], vec!["pg_dump", "-d", "a b"], vec!["echo", "$(date +'%F )' | x)"]]
        );
        assert_eq!(words("a \\\n  b `c d`"), [["a", "b", "`c d`"]]);
    }

    #[test]
    fn only_standard_output_says_where_a_backup_goes() {
        let out = |text: &str| commands(text)[0].out.clone();
        assert_eq!(out("pg_dump x > /b/x.sql 2>&1").as_deref(), Some("/b/x.sql"));
        assert_eq!(out("pg_dump x >>/b/x.sql").as_deref(), Some("/b/x.sql"));
        assert_eq!(out("pg_dump x 2> /var/log/e"), None);
        assert_eq!(out("pg_dump x &>/b/all").as_deref(), Some("/b/all"));
        assert_eq!(out("pg_restore < /b/x"), None);
    }

    #[test]
    fn what_never_ends_ends() {
        for text in ["'", "\"$(", "${${${", "`", "\\", ">", "2>&", "a'b"] {
            let _ = commands(text);
        }
        assert!(commands(&"a;".repeat(100_000)).len() <= 201);
    }
}
