//! What a backup to come amounts to: as the newest of its scope, as its database, or not known. Pure; whole numbers.

use std::collections::{BTreeMap, HashMap};
use std::str::FromStr;

use super::population::Population;
use super::world::Amount;
use crate::domain::{Backup, BackupWork, Bytes, Instant, Name, Period, Scope, SizeSource};

/// How much larger backups become: in hundredths of a percent a day, compounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Growth {
    per_day: u32,
}

/// A text that is no [`Growth`]; carries the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a growth: write a percentage a day, such as 0.5%/d, at most 10%/d")]
pub struct InvalidGrowth(pub String);

impl FromStr for Growth {
    type Err = InvalidGrowth;
    fn from_str(text: &str) -> Result<Self, InvalidGrowth> {
        let invalid = || InvalidGrowth(text.to_owned());
        let number = text.trim().strip_suffix("%/d").ok_or_else(invalid)?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(fraction) || fraction.len() > 2 || whole.len() > 2 {
            return Err(invalid());
        }
        let fraction: u32 = format!("{fraction:0<2}").parse().map_err(|_| invalid())?;
        let per_day = whole.parse::<u32>().map_err(|_| invalid())? * 100 + fraction;
        if per_day > 1000 { Err(invalid()) } else { Ok(Self { per_day }) }
    }
}

impl Growth {
    /// Returns what so much becomes after so many days; stops at the largest number there is.
    #[must_use]
    pub fn after(self, amount: u64, days: u64) -> u64 {
        if self.per_day == 0 {
            return amount;
        }
        // Squaring keeps twenty years from being 7,300 roundings; the factor has 32 binary digits behind the point.
        let (mut base, mut factor, mut left) =
            (((u128::from(self.per_day) + 10_000) << 32) / 10_000, 1_u128 << 32, days);
        while left > 0 {
            if left & 1 == 1 {
                factor = (factor * base) >> 32;
            }
            base = ((base * base) >> 32).min(1 << 90);
            factor = factor.min(1 << 62);
            left >>= 1;
            base = base.min(1 << 62);
        }
        u64::try_from((u128::from(amount) * factor) >> 32).unwrap_or(u64::MAX)
    }

    /// Returns whether nothing grows.
    #[must_use]
    pub const fn is_none(self) -> bool {
        self.per_day == 0
    }
}

impl std::fmt::Display for Growth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:02}% a day", self.per_day / 100, self.per_day % 100)
    }
}

/// A schedule with a scope of a database.
pub(super) type Stream = (Name, Option<Name>, Scope);

/// What is known of sizes.
#[derive(Debug, Clone)]
pub(super) struct Sizes {
    begin: Instant,
    growth: Growth,
    /// Of one backup, and the bytes of all that it stands for.
    measured: HashMap<Stream, (Amount, u64)>,
    databases: BTreeMap<Name, u64>,
    tenants: BTreeMap<Name, u64>,
}

impl Sizes {
    /// Takes the newest backup of each stream as the measure of those to come. `databases` are the sizes of databases
    /// that somebody has seen.
    pub fn of(population: &Population, databases: &BTreeMap<Name, Bytes>, begin: Instant, growth: Growth) -> Self {
        let mut newest: HashMap<Stream, &Backup> = HashMap::new();
        for backup in population.facts.iter().flat_map(|facts| &facts.backups).filter(|b| b.quarantine.is_none()) {
            let known = newest.entry(stream_of(backup)).or_insert(backup);
            if (backup.consistent_at, &backup.id) > (known.consistent_at, &known.id) {
                *known = backup;
            }
        }
        let measured = newest.into_iter().map(|(stream, backup)| {
            let duration = Period::seconds(i64::try_from(backup.duration_ms.div_ceil(1000)).unwrap_or(0));
            let amount = Amount { size: backup.size, original: backup.original_size, duration };
            (stream, (amount, population.bytes.get(&backup.id).copied().unwrap_or(backup.size.0)))
        });
        let mut tenants: BTreeMap<Name, u64> = BTreeMap::new();
        for ((database, _), weight) in &population.weights {
            *tenants.entry(database.clone()).or_default() += weight;
        }
        let databases = databases.iter().filter(|(_, size)| size.0 > 0).map(|(name, size)| (name.clone(), size.0));
        Self { begin, growth, measured: measured.collect(), databases: databases.collect(), tenants }
    }

    /// Returns what a backup comes to, and the bytes of all the `weight` ones it stands for.
    pub fn amount(&self, work: &BackupWork, now: Instant, weight: u64) -> (Amount, u64) {
        let stream = (work.schedule.clone(), work.database.clone(), work.scope.clone());
        let days = Period::between(self.begin, now).as_seconds() / 86_400;
        let grown = |bytes: u64| self.growth.after(bytes, days.unsigned_abs());
        match self.measured.get(&stream) {
            Some((amount, total)) => {
                let one = Amount {
                    size: Bytes(grown(amount.size.0)),
                    original: Bytes(grown(amount.original.0)),
                    duration: amount.duration,
                };
                (one, grown(*total))
            }
            None => {
                let size = grown(work.database.as_ref().map_or(0, |database| self.assumed(database, &work.scope)));
                let one = Amount { size: Bytes(size), original: Bytes(size), duration: Period::seconds(0) };
                (one, size.saturating_mul(weight))
            }
        }
    }

    /// Returns how long a backup of a stream takes; zero where nobody has measured it.
    pub fn duration(&self, stream: &Stream) -> Period {
        self.measured.get(stream).map_or(Period::seconds(0), |(amount, _)| amount.duration)
    }

    /// Returns how the sizes of a stream are known.
    pub fn source(&self, stream: &Stream) -> SizeSource {
        let assumed = stream.1.as_ref().is_some_and(|database| self.assumed(database, &stream.2) > 0);
        match (self.measured.contains_key(stream), assumed) {
            (true, _) => SizeSource::Measured,
            (false, true) => SizeSource::Assumed,
            (false, false) => SizeSource::Unknown,
        }
    }

    /// Nobody knows how well it will compress, so it is not supposed to; a tenant is an equal part of its database, and
    /// what belongs to no tenant is nothing beside them.
    fn assumed(&self, database: &Name, scope: &Scope) -> u64 {
        let whole = self.databases.get(database).copied().unwrap_or(0);
        match scope {
            Scope::Tenant(_) => whole / self.tenants.get(database).copied().unwrap_or(1).max(1),
            Scope::Database | Scope::System => whole,
            _ => 0,
        }
    }
}

/// Returns the stream of a backup.
pub(super) fn stream_of(backup: &Backup) -> Stream {
    (backup.schedule.clone(), backup.database.clone(), backup.scope.clone())
}
