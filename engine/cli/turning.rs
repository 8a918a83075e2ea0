//! Turns rotations in the foreground and follows them through short waits: what `rotate`, `resume` and `rollback` share.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use keywheel_core::{Hold, Progress as Standing, Rotation, RotationId, Step, Why};
use keywheel_policies::{Adopt, Policy};
use keywheel_runtime::{Engine, Order, RunError, Stop, target_key};
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::Session;
use crate::exit::{self, Exit, Failure};
use crate::output::{instant, talk};
use crate::progress::Progress;

/// The pause before looking again at what another process took up.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_secs(1);

/// How a rotation stood when it was left.
#[derive(Debug)]
pub enum Ending {
    /// The new value is live and the old one is refused.
    Done,
    /// The new value is live; the old one is revoked later.
    Promoted { hold: Hold },
    /// Nothing new was begun: an earlier rotation is promoted, and waits to revoke.
    UnderWay { hold: Hold },
    /// Everything is as before.
    RolledBack { reason: String },
    /// A person must act.
    Parked { step: Step, reason: String },
    /// A step's outcome is unknown, and looking did not settle it within the patience given.
    InDoubt { step: Step, until: Timestamp, why: String },
    /// A step failed and is tried again later.
    Waiting { step: Option<Step>, until: Timestamp },
    /// This process was asked to stop.
    Stopped,
    /// Written down for the daemon.
    Left,
    /// Nothing was turned.
    Refused(Failure),
}

/// What became of one secret.
#[derive(Debug)]
pub struct Turned {
    pub policy: Arc<Policy>,
    pub rotation: Option<RotationId>,
    pub ending: Ending,
}

/// How one secret's turn is written as JSON. Stable.
#[derive(Serialize)]
pub struct Line<'a> {
    policy: &'a str,
    secret: &'a str,
    /// The rotation's id, if there is one.
    rotation: Option<String>,
    /// `done`, `promoted`, `under-way`, `rolled-back`, `parked`, `in-doubt`, `waiting`, `stopped`, `left` or `refused`.
    outcome: &'static str,
    /// The step at which it stands, where that matters.
    step: Option<&'static str>,
    /// When something happens next, where that is known.
    until: Option<Timestamp>,
    /// For people.
    message: String,
    /// The exit code that this secret alone would give.
    exit: u8,
}

/// What to turn and how long to wait.
pub struct Work {
    pub engine: Arc<Engine>,
    pub policies: Vec<Arc<Policy>>,
    pub order: Order,
    /// How long to follow through pauses.
    pub patience: SignedDuration,
    pub stopping: CancellationToken,
    pub progress: Arc<Progress>,
}

impl Work {
    /// Turns all policies' secrets at the same time within the limits, and gives their endings in the same order.
    pub async fn run(self) -> Vec<Turned> {
        let limits = self.engine.limits;
        let all = Arc::new(Semaphore::new(limits.rotations.max(1)));
        let mut targets: HashMap<String, Arc<Semaphore>> = HashMap::new();
        let mut at_work = JoinSet::new();
        for (number, policy) in self.policies.iter().enumerate() {
            let at_target = || Arc::new(Semaphore::new(limits.per_target.max(1)));
            let target = Arc::clone(targets.entry(target_key(policy)).or_insert_with(at_target));
            let one = One {
                engine: Arc::clone(&self.engine),
                policy: Arc::clone(policy),
                places: [target, Arc::clone(&all)],
                patience: self.patience,
                stopping: self.stopping.clone(),
                progress: Arc::clone(&self.progress),
            };
            let order = self.order.clone();
            at_work.spawn(async move {
                let (rotation, ending) = one.follow(order).await;
                one.progress.ended(&one.policy.secret.name);
                (number, Turned { policy: one.policy, rotation, ending })
            });
        }
        let mut turned = Vec::with_capacity(self.policies.len());
        while let Some(finished) = at_work.join_next().await {
            match finished {
                Ok(finished) => turned.push(finished),
                // A panic is a bug; its rotation is in doubt, and whoever comes next settles it.
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            }
        }
        turned.sort_by_key(|(number, _)| *number);
        turned.into_iter().map(|(_, turned)| turned).collect()
    }
}

