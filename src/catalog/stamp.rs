//! Instants as `timestamptz`, and reading cells of rows into domain values. Pure but for sqlx's traits.

use std::borrow::Cow;
use std::fmt::Display;
use std::str::FromStr;

use serde_json::Value;
use sqlx::Row;
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgHasArrayType, PgRow, PgTypeInfo, PgValueFormat, PgValueRef, Postgres};
use sqlx::{Column as _, ColumnIndex, Decode, Encode, Type};

use super::failure::CatalogError;
use crate::domain::Instant;

/// 2000-01-01 in microseconds since 1970: the wire format counts from there.
const EPOCH: i64 = 946_684_800_000_000;

/// The types' fixed numbers: by name, each connection would ask the server for them first.
const TIMESTAMPTZ: Oid = Oid(1184);
const TIMESTAMPTZ_ARRAY: Oid = Oid(1185);

/// An instant on its way to or from the database. What is finer than a microsecond is cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp(pub(super) Instant);

impl Stamp {
    /// Wraps an instant that may be absent.
    pub(super) fn maybe(instant: Option<Instant>) -> Option<Self> {
        instant.map(Self)
    }
}

/// Returns the instant as the catalog can hold it: to the microsecond.
#[must_use]
pub fn as_recorded(instant: Instant) -> Instant {
    Instant::from_microsecond(floor_micros(instant)).unwrap_or(instant)
}

fn floor_micros(instant: Instant) -> i64 {
    i64::try_from(instant.as_nanosecond().div_euclid(1000)).unwrap_or(i64::MAX)
}

impl Type<Postgres> for Stamp {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(TIMESTAMPTZ)
    }
}

impl PgHasArrayType for Stamp {
    fn array_type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(TIMESTAMPTZ_ARRAY)
    }
}

impl Encode<'_, Postgres> for Stamp {
    fn encode_by_ref(&self, buf: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        let micros = floor_micros(self.0).checked_sub(EPOCH).ok_or("the instant is out of range")?;
        <i64 as Encode<Postgres>>::encode(micros, buf)
    }
}

impl<'r> Decode<'r, Postgres> for Stamp {
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
        if value.format() == PgValueFormat::Text {
            return Err("instants are read in the binary format alone".into());
        }
        let micros = <i64 as Decode<Postgres>>::decode(value)?;
        let since_1970 = micros.checked_add(EPOCH).ok_or("infinity is not an instant")?;
        Ok(Self(Instant::from_microsecond(since_1970).map_err(|_| "the instant is out of range")?))
    }
}

/// A column of a row: by its name, or by its [`Place`].
pub(super) trait Column: ColumnIndex<PgRow> + Copy {
    /// Returns its name.
    fn name(&self) -> &str;
}

impl Column for &str {
    fn name(&self) -> &str {
        self
    }
}

/// A column by its place in a query: a name would be looked up anew in each of a million rows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    at: usize,
    name: &'static str,
}

