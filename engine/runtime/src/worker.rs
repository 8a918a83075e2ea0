//! Takes the lease on one secret, and turns its rotation: the open one, or a new one.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use keywheel_core::{Cause, Event, NewRotation, Progress, Rotation, Shape, decide, schedule};
use keywheel_policies::{Adopt, Policy, Strategy};
use keywheel_secrets::{Label, SecretInfo, SecretsError, VersionInfo};
use keywheel_state::{Claim, History, Lease, StateError};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::Engine;
use crate::context::Context;
use crate::driver::{Stop, drive};
use crate::journal::{Found, Journal};
use crate::lease::Keeper;
use crate::registry::is_safe;
use crate::scheduler::target_key;

/// What is wanted of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Go on with what is open; start anew only if the schedule says so at this moment.
    Scheduled,
    /// Go on with what is open; start anew, within the schedule's window, if this version is still `CURRENT`. Once for each
    /// version: a heartbeat found that the target refuses it.
    Drift { version: String },
    /// Go on with what is open, else start now, whatever the schedule says.
    Now { by: String, reason: Option<String> },
    /// Like `Now`, but only write it down: the daemon turns it.
    Leave { by: String, reason: Option<String> },
    /// Only go on with what is open.
    GoOn,
    /// A parked rotation may try again.
    Resume { by: String },
    /// Undo what is open, if it was not promoted.
    RollBack { by: String },
}

