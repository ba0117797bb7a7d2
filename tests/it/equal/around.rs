//! What lies around tables: comments, grants, default privileges, publications, large objects, casts, transforms, text
//! search, foreign data, extensions, event triggers. Security labels are not among them: no server of the tests has a
//! provider for them.

use bkup::engine::sql::quote_ident;

use super::maker::{Maker, ROLES, Thing};

impl Maker {
    /// Makes what the database has once, before anything else.
    pub fn shared_things(&mut self) {
        if self.often(30) {
            self.piece(
                "an access method",
                &[],
                "CREATE ACCESS METHOD \"heap 2\" TYPE TABLE HANDLER heap_tableam_handler;".to_owned(),
            );
        }
        if self.often(60) {
            let (data, comment) = (self.text(), self.text());
            let role = quote_ident(ROLES[0]);
            let sql = format!(
                "SELECT pg_catalog.lo_from_bytea(4711, pg_catalog.convert_to({data}, 'UTF8'));\nCOMMENT ON LARGE OBJECT 4711 IS {comment};\nGRANT SELECT ON LARGE OBJECT 4711 TO {role};\nSELECT pg_catalog.lo_from_bytea(4712, '');"
            );
            self.piece("large objects", &[], sql);
        }
        if self.often(30) {
            let at = self.random.below(self.homes.len() as u64);
            let home = &self.homes[usize::try_from(at).expect("small")];
            let (needs, schema) = (home.piece, quote_ident(&home.schema));
            let name = *self.random.pick(&["citext", "hstore", "pg_trgm"]);
            let piece = self.piece("an extension", &[needs], format!("CREATE EXTENSION {name} SCHEMA {schema};"));
            let home = usize::try_from(at).expect("small");
            self.thing(home, piece, "EXTENSION", name);
        }
        if self.often(20) {
            let role = quote_ident(ROLES[0]);
            self.piece(
                "a grant on a language",
                &[],
                format!("GRANT USAGE ON LANGUAGE plpgsql TO {role}; REVOKE USAGE ON LANGUAGE plpgsql FROM PUBLIC;"),
            );
        }
    }

    /// Makes what is seldom seen in a home.
    pub fn make_odds(&mut self, home: usize) {
        for _ in 0..1 + self.random.below(3) {
            let (raw, name) = self.fresh_in(home);
            let schema = self.homes[home].piece;
            let (needs, sql, noun) = match self.random.below(11) {
                0 => (
                    vec![schema],
                    format!(
                        "CREATE SEQUENCE {name} AS smallint INCREMENT -3 MINVALUE -300 MAXVALUE 9 START 5 CYCLE;\nSELECT pg_catalog.nextval({}::regclass);",
                        bkup::engine::sql::quote_literal(&name)
                    ),
                    "SEQUENCE",
                ),
                1 => (
                    vec![schema],
                    format!("CREATE TEXT SEARCH DICTIONARY {name} (template = simple, stopwords = english);"),
                    "TEXT SEARCH DICTIONARY",
                ),
                2 => (
                    vec![schema],
                    format!(
                        "CREATE TEXT SEARCH CONFIGURATION {name} (copy = pg_catalog.english);\nALTER TEXT SEARCH CONFIGURATION {name} DROP MAPPING FOR url;"
                    ),
                    "TEXT SEARCH CONFIGURATION",
                ),
                3 => (
                    vec![schema],
                    format!(
                        "CREATE TEXT SEARCH PARSER {name} (start = prsd_start, gettoken = prsd_nexttoken, end = prsd_end, lextypes = prsd_lextype);"
                    ),
                    "TEXT SEARCH PARSER",
                ),
                4 => (
                    vec![schema],
                    format!("CREATE CONVERSION {name} FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8;"),
                    "CONVERSION",
                ),
                5 => (
                    vec![schema],
                    format!(
                        "CREATE OPERATOR FAMILY {name} USING btree;\nCREATE OPERATOR CLASS {name} FOR TYPE int4 USING btree FAMILY {name} AS OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >, FUNCTION 1 btint4cmp(int4, int4);"
                    ),
                    "",
                ),
                6 => self.cast_between(home),
                7 => self.transform(home),
                8 => self.foreign_table(home, &name),
                9 => self.event_trigger(home, &raw),
                _ => self.sequence_of_other(home, &name),
            };
            if sql.is_empty() {
                continue;
            }
            let piece = self.piece("something odd", &needs, sql);
            if !noun.is_empty() {
                self.thing(home, piece, noun, &name);
            }
        }
    }