impl Place {
    /// Returns the columns of a query that has these, in this order, behind so many others.
    pub(super) const fn all<const N: usize>(before: usize, names: [&'static str; N]) -> [Self; N] {
        let mut places = [Self { at: 0, name: "" }; N];
        let mut at = 0;
        while at < N {
            places[at] = Self { at: before + at, name: names[at] };
            at += 1;
        }
        places
    }
}

impl Column for Place {
    fn name(&self) -> &str {
        self.name
    }
}

impl ColumnIndex<PgRow> for Place {
    fn index(&self, row: &PgRow) -> Result<usize, sqlx::Error> {
        debug_assert!(row.try_column(self.at).is_ok_and(|c| c.name() == self.name), "{} is elsewhere", self.name);
        ColumnIndex::index(&self.at, row)
    }
}

/// Cells of a row as domain values; what does not parse is [`CatalogError::Corrupt`] with the column's name.
pub(super) trait Cells {
    /// Reads a text.
    fn text(&self, column: impl Column) -> Result<String, CatalogError>;
    /// Reads a text that may be absent.
    fn maybe_text(&self, column: impl Column) -> Result<Option<String>, CatalogError>;
    /// Reads an instant.
    fn at(&self, column: impl Column) -> Result<Instant, CatalogError>;
    /// Reads an instant that may be absent.
    fn maybe_at(&self, column: impl Column) -> Result<Option<Instant>, CatalogError>;
    /// Reads a text with a form of its own.
    fn parsed<T: FromStr<Err: Display>>(&self, column: impl Column) -> Result<T, CatalogError>;
    /// Reads a text with a form of its own that may be absent or empty.
    fn maybe_parsed<T: FromStr<Err: Display>>(&self, column: impl Column) -> Result<Option<T>, CatalogError>;
    /// Reads a number that is never negative; absent is zero.
    fn count(&self, column: impl Column) -> Result<u64, CatalogError>;
    /// Reads a truth value.
    fn flag(&self, column: impl Column) -> Result<bool, CatalogError>;
}

impl Cells for PgRow {
    fn text(&self, column: impl Column) -> Result<String, CatalogError> {
        Ok(self.try_get(column)?)
    }
    fn maybe_text(&self, column: impl Column) -> Result<Option<String>, CatalogError> {
        Ok(self.try_get(column)?)
    }
    fn at(&self, column: impl Column) -> Result<Instant, CatalogError> {
        Ok(self.try_get::<Stamp, _>(column)?.0)
    }
    fn maybe_at(&self, column: impl Column) -> Result<Option<Instant>, CatalogError> {
        Ok(self.try_get::<Option<Stamp>, _>(column)?.map(|stamp| stamp.0))
    }
    fn parsed<T: FromStr<Err: Display>>(&self, column: impl Column) -> Result<T, CatalogError> {
        let corrupt = |error: T::Err| CatalogError::corrupt(column.name(), error);
        self.try_get::<&str, _>(column)?.parse().map_err(corrupt)
    }
    fn maybe_parsed<T: FromStr<Err: Display>>(&self, column: impl Column) -> Result<Option<T>, CatalogError> {
        let corrupt = |error: T::Err| CatalogError::corrupt(column.name(), error);
        match self.try_get::<Option<&str>, _>(column)? {
            None | Some("") => Ok(None),
            Some(text) => text.parse().map(Some).map_err(corrupt),
        }
    }
    fn count(&self, column: impl Column) -> Result<u64, CatalogError> {
        let number = self.try_get::<Option<i64>, _>(column)?.unwrap_or(0);
        u64::try_from(number).map_err(|_| CatalogError::corrupt(column.name(), "is negative"))
    }
    fn flag(&self, column: impl Column) -> Result<bool, CatalogError> {
        Ok(self.try_get(column)?)
    }
}

/// Returns a count as a `bigint`, at most the largest one.
pub(super) fn bigint(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Returns a text as PostgreSQL can hold it: a dying program's last words may have NUL bytes inside.
pub(super) fn plain(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', "\u{fffd}").into() } else { text.into() }
}

/// Returns JSON as `jsonb` can hold it: it refuses NUL in texts too.
pub(super) fn plain_json(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(plain(&text).into_owned()),
        Value::Array(items) => items.into_iter().map(plain_json).collect(),
        Value::Object(map) => map.into_iter().map(|(key, item)| (plain(&key).into_owned(), plain_json(item))).collect(),
        scalar => scalar,
    }
}

#[cfg(test)]
mod tests {
    use super::as_recorded;
    use crate::domain::Instant;

    #[test]
    fn an_instant_is_cut_to_the_microsecond_also_before_1970() {
        for (given, kept) in [(1_500, 1_000), (-1_500, -2_000), (0, 0)] {
            let instant = Instant::from_nanosecond(given).unwrap();
            assert_eq!(as_recorded(instant).as_nanosecond(), kept);
        }
    }
}
