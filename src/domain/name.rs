//! Names of policy things and their addresses (`store.primary`), the words under which everything is found again.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

/// A policy name: `[a-z][a-z0-9-]{0,62}`. A clone shares its text: a million backups name a few schedules.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String", extend("pattern" = "^[a-z][a-z0-9-]{0,62}$"))]
pub struct Name(Arc<str>);

/// A text that is no [`Name`]; carries the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a name: a name starts with a letter a-z, goes on with a-z, 0-9 and -, and has at most 63 characters"
)]
pub struct InvalidName(pub String);

impl Name {
    /// Returns the name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the name of the schedule that backups belong to which somebody asks for by what they are of, whether or
    /// not the policies define it.
    #[must_use]
    pub fn on_demand() -> Self {
        Self("on-demand".into())
    }

    /// Returns the name of a set of tables that no schedule lists; `digest` is of hexadecimal digits.
    pub(super) fn on_demand_tables(digest: &str) -> Self {
        Self(format!("on-demand-{digest}").into())
    }

    /// Returns whether it is that of [`Name::on_demand`].
    #[must_use]
    pub fn is_on_demand(&self) -> bool {
        self.as_str() == "on-demand"
    }
}

impl FromStr for Name {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let mut chars = text.chars();
        let head = chars.next().is_some_and(|c| c.is_ascii_lowercase());
        let tail = chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        if head && tail && text.len() <= 63 { Ok(Self(text.into())) } else { Err(InvalidName(text.to_owned())) }
    }
}

impl TryFrom<String> for Name {
    type Error = InvalidName;
    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.as_str().to_owned()
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The sections of the policy language whose things have addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Section {
    /// `catalog`, which stands once.
    Catalog,
    /// `stores`.
    Store,
    /// `databases`.
    Database,
    /// `classes`.
    Class,
    /// `retention`.
    Retention,
    /// `schedules`.
    Schedule,
    /// `recovery_plans`.
    RecoveryPlan,
    /// `channels`.
    Channel,
    /// `alerts`, which stands once.
    Alerts,
    /// `guards`, which stands once.
    Guards,
}

impl Section {
    /// Every section.
    pub const ALL: [Self; 10] = [
        Self::Catalog,
        Self::Store,
        Self::Database,
        Self::Class,
        Self::Retention,
        Self::Schedule,
        Self::RecoveryPlan,
        Self::Channel,
        Self::Alerts,
        Self::Guards,
    ];

    /// Returns the section's word in addresses, singular: `store`, `recovery-plan`.
    #[must_use]
    pub const fn singular(self) -> &'static str {
        match self {
            Self::Catalog => "catalog",
            Self::Store => "store",
            Self::Database => "database",
            Self::Class => "class",
            Self::Retention => "retention",
            Self::Schedule => "schedule",
            Self::RecoveryPlan => "recovery-plan",
            Self::Channel => "channel",
            Self::Alerts => "alerts",
            Self::Guards => "guards",
        }
    }

    /// Returns whether the section stands once in a set and has no names inside.
    #[must_use]
    pub const fn stands_once(self) -> bool {
        matches!(self, Self::Catalog | Self::Alerts | Self::Guards)
    }
}

/// The address of one policy thing: `schedule.nightly`, or `guards` for a section that stands once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address {
    section: Section,
    name: Option<Name>,
}

impl Address {
    /// Makes the address of a named thing.
    #[must_use]
    pub const fn of(section: Section, name: Name) -> Self {
        Self { section, name: Some(name) }
    }

    /// Makes the address of a section that stands once.
    #[must_use]
    pub const fn once(section: Section) -> Self {
        Self { section, name: None }
    }

    /// Returns the section.
    #[must_use]
    pub const fn section(&self) -> Section {
        self.section
    }

    /// Returns the name, absent where the section stands once.
    #[must_use]
    pub const fn name(&self) -> Option<&Name> {
        self.name.as_ref()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.section.singular())?;
        self.name.as_ref().map_or(Ok(()), |name| write!(f, ".{name}"))
    }
}

impl FromStr for Address {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let (word, name) = text.split_once('.').map_or((text, None), |(w, n)| (w, Some(n)));
        let section = Section::ALL.into_iter().find(|s| s.singular() == word);
        match (section, name) {
            (Some(section), None) if section.stands_once() => Ok(Self::once(section)),
            (Some(section), Some(name)) if !section.stands_once() => Ok(Self::of(section, name.parse()?)),
            _ => Err(InvalidName(text.to_owned())),
        }
    }
}

impl TryFrom<String> for Address {
    type Error = InvalidName;
    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.to_string()
    }
}