/// One secret of the work.
struct One {
    engine: Arc<Engine>,
    policy: Arc<Policy>,
    /// A place at the target and one among all, in the order in which they are taken. Held during turns, not in pauses.
    places: [Arc<Semaphore>; 2],
    patience: SignedDuration,
    stopping: CancellationToken,
    progress: Arc<Progress>,
}

impl One {
    /// Turns the secret until it ends, needs somebody else, or patience is over.
    async fn follow(&self, mut order: Order) -> (Option<RotationId>, Ending) {
        let (engine, secret) = (&self.engine, &self.policy.secret.name);
        let before = match engine.state.open_of(secret).await {
            Ok(open) => open,
            Err(error) => return (None, Ending::Refused(error.into())),
        };
        if let Some(open) = &before {
            let since = instant(open.created_at);
            self.progress.waits(secret, &format!("going on with rotation {}, begun {since}", open.fixed.id));
        }
        if let (None, Order::Now { .. } | Order::Leave { .. }) = (&before, &order)
            && let Err(refused) = self.has_value_to_begin_with().await
        {
            return (None, Ending::Refused(refused));
        }
        let was_promoted = before.filter(|open| open.state.promoted_at.is_some()).map(|open| open.fixed.id);
        let (mut known, mut looks, mut deadline) = (None, 0, None);
        loop {
            let turn = {
                let [target, all] = &self.places;
                let _at_target = target.acquire().await.expect("never closed");
                let _among_all = all.acquire().await.expect("never closed");
                if self.stopping.is_cancelled() {
                    return (known, Ending::Stopped);
                }
                engine.turn(&self.policy, &order, looks, &self.stopping).await
            };
            let now = engine.clock.now();
            let (ending, pause) = match turn {
                Ok(Some((rotation, stop))) => {
                    known = Some(rotation.fixed.id);
                    looks = if let Stop::InDoubt { .. } = stop { looks + 1 } else { 0 };
                    let left = matches!(order, Order::Leave { .. });
                    if left { (Ending::Left, None) } else { ending_of(&rotation, stop, was_promoted) }
                }
                Ok(None) => (ended_elsewhere(engine, known).await, None),
                // The daemon took it up in a pause: look again at what it did.
                Err(RunError::Busy { until, .. }) if known.is_some() => {
                    (Ending::Waiting { step: None, until }, now.checked_add(LOOK_AGAIN).ok())
                }
                Err(error) => (Ending::Refused(error.into()), None),
            };
            // Patience begins with the first turn: waiting for a place does not count.
            let deadline = *deadline.get_or_insert_with(|| now.checked_add(self.patience).unwrap_or(Timestamp::MAX));
            let Some(until) = pause.filter(|until| *until <= deadline) else { return (known, ending) };
            if let Ending::Waiting { step: Some(step), .. } | Ending::InDoubt { step, .. } = &ending {
                self.progress.waits(secret, &format!("{step} goes on at {}", instant(until)));
            }
            tokio::select! {
                () = self.stopping.cancelled() => return (known, Ending::Stopped),
                () = engine.clock.sleep_until(until) => {}
            }
            order = Order::GoOn;
        }
    }

    /// Without `CURRENT` nobody knows what applications use now: a new password could lock them out.
    async fn has_value_to_begin_with(&self) -> Result<(), Failure> {
        let name = &self.policy.secret.name;
        match self.policy.adopt {
            Adopt::Rotate => return Ok(()),
            Adopt::Keep => {}
        }
        if self.engine.secrets.labels(name).await?.current.is_some() {
            return Ok(());
        }
        Err(Failure::input(format!("`{name}` has no CURRENT: what applications use now is not known here")).hint(format!(
            "put it with `keywheel secret put {name}`; if nothing uses it yet, write `adopt: rotate` into policy `{}`",
            self.policy.name
        )))
    }
}

