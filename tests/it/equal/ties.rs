//! What ties tables together and makes them fast: keys, checks, foreign keys over schemas, exclusion, every kind of index,
//! extended statistics.

use bkup::engine::sql::{quote_ident, quote_literal};

use super::maker::{Column, Maker};
use crate::world::cluster::Major;

impl Maker {
    /// Adds what ties the tables of a home.
    pub fn make_ties(&mut self, home: usize) {
        let mine: Vec<usize> = (0..self.tables.len()).filter(|table| self.tables[*table].home == home).collect();
        for table in &mine {
            self.make_key(*table);
        }
        for table in &mine {
            self.make_checks(*table);
            self.make_indexes(*table);
        }
        for _ in 0..1 + self.random.below(3) {
            self.make_foreign_key(home);
        }
        if self.often(40) {
            self.make_exclusion(home);
        }
        if self.major == Major::V18 {
            mine.into_iter().for_each(|table| self.make_not_null(table));
        }
    }

    /// Adds what no row is held against, when nothing writes to the table's rows any more.
    fn make_not_null(&mut self, index: usize) {
        let table = self.tables[index].clone();
        let (Some(column), true) = (table.columns.first().filter(|_| table.partitioned), self.often(60)) else {
            return;
        };
        let name = quote_ident(&self.fresh());
        let sql = format!(
            "ALTER TABLE {} ADD CONSTRAINT {name} NOT NULL {} NOT VALID;",
            table.name,
            quote_ident(&column.name)
        );
        self.piece("an unproven not null", &[table.piece, table.key_piece], sql);
    }

    fn make_key(&mut self, index: usize) {
        let table = self.tables[index].clone();
        let Some(key) = table.key.as_deref().map(quote_ident) else { return };
        let name = quote_ident(&self.fresh());
        let column =
            table.columns.iter().find(|column| column.indexes.contains(&"btree") && !column.kind.ends_with(']'));
        let way = match (self.random.below(10), column) {
            (0, _) => return,
            (1..=5, _) => format!("PRIMARY KEY ({key})"),
            (6, Some(column)) if !table.partitioned => {
                format!("PRIMARY KEY ({key}) INCLUDE ({}) WITH (fillfactor = 55)", quote_ident(&column.name))
            }
            (7, _) if !table.partitioned => format!("PRIMARY KEY ({key}) DEFERRABLE INITIALLY DEFERRED"),
            (8, _) => format!("UNIQUE NULLS NOT DISTINCT ({key})"),
            _ => format!("UNIQUE ({key})"),
        };
        // A key that is checked late cannot be referred to.
        let unique = !way.contains("DEFERRABLE") && !way.contains("NULLS");
        let mut sql = format!("ALTER TABLE {} ADD CONSTRAINT {name} {way};", table.name);
        if self.often(25) {
            let comment = self.text();
            sql.push_str(&format!("\nCOMMENT ON CONSTRAINT {name} ON {} IS {comment};", table.name));
        }
        if self.often(10) && !table.partitioned && unique {
            sql.push_str(&format!("\nALTER TABLE {} CLUSTER ON {name};", table.name));
        }
        if self.often(10) && !table.partitioned && unique {
            sql.push_str(&format!("\nALTER TABLE {} REPLICA IDENTITY USING INDEX {name};", table.name));
        }
        let piece = self.piece("a key", &[table.piece, table.key_piece], sql);
        (self.tables[index].unique, self.tables[index].key_piece) = (unique, piece);
    }

    fn make_checks(&mut self, index: usize) {
        let table = self.tables[index].clone();
        let (true, Some(key)) = (self.often(40), table.key.as_deref().map(quote_ident)) else { return };
        let name = quote_ident(&self.fresh());
        let other = self.whose(table.home);
        let functions: Vec<usize> = (0..self.functions.len()).filter(|f| self.functions[*f].home == other).collect();
        let mut needs = vec![table.piece, table.key_piece];
        let text = self.text();
        let way = match (self.random.below(5), self.one(&functions)) {
            (0, Some(function)) => {
                let function = self.functions[function].clone();
                needs.push(function.piece);
                format!("CHECK ({} IS NOT NULL)", function.name.replace("(bigint)", &format!("({key})")))
            }
            (1, _) if !table.partitioned => format!("CHECK ({key} > 0) NO INHERIT"),
            // Once it is there, no partition can be attached any more. The second row is against it.
            (2, _) => format!("CHECK ({key} <> 2) NOT VALID"),
            (3, _) if self.major == Major::V18 => format!("CHECK ({key} > 100) NOT ENFORCED"),
            _ => format!("CHECK ({key} > 0 OR {key}::text <> {text})"),
        };
        self.piece("a check", &needs, format!("ALTER TABLE {} ADD CONSTRAINT {name} {way};", table.name));
    }