    fn cast_between(&mut self, home: usize) -> (Vec<usize>, String, &'static str) {
        let other = self.whose(home);
        let of = |maker: &Self, at: usize| -> Vec<usize> {
            (0..maker.kinds.len()).filter(|k| maker.kinds[*k].home == at && maker.kinds[*k].noun == "TYPE").collect()
        };
        let (mine, theirs) = (of(self, home), of(self, other));
        let (Some(from), Some(to)) = (self.one(&mine), self.one(&theirs)) else { return (vec![], String::new(), "") };
        if from == to {
            return (vec![], String::new(), "");
        }
        let (from, to) = (self.kinds[from].clone(), self.kinds[to].clone());
        let drop = format!("DROP CAST IF EXISTS ({} AS {});", from.name, to.name);
        let sql = format!(
            "{drop}\nCREATE CAST ({} AS {}) WITH INOUT AS ASSIGNMENT;\nCOMMENT ON CAST ({} AS {}) IS 'a cast';",
            from.name, to.name, from.name, to.name
        );
        (vec![from.piece, to.piece], sql, "")
    }

    fn transform(&mut self, home: usize) -> (Vec<usize>, String, &'static str) {
        let kinds: Vec<usize> =
            (0..self.kinds.len()).filter(|k| self.kinds[*k].home == home && self.kinds[*k].noun == "TYPE").collect();
        let Some(kind) = self.one(&kinds) else { return (vec![], String::new(), "") };
        let kind = self.kinds[kind].clone();
        let sql = format!(
            "CREATE OR REPLACE TRANSFORM FOR {} LANGUAGE plpgsql (FROM SQL WITH FUNCTION pg_catalog.prsd_lextype(internal));",
            kind.name
        );
        (vec![kind.piece], sql, "")
    }

    fn foreign_table(&mut self, home: usize, name: &str) -> (Vec<usize>, String, &'static str) {
        let (wrapper, server, text) = (quote_ident(&self.fresh()), quote_ident(&self.fresh()), self.text());
        let column = self.column_kind(home);
        let mut needs = vec![self.homes[home].piece];
        needs.extend(&column.needs);
        let role = quote_ident(ROLES[0]);
        let sql = format!(
            "CREATE FOREIGN DATA WRAPPER {wrapper};\nCREATE SERVER {server} FOREIGN DATA WRAPPER {wrapper} OPTIONS (\"o\" {text});\n\
             CREATE USER MAPPING FOR {role} SERVER {server} OPTIONS (\"password\" 'p%');\nGRANT USAGE ON FOREIGN SERVER {server} TO {role};\n\
             CREATE FOREIGN TABLE {name} ({} {} OPTIONS (\"c\" {text})) SERVER {server} OPTIONS (\"t\" {text});",
            quote_ident(&column.name),
            column.kind
        );
        (needs, sql, "FOREIGN TABLE")
    }

    fn event_trigger(&mut self, home: usize, raw: &str) -> (Vec<usize>, String, &'static str) {
        let (_, function) = self.fresh_in(home);
        let name = quote_ident(raw);
        let sql = format!(
            "CREATE FUNCTION {function}() RETURNS event_trigger LANGUAGE plpgsql AS $f$ BEGIN NULL; END $f$;\n\
             CREATE EVENT TRIGGER {name} ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION {function}();\n\
             COMMENT ON EVENT TRIGGER {name} IS 'an event trigger';"
        );
        (vec![self.homes[home].piece], sql, "")
    }

    /// A sequence that a column of another schema's table takes its default from: what it needs goes the other way.
    fn sequence_of_other(&mut self, home: usize, name: &str) -> (Vec<usize>, String, &'static str) {
        let other = self.whose(home);
        let Some(table) = self.table_of(other, |table| table.key.is_some() && !table.partitioned) else {
            return (vec![], String::new(), "");
        };
        let column = quote_ident(&self.fresh());
        let literal = bkup::engine::sql::quote_literal(name);
        let sql = format!(
            "CREATE SEQUENCE {name};\nALTER TABLE {} ADD COLUMN {column} bigint;\nALTER TABLE {} ALTER COLUMN {column} SET DEFAULT pg_catalog.nextval({literal}::regclass);",
            table.name, table.name
        );
        (vec![self.homes[home].piece, table.piece, table.key_piece], sql, "SEQUENCE")
    }

