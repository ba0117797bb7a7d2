//! Names that hurt: what a schema, a table or a column may be called by someone who means no good, or no harm.

use crate::sim::random::Random;

/// How many bytes PostgreSQL keeps of a name.
const LONGEST: usize = 63;

const ODD: [&str; 34] = [
    "plain",
    "snake_case",
    "UPPER Case",
    "we\"ird",
    "\"\"",
    "o'b\\ack|x",
    "per%cent %s %d",
    "two\nlines",
    "car\rriage\r\n",
    "tab\tbed",
    "\"; DROP SCHEMA public; --",
    "'); DROP TABLE t; --",
    "日本語のテーブル",
    "😀🐘",
    "Ä ö ß",
    "e\u{301}",
    "select",
    "user",
    "$user",
    "$1",
    "dot.ted.name",
    " leading",
    "trailing ",
    "--",
    "/*",
    "*",
    "?|(a)+[b]^$",
    "{brace,}",
    "\\.",
    "\\restrict x",
    "TABLE DATA",
    "SCHEMA public",
    "@:;=<>",
    "\u{1}\u{7f}",
];

/// Returns a name that no other number gets: one of the odd ones, at times filled up to 63 bytes.
pub fn odd(random: &mut Random, number: usize) -> String {
    let base = *random.pick(&ODD);
    let tail = format!("{number}");
    let mut name = String::new();
    let room = LONGEST - tail.len();
    let filled = random.chance(120);
    for c in base.chars().chain("ü".chars().cycle().take(if filled { LONGEST } else { 0 })) {
        if name.len() + c.len_utf8() > room {
            break;
        }
        name.push(c);
    }
    if filled {
        while name.len() < room {
            name.push('x');
        }
    }
    name + &tail
}

/// Returns a text for comments and values that tries the same.
pub fn text(random: &mut Random) -> String {
    let words = [
        "",
        "x",
        "it's",
        "a\nb\r\nc",
        "\\.",
        "\\N",
        "\\",
        "100% %s",
        "-- \n\\connect postgres",
        "\\restrict k\nDROP SCHEMA public CASCADE;",
        "日本語 🐘",
        "tab\tnewline\n",
        "$$ $body$ $_$",
        "\"quoted\"",
        "\u{b}\u{c}\u{8}\u{7f}",
        " ",
    ];
    (*random.pick(&words)).to_owned()
}
