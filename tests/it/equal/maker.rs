//! Databases from a seed: homes (tenants and shared schemas), what was made in them so far, and who may refer to whom.
//! What is made is in `kinds`, `tables`, `ties`, `code` and `around`.

use std::collections::BTreeSet;

use bkup::engine::sql::{quote_ident, quote_literal, quote_qualified};

use super::case::{Case, Piece};
use super::names::{odd, text};
use crate::sim::random::Random;
use crate::world::cluster::Major;

/// Roles that each cluster of the suite has.
pub const ROLES: [&str; 3] = ["owner of \"things\"", "re'ad\\er%", "PUBLIC"];
/// A tablespace that each cluster of the suite has.
pub const TABLESPACE: &str = "a \"space\"";

/// A schema.
#[derive(Debug, Clone)]
pub struct Home {
    /// Its name.
    pub schema: String,
    /// Whether it is a tenant's.
    pub tenant: bool,
    /// The piece that makes it.
    pub piece: usize,
}

/// A type that was made.
#[derive(Debug, Clone)]
pub struct Kind {
    pub home: usize,
    pub piece: usize,
    /// Qualified and quoted.
    pub name: String,
    /// Values as text.
    pub values: Vec<String>,
    /// `TYPE` or `DOMAIN`.
    pub noun: &'static str,
    /// Kinds of index that take it.
    pub indexes: &'static [&'static str],
    /// Whether a column of it may depend on the order of things: composite types, whose tables pg_dump breaks apart.
    pub composite: bool,
}

/// A column.
#[derive(Debug, Clone)]
pub struct Column {
    pub name: String,
    pub kind: String,
    pub indexes: Vec<&'static str>,
    /// Values as text; none for a generated one.
    pub values: Vec<String>,
    pub needs: Vec<usize>,
    /// Whether no value may be written.
    pub generated: bool,
}

/// A table with rows 1 to `rows` in its key.
#[derive(Debug, Clone)]
pub struct Table {
    pub home: usize,
    pub piece: usize,
    /// Qualified and quoted.
    pub name: String,
    /// The `bigint` key column, where it has one.
    pub key: Option<String>,
    /// Whether the key can be referred to by now.
    pub unique: bool,
    pub columns: Vec<Column>,
    pub rows: u64,
    /// Whether it is partitioned.
    pub partitioned: bool,
    /// Whether it has partitions in other schemas.
    pub spread: bool,
    /// Whether what changes is in the log.
    pub logged: bool,
    /// The piece that made the key unique.
    pub key_piece: usize,
}

/// Something else that may be commented on, granted, owned or called.
#[derive(Debug, Clone)]
pub struct Thing {
    pub home: usize,
    pub piece: usize,
    /// `VIEW`, `FUNCTION`.
    pub noun: &'static str,
    /// As COMMENT ON has it.
    pub name: String,
}

/// The maker.
pub struct Maker {
    pub random: Random,
    pub major: Major,
    pub homes: Vec<Home>,
    pub kinds: Vec<Kind>,
    pub tables: Vec<Table>,
    /// Views and materialized views with a column to select.
    pub views: Vec<(Thing, String)>,
    /// Functions of one `bigint` that return `bigint` and never change.
    pub functions: Vec<Thing>,
    /// Functions for triggers.
    pub triggers: Vec<Thing>,
    pub things: Vec<Thing>,
    /// Whether tenants refer to each other: in half of the databases, since what does cannot be restored alone.
    mixed: bool,
    pieces: Vec<Piece>,
    number: usize,
}

impl Maker {
    /// Makes the database of a seed. Later versions know more.
    pub fn make(seed: u64, major: Major) -> Case {
        let mut maker = Self {
            random: Random::new(seed),
            major,
            homes: Vec::new(),
            kinds: Vec::new(),
            tables: Vec::new(),
            views: Vec::new(),
            functions: Vec::new(),
            triggers: Vec::new(),
            things: Vec::new(),
            mixed: false,
            pieces: Vec::new(),
            number: 0,
        };
        maker.mixed = maker.often(50);
        let tenants = 2 + maker.random.below(2);
        maker.homes.push(Home { schema: "public".to_owned(), tenant: false, piece: 0 });
        maker.piece("nothing", &[], "SELECT 1;".to_owned());
        for tenant in [false].into_iter().chain((0..tenants).map(|_| true)) {
            let schema = maker.fresh();
            let owner = maker.maybe_owner(" AUTHORIZATION ");
            let piece = maker.piece("a schema", &[], format!("CREATE SCHEMA {}{owner};", quote_ident(&schema)));
            maker.homes.push(Home { schema: schema.clone(), tenant, piece });
            let home = maker.homes.len() - 1;
            maker.things.push(Thing { home, piece, noun: "SCHEMA", name: quote_ident(&schema) });
        }
        maker.everything();
        let tenants = maker.homes.iter().filter(|home| home.tenant).map(|home| home.schema.clone()).collect();
        Case { tenants, pieces: maker.pieces }
    }

