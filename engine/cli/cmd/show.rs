//! `keywheel show`: what happened in one rotation, step by step.

use std::fmt::Write as _;

use jiff::{SignedDuration, Timestamp};
use keywheel_core::{After, Event, Recorded, Rotation, RotationId, Shape, Step};
use keywheel_state::{History, StateStore};
use serde::Serialize;

use super::history::{Line, plugins_of, secret_of};
use crate::exit::{Exit, Failure};
use crate::output::{instant, length, printable, seconds};
use crate::{Session, wire};

/// Show what happened in one rotation
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Its id, the beginning of its id, or `latest:SECRET`
    rotation: String,
}

/// How many rotations are searched for the beginning of an id.
const SEARCHED: usize = 10_000;

/// One rotation with its journal as JSON. Stable.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    line: Line,
    /// The version that was `CURRENT` at the start.
    replaces: Option<String>,
    /// The version made last.
    version: String,
    /// The plugins that acted, each by the SHA-256 of its file, in the order in which they first did.
    plugins: Vec<String>,
    /// In place only: how long the target refused what readers saw as `CURRENT`, at most.
    gap_seconds: Option<f64>,
    events: Vec<Entry>,
}

/// One journal entry as JSON. Stable.
#[derive(Serialize)]
struct Entry {
    seq: u64,
    at: Timestamp,
    /// `began`, `succeeded`, `failed`, `waited`, `resumed` or `roll-back-ordered`.
    event: &'static str,
    step: Option<&'static str>,
    attempt: Option<u32>,
    /// Found by looking, after the outcome had been in doubt.
    settled: bool,
    /// From the step's beginning to this outcome.
    seconds: Option<f64>,
    /// The failure's code.
    code: Option<String>,
    message: Option<String>,
    /// `again`, `new-candidate`, `roll-back` or `park` after a failure.
    then: Option<&'static str>,
    /// Nothing happens before.
    until: Option<Timestamp>,
    /// The plugin that acted, by the SHA-256 of its file.
    plugin: Option<String>,
}

pub async fn run(args: &Args, cx: &mut Session) -> anyhow::Result<Exit> {
    let settings = wire::settings(&cx.globals.settings)?;
    let state = wire::state(&settings).await?;
    let rotation = find(&settings, state.as_ref(), &args.rotation).await?;
    let events = state.events(rotation.fixed.id).await.map_err(Failure::from)?;
    let shown = Shown {
        line: Line::of(&rotation),
        replaces: rotation.fixed.replaces.clone(),
        version: rotation.fixed.version(rotation.state.candidate),
        plugins: plugins_of(&events),
        gap_seconds: gap(&rotation, &events).map(seconds),
        events: entries(&events),
    };
    if cx.out.is_json() {
        cx.out.json(&shown)?;
    } else {
        write(cx, &rotation, &shown)?;
    }
    Ok(Exit::Done)
}

async fn find(
    settings: &keywheel_policies::Settings,
    state: &dyn StateStore,
    wanted: &str,
) -> anyhow::Result<Rotation> {
    if let Some(name) = wanted.strip_prefix("latest:") {
        let secret = secret_of(settings, state, name).await?;
        let mut latest =
            state.history(&History { secret: Some(secret.clone()), limit: 1 }).await.map_err(Failure::from)?;
        return latest.pop().ok_or_else(|| Failure::input(format!("`{secret}` was never rotated")).into());
    }
    if let Ok(id) = wanted.parse::<RotationId>() {
        let found = state.rotation(id).await.map_err(Failure::from)?;
        return found.ok_or_else(|| unknown(wanted));
    }
    let recent = state.history(&History { secret: None, limit: SEARCHED }).await.map_err(Failure::from)?;
    let mut fitting = recent.into_iter().filter(|rotation| rotation.fixed.id.to_string().starts_with(wanted));
    match (fitting.next(), fitting.next()) {
        (Some(found), None) if !wanted.is_empty() => Ok(found),
        (None, _) => Err(unknown(wanted)),
        (Some(_), _) => Err(Failure::input(format!("`{wanted}` is the beginning of several rotations' ids"))
            .hint("give more of it, or `latest:SECRET`")
            .into()),
    }
}

fn unknown(wanted: &str) -> anyhow::Error {
    Failure::input(format!("there is no rotation `{wanted}`"))
        .hint("`keywheel history` lists rotations; `latest:SECRET` is a secret's latest")
        .into()
}

/// In place: from the first intent to apply to the promotion. Readers of `CURRENT` were refused for at most so long.
fn gap(rotation: &Rotation, events: &[Recorded]) -> Option<SignedDuration> {
    match rotation.fixed.shape {
        Shape::InPlace => {}
        Shape::Alternating | Shape::Overlapping => return None,
    }
    let applied = events.iter().find(|e| matches!(e.event, Event::Began { step: Step::Apply, .. }))?;
    let promoted = events.iter().find(|e| matches!(e.event, Event::Succeeded { step: Step::Promote, .. }))?;
    Some(promoted.at.duration_since(applied.at))
}

