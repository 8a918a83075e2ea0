//! `keywheel history`: rotations, newest first.

use jiff::{SignedDuration, Timestamp};
use keywheel_core::{Cause, Recorded, Rotation};
use keywheel_state::History;
use serde::Serialize;

use crate::exit::{Exit, Failure};
use crate::output::{instant, length, seconds, talk};
use crate::{Session, select, wire};

/// List rotations, newest first
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only of this secret, or of this policy's
    secret: Option<String>,
    /// At most so many
    #[arg(long, value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
}

/// One rotation as JSON. Stable.
#[derive(Serialize)]
pub struct Line {
    pub rotation: String,
    pub secret: String,
    pub policy: String,
    /// `done`, `rolled-back`, `parked`, `ready`, `waiting` or `attempting`.
    pub outcome: &'static str,
    /// The step at which it stands; null once ended.
    pub step: Option<&'static str>,
    /// Why it was rolled back or parked.
    pub why: Option<String>,
    /// `schedule`, `person`, or `drift`: a heartbeat found `CURRENT` refused.
    pub cause: &'static str,
    pub by: Option<String>,
    pub reason: Option<String>,
    pub begun_at: Timestamp,
    pub updated_at: Timestamp,
    pub promoted_at: Option<Timestamp>,
    /// From the beginning to the end, or to the last event.
    pub seconds: f64,
    pub attempts: u32,
}

impl Line {
    pub fn of(rotation: &Rotation) -> Line {
        use keywheel_core::Progress;
        let state = &rotation.state;
        let (outcome, why) = match &state.progress {
            Progress::Done => ("done", None),
            Progress::RolledBack => ("rolled-back", state.undo.clone()),
            Progress::Parked { reason, .. } => ("parked", Some(reason.clone())),
            Progress::Ready { hold: None, .. } => ("ready", state.undo.clone()),
            Progress::Ready { hold: Some(hold), .. } => ("waiting", Some(hold.why.to_string())),
            Progress::Attempting { .. } => ("attempting", state.undo.clone()),
        };
        let (cause, by, reason) = match &rotation.fixed.cause {
            Cause::Schedule { .. } => ("schedule", None, None),
            Cause::Person { by, reason } => ("person", Some(by.clone()), reason.clone()),
            Cause::Drift { .. } => ("drift", None, None),
        };
        Line {
            rotation: rotation.fixed.id.to_string(),
            secret: rotation.fixed.secret.clone(),
            policy: rotation.fixed.policy.clone(),
            outcome,
            step: state.step().map(keywheel_core::Step::name),
            why,
            cause,
            by,
            reason,
            begun_at: rotation.created_at,
            updated_at: rotation.updated_at,
            promoted_at: state.promoted_at,
            seconds: seconds(took(rotation)),
            attempts: state.attempts,
        }
    }

    /// Where it stands, for people.
    pub fn standing(&self) -> String {
        match self.step {
            Some(step) => format!("{} ({step})", self.outcome),
            None => self.outcome.to_owned(),
        }
    }
}

fn took(rotation: &Rotation) -> SignedDuration {
    rotation.updated_at.duration_since(rotation.created_at)
}

/// A rotation of the list as JSON. Stable.
#[derive(Serialize)]
struct Entry {
    #[serde(flatten)]
    line: Line,
    /// The plugins that acted, each by the SHA-256 of its file, in the order in which they first did.
    plugins: Vec<String>,
}

/// The plugins that acted in a rotation, without repeats.
pub fn plugins_of(events: &[Recorded]) -> Vec<String> {
    let mut plugins: Vec<String> = Vec::new();
    for plugin in events.iter().filter_map(|recorded| recorded.plugin.as_ref()) {
        if !plugins.contains(plugin) {
            plugins.push(plugin.clone());
        }
    }
    plugins
}

pub async fn run(args: &Args, cx: &mut Session) -> anyhow::Result<Exit> {
    let settings = wire::settings(&cx.globals.settings)?;
    let state = wire::state(&settings).await?;
    let secret = match &args.secret {
        None => None,
        Some(name) => Some(secret_of(&settings, state.as_ref(), name).await?),
    };
    let which = History { secret, limit: args.limit as usize };
    let rotations = state.history(&which).await.map_err(Failure::from)?;
    let lines: Vec<Line> = rotations.iter().map(Line::of).collect();
    if cx.out.is_json() {
        let mut entries = Vec::new();
        for (line, rotation) in lines.into_iter().zip(&rotations) {
            let events = state.events(rotation.fixed.id).await.map_err(Failure::from)?;
            entries.push(Entry { line, plugins: plugins_of(&events) });
        }
        cx.out.json(&entries)?;
    } else if lines.is_empty() {
        talk("no rotations yet");
    } else {
        let row = |line: &Line| {
            vec![
                instant(line.begun_at),
                line.secret.clone(),
                line.standing(),
                length(line.updated_at.duration_since(line.begun_at)),
                line.by.as_ref().map_or_else(|| line.cause.to_owned(), |by| format!("{} {by}", line.cause)),
                line.rotation.clone(),
                line.why.clone().or_else(|| line.reason.clone()).unwrap_or_default(),
            ]
        };
        let header = ["BEGUN", "SECRET", "OUTCOME", "TOOK", "CAUSE", "ROTATION", "WHY"];
        cx.out.table(&header, &lines.iter().map(row).collect::<Vec<_>>())?;
    }
    Ok(Exit::Done)
}

/// A secret's name, from its own or its policy's; secrets that no policy names any more are known by their rotations.
pub async fn secret_of(
    settings: &keywheel_policies::Settings,
    state: &dyn keywheel_state::StateStore,
    name: &str,
) -> anyhow::Result<String> {
    let latest = state.latest().await.map_err(Failure::from)?;
    if latest.iter().any(|rotation| rotation.fixed.secret == name) {
        return Ok(name.to_owned());
    }
    // History stays readable while policies have mistakes.
    let loaded = wire::read_policies(&settings.policies, Some(settings), &wire::rotators(Some(settings)));
    if let Some(policy) = loaded.policies.iter().find(|policy| policy.name == name || policy.secret.name == name) {
        return Ok(policy.secret.name.clone());
    }
    if let Some(resting) = loaded.resting.iter().find(|resting| resting.policy == name || resting.secret == name) {
        return Ok(resting.secret.clone());
    }
    let known = latest.iter().map(|rotation| rotation.fixed.secret.as_str());
    let hint = select::suggestion(name, known.chain(loaded.policies.iter().map(|policy| policy.secret.name.as_str())));
    Err(Failure::input(format!("no secret is named `{name}`"))
        .hint(hint.unwrap_or_else(|| "`keywheel history` lists all rotations".to_owned()))
        .into())
}
