//! `bkup explain`: what a code means, what a thing of the policies means with its defaults, or what keeps a backup. Only
//! the last asks the catalog.

use clap::Args;

use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::CliError;
use crate::cli::lives::Looked;
use crate::cli::{policies, wiring};
use crate::diag::Severity;
use crate::domain::{Address, Section};
use crate::policy::PolicySet;
use crate::render::{
    explanations_json, explanations_text, findings_summary, life_json, life_text, near, page, page_json, page_text,
};

/// How many addresses a help line names.
const MOST_NAMED: usize = 12;

/// Arguments of `explain`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  bkup explain BK402\n  bkup explain schedule.nightly\n  bkup explain 'schedule.*'\n  bkup explain 20260301T020000Z-nightly"
)]
pub struct ExplainArgs {
    /// A code such as BK402, an address such as schedule.nightly, a pattern of addresses, or a backup's id or its begin
    #[arg(value_name = "ADDRESS|CODE|BACKUP")]
    pub what: String,
}

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
enum Wish {
    Code(String),
    One(Address),
    Like(String),
    Backup,
    Unknown,
}

/// Explains.
///
/// # Errors
/// Where what was given is no code, address or pattern, or names nothing that is there.
pub fn run(context: &mut Context, args: &ExplainArgs) -> Result<Exit, CliError> {
    let what = args.what.trim();
    match wish(what) {
        Wish::Code(number) => explain_code(context, what, &number),
        Wish::One(address) => explain_things(context, what, Some(&address)),
        Wish::Like(_) => explain_things(context, what, None),
        Wish::Backup => explain_backup(context, what),
        Wish::Unknown => Err(unknown(context, what)),
    }
}

fn wish(what: &str) -> Wish {
    let number = what.get(..2).filter(|head| head.eq_ignore_ascii_case("bk")).map_or(what, |_| &what[2..]);
    if !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) {
        return Wish::Code(number.to_owned());
    }
    // A slot's day and its T: no name begins with a digit.
    let (day, rest) = what.split_at_checked(8).unwrap_or(("", ""));
    if day.bytes().all(|b| b.is_ascii_digit()) && rest.starts_with('T') {
        return Wish::Backup;
    }
    if what.contains(['*', '?', '[', '{']) {
        return Wish::Like(what.to_owned());
    }
    what.parse().map_or(Wish::Unknown, Wish::One)
}

fn explain_backup(context: &mut Context, what: &str) -> Result<Exit, CliError> {
    let looked = Looked::at(context)?;
    let backup = looked.find(context, what)?;
    let life = looked.lives().of(backup);
    let ui = &context.ui;
    ui.print(&if ui.is_json() { life_json(&life, looked.now()) } else { life_text(&life, looked.now(), &ui.style) });
    Ok(Exit::Success)
}

fn explain_code(context: &Context, what: &str, number: &str) -> Result<Exit, CliError> {
    let Some(page) = page(number) else {
        let near = near(number.parse().unwrap_or(u32::MAX));
        return Err(CliError::Unexplained {
            code: "BK971",
            words: format!("there is no code {}", what.to_ascii_uppercase()),
            help: format!("the nearest ones are {}", near.join(", ")),
        });
    };
    let ui = &context.ui;
    ui.print(&if ui.is_json() { page_json(&page) } else { page_text(&page, &ui.style) });
    Ok(Exit::Success)
}

fn explain_things(context: &Context, what: &str, one: Option<&Address>) -> Result<Exit, CliError> {
    let files = policies::read_all(context)?;
    let judged = wiring::judge(&files, context.instant());
    let (set, findings) = (judged.set, judged.findings);
    let addresses = match one {
        Some(address) => vec![address.clone()],
        None => set.addresses_like(what).map_err(|reason| no_match(what, &reason, &set))?,
    };
    if addresses.is_empty() {
        return Err(no_match(what, "none of the policies' addresses is like it", &set));
    }
    let schema = wiring::policy_schema();
    let now = context.instant();
    let mut explanations = Vec::new();
    for address in &addresses {
        match set.describe(address, now, &findings, &schema) {
            Some(explanation) => explanations.push(explanation),
            // What cannot be made of the files is not in the set: it may be there and be wrong.
            None if findings.iter().any(|finding| finding.severity == Severity::Error) => {
                return Err(CliError::NotWhole { address: address.to_string(), summary: findings_summary(&findings) });
            }
            None => return Err(undefined(address, &set)),
        }
    }
    let ui = &context.ui;
    ui.print(&if ui.is_json() {
        explanations_json(&explanations)
    } else {
        explanations_text(&explanations, &ui.style)
    });
    Ok(Exit::Success)
}