/// Nothing was turned.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("another process is at work on `{secret}` (its lease lasts until {until})")]
    Busy { secret: String, until: Timestamp },
    #[error("`{0}` has no rotation under way")]
    NothingOpen(String),
    #[error("there is no rotator `{0}`")]
    NoRotator(String),
    #[error("the rotator `{0}` makes values itself, which is only safe beside the live one (`strategy: overlapping`)")]
    Unsafe(String),
    #[error(
        "`{secret}` has a rotation under way for another target, shape or account than its policy says now; {hint}"
    )]
    PolicyChanged { secret: String, hint: &'static str },
    #[error("the lease on `{0}` was lost in the middle; what was under way is in doubt and will be settled by looking")]
    LeaseLost(String),
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Secrets(#[from] SecretsError),
}

impl Engine {
    /// Does what is ordered for this policy's secret, until it ends or waits. `Ok(None)` if there was nothing to do.
    ///
    /// `looks` counts earlier vain looks at a doubt, for the pause before the next. Once `stopping` is cancelled no new
    /// step begins, and the step at work is finished.
    ///
    /// ## Cancellation
    /// Dropping the future is safe at any point: it leaves the rotation as a crash would.
    pub async fn turn(
        &self,
        policy: &Policy,
        order: &Order,
        looks: u32,
        stopping: &CancellationToken,
    ) -> Result<Option<(Rotation, Stop)>, RunError> {
        let secret = policy.secret.name.as_str();
        let lease = match self.state.claim(secret, self.limits.lease, self.clock.now()).await? {
            Claim::Granted(lease) => lease,
            Claim::Held { until } => return Err(RunError::Busy { secret: secret.to_owned(), until }),
        };
        let mut released = false;
        let turned = self.turn_leased(policy, order, looks, stopping, &lease, &mut released).await;
        if !released && let Err(error) = self.state.release(&lease).await {
            tracing::warn!(secret, %error, "the lease was not given back; it will expire");
        }
        turned
    }

    async fn turn_leased(
        &self,
        policy: &Policy,
        order: &Order,
        looks: u32,
        stopping: &CancellationToken,
        lease: &Lease,
        released: &mut bool,
    ) -> Result<Option<(Rotation, Stop)>, RunError> {
        let Some(found) = self.open_or_new(policy, order, lease).await? else { return Ok(None) };
        if let Order::Leave { .. } = order {
            return Ok(Some((self.leave(found, lease).await?, Stop::Stopping)));
        }
        let id = found.fixed().id;
        let span = tracing::info_span!("rotation", rotation = %id, secret = policy.secret.name, policy = policy.name);
        let (rotation, stop);
        (rotation, stop, *released) =
            self.turn_rotation(policy, found, looks, stopping, lease).instrument(span).await?;
        Ok(Some((rotation, stop)))
    }

    /// Writes a new rotation down, for another process to turn.
    async fn leave(&self, found: Found, lease: &Lease) -> Result<Rotation, RunError> {
        let new = match found {
            Found::Open(rotation) => return Ok(rotation),
            Found::New(new) => new,
        };
        let id = new.id;
        let _ = self.state.create(lease, new, &[], self.clock.now()).await?;
        Ok(self.state.rotation(id).await?.ok_or(StateError::NotFound(id))?)
    }

    /// The rotation as it stands then, why it is turned no further, and whether the lease was given back.
    async fn turn_rotation(
        &self,
        policy: &Policy,
        found: Found,
        looks: u32,
        stopping: &CancellationToken,
        lease: &Lease,
    ) -> Result<(Rotation, Stop, bool), RunError> {
        let rotator = self.rotators.of(policy).ok_or_else(|| RunError::NoRotator(policy.rotator.clone()))?;
        let origin = rotator.describe().origin;
        if !is_safe(origin, rotator_shape(found.fixed().shape)) {
            return Err(RunError::Unsafe(policy.rotator.clone()));
        }
        let plugin = self.rotators.plugin_of(policy).map(|plugin| plugin.sha256.clone());
        let lease = &Lease { plugin, ..lease.clone() };
        let keeper = Keeper::start(Arc::clone(&self.state), Arc::clone(&self.clock), lease.clone(), self.limits.lease);
        let keeper = Arc::new(keeper);
        let lost = keeper.lost().clone();
        let context = Context {
            engine: self,
            policy,
            origin,
            rotator,
            fixed: found.fixed().clone(),
            fence: lease.fence,
            keeper: Arc::clone(&keeper),
            until: std::sync::Mutex::new(std::time::Instant::now()),
            candidate: std::sync::Mutex::default(),
        };
        let mut journal = Journal::open(self, lease.clone(), keeper, found, stopping.clone());
        let stop = tokio::select! {
            biased;
            () = lost.cancelled() => return Err(RunError::LeaseLost(lease.secret.clone())),
            stop = drive(&context, &mut journal, looks) => stop?,
        };
        log(&stop);
        let (rotation, released) = journal.into_rotation();
        Ok((rotation, stop, released))
    }

    /// The open rotation, or a new one where the order allows; that is not written yet.
    async fn open_or_new(&self, policy: &Policy, order: &Order, lease: &Lease) -> Result<Option<Found>, RunError> {
        let secret = policy.secret.name.as_str();
        let place = self.place_of(policy);
        if let Some(open) = self.state.open_of(secret).await? {
            if open.fixed.shape != shape_of(policy) || open.fixed.target != place {
                return Err(RunError::PolicyChanged {
                    secret: secret.to_owned(),
                    hint: "bring the earlier policy back until it has ended",
                });
            }
            return self.redirect(open, order, lease).await.map(Found::Open).map(Some);
        }
        let (cause, versions) = match order {
            Order::Now { by, reason } | Order::Leave { by, reason } => {
                let cause = Cause::Person { by: by.clone(), reason: reason.clone() };
                (cause, self.secrets.versions(secret).await?)
            }
            Order::Scheduled => {
                let versions = self.secrets.versions(secret).await?;
                match self.due_given(policy, &versions).await? {
                    Some(due) if due <= self.clock.now() => (Cause::Schedule { due }, versions),
                    Some(_) | None => return Ok(None),
                }
            }
            Order::Drift { version } => {
                let versions = self.secrets.versions(secret).await?;
                if !self.may_rotate_drift(policy, version, &versions).await? {
                    return Ok(None);
                }
                (Cause::Drift { version: version.clone() }, versions)
            }
            Order::GoOn => return Ok(None),
            Order::Resume { .. } | Order::RollBack { .. } => {
                return Err(RunError::NothingOpen(secret.to_owned()));
            }
        };
        let new = NewRotation {
            id: self.clock.rotation_id(),
            secret: secret.to_owned(),
            policy: policy.name.clone(),
            digest: policy.digest.clone(),
            shape: shape_of(policy),
            target: place,
            cause,
            replaces: current_of(&versions).map(|current| current.version.clone()),
        };
        Ok(Some(Found::New(new)))
    }

    /// Whether nothing has changed since the drift was found, and it is the first rotation for it.
    async fn may_rotate_drift(
        &self,
        policy: &Policy,
        version: &str,
        versions: &[VersionInfo],
    ) -> Result<bool, RunError> {
        if !schedule::is_open(&policy.schedule, self.clock.now())
            || current_of(versions).is_none_or(|current| current.version != version)
        {
            return Ok(false);
        }
        let which = History { secret: Some(policy.secret.name.clone()), limit: REMEMBERED_OF_DRIFT };
        let latest = self.state.history(&which).await?;
        let for_it = |cause: &Cause| matches!(cause, Cause::Drift { version: earlier } if earlier == version);
        Ok(!latest.iter().any(|rotation| for_it(&rotation.fixed.cause)))
    }

    /// Writes a person's order into an open rotation's journal.
    async fn redirect(&self, open: Rotation, order: &Order, lease: &Lease) -> Result<Rotation, RunError> {
        let event = match (order, &open.state.progress) {
            (Order::Resume { by } | Order::Now { by, .. }, Progress::Parked { .. }) => {
                Event::Resumed { by: by.clone() }
            }
            (Order::RollBack { by }, _) => Event::RollBackOrdered { by: by.clone() },
            (
                Order::Scheduled
                | Order::Drift { .. }
                | Order::GoOn
                | Order::Resume { .. }
                | Order::Now { .. }
                | Order::Leave { .. },
                _,
            ) => return Ok(open),
        };
        let id = open.fixed.id;
        let _ = self.state.append(lease, id, open.seq, &[event], self.clock.now()).await?;
        Ok(self.state.rotation(id).await?.ok_or(StateError::NotFound(id))?)
    }

    /// The target, with all of its settings that say which accounts are meant, and the accounts, as one text.
    fn place_of(&self, policy: &Policy) -> String {
        let users = match &policy.strategy {
            Strategy::InPlace { user } => user.clone(),
            Strategy::Alternating { users, .. } => users.join("+"),
            Strategy::Overlapping => String::new(),
        };
        let text = |name: &str| policy.target.get(name).map(written);
        let mut place = format!("{}/{}", target_key(policy), text("database").unwrap_or_default());
        let rotator = self.rotators.of(policy);
        let settings = rotator.as_ref().map(|rotator| rotator.describe().settings).unwrap_or_default();
        for setting in settings.iter().filter(|setting| setting.names_target) {
            let name = setting.name.as_str();
            if !["host", "port", "database"].contains(&name)
                && let Some(value) = text(name)
            {
                place.push_str(&format!(";{name}={value}"));
            }
        }
        let further = rotator.map(|rotator| rotator.place(&policy.target)).unwrap_or_default();
        for (what, text) in [("owner", further.owner), ("mark", further.mark)] {
            if !text.is_empty() {
                place.push_str(&format!(";{what}={text}"));
            }
        }
        format!("{place}#{users}")
    }

    /// When the schedule wants this secret rotated next; `None` for never. Derived from what is stored, at each asking.
    pub async fn due(&self, policy: &Policy) -> Result<Option<Timestamp>, RunError> {
        self.due_given(policy, &self.secrets.versions(&policy.secret.name).await?).await
    }

    async fn due_given(&self, policy: &Policy, versions: &[VersionInfo]) -> Result<Option<Timestamp>, RunError> {
        let secret = policy.secret.name.as_str();
        let current = current_of(versions);
        let live = Live {
            since: current.and_then(|current| current.promoted_at),
            expires_at: current.and_then(|current| current.expires_at),
        };
        let which = History { secret: Some(secret.to_owned()), limit: REMEMBERED };
        let latest = self.state.history(&which).await?;
        Ok(due_after(policy, live, &latest, self.clock.now()))
    }
}

fn current_of(versions: &[VersionInfo]) -> Option<&VersionInfo> {
    versions.iter().find(|version| version.label == Some(Label::Current))
}

/// How many rotations are looked back at for the pause after roll backs.
const REMEMBERED: usize = 12;
/// The same for one that a drift began. More than a version that stays `CURRENT` can have.
const REMEMBERED_OF_DRIFT: usize = 1_000;
/// The longest pause after roll backs, unless the policy's own is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(86_400);

/// What the due time is derived from: since when the value is `CURRENT`, if there is one, and when it ends by itself, if it
/// does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Live {
    pub since: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
}