/// The ending that a stop is, and until when to wait if it is only a pause.
fn ending_of(rotation: &Rotation, stop: Stop, was_promoted: Option<RotationId>) -> (Ending, Option<Timestamp>) {
    match stop {
        Stop::Done => (Ending::Done, None),
        Stop::RolledBack { reason } => (Ending::RolledBack { reason }, None),
        Stop::Parked { step, reason } => (Ending::Parked { step, reason }, None),
        Stop::Stopping => (Ending::Stopped, None),
        Stop::InDoubt { step, until, why } => (Ending::InDoubt { step, until, why }, Some(until)),
        Stop::Held(hold) => match hold.why {
            Why::Backoff | Why::InDoubt => {
                (Ending::Waiting { step: rotation.state.step(), until: hold.until }, Some(hold.until))
            }
            Why::Grace | Why::Consumed | Why::Drain | Why::Disabled if was_promoted == Some(rotation.fixed.id) => {
                (Ending::UnderWay { hold }, None)
            }
            Why::Grace | Why::Consumed | Why::Drain | Why::Disabled => (Ending::Promoted { hold }, None),
        },
    }
}

/// Another process brought it to its end.
async fn ended_elsewhere(engine: &Engine, known: Option<RotationId>) -> Ending {
    let rotation = match known {
        Some(id) => engine.state.rotation(id).await,
        None => Ok(None),
    };
    match rotation {
        Ok(Some(rotation)) => match rotation.state.progress {
            Standing::Done => Ending::Done,
            Standing::RolledBack => Ending::RolledBack { reason: rotation.state.undo.unwrap_or_default() },
            Standing::Parked { step, reason } => Ending::Parked { step, reason },
            Standing::Ready { .. } | Standing::Attempting { .. } => Ending::Stopped,
        },
        Ok(None) => Ending::Refused(Failure::input("there was nothing to do")),
        Err(error) => Ending::Refused(error.into()),
    }
}

impl Ending {
    pub fn exit(&self) -> Exit {
        match self {
            Ending::Done | Ending::Promoted { .. } | Ending::Left => Exit::Done,
            Ending::RolledBack { .. } => Exit::RolledBack,
            Ending::Parked { .. } => Exit::Parked,
            Ending::UnderWay { .. } | Ending::InDoubt { .. } | Ending::Waiting { .. } | Ending::Stopped => {
                Exit::Waiting
            }
            Ending::Refused(failure) => failure.exit,
        }
    }

