//! SQL texts: quoting of names from databases, and the tokens of the statements that PostgreSQL's programs write.
//! Pure. Every name is hostile: nothing goes into a statement or a pattern except through here.

/// Quotes an identifier, always.
#[must_use]
pub fn quote_ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Quotes `schema.table`.
#[must_use]
pub fn quote_qualified(schema: &str, name: &str) -> String {
    format!("{}.{}", quote_ident(schema), quote_ident(name))
}

/// Quotes a string literal. The escape form is used where a backslash is inside, so that the setting
/// `standard_conforming_strings` does not matter.
#[must_use]
pub fn quote_literal(text: &str) -> String {
    let doubled = text.replace('\'', "''");
    if doubled.contains('\\') { format!("E'{}'", doubled.replace('\\', "\\\\")) } else { format!("'{doubled}'") }
}

/// Returns the pattern that matches exactly this name for the programs' `-n`, `-N` and `-t`: inside double quotes all
/// is literal, `*`, `?` and `$` too.
#[must_use]
pub fn exact_pattern(name: &str) -> String {
    quote_ident(name)
}

/// Returns the pattern for a policy's table glob `schema.table`: `*` and `?` match, all other characters stand for
/// themselves with their case kept. A glob without a dot matches tables of any visible schema.
#[must_use]
pub fn table_pattern(glob: &str) -> String {
    let mut out = String::new();
    let mut quoted = false;
    let mut dotted = false;
    for c in glob.chars() {
        let wild = c == '*' || c == '?' || (c == '.' && !dotted);
        dotted |= c == '.';
        if wild == quoted {
            out.push('"');
            quoted = !wild;
        }
        if c == '"' {
            out.push('"');
        }
        out.push(c);
    }
    if quoted {
        out.push('"');
    }
    out
}

/// A token of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// An unquoted word, as written.
    Word(String),
    /// A quoted identifier, unquoted.
    Quoted(String),
    /// A string literal, unquoted.
    Literal(String),
    /// Any other character.
    Sign(char),
}

impl Token {
    /// Returns the name where the token is one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Word(name) | Self::Quoted(name) => Some(name),
            _ => None,
        }
    }

    /// Returns whether the token is this keyword.
    #[must_use]
    pub fn is(&self, keyword: &str) -> bool {
        matches!(self, Self::Word(word) if word.eq_ignore_ascii_case(keyword))
    }
}

/// Splits a statement into tokens; comments are left out. Total: text that ends inside a quote ends the token.
#[must_use]
pub fn tokens(sql: &str) -> Vec<Token> {
    let mut out = Vec::new();
    let mut chars = sql.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            c if c.is_whitespace() => {}
            '"' => out.push(Token::Quoted(quoted(&mut chars, '"', false))),
            '\'' => out.push(Token::Literal(quoted(&mut chars, '\'', false))),
            'E' | 'e' if chars.peek() == Some(&'\'') => {
                chars.next();
                out.push(Token::Literal(quoted(&mut chars, '\'', true)));
            }
            '-' if chars.peek() == Some(&'-') => {
                for c in chars.by_ref() {
                    if c == '\n' {
                        break;
                    }
                }
            }
            c if c.is_alphanumeric() || c == '_' || !c.is_ascii() => {
                let mut word = String::from(c);
                while let Some(&next) = chars.peek() {
                    if !(next.is_alphanumeric() || next == '_' || next == '$' || !next.is_ascii()) {
                        break;
                    }
                    word.push(next);
                    chars.next();
                }
                out.push(Token::Word(word));
            }
            other => out.push(Token::Sign(other)),
        }
    }
    out
}

fn quoted(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, quote: char, escapes: bool) -> String {
    let mut text = String::new();
    while let Some(c) = chars.next() {
        if c == quote {
            if chars.peek() != Some(&quote) {
                break;
            }
            chars.next();
        } else if c == '\\' && escapes {
            if let Some(next) = chars.next() {
                text.push(next);
            }
            continue;
        }
        text.push(c);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Token, quote_ident, quote_literal, table_pattern, tokens};
    use proptest::prelude::*;

    #[test]
    fn globs_keep_their_wildcards_and_quote_all_else() {
        assert_eq!(table_pattern("public.ticket_*"), r#""public"."ticket_"*"#);
        assert_eq!(table_pattern("public.tickets"), r#""public"."tickets""#);
        assert_eq!(table_pattern("*.Audit?"), r#"*."Audit"?"#);
        assert_eq!(table_pattern(r#"a"b.c.d"#), r#""a""b"."c.d""#);
    }

    #[test]
    fn comments_and_signs_are_told_apart() {
        let words: Vec<Token> = tokens("GRANT ALL ON t TO \"we\"\"ird\"; -- TO evil\nx");
        assert_eq!(words[5], Token::Quoted("we\"ird".to_owned()));
        assert_eq!(words[6], Token::Sign(';'));
        assert_eq!(words[7], Token::Word("x".to_owned()));
        assert_eq!(words.len(), 8);
    }

    proptest! {
        #[test]
        fn a_quoted_name_is_one_token_and_the_same_name(name in "\\PC{0,20}|[\"'\\\\\n;*?$. ]{0,20}") {
            prop_assert_eq!(tokens(&quote_ident(&name)), vec![Token::Quoted(name)]);
        }

        #[test]
        fn a_quoted_literal_is_one_token_and_the_same_text(text in "[a-z\"'\\\\\n;é ]{0,20}") {
            prop_assert_eq!(tokens(&quote_literal(&text)), vec![Token::Literal(text)]);
        }
    }
}