    fn everything(&mut self) {
        let homes: Vec<usize> = (0..self.homes.len()).collect();
        self.shared_things();
        for home in &homes {
            self.make_kinds(*home);
        }
        for home in &homes {
            self.make_functions(*home);
        }
        for home in &homes {
            self.make_tables(*home);
        }
        for home in &homes {
            self.make_ties(*home);
        }
        for home in &homes {
            self.make_views(*home);
            self.make_triggers(*home);
        }
        for home in &homes {
            self.make_odds(*home);
        }
        self.around();
    }

    /// Adds a piece and returns its number.
    pub fn piece(&mut self, label: &str, needs: &[usize], sql: String) -> usize {
        let needs: BTreeSet<usize> = needs.iter().copied().collect();
        self.pieces.push(Piece { label: label.to_owned(), needs: needs.into_iter().collect(), sql });
        self.pieces.len() - 1
    }

    /// Returns a name that nothing has.
    pub fn fresh(&mut self) -> String {
        self.number += 1;
        odd(&mut self.random, self.number)
    }

    /// Returns a fresh name, as it is and qualified.
    pub fn fresh_in(&mut self, home: usize) -> (String, String) {
        let raw = self.fresh();
        let name = quote_qualified(&self.homes[home].schema, &raw);
        (raw, name)
    }

    /// Remembers a thing.
    pub fn thing(&mut self, home: usize, piece: usize, noun: &'static str, name: &str) -> Thing {
        let thing = Thing { home, piece, noun, name: name.to_owned() };
        self.things.push(thing.clone());
        thing
    }

    /// Returns a literal of a text that hurts.
    pub fn text(&mut self) -> String {
        quote_literal(&text(&mut self.random))
    }

    /// Whether something happens, in a hundred.
    pub fn often(&mut self, percent: u64) -> bool {
        self.random.chance(percent * 10)
    }

    /// Returns the home whose things something of `home` uses: its own mostly, a shared one at times, another tenant's
    /// seldom.
    pub fn whose(&mut self, home: usize) -> usize {
        let tenant = self.homes[home].tenant;
        let wanted = match self.random.below(100) {
            0..=71 => return home,
            72..=89 => !tenant,
            _ if tenant && !self.mixed => return home,
            _ => tenant,
        };
        let others: Vec<usize> = (0..self.homes.len()).filter(|h| self.homes[*h].tenant == wanted).collect();
        *self.random.pick(&others)
    }

    /// Returns an operator's sign that nothing has.
    pub fn sign(&mut self) -> String {
        self.number += 1;
        let mut left = self.number;
        let mut sign = "|".to_owned();
        while left > 0 {
            sign.push(['<', '%', '@', '#', '&'][left % 5]);
            left /= 5;
        }
        sign + "|"
    }

    /// Picks one of some numbers, if there are any.
    pub fn one(&mut self, of: &[usize]) -> Option<usize> {
        (!of.is_empty()).then(|| *self.random.pick(of))
    }

    /// Returns a table of a home for which something holds.
    pub fn table_of(&mut self, home: usize, holds: impl Fn(&Table) -> bool) -> Option<Table> {
        let found: Vec<usize> =
            (0..self.tables.len()).filter(|t| self.tables[*t].home == home && holds(&self.tables[*t])).collect();
        self.one(&found).map(|index| self.tables[index].clone())
    }

    /// Returns a role, quoted.
    pub fn role(&mut self) -> String {
        match *self.random.pick(&ROLES) {
            "PUBLIC" => "PUBLIC".to_owned(),
            role => quote_ident(role),
        }
    }

    /// Returns words that name an owner, or none.
    pub fn maybe_owner(&mut self, words: &str) -> String {
        if self.often(20) { format!("{words}{}", quote_ident(ROLES[0])) } else { String::new() }
    }

    /// Returns which of the homes are tenants'.
    pub fn tenants(&self) -> Vec<usize> {
        (0..self.homes.len()).filter(|home| self.homes[*home].tenant).collect()
    }
}
