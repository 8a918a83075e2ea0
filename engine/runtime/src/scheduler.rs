//! Decides whose turn it is: wakes what is due, goes on with what is open, and stops cleanly.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use keywheel_core::decide;
use keywheel_core::handle::Standing;
use keywheel_policies::Policy;
use keywheel_state::StateError;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::beats::Beats;
use crate::heartbeat::{Left, beat};
use crate::queue::{Queue, Work};
use crate::telling::{Aging, Telling};
use crate::worker::{Live, due_after, written};
use crate::{Engine, Order, RunError, Stop};

/// The pause after a turn that panicked.
const AFTER_PANIC: Duration = Duration::from_secs(300);

/// How often the stores are asked what other processes did. Only a fallback: nothing of our own waits for it.
const POLL: Duration = Duration::from_secs(1);

/// How often due times are derived anew: a person may have put a value, or rotated by hand.
const RECKON: Duration = Duration::from_secs(30);

/// The pause after a turn that could not even start: another process at work, a store away.
const PAUSE: Duration = Duration::from_secs(2);

/// When the scheduler returns by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// Only when told to stop.
    Stopped,
    /// When nothing can be done at this moment: all is done, or waits.
    Idle,
}

/// Turns the rotations of a set of policies.
pub struct Schedule {
    engine: Arc<Engine>,
    managed: Vec<Managed>,
    by_secret: HashMap<String, usize>,
    /// When each secret that waits is looked at next. A secret is here, in the queue, at work, or at rest.
    wake: BTreeSet<(Timestamp, usize)>,
    queue: Queue,
    /// The heartbeats; none are due unless it runs until it is told to stop.
    beats: Beats,
    at_work: JoinSet<(usize, Outcome)>,
    /// What may become too old.
    aging: Vec<Aging>,
    telling: Telling,
    stopping: CancellationToken,
}

/// The turns that were at work when a scheduler made way.
pub struct Retired(JoinSet<(usize, Outcome)>);

impl Retired {
    /// Returns once each has come as far as it gets.
    pub async fn done(mut self) {
        while self.0.join_next().await.is_some() {}
    }
}

struct Managed {
    policy: Arc<Policy>,
    target: String,
    place: Place,
    /// Vain looks at a doubt in a row.
    looks: u32,
    /// The version for whose drift its next turn begins a rotation.
    drifted: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Not due before a person or another process acts.
    Resting,
    /// Looked at again then. `firm`: not earlier either, because something failed.
    Waking {
        at: Timestamp,
        firm: bool,
    },
    Queued,
    AtWork,
    /// Its heartbeat is at work; what it waited for before, it waits for afterwards.
    Beating {
        then: Option<(Timestamp, bool)>,
    },
}

/// What work comes to.
enum Outcome {
    /// A turn by this order.
    Turned(Order, Next),
    /// A heartbeat, unless it failed badly.
    Beaten(Option<Left>),
}

/// What follows a turn.
#[derive(Debug, Clone, Copy)]
enum Next {
    /// Rest, or be looked at again then.
    At(Option<Timestamp>),
    /// Nothing could be done; not before then.
    Pause(Timestamp),
    /// In doubt; look again then.
    Look(Timestamp),
}

impl Schedule {
    /// A scheduler for these policies. Once `stopping` is cancelled it begins nothing new and returns.
    pub fn new(engine: Arc<Engine>, policies: Vec<Arc<Policy>>, stopping: CancellationToken) -> Self {
        let queue = Queue::new(engine.limits.rotations, engine.limits.per_target);
        let aging = policies.iter().filter_map(|policy| Aging::of(policy)).collect();
        let managed: Vec<_> = policies
            .into_iter()
            .map(|policy| Managed {
                target: target_key(&policy),
                policy,
                place: Place::Resting,
                looks: 0,
                drifted: None,
            })
            .collect();
        let by_secret =
            managed.iter().enumerate().map(|(number, one)| (one.policy.secret.name.clone(), number)).collect();
        let (wake, at_work, telling) = (BTreeSet::new(), JoinSet::new(), Telling::default());
        let beats = Beats::default();
        Schedule { engine, managed, by_secret, wake, queue, beats, at_work, aging, telling, stopping }
    }

