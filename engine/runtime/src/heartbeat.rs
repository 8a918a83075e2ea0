//! Asks a target whether it accepts `CURRENT`, under the secret's lease, and tells what follows.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use keywheel_core::decide::later;
use keywheel_core::heartbeat::{self, Heard, Pulse, Subject};
use keywheel_policies::{Heartbeat, Policy};
use keywheel_sdk::{Answer, Call};
use keywheel_secrets::{Label, Selector};
use keywheel_state::{Claim, Lease};
use tokio_util::sync::CancellationToken;

use crate::account::target_of;
use crate::{Engine, RunError};

/// What came of one heartbeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Beat {
    /// The target was asked about this version, which is `CURRENT`.
    Asked { version: String, heard: Heard },
    /// Nobody was asked: a rotation is under way, which asks for itself.
    UnderWay,
    /// Nobody was asked: there is no `CURRENT`.
    Nothing,
    /// This process is about to stop.
    Stopped,
}

/// No rotation makes this call, and it changes nothing that could carry a rotation's tag.
const NO_ROTATION: &str = "heartbeat";

impl Engine {
    /// Asks the target of this policy once whether it accepts `CURRENT`. Changes nothing, there or here; the secret's lease is
    /// given back at once. Once `stopping` is cancelled the answer is not waited for.
    ///
    /// # Errors
    /// Nobody was asked. `Busy`: somebody else has the lease.
    pub async fn heartbeat(&self, policy: &Policy, stopping: &CancellationToken) -> Result<Beat, RunError> {
        let secret = policy.secret.name.as_str();
        // Its time ends before the lease does, which is not renewed.
        let until = Instant::now() + self.limits.step;
        let lease = match self.state.claim(secret, self.limits.lease, self.clock.now()).await? {
            Claim::Granted(lease) => lease,
            Claim::Held { until } => return Err(RunError::Busy { secret: secret.to_owned(), until }),
        };
        let beat = tokio::select! {
            biased;
            () = stopping.cancelled() => Ok(Beat::Stopped),
            beat = self.ask(policy, &lease, until) => beat,
        };
        if let Err(error) = self.state.release(&lease).await {
            tracing::warn!(secret, %error, "the lease was not given back; it will expire");
        }
        beat
    }

    /// The same, for who wants an answer now: a no is asked about once more after a short pause, in which the lease is free.
    ///
    /// # Errors
    /// As those of [`Engine::heartbeat`].
    pub async fn sure_heartbeat(&self, policy: &Policy, stopping: &CancellationToken) -> Result<Beat, RunError> {
        let first = self.heartbeat(policy, stopping).await?;
        let Beat::Asked { heard: Heard::Refused { .. }, .. } = first else { return Ok(first) };
        tokio::select! {
            biased;
            () = stopping.cancelled() => return Ok(Beat::Stopped),
            () = self.clock.sleep_until(later(self.clock.now(), heartbeat::ONCE_MORE)) => {}
        }
        self.heartbeat(policy, stopping).await
    }

    async fn ask(&self, policy: &Policy, lease: &Lease, until: Instant) -> Result<Beat, RunError> {
        let secret = policy.secret.name.as_str();
        let rotator = self.rotators.of(policy).ok_or_else(|| RunError::NoRotator(policy.rotator.clone()))?;
        if self.state.open_of(secret).await?.is_some() {
            return Ok(Beat::UnderWay);
        }
        let Some(current) = self.secrets.read(secret, Selector::Label(Label::Current)).await? else {
            return Ok(Beat::Nothing);
        };
        let unknown = |why: String| Heard::Unknown { why };
        let target = match target_of(policy, self.secrets.as_ref(), &self.environment).await {
            Ok(target) => target,
            Err(error) => return Ok(Beat::Asked { version: current.version, heard: unknown(error.to_string()) }),
        };
        // By the wall clock, which goes on while the machine sleeps: whoever has the lease then must not be disturbed.
        let left = Duration::try_from(lease.expires_at.duration_since(self.clock.now())).unwrap_or_default();
        let until = until.min(Instant::now() + left);
        let heard = if until <= Instant::now() {
            unknown("the time was over before the target was called".to_owned())
        } else {
            let call = Call { target: &target, rotation: NO_ROTATION, fence: lease.fence, until };
            match tokio::time::timeout_at(until.into(), rotator.probe(&call, &current.bundle, &[])).await {
                Ok(Answer::Yes) => Heard::Accepted,
                Ok(Answer::No { reason } | Answer::Partly { reason }) => Heard::Refused { reason },
                Ok(Answer::Unknown(error)) => unknown(error.message),
                Err(_) => unknown("no answer in time".to_owned()),
            }
        };
        Ok(Beat::Asked { version: current.version, heard })
    }
}

/// What a scheduled heartbeat leaves behind.
pub(crate) struct Left {
    pub pulse: Pulse,
    /// When the next one is due.
    pub next: Timestamp,
    /// The version for whose drift a rotation is to be begun.
    pub drifted: Option<String>,
}

/// One scheduled heartbeat: asks, and tells people what they should hear. What cannot be told is told by the next one.
pub(crate) async fn beat(
    engine: &Engine,
    policy: &Policy,
    heartbeat: Heartbeat,
    mut pulse: Pulse,
    stopping: &CancellationToken,
) -> Left {
    let secret = policy.secret.name.as_str();
    let beat = engine.heartbeat(policy, stopping).await;
    let now = engine.clock.now();
    let (version, heard) = match beat {
        Ok(Beat::Asked { version, heard }) => (version, heard),
        Ok(Beat::UnderWay | Beat::Nothing | Beat::Stopped) | Err(RunError::Busy { .. }) => {
            tracing::debug!(secret, "no heartbeat this time");
            return Left { pulse, next: later(now, heartbeat.every), drifted: None };
        }
        Err(error) => {
            tracing::warn!(secret, %error, "no heartbeat this time");
            return Left { pulse, next: later(now, heartbeat.every), drifted: None };
        }
    };
    let subject = Subject { secret, policy: &policy.name, version: &version, heartbeat, schedule: &policy.schedule };
    let follows = pulse.hear(subject, &heard, now);
    match &heard {
        Heard::Accepted => tracing::debug!(secret, version, "heartbeat: `CURRENT` is accepted"),
        Heard::Refused { reason } => tracing::warn!(secret, version, reason, "heartbeat: `CURRENT` is refused"),
        Heard::Unknown { why } => tracing::info!(secret, version, why, "heartbeat: no answer"),
    }
    if let Some(notice) = follows.notice {
        match engine.state.tell(std::slice::from_ref(&notice)).await {
            Ok(()) => pulse.told(&notice),
            Err(error) => tracing::warn!(secret, %error, "what a heartbeat found could not be told; will try again"),
        }
    }
    Left { pulse, next: follows.next, drifted: follows.rotate.then_some(version) }
}
