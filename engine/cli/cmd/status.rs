//! `keywheel status`: one row per managed secret.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use keywheel_core::Rotation;
use keywheel_policies::{Policy, Resting};
use keywheel_runtime::{Live, due_after, target_key};
use serde::Serialize;

use super::history::Line as Past;
use crate::exit::{Exit, Failure};
use crate::output::{instant, length, seconds, talk};
use crate::{Session, wire};

/// Show how each secret stands
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only these secrets or policies
    #[arg(value_name = "SECRET|POLICY")]
    names: Vec<String>,
}

/// One secret as JSON. Stable.
#[derive(Serialize)]
struct Line {
    secret: String,
    policy: String,
    owner: Option<String>,
    target: String,
    /// The version that applications read.
    current: Option<String>,
    current_since: Option<Timestamp>,
    age_seconds: Option<f64>,
    max_age_seconds: Option<f64>,
    /// `CURRENT` is older than `max_age`.
    overdue: bool,
    /// When the schedule wants the next rotation; in the past if it is due.
    next: Option<Timestamp>,
    /// The rotation under way.
    open: Option<Past>,
    /// The latest rotation that has ended.
    last: Option<Past>,
    /// The file to mend, where the policy's rotator cannot be used or is not clear: nothing is done, and no target or time is known.
    broken: Option<String>,
}

pub async fn run(args: &Args, cx: &mut Session) -> anyhow::Result<Exit> {
    let wired = wire::open(&cx.globals.settings, None).await?;
    let engine = &wired.engine;
    let (policies, resting) = wired.policies.all_or_named(&args.names)?;
    let stored: HashMap<_, _> =
        engine.secrets.list().await.map_err(Failure::from)?.into_iter().map(|info| (info.name.clone(), info)).collect();
    let latest: HashMap<_, _> = engine
        .state
        .latest()
        .await
        .map_err(Failure::from)?
        .into_iter()
        .map(|rotation| (rotation.fixed.secret.clone(), rotation))
        .collect();
    let now = engine.clock.now();
    let held = |secret: &str| {
        let info = stored.get(secret);
        info.map(|info| (info.labels.current.clone(), Live::from(info))).unwrap_or_default()
    };
    let mut lines: Vec<Line> = policies
        .iter()
        .map(|policy| {
            let (current, live) = held(&policy.secret.name);
            line(policy, current, live, latest.get(&policy.secret.name), now)
        })
        .collect();
    lines.extend(resting.into_iter().map(|resting| {
        let (current, live) = held(&resting.secret);
        rests(resting, current, live.since, latest.get(&resting.secret), now)
    }));
    if cx.out.is_json() {
        cx.out.json(&lines)?;
    } else if lines.is_empty() {
        talk("no policies yet");
    } else {
        let rows: Vec<_> = lines.iter().map(|line| row(line, now)).collect();
        cx.out.table(&["SECRET", "CURRENT SINCE", "AGE", "NEXT", "UNDER WAY", "LAST"], &rows)?;
    }
    for orphan in latest.values().filter(|rotation| !rotation.state.ended()) {
        let secret = &orphan.fixed.secret;
        let named = wired.policies.usable.iter().map(|policy| &policy.secret.name);
        if !named.chain(wired.policies.resting.iter().map(|resting| &resting.secret)).any(|name| name == secret) {
            talk(&format!(
                "note: `{secret}` has a rotation under way, but no policy names it any more; it rests until one does"
            ));
        }
    }
    Ok(Exit::Done)
}

fn line(policy: &Policy, current: Option<String>, live: Live, latest: Option<&Rotation>, now: Timestamp) -> Line {
    let age = live.since.map(|since| now.duration_since(since));
    let max_age = policy.max_age.and_then(|max_age| SignedDuration::try_from(max_age).ok());
    let (open, last) = open_and_last(latest);
    Line {
        secret: policy.secret.name.clone(),
        policy: policy.name.clone(),
        owner: policy.owner.clone(),
        target: target_key(policy),
        current,
        current_since: live.since,
        age_seconds: age.map(seconds),
        max_age_seconds: max_age.map(seconds),
        overdue: age.zip(max_age).is_some_and(|(age, max_age)| age > max_age),
        next: due_after(
            policy,
            live,
            latest.filter(|rotation| rotation.state.ended()).map_or(&[], std::slice::from_ref),
            now,
        ),
        open,
        last,
        broken: None,
    }
}

/// The line of a policy that rests.
fn rests(
    resting: &Resting,
    current: Option<String>,
    since: Option<Timestamp>,
    latest: Option<&Rotation>,
    now: Timestamp,
) -> Line {
    let (open, last) = open_and_last(latest);
    Line {
        secret: resting.secret.clone(),
        policy: resting.policy.clone(),
        owner: resting.owner.clone(),
        target: String::new(),
        current,
        current_since: since,
        age_seconds: since.map(|since| seconds(now.duration_since(since))),
        max_age_seconds: None,
        overdue: false,
        next: None,
        open,
        last,
        broken: Some(resting.declaration.clone()),
    }
}

fn open_and_last(latest: Option<&Rotation>) -> (Option<Past>, Option<Past>) {
    match latest {
        Some(rotation) if rotation.state.ended() => (None, Some(Past::of(rotation))),
        Some(rotation) => (Some(Past::of(rotation)), None),
        None => (None, None),
    }
}

fn row(line: &Line, now: Timestamp) -> Vec<String> {
    let age = line.current_since.map(|since| length(now.duration_since(since))).unwrap_or_default();
    let next = match line.next {
        Some(next) if next <= now => "now".to_owned(),
        Some(next) => instant(next),
        None if line.broken.is_some() => "never: its rotator cannot be used".to_owned(),
        None if line.current.is_none() => "never: no CURRENT yet".to_owned(),
        None => "by hand".to_owned(),
    };
    let open = line.open.as_ref();
    vec![
        line.secret.clone(),
        line.current_since.map_or_else(|| "-".to_owned(), instant),
        if line.overdue { format!("{age} OVERDUE") } else { age },
        if open.is_some() { "-".to_owned() } else { next },
        open.map_or_else(
            || "-".to_owned(),
            |open| format!("{}: {}", open.standing(), open.why.as_deref().unwrap_or(&open.rotation)),
        ),
        line.last
            .as_ref()
            .map_or_else(|| "-".to_owned(), |last| format!("{} {}", last.outcome, instant(last.updated_at))),
    ]
}