fn entries(events: &[Recorded]) -> Vec<Entry> {
    let mut began: Option<Timestamp> = None;
    events
        .iter()
        .map(|recorded| {
            let mut entry = Entry {
                seq: recorded.seq,
                at: recorded.at,
                event: recorded.event.name(),
                step: None,
                attempt: None,
                settled: false,
                seconds: None,
                code: None,
                message: None,
                then: None,
                until: None,
                plugin: recorded.plugin.clone(),
            };
            match &recorded.event {
                Event::Began { step, attempt } => {
                    began = Some(recorded.at);
                    (entry.step, entry.attempt) = (Some(step.name()), Some(*attempt));
                }
                Event::Succeeded { step, settled, note, hold } => {
                    (entry.step, entry.settled) = (Some(step.name()), *settled);
                    (entry.message, entry.until) = (note.clone(), hold.map(|hold| hold.until));
                }
                Event::Failed { step, settled, failure, then } => {
                    (entry.step, entry.settled) = (Some(step.name()), *settled);
                    (entry.code, entry.message) = (Some(failure.code.clone()), Some(failure.message.clone()));
                    (entry.then, entry.until) = (Some(word(then)), then.until());
                }
                Event::Waited { step, hold } => {
                    entry.step = Some(step.name());
                    (entry.message, entry.until) = (Some(hold.why.to_string()), Some(hold.until));
                }
                Event::Resumed { by } | Event::RollBackOrdered { by } => entry.message = Some(format!("by {by}")),
            }
            if !matches!(recorded.event, Event::Began { .. }) && entry.step.is_some() {
                entry.seconds = began.take().map(|began| seconds(recorded.at.duration_since(began)));
            }
            entry
        })
        .collect()
}

fn word(then: &After) -> &'static str {
    match then {
        After::Again { .. } => "again",
        After::NewCandidate { .. } => "new-candidate",
        After::RollBack => "roll-back",
        After::Park => "park",
    }
}

fn write(cx: &mut Session, rotation: &Rotation, shown: &Shown) -> anyhow::Result<()> {
    let line = &shown.line;
    let mut head = format!("rotation  {}\nsecret    {}\npolicy    {}\n", line.rotation, line.secret, line.policy);
    let by = line.by.as_ref().map(|by| format!(" {by}")).unwrap_or_default();
    let reason = line.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    writeln!(head, "cause     {}{by}{}", line.cause, printable(&reason))?;
    writeln!(head, "standing  {}", line.standing())?;
    if let Some(why) = &line.why {
        writeln!(head, "why       {}", printable(why))?;
    }
    writeln!(head, "begun     {}", instant(line.begun_at))?;
    writeln!(head, "took      {}", length(rotation.updated_at.duration_since(rotation.created_at)))?;
    if let Some(gap) = shown.gap_seconds {
        let gap = SignedDuration::try_from_secs_f64(gap).unwrap_or_default();
        writeln!(head, "gap       {} at most, from apply to promote", length(gap))?;
    }
    for plugin in &shown.plugins {
        let mut steps: Vec<&str> =
            shown.events.iter().filter(|e| e.plugin.as_ref() == Some(plugin)).filter_map(|e| e.step).collect();
        steps.dedup();
        // With one for all there is nothing to tell apart.
        let at = if shown.plugins.len() > 1 { format!(" at {}", steps.join(", ")) } else { String::new() };
        writeln!(head, "plugin    {plugin}{at}")?;
    }
    cx.out.line(&head)?;
    let row = |entry: &Entry| {
        let settled = if entry.settled { " (found by looking)" } else { "" };
        let code = entry.code.as_ref().map(|code| format!(" ({code})")).unwrap_or_default();
        let then = entry.then.map(|then| format!("; then {then}")).unwrap_or_default();
        let until = entry.until.map(|until| format!("; not before {}", instant(until))).unwrap_or_default();
        let took = entry.seconds.and_then(|took| SignedDuration::try_from_secs_f64(took).ok());
        vec![
            entry.at.strftime("%Y-%m-%d %H:%M:%S%.3fZ").to_string(),
            entry.step.unwrap_or_default().to_owned(),
            format!("{}{settled}", entry.event),
            entry.attempt.map(|attempt| format!("#{attempt}")).unwrap_or_default(),
            took.map(length).unwrap_or_default(),
            format!("{}{code}{then}{until}", entry.message.clone().unwrap_or_default()),
        ]
    };
    cx.out.table(&["AT", "STEP", "EVENT", "ATTEMPT", "TOOK", ""], &shown.events.iter().map(row).collect::<Vec<_>>())?;
    Ok(())
}
