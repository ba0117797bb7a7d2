//! What has a body: functions, procedures, aggregates, operators, views, rules, triggers, policies.

use bkup::engine::sql::quote_ident;

use super::maker::{Maker, Thing};

impl Maker {
    /// Makes some functions of a home.
    pub fn make_functions(&mut self, home: usize) {
        let schema = self.homes[home].piece;
        let (_, name) = self.fresh_in(home);
        let body = self.text().replace("$f$", "");
        let sql = format!(
            "CREATE FUNCTION {name}(bigint) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 3 AS $f$ SELECT $1 + 0 * pg_catalog.length({body}) $f$;"
        );
        let piece = self.piece("a function", &[schema], sql);
        let called = format!("{name}(bigint)");
        let thing = self.thing(home, piece, "FUNCTION", &called);
        self.functions.push(thing);

        let (_, name) = self.fresh_in(home);
        let sql = format!(
            "CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql SET \"work_mem\" TO '8MB' AS $f$ BEGIN\n-- {}\nIF TG_OP = 'DELETE' THEN RETURN OLD; END IF; RETURN NEW; END $f$;",
            name.replace(['\n', '\r'], " ")
        );
        let piece = self.piece("a function of triggers", &[schema], sql);
        let called = format!("{name}()");
        let thing = self.thing(home, piece, "FUNCTION", &called);
        self.triggers.push(thing);
        for _ in 0..self.random.below(3) {
            self.make_routine(home);
        }
    }

    fn make_routine(&mut self, home: usize) {
        let other = self.whose(home);
        let (_, name) = self.fresh_in(home);
        let column = self.column_kind(other);
        let mut needs = vec![self.homes[home].piece];
        needs.extend(&column.needs);
        let kind = &column.kind;
        let (argument, text) = (quote_ident(&column.name), self.text());
        let owner = self.maybe_owner(" OWNER TO ");
        let (sql, noun, called) = match self.random.below(7) {
            0 => (
                format!(
                    "CREATE FUNCTION {name}(IN {argument} {kind} DEFAULT NULL, OUT \"a b\" int, OUT c {kind}) LANGUAGE plpgsql STABLE STRICT SECURITY DEFINER LEAKPROOF AS $f$ BEGIN c := $1; \"a b\" := 1; END $f$;"
                ),
                "FUNCTION",
                format!("{name}({kind})"),
            ),
            1 => (
                format!(
                    "CREATE FUNCTION {name}(VARIADIC {argument} int[] DEFAULT '{{1}}') RETURNS TABLE (x {kind}, \"y z\" text) LANGUAGE sql ROWS 7 AS $f$ SELECT NULL::{kind}, {text} $f$;"
                ),
                "FUNCTION",
                format!("{name}(VARIADIC int[])"),
            ),
            2 => (
                format!(
                    "CREATE PROCEDURE {name}({argument} {kind}) LANGUAGE plpgsql AS $f$ BEGIN RAISE NOTICE '%', $1; END $f$;"
                ),
                "PROCEDURE",
                format!("{name}({kind})"),
            ),
            3 => (
                format!(
                    "CREATE FUNCTION {name}({argument} {kind}) RETURNS SETOF {kind} LANGUAGE sql\nBEGIN ATOMIC\n  SELECT $1 AS \"s\\n%\" WHERE $1 IS NOT NULL;\n  SELECT $1 AS a;\nEND;"
                ),
                "FUNCTION",
                format!("{name}({kind})"),
            ),
            4 => (
                format!(
                    "CREATE AGGREGATE {name}(bigint) (SFUNC = pg_catalog.int8pl, STYPE = bigint, INITCOND = '7', COMBINEFUNC = pg_catalog.int8pl, PARALLEL = SAFE);"
                ),
                "AGGREGATE",
                format!("{name}(bigint)"),
            ),
            5 => {
                let schema = quote_ident(&self.homes[home].schema);
                let sign = self.sign();
                (
                    format!(
                        "CREATE FUNCTION {name}({kind}, text) RETURNS bool LANGUAGE sql IMMUTABLE AS $f$ SELECT true $f$;\nCREATE OPERATOR {schema}.{sign} (FUNCTION = {name}, LEFTARG = {kind}, RIGHTARG = text, RESTRICT = eqsel);"
                    ),
                    "FUNCTION",
                    format!("{name}({kind}, text)"),
                )
            }
            _ => (
                format!(
                    "CREATE FUNCTION {name}({argument} {kind}) RETURNS text LANGUAGE sql AS $f$ SELECT NULL::text $f$;"
                ),
                "FUNCTION",
                format!("{name}({kind})"),
            ),
        };
        let owned = if owner.is_empty() { String::new() } else { format!("\nALTER {noun} {called}{owner};") };
        let piece = self.piece("a routine", &needs, sql + &owned);
        self.thing(home, piece, noun, &called);
    }

