//! Tells consumers: what applications, or those who run them, do once they are to read another version.

use std::time::Instant;

use keywheel_core::{Failure, Hold, Retry, Shape, State, Why, decide};
use keywheel_sdk::{Bundle, Secret, USERNAME, mask};

use super::Outcome;
use crate::consumers::{Moment, Occasion};
use crate::context::Context;

/// So many characters of what went wrong.
const WORDS: usize = 600;
/// Lines of a value that are shorter stand in many texts.
const SHORTEST_LINE: usize = 8;

/// Whether consumers of the policy have not yet taken over the new version.
pub(crate) fn is_to_be_taken_over(cx: &Context<'_>, state: &State) -> bool {
    !cx.policy.after_promote.is_empty() && state.consumed_at.is_none()
}

/// Has the consumers of the policy take over the new version, unless they did before. `None`: there is nothing more to do here.
/// Once all have, that is written down together with the grace period, which begins then; before, nothing is revoked.
pub(crate) async fn taken_over(cx: &Context<'_>, candidate: u32, state: &State) -> Option<Outcome> {
    if !is_to_be_taken_over(cx, state) {
        return None;
    }
    let version = match cx.current().await {
        Ok(current) => current?.0,
        Err(failure) => return Some(Outcome::NotApplied(failure)),
    };
    // Not ours any more: what follows says so.
    if version != cx.fixed.version(candidate) {
        return None;
    }
    if let Err(failure) = tell(cx, Moment::AfterPromote, &cx.policy.after_promote, &version).await {
        return Some(Outcome::NotApplied(failure));
    }
    let now = cx.now();
    let until = if cx.fixed.replaces.is_some() { decide::later(now, cx.policy.revoke.after) } else { now };
    Some(Outcome::Wait(Hold { until, why: Why::Consumed }))
}

/// Tells the consumers that the policy names for it that the previous version is about to end.
pub(crate) async fn before_revoke(cx: &Context<'_>, version: &str) -> Result<(), Failure> {
    tell(cx, Moment::BeforeRevoke, &cx.policy.before_revoke, version).await
}

/// One after the other, since a later one may need what an earlier one did. Each has the time of a step, and what follows too.
async fn tell(cx: &Context<'_>, moment: Moment, names: &[String], version: &str) -> Result<(), Failure> {
    for name in names {
        // This process may have slept: then the lease has no time left, and CURRENT may be another's.
        cx.set_time(Instant::now());
        let current = match cx.current().await? {
            Some((live, current)) if live == version => current,
            Some(_) | None => {
                let message = format!("CURRENT has changed before the consumer `{name}` was told");
                return Err(Failure::new("consumer", message, Retry::Now));
            }
        };
        let occasion = Occasion {
            moment,
            rotation: cx.fixed.id,
            secret: &cx.fixed.secret,
            policy: &cx.policy.name,
            version,
            current: &current,
        };
        let until = cx.until();
        let told = async { tokio::time::timeout_at(until.into(), cx.engine.consumers.tell(name, &occasion)).await };
        let why = match if until <= Instant::now() { None } else { Some(told.await) } {
            Some(Ok(Ok(()))) => {
                tracing::info!(consumer = name, version, "told");
                continue;
            }
            Some(Ok(Err(why))) => why,
            Some(Err(_)) | None => {
                "it was not done within the time of a step (`deadlines: { step }` in keywheel.yaml)".to_owned()
            }
        };
        let message = format!("the consumer `{name}` failed: {}; {}", shown(cx, &why, &current).await, meanwhile(cx));
        return Err(Failure::new("consumer", message, Retry::Now));
    }
    cx.set_time(Instant::now());
    Ok(())
}

/// What holds until it succeeds.
fn meanwhile(cx: &Context<'_>) -> &'static str {
    match (cx.fixed.shape, &cx.fixed.replaces) {
        (_, None) => "it is tried again, or left out once the policy does not name it any more",
        (Shape::InPlace, Some(_)) => {
            "who still has the previous credential is refused; it is tried again, or left out once the policy does not name \
             it any more"
        }
        (Shape::Alternating | Shape::Overlapping, Some(_)) => {
            "the previous credential stays until it succeeds, or until the policy does not name it any more"
        }
    }
}

/// What a consumer said, without the values that it was given or that it may have from before: as they are, as JSON has them, and
/// line by line. Only then is it cut.
async fn shown(cx: &Context<'_>, why: &str, current: &Bundle) -> String {
    let previous = cx.replaced().await.ok().flatten();
    let mut hidden: Vec<Secret> = Vec::new();
    for (field, value) in current.fields().chain(previous.iter().flat_map(Bundle::fields)) {
        if field == USERNAME {
            continue;
        }
        hidden.push(value.duplicate());
        value.expose(|value| {
            let quoted = serde_json::Value::from(value).to_string();
            hidden.push(Secret::new(quoted[1..quoted.len() - 1].to_owned()));
            let lines = value.lines().map(str::trim).filter(|line| line.len() >= SHORTEST_LINE && *line != value);
            hidden.extend(lines.map(|line| Secret::new(line.to_owned())));
        });
    }
    let masked = mask(why, &hidden);
    let plain = masked.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut words: String = plain.take(WORDS + 1).collect();
    if words.chars().count() > WORDS {
        words.pop();
        words.push('…');
    }
    words
}
