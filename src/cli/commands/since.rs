//! What came since a saved plan was made: it is not in the plan, so it is left alone, and said. Deletions may shrink,
//! never grow; work that became due waits for the next plan.

use std::collections::BTreeSet;

use crate::cli::context::Context;
use crate::cli::failure::CliError;
use crate::cli::session::{Facts, Session, Wish};
use crate::domain::{ActionId, Plan, Since};
use crate::render::{Style, action_title};

/// Plans again with the policies at hand, where they are those of the plan, and returns what the saved plan lacks.
///
/// # Errors
/// When a signal comes.
pub fn look(context: &mut Context, session: Option<&Session>, plan: &Plan) -> Result<Vec<Since>, CliError> {
    let Some(session) = session else {
        context.ui.verbose("there are no policies at hand: what came since the plan was made is not looked at");
        return Ok(Vec::new());
    };
    let facts = Facts::of(context);
    let making = plan.lineage.is_none() && plan.simulated;
    let survey = match context.block_on_reading(session.survey_for_actions(&facts, making))? {
        Ok(survey) => survey,
        // The plan is applied all the same: that it cannot be compared stops nothing.
        Err(error) => {
            context
                .ui
                .note(&context.ui.err_style.name(&format!("what came since the plan was made is not known: {error}")));
            return Ok(Vec::new());
        }
    };
    let wish = Wish { narrowing: plan.narrowing.clone().unwrap_or_default(), ..Wish::default() };
    let Ok(now) = session.plan(&survey, &wish) else { return Ok(Vec::new()) };
    if now.policy_digest != plan.policy_digest {
        context.ui.note("the policies at hand are not those of the plan: what came since is not looked at");
        return Ok(Vec::new());
    }
    Ok(came_since(plan, &now))
}

/// Returns what a plan of now has and the saved one lacks.
fn came_since(saved: &Plan, now: &Plan) -> Vec<Since> {
    let planned: BTreeSet<ActionId> = saved.actions.iter().map(|action| action.id).collect();
    let new = now.actions.iter().filter(|action| !planned.contains(&action.id));
    new.map(|action| Since {
        address: action.address.clone(),
        work: action.kind.word().to_owned(),
        deletes: action.kind.deletes(),
        words: format!("{}: {}", action_title(action, &Style::plain()), action.reason.words),
    })
    .collect()
}
