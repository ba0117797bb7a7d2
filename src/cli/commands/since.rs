//! What came since a saved plan was made: it is not in the plan, so it is left alone, and said. Deletions may shrink,
//! never grow; work that became due waits for the next plan.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::task::JoinSet;

use crate::apply::Looking;
use crate::cli::context::Context;
use crate::cli::failure::CliError;
use crate::cli::session::{Facts, Session, Wish};
use crate::cli::survey::HalfSurvey;
use crate::domain::{ActionId, CameSince, Plan, Since};
use crate::plan::policy_digest;
use crate::render::{Style, action_title};

/// A look at what came since, half of it done. Catalog and stores are read before the run's first effect: what the run
/// does must not look like something that came. The databases, which may be many and slow, hold up no work.
pub struct Look {
    session: Arc<Session>,
    planned: BTreeSet<ActionId>,
    wish: Wish,
    seen: HalfSurvey,
}

impl Look {
    /// Looks at catalog and stores, where policies are at hand and are those of the plan; otherwise returns why not. The
    /// plan is applied all the same: that it cannot be compared stops nothing.
    ///
    /// # Errors
    /// When a signal comes.
    pub fn begin(
        context: &mut Context,
        session: Option<&Arc<Session>>,
        plan: &Plan,
    ) -> Result<Result<Self, String>, CliError> {
        let Some(session) = session else { return Ok(Err("there are no policies at hand".to_owned())) };
        if policy_digest(&session.base) != plan.policy_digest {
            return Ok(Err("the policies at hand are not those of the plan".to_owned()));
        }
        let facts = Facts::of(context);
        let making = plan.lineage.is_none() && plan.simulated;
        let seen = context.block_on_reading(session.half_survey(&facts, making))?;
        Ok(seen.map_err(|error| error.to_string()).map(|seen| Self {
            session: Arc::clone(session),
            planned: plan.actions.iter().map(|action| action.id).collect(),
            wish: Wish { narrowing: plan.narrowing.clone().unwrap_or_default(), ..Wish::default() },
            seen,
        }))
    }

    /// Looks at the databases, plans again, and returns what the saved plan lacks.
    async fn rest(self, waited_for: impl Future<Output = ()>) -> CameSince {
        let Self { session, planned, wish, seen } = self;
        let survey = seen.whole(&session, waited_for).await;
        // Seconds of a processor, of a large world.
        match tokio::task::block_in_place(|| session.plan(&survey, &wish)) {
            Ok(now) => CameSince { work: came_since(&planned, &now), unknown: unseen(&now) },
            Err(error) => CameSince::unknown(error.to_string()),
        }
    }
}

/// Begins the second half beside work, and returns where its answer will be; dropping the set ends it. Without a look, the
/// answer is there: why there is none, or that none was wanted.
#[must_use]
pub fn beside_work(look: Option<Result<Look, String>>) -> (Looking, JoinSet<()>) {
    let mut set = JoinSet::new();
    let looking = match look {
        Some(Ok(look)) => {
            let (looking, lookout) = Looking::new();
            set.spawn(async move {
                let came = look.rest(lookout.wanted()).await;
                lookout.tell(came);
            });
            looking
        }
        Some(Err(why)) => Looking::over(CameSince::unknown(why)),
        None => Looking::over(CameSince::default()),
    };
    (looking, set)
}

/// How many things that could not be looked at are named.
const NAMED: usize = 3;

/// Says what could not be looked at, and so what may be due without being told.
fn unseen(now: &Plan) -> Option<String> {
    let blind = now.held.iter().filter(|held| held.reason.is_blind());
    let words: BTreeSet<String> = blind
        .map(|held| {
            let database = held.database.as_ref().map(|name| format!(", database.{name}")).unwrap_or_default();
            format!("{}{database}: {}", held.address, held.words)
        })
        .collect();
    let named: Vec<&str> = words.iter().map(String::as_str).take(NAMED).collect();
    let more = words.len().saturating_sub(NAMED);
    let more = if more == 0 { String::new() } else { format!("; and {more} more") };
    (!words.is_empty()).then(|| format!("{}{more}", named.join("; ")))
}

/// Returns what a plan of now has and the saved one lacks.
fn came_since(planned: &BTreeSet<ActionId>, now: &Plan) -> Vec<Since> {
    let new = now.actions.iter().filter(|action| !planned.contains(&action.id));
    new.map(|action| Since {
        address: action.address.clone(),
        work: action.kind.word().to_owned(),
        deletes: action.kind.deletes(),
        words: format!("{}: {}", action_title(action, &Style::plain()), action.reason.words),
    })
    .collect()
}