    /// Makes some views of a home, over tables and over other views.
    pub fn make_views(&mut self, home: usize) {
        for _ in 0..1 + self.random.below(4) {
            let other = self.whose(home);
            let (raw, name) = self.fresh_in(home);
            let within = quote_ident(&raw);
            let mut needs = vec![self.homes[home].piece];
            let below: Vec<usize> = (0..self.views.len()).filter(|v| self.views[*v].0.home == other).collect();
            let (from, column) = match self.one(&below).filter(|_| self.random.chance(350)) {
                Some(view) => {
                    let (view, column) = self.views[view].clone();
                    needs.push(view.piece);
                    (view.name, column)
                }
                None => {
                    let Some(table) = self.table_of(other, |table| table.key.is_some()) else { continue };
                    needs.extend([table.piece, table.key_piece]);
                    (table.name, table.key.unwrap_or_default())
                }
            };
            let over_table = self.tables.iter().any(|table| table.name == from);
            let (column, shown, text) = (quote_ident(&column), self.fresh(), self.text());
            let out = quote_ident(&shown);
            let (sql, noun) = match self.random.below(8) {
                0 => (
                    format!(
                        "CREATE VIEW {name} AS SELECT {column} AS {out}, {text}::text AS \"t%\" FROM {from} GROUP BY {column};"
                    ),
                    "VIEW",
                ),
                1 if over_table => (
                    format!(
                        "CREATE VIEW {name} ({out}) WITH (security_barrier) AS SELECT {column} FROM {from} WHERE {column} > 0 WITH CASCADED CHECK OPTION;"
                    ),
                    "VIEW",
                ),
                2 => (
                    format!(
                        "CREATE VIEW {name} WITH (security_invoker = true) AS SELECT {column} AS {out}, pg_catalog.count(*) AS n FROM {from} AS \"o'\" GROUP BY 1 HAVING pg_catalog.count(*) > 0;"
                    ),
                    "VIEW",
                ),
                3 => (
                    format!(
                        "CREATE RECURSIVE VIEW {name} ({out}) AS SELECT {column} FROM {from} UNION SELECT {out} + 1 FROM {within} WHERE {out} < 3;"
                    ),
                    "VIEW",
                ),
                4 => (
                    format!(
                        "CREATE MATERIALIZED VIEW {name} AS SELECT {column} AS {out}, {text}::text AS \"t%\" FROM {from} WITH NO DATA;"
                    ),
                    "MATERIALIZED VIEW",
                ),
                5 | 6 => (
                    format!(
                        "CREATE MATERIALIZED VIEW {name} WITH (fillfactor = 66) AS SELECT {column} AS {out} FROM {from};\nCREATE INDEX ON {name} ({out});"
                    ),
                    "MATERIALIZED VIEW",
                ),
                _ => (
                    format!(
                        "CREATE VIEW {name} AS SELECT a.{column} AS {out}, b.{column} AS \"b b\" FROM {from} a LEFT JOIN {from} b USING ({column});"
                    ),
                    "VIEW",
                ),
            };
            // An unfilled one cannot be read while others are filled.
            let readable = !sql.contains("NO DATA");
            let piece = self.piece("a view", &needs, sql);
            let thing = self.thing(home, piece, noun, &name);
            if noun == "VIEW" && self.often(25) {
                let rule = quote_ident(&self.fresh());
                let sql = format!(
                    "CREATE RULE {rule} AS ON DELETE TO {name} DO INSTEAD NOTHING;\nCOMMENT ON RULE {rule} ON {name} IS {text};"
                );
                self.piece("a rule", &[piece], sql);
            }
            if readable {
                self.views.push((thing, shown));
            }
        }
    }