    /// Also tells when these secrets are too old, which nobody rotates.
    #[must_use]
    pub fn watching(mut self, aging: impl IntoIterator<Item = Aging>) -> Self {
        self.aging.extend(aging);
        self
    }

    /// Runs until told, or until idle. On return nothing is at work: each rotation has ended, waits, or is in doubt.
    pub async fn run(self, until: Until) -> Result<(), StateError> {
        self.run_until(until, &CancellationToken::new()).await.map(drop)
    }

    /// The same, but once it is to make way, for a scheduler with other policies, it begins no turns any more and leaves those that are
    /// at work: each goes on by the policy that it began with, as far as it gets, and its lease keeps the other scheduler off.
    pub async fn run_until(
        mut self,
        until: Until,
        making_way: &CancellationToken,
    ) -> Result<Option<Retired>, StateError> {
        let first = self.look_around(true).await;
        match until {
            Until::Stopped => {
                let policies = self.managed.iter().map(|one| &*one.policy);
                self.beats = Beats::of(policies, self.engine.clock.now());
            }
            Until::Idle => {}
        }
        let now = self.engine.clock.now();
        let mut next_look = decide::later(now, POLL);
        let mut next_reckoning = match (first, until) {
            (Ok(()), Until::Stopped | Until::Idle) => decide::later(now, RECKON),
            (Err(error), Until::Idle) => return Err(error),
            // A daemon that reads its policies again does not end for a store that is away for a moment.
            (Err(error), Until::Stopped) => {
                tracing::warn!(%error, "cannot see what other processes did; will look again");
                now
            }
        };
        loop {
            self.wake_due();
            self.start_queued();
            if until == Until::Idle && self.queue.is_idle() && self.at_work.is_empty() {
                return Ok(None);
            }
            let wake = self.wake.first().map_or(next_look, |(at, _)| (*at).min(next_look));
            let wake = self.beats.next().map_or(wake, |at| at.min(wake));
            tokio::select! {
                biased;
                () = self.stopping.cancelled() => break,
                () = making_way.cancelled() => return Ok(Some(Retired(self.at_work))),
                Some(finished) = self.at_work.join_next() => self.finished(finished),
                () = self.engine.clock.sleep_until(wake) => {}
            }
            let now = self.engine.clock.now();
            if now >= next_look {
                if let Err(error) = self.look_around(now >= next_reckoning).await {
                    tracing::warn!(%error, "cannot see what other processes did; will look again");
                } else if now >= next_reckoning {
                    next_reckoning = decide::later(now, RECKON);
                }
                next_look = decide::later(now, POLL);
            }
        }
        tracing::info!(at_work = self.at_work.len(), "stopping; steps at work are finished first");
        while let Some(finished) = self.at_work.join_next().await {
            self.finished(finished);
        }
        Ok(None)
    }

    /// Learns from the stores what is open, and with `reckon` what is due.
    async fn look_around(&mut self, reckon: bool) -> Result<(), StateError> {
        let now = self.engine.clock.now();
        let mut is_open = vec![false; self.managed.len()];
        let open = self.engine.state.open().await?;
        for rotation in &open {
            let Some(&number) = self.by_secret.get(&rotation.fixed.secret) else {
                if reckon {
                    tracing::warn!(
                        secret = rotation.fixed.secret, rotation = %rotation.fixed.id,
                        "a rotation is under way, but no policy names its secret; it rests until one does"
                    );
                }
                continue;
            };
            is_open[number] = true;
            match Standing::of(rotation, now) {
                Standing::Ready(_) | Standing::InDoubt(_) => self.wake_at(number, Some(now)),
                Standing::Held(hold) => self.wake_at(number, Some(hold.until)),
                Standing::Parked { .. } | Standing::Ended => self.wake_at(number, None),
            }
        }
        if reckon {
            self.beats.bring_forward(now);
            // First, since it needs the journal alone.
            self.telling.look(&*self.engine.state, &open, now).await;
            self.reckon(&is_open, now).await?;
        }
        Ok(())
    }

