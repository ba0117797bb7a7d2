//! What a plan has against what a test expects it to have: actions and held work. Pure.

use std::collections::HashMap;

use crate::diag::{Code, Diagnostic};
use crate::domain::{Backup, BackupId, Plan, TrialFailure};
use crate::policy::text::Sources;

use super::codes;
use super::facts::{Facts, Wanted, action_facts, first_few, held_facts, nearest, wanted_action, wanted_held};
use super::raw::{self, Expect};
use super::value::At;
use super::world::World;

/// Judges actions and held work.
pub(super) fn judge(world: &World, plan: &Plan, expect: &Expect, sources: &Sources) -> Vec<TrialFailure> {
    let backups: HashMap<&BackupId, &Backup> = world.backups().map(|backup| (&backup.id, backup)).collect();
    let actions: Vec<Facts> = plan.actions.iter().map(|action| action_facts(action, &backups)).collect();
    let held: Vec<Facts> = plan.held.iter().map(held_facts).collect();
    let mut judge = Judge { sources, failures: Vec::new() };
    if let Some(wanted) = &expect.actions {
        judge.none(wanted, &actions, codes::ACTION_MISSING, "the plan has", "action");
        wanted.value.iter().for_each(|action| judge.action(action, &actions));
    }
    for action in expect.no_actions.iter().flat_map(|list| &list.value) {
        judge.no_action(action, &actions);
    }
    if let Some(wanted) = &expect.held {
        judge.none(wanted, &held, codes::NOT_HELD, "the plan holds", "piece of work");
        wanted.value.iter().for_each(|work| judge.held(work, &held));
    }
    judge.failures
}

struct Judge<'a> {
    sources: &'a Sources,
    failures: Vec<TrialFailure>,
}

impl Judge<'_> {
    /// An empty list says that there is nothing of the kind.
    fn none<T>(&mut self, wanted: &At<Vec<T>>, all: &[Facts], code: Code, has: &str, noun: &str) {
        if !wanted.value.is_empty() || all.is_empty() {
            return;
        }
        let message = format!("{has} {}", counted(all.len(), noun));
        let finding = Diagnostic::error(code, message).at(self.sources.span(wanted.place), "none is expected");
        self.failures.push(TrialFailure { finding, instead: first_few(all.iter()) });
    }

    fn action(&mut self, action: &At<raw::Action>, all: &[Facts]) {
        let wanted = wanted_action(&action.value);
        let there = all.iter().filter(|facts| facts.meets(&wanted)).count();
        let (message, label) = match (action.value.count, there) {
            (None, 0) => ("the plan does not have this action".to_owned(), "expected".to_owned()),
            (Some(count), there) if there != count as usize => {
                let message = match there {
                    0 => "the plan does not have this action".to_owned(),
                    there => format!("the plan has {}", counted(there, "such action")),
                };
                (message, format!("{count} expected"))
            }
            _ => return,
        };
        let instead =
            if there == 0 { nearest(&wanted, all) } else { first_few(all.iter().filter(|facts| facts.meets(&wanted))) };
        self.fail(codes::ACTION_MISSING, message, action, label, instead);
    }

    fn no_action(&mut self, action: &At<raw::NoAction>, all: &[Facts]) {
        let wanted = wanted_action(&action.value.0);
        let there: Vec<&Facts> = all.iter().filter(|facts| facts.meets(&wanted)).collect();
        if !there.is_empty() {
            let message = format!("the plan has {}", counted(there.len(), "such action"));
            let instead = first_few(there.into_iter());
            self.fail(codes::ACTION_THERE, message, action, "ruled out".to_owned(), instead);
        }
    }

    fn held(&mut self, work: &At<raw::Held>, all: &[Facts]) {
        let wanted: Wanted = wanted_held(&work.value);
        if !all.iter().any(|facts| facts.meets(&wanted)) {
            let message = if all.is_empty() { "the plan holds nothing" } else { "the plan does not hold this work" };
            self.fail(codes::NOT_HELD, message.to_owned(), work, "expected".to_owned(), nearest(&wanted, all));
        }
    }

    fn fail<T>(
        &mut self,
        code: Code,
        message: String,
        at: &At<T>,
        label: String,
        instead: Vec<crate::domain::TrialThing>,
    ) {
        let finding = Diagnostic::error(code, message).at(self.sources.span(at.place), label);
        self.failures.push(TrialFailure { finding, instead });
    }
}

fn counted(number: usize, noun: &str) -> String {
    match (number, noun) {
        (1, noun) => format!("1 {noun}"),
        (n, "piece of work") => format!("{n} pieces of work"),
        (n, noun) => format!("{n} {noun}s"),
    }
}