fn no_match(what: &str, reason: &str, set: &PolicySet) -> CliError {
    CliError::Unexplained {
        code: "BK973",
        words: format!("no address matches {what}: {reason}"),
        help: format!("there are {}", listed(&set.addresses())),
    }
}

fn undefined(address: &Address, set: &PolicySet) -> CliError {
    let all = set.addresses();
    let help = match similar(&address.to_string(), &all) {
        Some(guess) => format!("did you mean {guess}?"),
        None => {
            let same: Vec<Address> = all.iter().filter(|other| other.section() == address.section()).cloned().collect();
            format!("there are {}", listed(if same.is_empty() { &all } else { &same }))
        }
    };
    CliError::Unexplained { code: "BK972", words: format!("the policies define no {address}"), help }
}

/// Returns the error for what is no code, address or pattern. The policies are looked at for a guess only, so whatever
/// is wrong with them is not said here.
fn unknown(context: &Context, what: &str) -> CliError {
    let takes = "give a code (BK402), an address (schedule.nightly, guards), a pattern of addresses ('schedule.*'), or the \
                 begin of a backup's id (20260301T020000Z)";
    let set = policies::read_all(context).ok().map(|files| wiring::judge(&files, context.instant()).set);
    let named = |address: &Address| address.name().is_some_and(|name| name.as_str() == what);
    let by_name = set.as_ref().map(PolicySet::addresses).unwrap_or_default().into_iter().find(named);
    let plural = what.strip_suffix('s').unwrap_or(what).replace('_', "-");
    let section = Section::ALL.into_iter().find(|s| !s.stands_once() && (s.singular() == plural || plural == "classe"));
    let help = match (by_name, section) {
        (Some(address), _) => format!("did you mean {address}?"),
        (None, Some(_)) if plural == "classe" => "did you mean 'class.*'?".to_owned(),
        (None, Some(section)) => format!("did you mean '{}.*'?", section.singular()),
        (None, None) => match set.as_ref().and_then(|set| similar(what, &set.addresses())) {
            Some(guess) => format!("did you mean {guess}?"),
            None => takes.to_owned(),
        },
    };
    CliError::Unexplained { code: "BK970", words: format!("{what:?} is neither a code nor an address"), help }
}

fn similar(what: &str, addresses: &[Address]) -> Option<String> {
    if what.len() > 128 {
        return None;
    }
    let given = what.to_lowercase();
    let near = addresses.iter().map(|address| {
        let address = address.to_string();
        (strsim::damerau_levenshtein(&given, &address), address)
    });
    near.filter(|(distance, address)| *distance <= 1 + address.len().min(what.len()) / 6).min().map(|(_, a)| a)
}

fn listed(addresses: &[Address]) -> String {
    let shown: Vec<String> = addresses.iter().take(MOST_NAMED).map(ToString::to_string).collect();
    let more = addresses.len().saturating_sub(MOST_NAMED);
    if more == 0 { shown.join(", ") } else { format!("{} and {more} more", shown.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::{Wish, wish};

    #[test]
    fn what_is_wished_for_is_told_by_its_form() {
        for code in ["BK604", "bk604", "604", "BK4", "99999999999"] {
            assert!(matches!(wish(code), Wish::Code(_)), "{code}");
        }
        for address in ["guards", "schedule.nightly", "recovery-plan.full-system"] {
            assert!(matches!(wish(address), Wish::One(_)), "{address}");
        }
        for pattern in ["*", "schedule.*", "{store,class}.*", "store.?"] {
            assert!(matches!(wish(pattern), Wish::Like(_)), "{pattern}");
        }
        for backup in ["20260301T020000Z-nightly-0123456789abcdef", "20260301T"] {
            assert_eq!(wish(backup), Wish::Backup, "{backup}");
        }
        for other in ["", "BK", "nightly", "schedule", "schedules.nightly", "BK40x", "\u{e9}", "schedule."] {
            assert_eq!(wish(other), Wish::Unknown, "{other}");
        }
    }
}