    /// Derives the due times of all secrets that have nothing under way, and tells of those that are too old.
    async fn reckon(&mut self, is_open: &[bool], now: Timestamp) -> Result<(), StateError> {
        let latest: HashMap<_, _> =
            self.engine.state.latest().await?.into_iter().map(|last| (last.fixed.secret.clone(), last)).collect();
        let listed = self.engine.secrets.list().await.map_err(|error| StateError::Unavailable(error.to_string()))?;
        let live: HashMap<_, _> = listed.iter().map(|info| (info.name.as_str(), info)).collect();
        for number in (0..self.managed.len()).filter(|number| !is_open[*number]) {
            let policy = Arc::clone(&self.managed[number].policy);
            let live = live.get(policy.secret.name.as_str()).map(|info| Live::from(*info)).unwrap_or_default();
            self.wake_at(
                number,
                due_after(&policy, live, latest.get(&policy.secret.name).map_or(&[], std::slice::from_ref), now),
            );
        }
        self.telling.age(&*self.engine.state, &self.aging, &live, now).await;
        Ok(())
    }

    /// What looking around showed of a secret; what is at work, queued or pausing is left alone.
    fn wake_at(&mut self, number: usize, at: Option<Timestamp>) {
        match self.managed[number].place {
            Place::Resting | Place::Waking { firm: false, .. } => self.rest_until(number, at, false),
            Place::Waking { firm: true, .. } | Place::Queued | Place::AtWork | Place::Beating { .. } => {}
        }
    }

    fn rest_until(&mut self, number: usize, at: Option<Timestamp>, firm: bool) {
        if let Place::Waking { at: earlier, .. } = self.managed[number].place {
            self.wake.remove(&(earlier, number));
        }
        self.managed[number].place = match at {
            Some(at) => {
                self.wake.insert((at, number));
                Place::Waking { at, firm }
            }
            None => Place::Resting,
        };
    }

    fn wake_due(&mut self) {
        let now = self.engine.clock.now();
        while let Some((at, number)) = self.wake.first().copied()
            && at <= now
        {
            self.wake.pop_first();
            self.queue_turn(number);
        }
        while let Some(number) = self.beats.pop(now) {
            self.queue.push(&self.managed[number].target, Work::Beat(number));
        }
    }

    fn queue_turn(&mut self, number: usize) {
        self.managed[number].place = Place::Queued;
        self.queue.push(&self.managed[number].target, Work::Turn(number));
    }

    fn start_queued(&mut self) {
        while let Some(work) = self.queue.pop() {
            match work {
                Work::Turn(number) => self.start_turn(number),
                Work::Beat(number) => self.start_beat(number),
            }
        }
    }

    fn start_turn(&mut self, number: usize) {
        let one = &mut self.managed[number];
        one.place = Place::AtWork;
        let (engine, policy) = (Arc::clone(&self.engine), Arc::clone(&one.policy));
        let (looks, stopping) = (one.looks, self.stopping.clone());
        let order = one.drifted.take().map_or(Order::Scheduled, |version| Order::Drift { version });
        self.at_work.spawn(async move {
            let (clock, secret) = (Arc::clone(&engine.clock), policy.secret.name.clone());
            let given = order.clone();
            // A turn of its own, so that a panic, which is a bug, costs this secret a pause and not the daemon. Its
            // rotation is in doubt, as after a crash.
            let turned = tokio::spawn(async move { turn(&engine, &policy, &given, looks, &stopping).await }).await;
            let next = turned.unwrap_or_else(|panic| {
                tracing::error!(secret, %panic, "a turn failed badly; will look again");
                Next::Pause(decide::later(clock.now(), AFTER_PANIC))
            });
            (number, Outcome::Turned(order, next))
        });
    }