impl From<&SecretInfo> for Live {
    fn from(info: &SecretInfo) -> Self {
        Live { since: info.current_since, expires_at: info.current_expires_at }
    }
}

/// When a secret whose `CURRENT` is `live` is due, given its latest rotations, newest first. One without `CURRENT` is
/// made at once, if the policy says so. After a roll back comes a pause, doubled with each further one in a row: what failed
/// is not tried again and again on an account that applications use.
pub fn due_after(policy: &Policy, live: Live, latest: &[Rotation], now: Timestamp) -> Option<Timestamp> {
    let last = latest.first();
    let due = match (live.since, policy.adopt) {
        // A clock that was ahead once must not silence the schedule for as long.
        (Some(since), _) => {
            schedule::next_due_of(&policy.schedule, &policy.secret.name, since.min(now), live.expires_at)?
        }
        (None, Adopt::Rotate) => {
            schedule::next_open(&policy.schedule, last.map_or(now, |last| last.created_at.min(now)))?
        }
        (None, Adopt::Keep) => return None,
    };
    let failed = latest.iter().take_while(|one| one.state.progress == Progress::RolledBack).count();
    let Some(last) = last.filter(|_| failed > 0) else { return Some(due) };
    let first = policy.on_failure.backoff.max;
    let doubled = first.saturating_mul(1 << (failed - 1).min(31));
    let pause = decide::later(last.updated_at.min(now), doubled.min(LONGEST_PAUSE.max(first)));
    if pause > due { schedule::next_open(&policy.schedule, pause) } else { Some(due) }
}