    /// Makes triggers and policies of a home's tables.
    pub fn make_triggers(&mut self, home: usize) {
        for _ in 0..self.random.below(4) {
            let other = self.whose(home);
            let functions: Vec<usize> = (0..self.triggers.len()).filter(|f| self.triggers[*f].home == other).collect();
            let Some(function) = self.one(&functions) else { continue };
            let Thing { piece: needed, name: call, .. } = self.triggers[function].clone();
            let Some(table) = self.table_of(home, |table| table.key.is_some()) else { continue };
            let (name, on) = (quote_ident(&self.fresh()), &table.name);
            let key = quote_ident(table.key.as_deref().unwrap_or_default());
            let text = self.text();
            let mut sql = match self.random.below(5) {
                0 => format!(
                    "CREATE TRIGGER {name} BEFORE INSERT OR UPDATE OF {key} ON {on} FOR EACH ROW WHEN (NEW.{key} > 0) EXECUTE FUNCTION {};",
                    call.strip_suffix("()").map(|call| format!("{call}({text}, 'a\\000b')")).unwrap_or_default()
                ),
                1 if !table.partitioned => format!(
                    "CREATE TRIGGER {name} AFTER UPDATE ON {on} REFERENCING OLD TABLE AS \"o%\" NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION {call};"
                ),
                2 => format!(
                    "CREATE CONSTRAINT TRIGGER {name} AFTER DELETE ON {on} DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION {call};"
                ),
                3 => {
                    format!("CREATE TRIGGER {name} BEFORE TRUNCATE ON {on} FOR EACH STATEMENT EXECUTE FUNCTION {call};")
                }
                _ => format!("CREATE TRIGGER {name} AFTER INSERT ON {on} FOR EACH ROW EXECUTE FUNCTION {call};"),
            };
            match self.random.below(6) {
                0 => sql.push_str(&format!("\nALTER TABLE {on} DISABLE TRIGGER {name};")),
                1 => sql.push_str(&format!("\nALTER TABLE {on} ENABLE ALWAYS TRIGGER {name};")),
                2 => sql.push_str(&format!("\nCOMMENT ON TRIGGER {name} ON {on} IS {text};")),
                _ => {}
            }
            self.piece("a trigger", &[table.piece, table.key_piece, needed], sql);
        }
        for _ in 0..self.random.below(3) {
            let other = self.whose(home);
            let Some(table) = self.table_of(home, |table| table.key.is_some()) else { continue };
            let (name, on, role) = (quote_ident(&self.fresh()), &table.name, self.role());
            let key = quote_ident(table.key.as_deref().unwrap_or_default());
            let mut needs = vec![table.piece, table.key_piece];
            let using = match self.table_of(other, |table| table.key.is_some()) {
                Some(looked) if self.often(50) => {
                    needs.extend([looked.piece, looked.key_piece]);
                    let looked_key = quote_ident(looked.key.as_deref().unwrap_or_default());
                    format!("EXISTS (SELECT FROM {} AS l WHERE l.{looked_key} = {key})", looked.name)
                }
                _ => format!("{key}::text <> {}", self.text()),
            };
            let way = match self.random.below(3) {
                0 => format!("FOR SELECT TO {role} USING ({using})"),
                1 => format!("AS RESTRICTIVE FOR INSERT TO {role} WITH CHECK ({using})"),
                _ => format!("TO {role} USING ({using}) WITH CHECK ({key} > 0)"),
            };
            let mut sql = format!("CREATE POLICY {name} ON {on} {way};");
            if self.often(30) {
                let comment = self.text();
                sql.push_str(&format!("\nCOMMENT ON POLICY {name} ON {on} IS {comment};"));
            }
            self.piece("a policy", &needs, sql);
        }
    }
}
