//! What the erasure of a tenant would take, and what holds its data beside that of others. Pure.

use std::collections::BTreeMap;

use super::life::Lives;
use crate::domain::{
    Backup, Condemned, ERASURE_FORMAT, Erasure, HeldBackup, Holder, Name, ResolvedTenants, Scope, Trace, digest_of,
};
use crate::retention::Tenure;

/// Why a tenant is not erased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ErasureRefusal {
    /// Nothing is known of it.
    Unknown,
    /// It is there, or nobody can say that it is not, or something keeps its backups.
    Stands {
        /// Why.
        words: String,
        /// What can be done.
        help: String,
    },
}

impl Lives<'_> {
    /// Returns the databases that know a tenant, or have backups of it.
    #[must_use]
    pub fn databases_of(&self, slug: &str) -> Vec<Name> {
        let records = self.facts.tenants.iter().filter(|record| record.slug == slug).map(|record| &record.database);
        let backups = self.facts.backups.iter().filter(|backup| backup.scope.tenant() == Some(slug));
        let mut all: Vec<Name> =
            records.chain(backups.filter_map(|backup| backup.database.as_ref())).cloned().collect();
        all.sort();
        all.dedup();
        all
    }

    /// Returns what the erasure of a tenant would do. One that lives is never erased: the next slot would back it up again.
    /// `traces` is where the catalog says that it had backups.
    ///
    /// # Errors
    /// [`ErasureRefusal`].
    pub fn erasure(&self, database: &Name, slug: &str, traces: &[Trace]) -> Result<Erasure, ErasureRefusal> {
        let scope = Scope::Tenant(slug.to_owned());
        let record = self.facts.tenants.iter().find(|r| &r.database == database && r.slug == slug);
        let mut own: Vec<&Backup> = self.facts.backups.iter().filter(|b| is_of(b, database, &scope)).collect();
        own.sort_by(|a, b| a.id.cmp(&b.id));
        if record.is_none() && own.is_empty() && traces.is_empty() {
            return Err(ErasureRefusal::Unknown);
        }
        self.standing(database, &scope, record.is_some_and(|r| r.offboarded_at.is_some()))?;
        for backup in &own {
            self.free(backup)?;
        }
        let backups: Vec<Condemned> = own
            .iter()
            .map(|backup| Condemned {
                backup: backup.id.clone(),
                store: backup.store.clone(),
                filed_under: backup.key_database().unwrap_or(database).clone(),
                consistent_at: backup.consistent_at,
                size: backup.size,
                locked_until: backup.locked_until.filter(|until| *until > self.view.now()),
            })
            .collect();
        let ids: Vec<_> = backups.iter().map(|condemned| (&condemned.backup, &condemned.store)).collect();
        let digest = digest_of(&("erase tenant", database, slug, ids));
        Ok(Erasure {
            format_version: ERASURE_FORMAT.to_owned(),
            database: database.clone(),
            slug: slug.to_owned(),
            offboarded_at: record.and_then(|record| record.offboarded_at),
            backups,
            traces: traces.to_vec(),
            holders: self.holders(database),
            digest,
        })
    }

    fn standing(&self, database: &Name, scope: &Scope, offboarded: bool) -> Result<(), ErasureRefusal> {
        let stands = |words: String, help: &str| Err(ErasureRefusal::Stands { words, help: help.to_owned() });
        match (self.view.tenure(Some(database), scope), self.view.desired.tenants.get(database)) {
            (Tenure::Ended(_), _) => Ok(()),
            (Tenure::Lives, None) if !self.view.desired.databases.contains_key(database) => Ok(()),
            (_, Some(ResolvedTenants::Unknown(why))) => stands(
                format!("whether it is still there cannot be seen: {why}"),
                "make the database reachable; one that is gone for good is taken out of the policies first",
            ),
            (_, _) if self.view.tenants(database).iter().any(|(tenant, _)| scope.tenant() == Some(&tenant.slug)) => {
                stands(
                    "it is still there, and the next slot would back it up again".to_owned(),
                    "take it out of the application first; the next `bkup apply` offboards it",
                )
            }
            (_, None) => stands(
                "the policies name no way to find tenants of its database, so nobody can say that it is gone"
                    .to_owned(),
                "write `tenants` for the database, and let `bkup apply` offboard it",
            ),
            (_, _) if !offboarded => stands(
                "it was not offboarded yet".to_owned(),
                "`bkup apply --only retention` records that it is gone; then ask again",
            ),
            (_, _) => Ok(()),
        }
    }

    fn free(&self, backup: &Backup) -> Result<(), ErasureRefusal> {
        let stands = |words: String, help: &str| Err(ErasureRefusal::Stands { words, help: help.to_owned() });
        if self.view.protects(backup) {
            return stands(
                format!("backup {} is protected", backup.id),
                "take `protect` away where the law allows it, apply that, and ask again",
            );
        }
        if self.view.is_leased(&backup.id) {
            return stands(
                format!("a restore or a drill reads backup {}", backup.id),
                "wait until it is over, or cancel it, and ask again",
            );
        }
        Ok(())
    }

    /// What holds the tenant's data beside that of others.
    fn holders(&self, database: &Name) -> Vec<Holder> {
        let mut all: BTreeMap<&Scope, Vec<&Backup>> = BTreeMap::new();
        let of_it = |backup: &&Backup| backup.database.as_ref() == Some(database) || backup.scope == Scope::System;
        for backup in self.facts.backups.iter().filter(of_it) {
            if why(&backup.scope).is_some() {
                all.entry(&backup.scope).or_default().push(backup);
            }
        }
        all.into_iter()
            .map(|(scope, mut backups)| {
                backups.sort_by_key(|backup| (backup.consistent_at, &backup.id));
                let held = |backup: &&Backup| HeldBackup {
                    backup: backup.id.clone(),
                    store: backup.store.clone(),
                    consistent_at: backup.consistent_at,
                    released_at: self.of(backup).next_at,
                };
                Holder {
                    scope: scope.clone(),
                    words: why(scope).unwrap_or_default().to_owned(),
                    backups: backups.iter().map(held).collect(),
                }
            })
            .collect()
    }
}

fn is_of(backup: &Backup, database: &Name, scope: &Scope) -> bool {
    backup.database.as_ref() == Some(database) && &backup.scope == scope
}

/// Says why backups of a scope may hold a tenant's data.
const fn why(scope: &Scope) -> Option<&'static str> {
    match scope {
        Scope::System => Some("the whole cluster: it holds the tenant as of every instant at which it was there"),
        Scope::Database => Some("the whole database: it holds the tenant as of every instant at which it was there"),
        Scope::Shared => Some(
            "what belongs to no tenant: roles and grants may name it, and a schema that was left behind after its \
             offboarding is in it",
        ),
        Scope::Bridge => Some("what depends on more than one tenant: views and keys may name it"),
        Scope::Tables(_) => Some("tables of all tenants: they hold the tenant's rows"),
        Scope::Configuration => Some("roles and settings: they may name it"),
        Scope::Tenant(_) | Scope::Files(_) => None,
    }
}
