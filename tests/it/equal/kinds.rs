//! Types of one's own: enums, domains, composites, ranges, and collations.

use bkup::engine::sql::{quote_ident, quote_literal};

use super::builtin::BUILTIN;
use super::maker::{Kind, Maker};

impl Maker {
    /// Makes some types of a home.
    pub fn make_kinds(&mut self, home: usize) {
        let schema = self.homes[home].piece;
        for _ in 0..1 + self.random.below(3) {
            match self.random.below(9) {
                0..=2 => self.make_enum(home, schema),
                3..=4 => self.make_domain(home, schema),
                5..=6 => self.make_composite(home, schema),
                7 => self.make_range(home, schema),
                _ => {
                    let (_, name) = self.fresh_in(home);
                    let sql = format!("CREATE COLLATION {name} (provider = libc, locale = 'C');");
                    let piece = self.piece("a collation", &[schema], sql);
                    self.thing(home, piece, "COLLATION", &name);
                }
            }
        }
    }

    fn keep(&mut self, kind: Kind) {
        self.thing(kind.home, kind.piece, kind.noun, &kind.name.clone());
        self.kinds.push(kind);
    }

    fn make_enum(&mut self, home: usize, schema: usize) {
        let (_, name) = self.fresh_in(home);
        let values: Vec<String> = (0..1 + self.random.below(4)).map(|_| self.fresh()).collect();
        let labels: Vec<String> = values.iter().map(|value| quote_literal(value)).collect();
        let mut sql = format!("CREATE TYPE {name} AS ENUM ({});", labels.join(", "));
        if self.often(20) {
            sql.push_str(&format!("\nALTER TYPE {name} ADD VALUE {} BEFORE {};", self.text_of("new"), labels[0]));
        }
        let piece = self.piece("an enum", &[schema], sql);
        let indexes = &["btree", "hash"];
        self.keep(Kind { home, piece, name, values, noun: "TYPE", indexes, composite: false });
    }

    fn text_of(&mut self, words: &str) -> String {
        let name = self.fresh();
        quote_literal(&format!("{words} {}", name.chars().take(9).collect::<String>()))
    }

    fn make_domain(&mut self, home: usize, schema: usize) {
        let (_, name) = self.fresh_in(home);
        let other = self.whose(home);
        let enums: Vec<usize> =
            (0..self.kinds.len()).filter(|k| self.kinds[*k].home == other && !self.kinds[*k].composite).collect();
        let (base, values, indexes, mut needs) = match self.one(&enums).filter(|_| self.random.chance(300)) {
            Some(base) => {
                let base = self.kinds[base].clone();
                (base.name, base.values, base.indexes, vec![base.piece])
            }
            None => {
                // Arrays of boxes are written in a way of their own.
                let base = self.random.pick(BUILTIN);
                let base = if base.name == "box" { &BUILTIN[0] } else { base };
                let values = base.values.iter().map(|value| (*value).to_owned()).collect();
                (base.name.to_owned(), values, base.indexes, vec![])
            }
        };
        needs.push(schema);
        let mut sql = format!("CREATE DOMAIN {name} AS {base}");
        if self.often(50) {
            let constraint = self.fresh();
            sql.push_str(&format!(
                " CONSTRAINT {} CHECK (VALUE IS NULL OR pg_catalog.length(VALUE::text) >= 0)",
                quote_ident(&constraint)
            ));
            if self.often(40) {
                let comment = self.text();
                sql.push_str(&format!(
                    ";\nCOMMENT ON CONSTRAINT {} ON DOMAIN {name} IS {comment}",
                    quote_ident(&constraint)
                ));
            }
        }
        sql.push(';');
        let piece = self.piece("a domain", &needs, sql);
        self.keep(Kind { home, piece, name, values, noun: "DOMAIN", indexes, composite: false });
    }

    fn make_composite(&mut self, home: usize, schema: usize) {
        let (_, name) = self.fresh_in(home);
        let mut needs = vec![schema];
        let (mut names, mut fields, mut parts) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..1 + self.random.below(3) {
            let field = quote_ident(&self.fresh());
            let column = self.column_kind(home);
            needs.extend(&column.needs);
            fields.push(format!("{field} {}", column.kind));
            names.push(field);
            parts.push(column.values.first().cloned().unwrap_or_default());
        }
        // A row as text: each field quoted, quotes and backslashes doubled.
        let row = |parts: &[String]| {
            let fields: Vec<String> =
                parts.iter().map(|part| format!("\"{}\"", part.replace('\\', "\\\\").replace('"', "\"\""))).collect();
            format!("({})", fields.join(","))
        };
        let values = vec![row(&parts), format!("({})", ",".repeat(parts.len() - 1))];
        let mut sql = format!("CREATE TYPE {name} AS ({});", fields.join(", "));
        if self.often(30) {
            let quoted = self.text();
            sql.push_str(&format!("\nCOMMENT ON COLUMN {name}.{} IS {quoted};", names[0]));
        }
        let piece = self.piece("a composite type", &needs, sql);
        self.keep(Kind { home, piece, name, values, noun: "TYPE", indexes: &[], composite: true });
    }

    fn make_range(&mut self, home: usize, schema: usize) {
        let (raw, name) = self.fresh_in(home);
        let other = self.whose(home);
        let bases: Vec<usize> = (0..self.kinds.len())
            .filter(|k| {
                self.kinds[*k].home == other
                    && self.kinds[*k].indexes.contains(&"btree")
                    && self.kinds[*k].noun == "TYPE"
            })
            .collect();
        let (base, mut needs) = match self.one(&bases) {
            Some(base) if self.often(50) => (self.kinds[base].name.clone(), vec![self.kinds[base].piece]),
            _ => ((*self.random.pick(&["float8", "text", "inet", "time"])).to_owned(), vec![]),
        };
        needs.push(schema);
        // The server cuts a long name in the middle of a character when it makes one of it, and pg_dump writes that down.
        let multi = if self.often(50) || raw.len() > 51 {
            let (_, multi) = self.fresh_in(home);
            format!(", multirange_type_name = {multi}")
        } else {
            String::new()
        };
        let sql = format!("CREATE TYPE {name} AS RANGE (subtype = {base}{multi});");
        let piece = self.piece("a range type", &needs, sql);
        let values = vec!["empty".to_owned(), "(,)".to_owned()];
        self.keep(Kind {
            home,
            piece,
            name,
            values,
            noun: "TYPE",
            indexes: &["btree", "hash", "gist"],
            composite: false,
        });
    }
}
