//! A set of policies, typed, with the place of everything in it. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::diag::{Diagnostic, Span};
use crate::domain::{
    Address, AlertsSpec, ChannelSpec, ClassSpec, DatabaseSpec, DriftKind, EnvText, Guards, Moved, Name,
    RecoveryPlanSpec, Removed, RetentionRule, ScheduleSpec, Section, SourceLocation, StoreSpec,
};

use super::codes;
use super::ignore::{Ignores, Sifted};
use super::raw::Marks;
use super::text::{Place, Places, Sources};

/// The variable that names the catalog where no policy does.
const CATALOG_VARIABLE: &str = "BKUP_CATALOG_URL";

/// Everything the policy files say, typed, with the places it was read from.
#[derive(Debug, Clone, Default)]
pub struct PolicySet {
    pub(super) sources: Sources,
    /// What comments in the files ignore.
    pub(super) ignores: Ignores,
    /// Whether everything that the files define could be made, and refers to what is there.
    pub(super) whole: bool,
    pub(super) catalog: Option<EnvText>,
    /// Where the catalog's URL is written.
    pub(super) catalog_place: Option<Place>,
    pub(super) stores: BTreeMap<Name, Thing<StoreSpec>>,
    pub(super) databases: BTreeMap<Name, Thing<DatabaseSpec>>,
    pub(super) classes: BTreeMap<Name, Thing<ClassSpec>>,
    pub(super) retentions: BTreeMap<Name, Thing<RetentionRule>>,
    pub(super) schedules: BTreeMap<Name, Thing<ScheduleSpec>>,
    pub(super) recovery_plans: BTreeMap<Name, Thing<RecoveryPlanSpec>>,
    pub(super) channels: BTreeMap<Name, Thing<ChannelSpec>>,
    pub(super) alerts: Option<Thing<AlertsSpec>>,
    pub(super) guards: Option<Thing<Guards>>,
    pub(super) moved: Vec<Thing<Moved>>,
    pub(super) removed: Vec<Thing<Removed>>,
}

/// One thing and where it is written.
#[derive(Debug, Clone)]
pub(super) struct Thing<T> {
    /// The thing.
    pub spec: T,
    /// Where its name is written.
    pub place: Place,
    /// The places inside it.
    pub places: Places,
    /// Whether it is paused or protected.
    pub marks: Marks,
}

impl PolicySet {
    /// Returns the catalog's connection string; `${BKUP_CATALOG_URL}` where no file says it.
    #[must_use]
    pub fn catalog_url(&self) -> EnvText {
        self.catalog.clone().unwrap_or_else(|| EnvText::Variable(CATALOG_VARIABLE.to_owned()))
    }

    /// Takes out the findings about the live tenants that comments in the files ignore; returns what is left, and what
    /// was taken out. [`judge`](super::judge) has done it with its own findings.
    #[must_use]
    pub fn sift(&self, found: Vec<Diagnostic>) -> (Vec<Diagnostic>, Vec<Diagnostic>) {
        let mut sifted = Sifted::default();
        self.ignores.clone().sift(&self.sources, found, false, &mut sifted);
        (sifted.left, sifted.suppressed)
    }

    /// Returns the drift that comments at a thing, or at its tenants, live with: the thing, and the code or kind.
    pub(super) fn tolerated(&self) -> BTreeSet<(Address, String)> {
        let stores = self.stores.iter().map(|(name, thing)| (Section::Store, name, thing.place));
        let databases = self.databases.iter().map(|(name, thing)| (Section::Database, name, thing.place));
        let schedules = self.schedules.iter().map(|(name, thing)| (Section::Schedule, name, thing.place));
        let plans = self.recovery_plans.iter().map(|(name, thing)| (Section::RecoveryPlan, name, thing.place));
        let mut tolerated = BTreeSet::new();
        for (section, name, place) in stores.chain(databases).chain(schedules).chain(plans) {
            let address = Address::of(section, name.clone());
            let mut places = vec![place];
            places.extend(self.places(&address).map(|places| places.get("tenants")));
            for span in places.into_iter().map(|place| self.sources.span(place)) {
                for code in self.ignores.at(&span.file, span.line) {
                    let word = match code {
                        codes::TENANT_WITHOUT_CLASS => DriftKind::TenantWithoutClass.word(),
                        codes::TENANT_WITHOUT_SCHEDULE => DriftKind::TenantWithoutSchedule.word(),
                        code => code.0,
                    };
                    tolerated.insert((address.clone(), word.to_owned()));
                }
            }
        }
        tolerated
    }

    /// Returns whether the files ask for nothing at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.stores.is_empty()
            && self.databases.is_empty()
            && self.classes.is_empty()
            && self.retentions.is_empty()
            && self.schedules.is_empty()
            && self.recovery_plans.is_empty()
    }

    /// Returns the databases, of which those with a tenant selector are to be asked for their tenants.
    pub fn databases(&self) -> impl Iterator<Item = (&Name, &DatabaseSpec)> {
        self.databases.iter().map(|(name, thing)| (name, &thing.spec))
    }

    /// Returns where a field of a thing is written: the path is as in the policy, `encryption.recipients[0]`; an empty
    /// one is the thing's name. A path that is not written gives the nearest thing around it.
    #[must_use]
    pub fn span(&self, address: &Address, path: &str) -> Option<Span> {
        let places = self.places(address)?;
        Some(self.sources.span(places.get(path)))
    }

    pub(super) fn places(&self, address: &Address) -> Option<&Places> {
        fn of<'a, T>(things: &'a BTreeMap<Name, Thing<T>>, name: &Name) -> Option<&'a Places> {
            things.get(name).map(|thing| &thing.places)
        }
        match (address.section(), address.name()) {
            (Section::Store, Some(name)) => of(&self.stores, name),
            (Section::Database, Some(name)) => of(&self.databases, name),
            (Section::Class, Some(name)) => of(&self.classes, name),
            (Section::Retention, Some(name)) => of(&self.retentions, name),
            (Section::Schedule, Some(name)) => of(&self.schedules, name),
            (Section::RecoveryPlan, Some(name)) => of(&self.recovery_plans, name),
            (Section::Channel, Some(name)) => of(&self.channels, name),
            (Section::Alerts, None) => self.alerts.as_ref().map(|thing| &thing.places),
            (Section::Guards, None) => self.guards.as_ref().map(|thing| &thing.places),
            _ => None,
        }
    }

    pub(super) fn location(&self, place: Place) -> SourceLocation {
        let span = self.sources.span(place);
        SourceLocation { file: span.file, line: span.line }
    }
}