    /// Comments, grants, default privileges, publications: over everything.
    pub fn around(&mut self) {
        for thing in self.things.clone() {
            let Thing { home: _, piece, noun, name } = thing;
            if self.often(25) {
                let comment = self.text();
                self.piece("a comment", &[piece], format!("COMMENT ON {noun} {name} IS {comment};"));
            }
            if self.often(30) {
                self.grant(piece, noun, &name);
            }
        }
        for home in 0..self.homes.len() {
            let (schema, piece) = (quote_ident(&self.homes[home].schema), self.homes[home].piece);
            if self.often(40) {
                let (role, owner) = (self.role(), self.default_owner());
                let sql = format!(
                    "ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA {schema} GRANT SELECT, INSERT ON TABLES TO {role};"
                );
                self.piece("default privileges in a schema", &[piece], sql);
            }
        }
        if self.often(30) {
            let (role, owner) = (self.role(), self.default_owner());
            let sql = format!(
                "ALTER DEFAULT PRIVILEGES FOR ROLE {owner} GRANT USAGE ON SEQUENCES TO {role};\nALTER DEFAULT PRIVILEGES FOR ROLE {owner} REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;"
            );
            self.piece("default privileges everywhere", &[], sql);
        }
        self.publications();
    }

    /// Whoever restores is mostly the one whose default privileges count then.
    fn default_owner(&mut self) -> String {
        if self.often(50) { "postgres".to_owned() } else { quote_ident(ROLES[0]) }
    }

    fn grant(&mut self, piece: usize, noun: &str, name: &str) {
        let role = self.role();
        let with = if role == "PUBLIC" || self.often(70) { "" } else { " WITH GRANT OPTION" };
        let (rights, kind) = match noun {
            "TABLE" | "VIEW" | "MATERIALIZED VIEW" | "FOREIGN TABLE" => ("SELECT", "TABLE"),
            "SEQUENCE" => ("USAGE", "SEQUENCE"),
            "SCHEMA" => ("ALL", "SCHEMA"),
            "TYPE" | "DOMAIN" => ("USAGE", "TYPE"),
            "FUNCTION" | "PROCEDURE" => ("EXECUTE", "ROUTINE"),
            _ => return,
        };
        let mut sql = format!("GRANT {rights} ON {kind} {name} TO {role}{with};");
        if ["TYPE", "ROUTINE"].contains(&kind) && self.often(50) {
            sql = format!("REVOKE ALL ON {kind} {name} FROM PUBLIC;");
        }
        if kind == "TABLE" && self.often(20) {
            sql.push_str(&format!("\nREVOKE ALL ON TABLE {name} FROM CURRENT_USER;"));
        }
        self.piece("a grant", &[piece], sql);
        let Some(table) = self.tables.iter().find(|table| table.name == name && table.key.is_some()).cloned() else {
            return;
        };
        if self.often(30) {
            let key = quote_ident(table.key.as_deref().unwrap_or_default());
            let sql = format!("GRANT UPDATE ({key}), REFERENCES ({key}) ON TABLE {name} TO {role};");
            self.piece("a grant on a column", &[table.piece], sql);
        }
    }

    fn publications(&mut self) {
        let homes: Vec<usize> = (0..self.homes.len()).collect();
        for _ in 0..self.random.below(3) {
            let name = quote_ident(&self.fresh());
            let mut needs = Vec::new();
            let parts: Vec<String> = homes
                .iter()
                .filter_map(|home| {
                    self.table_of(*home, |table| table.key.is_some() && !table.partitioned && table.logged)
                })
                .map(|table| {
                    needs.extend([table.piece, table.key_piece]);
                    let key = quote_ident(table.key.as_deref().unwrap_or_default());
                    format!("TABLE ONLY {} WHERE ({key} > 0)", table.name)
                })
                .collect();
            let sql = match self.random.below(4) {
                0 => format!("CREATE PUBLICATION {name} FOR ALL TABLES WITH (publish = 'insert');"),
                1 if parts.is_empty() => continue,
                1 => format!("CREATE PUBLICATION {name} FOR {} WITH (publish = 'insert, truncate');", parts.join(", ")),
                2 => {
                    let schemas: Vec<String> =
                        self.tenants().iter().map(|home| quote_ident(&self.homes[*home].schema)).collect();
                    needs = self.tenants().iter().map(|home| self.homes[*home].piece).collect();
                    format!("CREATE PUBLICATION {name} FOR TABLES IN SCHEMA {};", schemas.join(", "))
                }
                _ => format!("CREATE PUBLICATION {name};\nCOMMENT ON PUBLICATION {name} IS 'of nothing';"),
            };
            self.piece("a publication", &needs, sql);
        }
    }
}