    fn make_indexes(&mut self, index: usize) {
        let table = self.tables[index].clone();
        let places: Vec<Column> = table.columns.iter().take(12).cloned().collect();
        for column in &places {
            let Some(method) = column.indexes.get(usize::try_from(self.random.below(7)).expect("small")).copied()
            else {
                continue;
            };
            let (raw, qualified) = self.fresh_in(table.home);
            let (name, on) = (quote_ident(&raw), quote_ident(&column.name));
            let key = table.key.as_deref().filter(|_| method == "btree").map(quote_ident);
            let tail = match (self.random.below(6), &key) {
                (0, Some(key)) => format!("btree ({on} DESC NULLS LAST, {key}) INCLUDE ({key})"),
                (1, Some(key)) => format!("btree (({key} + 1), {on}) WHERE {on} IS NOT NULL"),
                (2, _) if method == "btree" && column.kind == "text" => {
                    format!("btree (pg_catalog.upper({on}) COLLATE \"C\" text_pattern_ops) WITH (fillfactor = 33)")
                }
                (3, _) if method == "brin" => format!("brin ({on}) WITH (pages_per_range = 7)"),
                (4, _) if method == "gin" => format!("gin ({on}) WITH (fastupdate = off)"),
                _ => format!("{method} ({on})"),
            };
            // Attached later, a partition elsewhere gets the index that it lacks: no order of archives prevents it.
            let only = if table.partitioned && !table.spread && self.often(30) { "ONLY " } else { "" };
            let mut needs = vec![table.piece, table.key_piece];
            needs.extend(&column.needs);
            let mut sql = format!("CREATE INDEX {name} ON {only}{} USING {tail};", table.name);
            if tail.contains("+ 1") && !table.partitioned {
                sql.push_str(&format!("\nALTER INDEX {qualified} ALTER COLUMN 1 SET STATISTICS 99;"));
            }
            if self.often(20) {
                let comment = self.text();
                sql.push_str(&format!("\nCOMMENT ON INDEX {qualified} IS {comment};"));
            }
            self.piece("an index", &needs, sql);
        }
        let ordered: Vec<&Column> =
            places.iter().filter(|c| c.indexes.contains(&"btree") && !c.generated).take(2).collect();
        if let ([one, two], true) = (ordered.as_slice(), self.often(40)) {
            let (one, two) = (quote_ident(&one.name), quote_ident(&two.name));
            let (_, name) = self.fresh_in(table.home);
            let what = match self.random.below(3) {
                0 => format!("(ndistinct, dependencies) ON {one}, {two}"),
                1 => format!("ON {one}, {two}, ({one} IS NULL)"),
                // Alone, what is no more than a column is refused.
                _ => format!("ON ({one}::text || 'x')"),
            };
            let mut sql = format!("CREATE STATISTICS {name} {what} FROM {};", table.name);
            if self.often(30) {
                sql.push_str(&format!("\nALTER STATISTICS {name} SET STATISTICS 55;"));
            }
            let piece = self.piece("statistics", &[table.piece], sql);
            self.thing(table.home, piece, "STATISTICS", &name);
        }
    }

    fn make_foreign_key(&mut self, home: usize) {
        let other = self.whose(home);
        let Some(to) = self.table_of(other, |table| table.unique && table.logged) else { return };
        let Some(from) = self.table_of(home, |table| table.key.is_some()) else { return };
        let (Some(key), Some(from_key)) = (&to.key, &from.key) else { return };
        let name = quote_ident(&self.fresh());
        let (target, column) = (format!("{} ({})", to.name, quote_ident(key)), self.fresh());
        let quoted = quote_ident(&column);
        let mut sql = format!("ALTER TABLE {} ADD COLUMN {quoted} bigint;", from.name);
        if from.rows > 0 && to.rows > 0 {
            let id = quote_ident(from_key);
            sql.push_str(&format!("\nUPDATE {} SET {quoted} = 1 + {id} % {} WHERE {id} <> 2;", from.name, to.rows));
        }
        let way = match self.random.below(6) {
            0 => " ON DELETE CASCADE ON UPDATE SET DEFAULT",
            1 => " ON DELETE SET NULL MATCH FULL DEFERRABLE",
            2 if (!from.partitioned || self.major == Major::V18) && !to.partitioned => " NOT VALID",
            3 => " DEFERRABLE INITIALLY DEFERRED",
            4 if self.major == Major::V18 && !from.partitioned && !to.partitioned => " NOT ENFORCED",
            _ => "",
        };
        let way = way.replace(" ON DELETE SET NULL MATCH FULL", " MATCH FULL ON DELETE SET NULL");
        sql.push_str(&format!(
            "\nALTER TABLE {} ADD CONSTRAINT {name} FOREIGN KEY ({quoted}) REFERENCES {target}{way};",
            from.name
        ));
        self.piece("a foreign key", &[from.piece, from.key_piece, to.piece, to.key_piece], sql);
    }

    fn make_exclusion(&mut self, home: usize) {
        let (_, name) = self.fresh_in(home);
        let (span, constraint) = (quote_ident(&self.fresh()), quote_ident(&self.fresh()));
        let temporal = self.major == Major::V18 && self.often(50);
        let way = if temporal {
            format!("PRIMARY KEY (\"of\", {span} WITHOUT OVERLAPS)")
        } else {
            let late = if self.often(40) { " DEFERRABLE" } else { "" };
            format!("EXCLUDE USING gist (\"of\" WITH =, {span} WITH &&) WHERE (pg_catalog.lower({span}) > 0){late}")
        };
        let comment = quote_literal("no two at once; \\.");
        let sql = format!(
            "CREATE TABLE {name} (\"of\" int4range, {span} int8range, CONSTRAINT {constraint} {way});\n\
             INSERT INTO {name} VALUES ('[1,2)', '[1,5)'), ('[1,2)', '[5,9)'), ('[2,3)', '[1,5)');\n\
             COMMENT ON CONSTRAINT {constraint} ON {name} IS {comment};"
        );
        let piece = self.piece("a table without overlaps", &[self.homes[home].piece], sql);
        self.thing(home, piece, "TABLE", &name);
    }
}
