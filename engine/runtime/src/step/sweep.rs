//! What the provider made and nobody holds goes: before another is made, and before a rotation ends.

use jiff::Timestamp;
use keywheel_core::{Event, Failure, Hold, Retry, Step, Why, decide};
use keywheel_sdk::{Bundle, Origin, Target};
use keywheel_secrets::Selector;
use keywheel_state::{History, StateError};

use super::Outcome;
use crate::context::{Context, outcome_of, reading_failed, within};

/// How many earlier rotations of a secret are cleaned up after.
const REMEMBERED: usize = 1_000;

/// Before another is made: deletes what carries the tag of this rotation, or of an earlier one of this secret, and is not in
/// the secret store. What an earlier one left came after its last look: a creation that took very long on its way. Where the
/// store holds nothing, what earlier rotations left cannot be told from what is in use, and stays.
pub(crate) async fn sweep_before(cx: &Context<'_>, target: &Target) -> Result<(), Outcome> {
    let held = held(cx).await?;
    let earlier = if held.is_empty() { Vec::new() } else { earlier(cx).await? };
    if !creations(cx).await?.may_have_made && earlier.is_empty() {
        return Ok(());
    }
    let keep: Vec<&Bundle> = held.iter().collect();
    ask(cx, target, &earlier, &keep).await
}

/// Before a rotation is rolled back: deletes what carries its tag and is not in the secret store. Nothing to do where the
/// engine makes the values, and where none was made.
pub(crate) async fn sweep_own(cx: &Context<'_>) -> Result<(), Outcome> {
    match cx.origin {
        Origin::Engine => return Ok(()),
        Origin::Provider => {}
    }
    let creations = creations(cx).await?;
    if !creations.may_have_made {
        return Ok(());
    }
    creations.await_stragglers(cx)?;
    let held = held(cx).await?;
    let target = cx.target().await.map_err(Outcome::NotApplied)?;
    let keep: Vec<&Bundle> = held.iter().collect();
    ask(cx, &target, &[], &keep).await
}

/// Before the previous credential ends, its grace being over: deletes what carries the tag of this rotation or of an earlier
/// one and is none of `keep`. So a key goes, too, that a person had replaced by hand before this rotation. Nothing to do
/// where the engine makes the values.
pub(crate) async fn sweep_all(cx: &Context<'_>, keep: &[&Bundle]) -> Result<(), Outcome> {
    match cx.origin {
        Origin::Engine => return Ok(()),
        Origin::Provider => {}
    }
    creations(cx).await?.await_stragglers(cx)?;
    let target = cx.target().await.map_err(Outcome::NotApplied)?;
    ask(cx, &target, &earlier(cx).await?, keep).await
}

/// The ids of this secret's earlier rotations.
async fn earlier(cx: &Context<'_>) -> Result<Vec<String>, Outcome> {
    let which = History { secret: Some(cx.fixed.secret.clone()), limit: REMEMBERED };
    let history = cx.engine.state.history(&which).await;
    let history = history.map_err(|error| Outcome::NotApplied(journal_failed(&error)))?;
    Ok(history.iter().map(|one| one.fixed.id).filter(|id| *id != cx.fixed.id).map(|id| id.to_string()).collect())
}

async fn ask(cx: &Context<'_>, target: &Target, earlier: &[String], keep: &[&Bundle]) -> Result<(), Outcome> {
    let rotation = cx.fixed.id.to_string();
    let call = cx.call(target, &rotation);
    within(cx, cx.rotator.sweep(&call, earlier, keep)).await.map_err(|error| outcome_of(&error))
}

/// What the store holds of this secret, `CURRENT` first, without this rotation's own candidates: those were refused.
async fn held(cx: &Context<'_>) -> Result<Vec<Bundle>, Outcome> {
    let failed = |error| Outcome::NotApplied(reading_failed(error));
    let own = format!("{}.", cx.fixed.id);
    let current = cx.current().await.map_err(Outcome::NotApplied)?;
    let live = current.as_ref().map(|(version, _)| version.clone());
    let mut held: Vec<Bundle> = current.into_iter().map(|(_, bundle)| bundle).collect();
    for info in cx.secrets().versions(&cx.fixed.secret).await.map_err(failed)? {
        if live.as_ref() == Some(&info.version) || info.version.starts_with(&own) {
            continue;
        }
        let stored = cx.secrets().read(&cx.fixed.secret, Selector::Version(&info.version)).await.map_err(failed)?;
        held.extend(stored.map(|stored| stored.bundle));
    }
    Ok(held)
}

/// What the journal says of this rotation's tries to make a value, without the one at work.
struct Creations {
    /// One succeeded, or nobody heard how it ended.
    may_have_made: bool,
    /// Until when one in doubt may still happen: its call was sent at the latest when its time was over.
    straggle_until: Option<Timestamp>,
}

async fn creations(cx: &Context<'_>) -> Result<Creations, Outcome> {
    let events = cx.engine.state.events(cx.fixed.id).await;
    let events = events.map_err(|error| Outcome::NotApplied(journal_failed(&error)))?;
    let (mut began, mut doubt, mut made) = (None, None, false);
    for recorded in events {
        match recorded.event {
            Event::Began { step, .. } => began = (step == Step::Generate).then_some(recorded.at),
            Event::Failed { settled: true, .. } | Event::RollBackOrdered { .. } => doubt = began.take().or(doubt),
            Event::Succeeded { .. } => made |= began.take().is_some(),
            Event::Failed { .. } | Event::Waited { .. } | Event::Resumed { .. } => began = None,
        }
    }
    Ok(Creations {
        may_have_made: made || doubt.is_some(),
        straggle_until: doubt.map(|began| decide::later(began, 2 * cx.engine.limits.step)),
    })
}

impl Creations {
    /// Where a creation was in doubt, the provider may still be at it, so that its end is waited for: as long again as the
    /// call itself had.
    fn await_stragglers(&self, cx: &Context<'_>) -> Result<(), Outcome> {
        match self.straggle_until {
            Some(until) if cx.now() < until => Err(Outcome::Wait(Hold { until, why: Why::InDoubt })),
            Some(_) | None => Ok(()),
        }
    }
}

/// Reading changes nothing.
fn journal_failed(error: &StateError) -> Failure {
    Failure::new("state-store", error.to_string(), Retry::Now)
}