    fn word(&self) -> &'static str {
        match self {
            Ending::Done => "done",
            Ending::Promoted { .. } => "promoted",
            Ending::UnderWay { .. } => "under-way",
            Ending::RolledBack { .. } => "rolled-back",
            Ending::Parked { .. } => "parked",
            Ending::InDoubt { .. } => "in-doubt",
            Ending::Waiting { .. } => "waiting",
            Ending::Stopped => "stopped",
            Ending::Left => "left",
            Ending::Refused(_) => "refused",
        }
    }

    fn step(&self) -> Option<Step> {
        match self {
            Ending::Parked { step, .. } | Ending::InDoubt { step, .. } => Some(*step),
            Ending::Waiting { step, .. } => *step,
            Ending::Promoted { .. } | Ending::UnderWay { .. } => Some(Step::Revoke),
            Ending::Done | Ending::RolledBack { .. } | Ending::Stopped | Ending::Left | Ending::Refused(_) => None,
        }
    }

    fn until(&self) -> Option<Timestamp> {
        match self {
            Ending::Promoted { hold } | Ending::UnderWay { hold } => Some(hold.until),
            Ending::InDoubt { until, .. } | Ending::Waiting { until, .. } => Some(*until),
            Ending::Done
            | Ending::RolledBack { .. }
            | Ending::Parked { .. }
            | Ending::Stopped
            | Ending::Left
            | Ending::Refused(_) => None,
        }
    }

    fn message(&self) -> String {
        match self {
            Ending::Done => "the new credential is CURRENT, the old one is refused".to_owned(),
            Ending::Promoted { hold } => revoked_later("promoted", hold),
            Ending::UnderWay { hold } => revoked_later("nothing new was begun: an earlier rotation is promoted", hold),
            Ending::RolledBack { reason } => format!("everything is as before: {reason}"),
            Ending::Parked { step, reason } => format!("a person must act at {step}: {reason}"),
            Ending::InDoubt { step, until, why } => {
                format!(
                    "whether {step} happened is unknown ({why}); `keywheel run` looks again after {}",
                    instant(*until)
                )
            }
            Ending::Waiting { step, until } => {
                let step = step.map_or("it", Step::name);
                format!("{step} is tried again after {} by `keywheel run`", instant(*until))
            }
            Ending::Stopped => "stopped here on request; `keywheel run` or `keywheel rotate` goes on".to_owned(),
            Ending::Left => "written down; `keywheel run` turns it".to_owned(),
            Ending::Refused(failure) => failure.what.clone(),
        }
    }

    /// The way out, where there is one to take.
    fn hint(&self, policy: &Policy, rotation: Option<RotationId>) -> Option<String> {
        let secret = &policy.secret.name;
        let show = rotation.map(|id| format!("`keywheel show {id}` tells what happened")).unwrap_or_default();
        match self {
            Ending::Parked { step, .. } if step.may_roll_back() => {
                Some(format!("{show}; mend it, then `keywheel resume {secret}`, or `keywheel rollback {secret}`"))
            }
            Ending::Parked { .. } => Some(format!("{show}; mend it, then `keywheel resume {secret}`")),
            Ending::RolledBack { .. } | Ending::Waiting { .. } | Ending::InDoubt { .. } => Some(show),
            Ending::Refused(failure) => failure.hint.clone(),
            Ending::Done | Ending::Promoted { .. } | Ending::UnderWay { .. } | Ending::Stopped | Ending::Left => None,
        }
        .filter(|hint| !hint.is_empty())
    }
}

fn revoked_later(what: &str, hold: &Hold) -> String {
    match hold.why {
        Why::Drain => format!("{what}; the old credential is still used, and `keywheel run` revokes it once that ends"),
        Why::Disabled => {
            format!(
                "{what}; the old credential is disabled, and deleted after {} by `keywheel run`",
                instant(hold.until)
            )
        }
        Why::Grace | Why::Consumed | Why::Backoff | Why::InDoubt => {
            format!("{what}; the old credential is revoked after {} by `keywheel run`", instant(hold.until))
        }
    }
}

/// Writes the endings to stdout and the ways out to stderr, and gives the exit code.
pub fn tell(cx: &mut Session, turned: &[Turned]) -> anyhow::Result<Exit> {
    let exit = Exit::gravest(turned.iter().map(|one| one.ending.exit()));
    if let [Turned { ending: Ending::Refused(failure), .. }] = turned
        && !cx.out.is_json()
    {
        exit::tell(failure);
        return Ok(exit);
    }
    let lines: Vec<Line<'_>> = turned
        .iter()
        .map(|one| Line {
            policy: &one.policy.name,
            secret: &one.policy.secret.name,
            rotation: one.rotation.map(|id| id.to_string()),
            outcome: one.ending.word(),
            step: one.ending.step().map(Step::name),
            until: one.ending.until(),
            message: one.ending.message(),
            exit: one.ending.exit() as u8,
        })
        .collect();
    if cx.out.is_json() {
        cx.out.json(&lines)?;
    } else {
        let row = |line: &Line<'_>| {
            vec![
                line.secret.to_owned(),
                line.outcome.to_owned(),
                line.rotation.clone().unwrap_or_default(),
                line.message.clone(),
            ]
        };
        let rows: Vec<_> = lines.iter().map(row).collect();
        cx.out.table(&["SECRET", "OUTCOME", "ROTATION", ""], &rows)?;
    }
    for one in turned {
        if let Some(hint) = one.ending.hint(&one.policy, one.rotation) {
            talk(&format!("hint: {hint}"));
        }
    }
    Ok(exit)
}
