//! Runs tests: plans over each one's world and compares. Pure.

use std::collections::BTreeSet;

use crate::diag::Diagnostic;
use crate::domain::{
    ObjectiveRow, Plan, ResolvedTenants, Scope, TrialDifference, TrialFailure, TrialOutcome, TrialReport, TrialThing,
};
use crate::plan::plan;
use crate::policy::text::{Sources, shown};
use crate::policy::{Facts, PolicySet};

use super::read::{Suite, Test};
use super::value::{At, Refused};
use super::{codes, raw, things, verdicts};

/// Runs every test of a suite. `read` are the findings of reading the policies, which are the same at every instant.
#[must_use]
pub fn run(suite: &Suite, policies: &PolicySet, read: &[Diagnostic]) -> TrialReport {
    let outcome = |test: &Test| TrialOutcome {
        name: test.name.clone(),
        span: test.span.clone(),
        failures: Judge { test, sources: &suite.sources, policies, read }.failures(),
    };
    TrialReport { tests: suite.tests.iter().map(outcome).collect() }
}

struct Judge<'a> {
    test: &'a Test,
    sources: &'a Sources,
    policies: &'a PolicySet,
    read: &'a [Diagnostic],
}

impl Judge<'_> {
    /// Returns what is otherwise than expected, in the order of the test file.
    fn failures(&self) -> Vec<TrialFailure> {
        let (world, expect) = (&self.test.world, &self.test.expect);
        let plan = plan(&world.desired, &world.observed, &world.request);
        let mut failures = things::judge(world, &plan, expect, self.sources);
        failures.extend(verdicts::judge(world, &plan, expect, self.sources));
        failures.extend(self.findings());
        failures.extend(expect.refused.as_ref().and_then(|wanted| self.refused(wanted, &plan)));
        let classes = expect.classes.iter().flat_map(|classes| &classes.0);
        failures.extend(classes.filter_map(|(slug, class)| self.class(slug, class)));
        let objectives = expect.objectives.iter().flat_map(|list| &list.value);
        failures.extend(objectives.filter_map(|objective| self.objective(objective, &plan)));
        failures.sort_by_key(|failure| failure.finding.span.as_ref().map(|span| span.begin));
        failures
    }

    /// Judges the codes that are to be found, and those that are not.
    fn findings(&self) -> Vec<TrialFailure> {
        let (world, expect) = (&self.test.world, &self.test.expect);
        let mut failures = Vec::new();
        if expect.findings.is_none() && expect.no_findings.is_none() {
            return failures;
        }
        let proven = self.policies.prove(&Facts::at(world.request.now));
        let all: Vec<&Diagnostic> = self.read.iter().chain(&proven).chain(&world.found).collect();
        let shown = |all: &mut dyn Iterator<Item = &&Diagnostic>| {
            // One of each code says enough; the first of a code stands first in the files.
            let mut seen = BTreeSet::new();
            let firsts = all.filter(|finding| seen.insert(finding.code));
            firsts.map(|finding| thing(format!("{}: {}", finding.code, finding.message))).collect::<Vec<_>>()
        };
        if let Some(none) = expect.findings.as_ref().filter(|list| list.value.is_empty() && !all.is_empty()) {
            let there = all.iter().map(|finding| finding.code.0).collect::<BTreeSet<_>>();
            let verb = if there.len() == 1 { "is" } else { "are" };
            let message = format!("{} {verb} found", there.into_iter().collect::<Vec<_>>().join(", "));
            failures.extend(self.fail(
                codes::OTHER_FINDINGS,
                message,
                none,
                "none is expected",
                shown(&mut all.iter()),
            ));
        }
        for code in expect.findings.iter().flat_map(|list| &list.value) {
            if !all.iter().any(|finding| finding.code.0 == code.value.0) {
                let message = format!("{} is not found", code.value.0);
                let instead = shown(&mut all.iter());
                failures.extend(self.fail(codes::OTHER_FINDINGS, message, code, "expected", instead));
            }
        }
        for code in expect.no_findings.iter().flat_map(|list| &list.value) {
            let mut there = all.iter().filter(|finding| finding.code.0 == code.value.0).peekable();
            if there.peek().is_some() {
                let message = format!("{} is found", code.value.0);
                failures.extend(self.fail(codes::OTHER_FINDINGS, message, code, "ruled out", shown(&mut there)));
            }
        }
        failures
    }

    fn refused(&self, wanted: &At<Refused>, plan: &Plan) -> Option<TrialFailure> {
        let there: BTreeSet<&str> = plan.refusals.iter().map(|refusal| refusal.guard.as_str()).collect();
        let (met, label) = match &wanted.value {
            Refused::Any(any) => (*any != there.is_empty(), if *any { "expected to be" } else { "expected not to be" }),
            Refused::By(guards) => {
                (guards.iter().map(|guard| guard.0).collect::<BTreeSet<_>>() == there, "just these are expected")
            }
        };
        if met {
            return None;
        }
        let message = match there.into_iter().collect::<Vec<_>>().as_slice() {
            [] => "no guard refuses the plan".to_owned(),
            [one] => format!("the guard `{one}` refuses the plan"),
            many => format!("the guards {} refuse the plan", many.join(", ")),
        };
        let instead = plan.refusals.iter().map(|r| thing(format!("{}: {}", r.guard, r.words))).collect();
        self.fail(codes::OTHER_REFUSAL, message, wanted, label, instead)
    }

    fn class(&self, slug: &At<String>, class: &crate::domain::Name) -> Option<TrialFailure> {
        let databases = self.test.world.living.tenants.iter().filter_map(|(database, tenants)| match tenants {
            ResolvedTenants::Known(tenants) => tenants
                .iter()
                .find(|(tenant, _)| tenant.slug == slug.value)
                .map(|(_, class)| (database, class.as_ref())),
            ResolvedTenants::Unknown(_) => None,
        });
        let (database, other) = databases.into_iter().find(|(_, other)| *other != Some(class))?;
        let message = match other {
            Some(other) => format!("the tenant `{}` is in the class `{other}`", shown(&slug.value)),
            None => format!("the tenant `{}` is in no class", shown(&slug.value)),
        };
        let difference = TrialDifference {
            key: "class".to_owned(),
            expected: class.to_string(),
            found: other.map(ToString::to_string),
        };
        let words = format!("database: {database}, tenant: {}", slug.value);
        let instead = vec![TrialThing { words, differs: vec![difference] }];
        self.fail(codes::OTHER_CLASS, message, slug, "expected", instead)
    }

    fn objective(&self, wanted: &At<raw::Objective>, plan: &Plan) -> Option<TrialFailure> {
        let raw = &wanted.value;
        let (database, met) = (raw.database.as_ref()?, raw.met?);
        let scope = raw.tenant.as_ref().map_or(Scope::Database, |tenant| Scope::Tenant(tenant.0.clone()));
        let row = plan.objectives.iter().find(|row| &row.database == database && row.scope == scope);
        let breached = row.and_then(|row| row.breached);
        if breached == Some(!met) {
            return None;
        }
        let message = match (breached, self.test.world.sees_catalog()) {
            (Some(true), _) => "this objective is not met",
            (Some(false), _) => "this objective is met",
            (None, false) => "nobody knows how this objective stands: the catalog cannot be read",
            (None, true) => "there is no recovery point objective here",
        };
        let instead = row.map(|row| thing(stands(row))).into_iter().collect();
        let label = if met { "expected to be met" } else { "expected not to be met" };
        self.fail(codes::OTHER_OBJECTIVE, message.to_owned(), wanted, label, instead)
    }

    fn fail<T>(
        &self,
        code: crate::diag::Code,
        message: String,
        at: &At<T>,
        label: &str,
        instead: Vec<TrialThing>,
    ) -> Option<TrialFailure> {
        let finding = Diagnostic::error(code, message).at(self.sources.span(at.place), label);
        Some(TrialFailure { finding, instead })
    }
}

fn thing(words: String) -> TrialThing {
    TrialThing { words, differs: Vec::new() }
}

/// How a row stands: the newest backup, its age, what may be lost.
fn stands(row: &ObjectiveRow) -> String {
    let rpo = row.rpo.map_or_else(|| "no rpo".to_owned(), |rpo| format!("rpo: {rpo}"));
    match (row.consistent_at, row.age) {
        (Some(at), Some(age)) => format!("newest backup: {at}, age: {age}, {rpo}"),
        _ => format!("newest backup: none, {rpo}"),
    }
}