/// A setting's value in words. The order of a list does not matter.
pub(crate) fn written(value: &serde_json::Value) -> String {
    match value.as_array() {
        Some(list) => {
            let mut words: Vec<String> = list.iter().map(written).collect();
            words.sort();
            words.join(",")
        }
        // A text's own `to_string` is JSON, with quotes.
        None => value.as_str().map_or_else(|| value.to_string(), str::to_owned),
    }
}

pub(crate) fn shape_of(policy: &Policy) -> Shape {
    match policy.strategy {
        Strategy::InPlace { .. } => Shape::InPlace,
        Strategy::Alternating { .. } => Shape::Alternating,
        Strategy::Overlapping => Shape::Overlapping,
    }
}

fn rotator_shape(shape: Shape) -> keywheel_sdk::Shape {
    match shape {
        Shape::InPlace => keywheel_sdk::Shape::InPlace,
        Shape::Alternating => keywheel_sdk::Shape::Alternating,
        Shape::Overlapping => keywheel_sdk::Shape::Overlapping,
    }
}

fn log(stop: &Stop) {
    match stop {
        Stop::Done => tracing::info!("done"),
        Stop::RolledBack { reason } => tracing::error!(reason, "rolled back"),
        Stop::Held(hold) => tracing::info!(until = %hold.until, why = %hold.why, "waiting"),
        Stop::InDoubt { step, until, why } => {
            tracing::warn!(step = step.name(), %until, why, "in doubt; will look again");
        }
        Stop::Parked { step, reason } => tracing::error!(step = step.name(), reason, "parked; a person must act"),
        Stop::Stopping => tracing::info!("stopping; goes on at the next start"),
    }
}