    /// Asks about a secret of which no turn waits or is at work; else its rotation comes first, and tries the value itself.
    fn start_beat(&mut self, number: usize) {
        let one = &mut self.managed[number];
        let then = match one.place {
            Place::Resting => None,
            Place::Waking { at, firm } => Some((at, firm)),
            Place::Queued | Place::AtWork | Place::Beating { .. } => {
                self.queue.finished(&one.target);
                self.beats.skip(number, self.engine.clock.now());
                return;
            }
        };
        let (heartbeat, pulse) = self.beats.begin(number).expect("what is due has a heartbeat");
        if let Some((at, _)) = then {
            self.wake.remove(&(at, number));
        }
        one.place = Place::Beating { then };
        let (engine, policy, stopping) = (Arc::clone(&self.engine), Arc::clone(&one.policy), self.stopping.clone());
        self.at_work.spawn(async move {
            let secret = policy.secret.name.clone();
            let beaten = tokio::spawn(async move { beat(&engine, &policy, heartbeat, pulse, &stopping).await }).await;
            let left = beaten.map_err(|panic| tracing::error!(secret, %panic, "a heartbeat failed badly")).ok();
            (number, Outcome::Beaten(left))
        });
    }

    fn finished(&mut self, finished: Result<(usize, Outcome), tokio::task::JoinError>) {
        let (number, outcome) = finished.expect("what can panic runs in a turn of its own");
        self.queue.finished(&self.managed[number].target);
        let place = std::mem::replace(&mut self.managed[number].place, Place::Resting);
        match outcome {
            Outcome::Turned(order, next) => self.turned(number, order, next),
            Outcome::Beaten(left) => self.beaten(number, left, place),
        }
    }

    fn turned(&mut self, number: usize, order: Order, next: Next) {
        match next {
            Next::At(at) => {
                self.managed[number].looks = 0;
                self.rest_until(number, at, false);
            }
            Next::Pause(at) => {
                // Nothing was done, so that it is still to be done.
                if let Order::Drift { version } = order {
                    self.managed[number].drifted = Some(version);
                }
                self.rest_until(number, Some(at), true);
            }
            Next::Look(at) => {
                self.managed[number].looks = self.managed[number].looks.saturating_add(1);
                self.rest_until(number, Some(at), true);
            }
        }
    }

    fn beaten(&mut self, number: usize, left: Option<Left>, place: Place) {
        let drifted = match left {
            Some(left) => self.beats.end(number, left),
            None => {
                self.beats.skip(number, self.engine.clock.now());
                None
            }
        };
        match (drifted, place) {
            (Some(version), _) => {
                self.managed[number].drifted = Some(version);
                self.queue_turn(number);
            }
            (None, Place::Beating { then: Some((at, firm)) }) => self.rest_until(number, Some(at), firm),
            (
                None,
                Place::Beating { then: None } | Place::Resting | Place::Waking { .. } | Place::Queued | Place::AtWork,
            ) => {}
        }
    }
}

/// One turn of one secret, and what follows from it.
async fn turn(engine: &Engine, policy: &Policy, order: &Order, looks: u32, stopping: &CancellationToken) -> Next {
    let secret = &policy.secret.name;
    let due = match engine.turn(policy, order, looks, stopping).await {
        Ok(Some((_, Stop::Held(hold)))) => return Next::At(Some(hold.until)),
        Ok(Some((_, Stop::InDoubt { until, .. }))) => return Next::Look(until),
        Ok(Some((_, Stop::Parked { .. } | Stop::Stopping))) => return Next::At(None),
        // What was just promoted need not be read again to know when it is due next, unless it ends by itself.
        Ok(Some((done, Stop::Done))) if policy.schedule.before_expiry.is_none() => {
            let live = Live { since: done.state.promoted_at, expires_at: None };
            return Next::At(due_after(policy, live, std::slice::from_ref(&done), engine.clock.now()));
        }
        Ok(Some((_, Stop::Done | Stop::RolledBack { .. })) | None) => engine.due(policy).await,
        Err(error) => Err(error),
    };
    match due {
        Ok(due) => Next::At(due),
        Err(error) => {
            if matches!(error, RunError::Busy { .. }) {
                tracing::debug!(secret, %error, "another process is at work");
            } else {
                tracing::warn!(secret, %error, "could not be turned; will try again");
            }
            Next::Pause(decide::later(engine.clock.now(), PAUSE))
        }
    }
}

/// What the limit per target counts by: the server, not the account.
pub fn target_key(policy: &Policy) -> String {
    let setting = |name: &str| policy.target.get(name).map(written);
    let port = setting("port").map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}", policy.rotator, setting("host").unwrap_or_default())
}
