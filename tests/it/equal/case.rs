//! One database to split: pieces of SQL that need each other, so that a failing one can be made smaller; and the form in
//! which it is kept as a fixture.

use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Some statements, run as one query.
#[derive(Debug, Clone)]
pub struct Piece {
    /// What it makes, for people.
    pub label: String,
    /// The earlier pieces without which it cannot be.
    pub needs: Vec<usize>,
    /// The statements.
    pub sql: String,
}

/// A database.
#[derive(Debug, Clone, Default)]
pub struct Case {
    /// The tenants' schemas. Their pieces make them.
    pub tenants: Vec<String>,
    /// What it is made of, in order.
    pub pieces: Vec<Piece>,
}

/// The line between two pieces of a fixture.
const PIECE: &str = "-- piece: ";
const TENANT: &str = "-- tenant: ";

impl Case {
    /// Returns the case without some pieces, and without what needs them.
    pub fn without(&self, gone: &BTreeSet<usize>) -> Self {
        let mut places: Vec<Option<usize>> = Vec::new();
        let mut pieces: Vec<Piece> = Vec::new();
        for (index, piece) in self.pieces.iter().enumerate() {
            let needs: Option<Vec<usize>> = piece.needs.iter().map(|need| places[*need]).collect();
            match needs.filter(|_| !gone.contains(&index)) {
                None => places.push(None),
                Some(needs) => {
                    places.push(Some(pieces.len()));
                    pieces.push(Piece { needs, ..piece.clone() });
                }
            }
        }
        Self { tenants: self.tenants.clone(), pieces }
    }

    /// Writes it as a fixture.
    pub fn to_fixture(&self) -> String {
        let mut text = String::new();
        for tenant in &self.tenants {
            let _ = writeln!(text, "{TENANT}{}", serde_json::to_string(tenant).expect("a text"));
        }
        for piece in &self.pieces {
            let _ = writeln!(text, "{PIECE}{}\n{}", piece.label.escape_debug(), piece.sql);
        }
        text
    }

    /// Reads a fixture. What its pieces need is not kept: each needs all before it.
    pub fn of_fixture(text: &str) -> Self {
        let mut case = Self::default();
        for line in text.split_inclusive('\n') {
            if let Some(tenant) = line.strip_prefix(TENANT) {
                case.tenants.push(serde_json::from_str(tenant.trim()).expect("a JSON text"));
            } else if let Some(label) = line.strip_prefix(PIECE) {
                let label = label.trim().to_owned();
                case.pieces.push(Piece { label, needs: Vec::new(), sql: String::new() });
            } else if let Some(piece) = case.pieces.last_mut() {
                piece.sql.push_str(line);
            }
        }
        case
    }
}

#[test]
fn a_case_without_a_piece_is_without_what_needs_it() {
    let piece = |label: &str, needs: &[usize]| Piece {
        label: label.to_owned(),
        needs: needs.to_vec(),
        sql: format!("SELECT '{label}\n'"),
    };
    let pieces = vec![piece("a", &[]), piece("b", &[0]), piece("c", &[]), piece("d", &[1, 2]), piece("e", &[2])];
    let case = Case { tenants: vec!["two\nlines".to_owned()], pieces };
    let less = case.without(&BTreeSet::from([0]));
    assert_eq!(
        less.pieces.iter().map(|p| (p.label.as_str(), p.needs.clone())).collect::<Vec<_>>(),
        [("c", vec![]), ("e", vec![0])]
    );
    let again = Case::of_fixture(&case.to_fixture());
    assert_eq!(again.tenants, case.tenants);
    let sql = |case: &Case| case.pieces.iter().map(|p| p.sql.trim_end().to_owned()).collect::<Vec<_>>();
    assert_eq!(sql(&again), sql(&case));
}
