//! `keywheel status`: one row per managed secret.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use keywheel_core::Rotation;
use keywheel_policies::Policy;
use keywheel_runtime::{Live, due_after, target_key};
use serde::Serialize;

use super::history::Line as Past;
use crate::exit::{Exit, Failure};
use crate::output::{instant, length, seconds, talk};
use crate::{Session, select, wire};

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
}

pub async fn run(args: &Args, cx: &mut Session) -> anyhow::Result<Exit> {
    let wired = wire::open(&cx.globals.settings, None).await?;
    let engine = &wired.engine;
    let policies =
        if args.names.is_empty() { wired.policies.clone() } else { select::by_name(&wired.policies, &args.names)? };
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
    let lines: Vec<Line> = policies
        .iter()
        .map(|policy| {
            let info = stored.get(&policy.secret.name);
            let (current, live) = info.map(|info| (info.labels.current.clone(), Live::from(info))).unwrap_or_default();
            line(policy, current, live, latest.get(&policy.secret.name), now)
        })
        .collect();
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
        if !wired.policies.iter().any(|policy| policy.secret.name == *secret) {
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
    let (open, last) = match latest {
        Some(rotation) if rotation.state.ended() => (None, Some(Past::of(rotation))),
        Some(rotation) => (Some(Past::of(rotation)), None),
        None => (None, None),
    };
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
    }
}

fn row(line: &Line, now: Timestamp) -> Vec<String> {
    let age = line.current_since.map(|since| length(now.duration_since(since))).unwrap_or_default();
    let next = match line.next {
        Some(next) if next <= now => "now".to_owned(),
        Some(next) => instant(next),
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
