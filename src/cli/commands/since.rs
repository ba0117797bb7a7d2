//! What came since a saved plan was made: it is not in the plan, so it is left alone, and said. Deletions may shrink,
//! never grow; work that became due waits for the next plan.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;

use crate::cli::context::Context;
use crate::cli::failure::CliError;
use crate::cli::session::{Facts, Session, Wish};
use crate::cli::survey::HalfSurvey;
use crate::domain::{ActionId, Plan, Since};
use crate::plan::policy_digest;
use crate::render::{Style, action_title};

/// A look at what came since, half of it done. Catalog and stores are read before the run's first effect: what the run
/// does must not look like something that came. The databases, which may be many and slow, hold up no work.
pub struct Look<'a> {
    session: &'a Session,
    plan: &'a Plan,
    seen: HalfSurvey,
}

impl<'a> Look<'a> {
    /// Looks at catalog and stores, where policies are at hand and are those of the plan.
    ///
    /// # Errors
    /// When a signal comes.
    pub fn begin(
        context: &mut Context,
        session: Option<&'a Session>,
        plan: &'a Plan,
    ) -> Result<Option<Self>, CliError> {
        let Some(session) = session else {
            context.ui.verbose("there are no policies at hand: what came since the plan was made is not looked at");
            return Ok(None);
        };
        if policy_digest(&session.base) != plan.policy_digest {
            context.ui.note("the policies at hand are not those of the plan: what came since is not looked at");
            return Ok(None);
        }
        let facts = Facts::of(context);
        let making = plan.lineage.is_none() && plan.simulated;
        match context.block_on_reading(session.half_survey(&facts, making))? {
            Ok(seen) => Ok(Some(Self { session, plan, seen })),
            // The plan is applied all the same: that it cannot be compared stops nothing.
            Err(error) => {
                let words = format!("what came since the plan was made is not known: {error}");
                context.ui.note(&context.ui.err_style.name(&words));
                Ok(None)
            }
        }
    }

    /// Looks at the databases, plans again, and returns what the saved plan lacks; `None` where a fault of bkup's own
    /// broke it off, which must not take the run with it.
    pub async fn rest(self) -> Option<Vec<Since>> {
        let Self { session, plan, seen } = self;
        let looked = async {
            let survey = seen.whole(session).await;
            let wish = Wish { narrowing: plan.narrowing.clone().unwrap_or_default(), ..Wish::default() };
            // What a plan was narrowed to may be gone by now; nothing of it came, then.
            session.plan(&survey, &wish).map(|now| came_since(plan, &now)).unwrap_or_default()
        };
        AssertUnwindSafe(looked).catch_unwind().await.ok()
    }
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
