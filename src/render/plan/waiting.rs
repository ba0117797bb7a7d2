//! What a plan will not do: guards that refuse it, and work that is held, each with its reason. Pure.

use super::super::action::{count, place};
use super::super::style::{Style, Symbol, Tone};
use crate::domain::{Held, Plan};

/// Returns the section of the guards that refuse, absent where none does.
pub(super) fn refusals(plan: &Plan, style: &Style) -> Option<String> {
    if plan.refusals.is_empty() {
        return None;
    }
    let mut out = format!("{}\n", style.paint(Tone::Bad, "Refused"));
    for refusal in &plan.refusals {
        let guard = style.heading(&style.name(&refusal.guard));
        out.push_str(&format!("  {} {guard}: {}\n", style.mark(Symbol::Shield), style.name(&refusal.words)));
        out.push_str(&format!("      {} {}\n", style.paint(Tone::Note, "help:"), style.name(&refusal.help)));
    }
    Some(out)
}

/// Returns the section of held work, absent where nothing is. Held work that shares its reason shares a line.
pub(super) fn held(plan: &Plan, style: &Style) -> Option<String> {
    held_lines(&plan.held, style).map(|lines| {
        format!("{} ({})\n{lines}", style.heading("Held: due and not done"), count(plan.held.len(), "item"))
    })
}

fn held_lines(held: &[Held], style: &Style) -> Option<String> {
    if held.is_empty() {
        return None;
    }
    let mut groups: Vec<(&Held, Vec<String>)> = Vec::new();
    for item in held {
        let scope = item.scope.as_ref().map(|scope| place(item.database.as_ref(), scope, style));
        let scope = scope.or_else(|| item.database.as_ref().map(ToString::to_string));
        let same = |other: &Held| {
            (&other.address, &other.work, other.reason, &other.words)
                == (&item.address, &item.work, item.reason, &item.words)
        };
        match groups.iter_mut().find(|(first, _)| same(first)) {
            Some((_, scopes)) => scopes.extend(scope),
            None => groups.push((item, scope.into_iter().collect())),
        }
    }
    let mut out = String::new();
    for (item, scopes) in groups {
        let of = match scopes.len() {
            0 => String::new(),
            1..=8 => format!(" of {}", scopes.join(", ")),
            n => format!(" of {n} scopes: {} and {} more", scopes[..3].join(", "), n - 3),
        };
        let work = style.name(&item.work);
        out.push_str(&format!("  {} {}: {work}{of}\n", style.mark(Symbol::Shield), item.address));
        out.push_str(&format!("      because {}\n", style.name(&item.words)));
    }
    Some(out)
}
