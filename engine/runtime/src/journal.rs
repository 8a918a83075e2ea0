//! Writes a rotation's progress: each outcome is committed together with the intent of the next step.

use std::sync::Arc;
use std::time::Instant;

use keywheel_core::handle::{AnyAttempt, InDoubt, Receipt, Standing};
use keywheel_core::{Event, Hold, Rotation, State, Step, transition};
use keywheel_state::{Lease, StateError, StateStore};
use tokio_util::sync::CancellationToken;

use crate::Clock;

/// The write side of one rotation, held by the one who has the lease.
pub(crate) struct Journal {
    store: Arc<dyn StateStore>,
    clock: Arc<dyn Clock>,
    lease: Lease,
    rotation: Rotation,
    /// When the latest intent was about to be written.
    began: Instant,
    /// Once cancelled, no new step begins.
    stopping: CancellationToken,
}

/// What the driver does next.
pub(crate) enum Turn {
    /// An attempt whose intent is durable: run its effect.
    Act(AnyAttempt),
    /// Look before anything else.
    Look(InDoubt),
    /// Nothing to do before this.
    Held(Hold),
    /// Waits for a person.
    Parked {
        step: Step,
        reason: String,
    },
    Ended,
    /// The process is about to stop.
    Stopping,
}

impl Journal {
    pub fn open(
        store: Arc<dyn StateStore>,
        clock: Arc<dyn Clock>,
        lease: Lease,
        rotation: Rotation,
        stopping: CancellationToken,
    ) -> Self {
        Journal { store, clock, lease, rotation, began: Instant::now(), stopping }
    }

    /// The rotation as last written.
    pub fn into_rotation(self) -> Rotation {
        self.rotation
    }

    /// When the latest intent was about to be written: the time of its effect counts from there.
    pub fn began(&self) -> Instant {
        self.began
    }

    /// The state as last written.
    pub fn state(&self) -> &State {
        &self.rotation.state
    }

    /// Takes up a rotation where it stands, beginning its step if it is ready.
    pub async fn take_up(&mut self) -> Result<Turn, StateError> {
        self.write(Vec::new(), self.rotation.state.clone()).await
    }

    /// Records what happened, and begins the next step in the same commit if it may begin at once.
    pub async fn record(&mut self, event: Event) -> Result<Turn, StateError> {
        let state = transition(&self.rotation.state, &event, self.clock.now())?;
        self.write(vec![event], state).await
    }

    /// Appends `events`, which lead to `state`, and what follows from it.
    async fn write(&mut self, mut events: Vec<Event>, state: State) -> Result<Turn, StateError> {
        let intent = match Standing::of_state(self.rotation.fixed.id, &state, self.clock.now()) {
            // A value that was made is still made durable: it would die with the process.
            Standing::Ready(ready) if !self.stopping.is_cancelled() || ready.step() == Step::Stage => ready.begin(),
            Standing::Ready(_) => return self.append(&events).await.map(|()| Turn::Stopping),
            Standing::Held(hold) => return self.append(&events).await.map(|()| Turn::Held(hold)),
            Standing::InDoubt(doubt) => return self.append(&events).await.map(|()| Turn::Look(doubt)),
            Standing::Parked { step, reason } => {
                return self.append(&events).await.map(|()| Turn::Parked { step, reason });
            }
            Standing::Ended => return self.append(&events).await.map(|()| Turn::Ended),
        };
        events.push(intent.event());
        self.began = Instant::now();
        let receipt = self.commit(&events).await?;
        let attempt = intent.durable(&receipt).expect("the store answers with the state that it just committed");
        Ok(Turn::Act(attempt))
    }

    async fn append(&mut self, events: &[Event]) -> Result<(), StateError> {
        if !events.is_empty() {
            let _ = self.commit(events).await?;
        }
        Ok(())
    }

    async fn commit(&mut self, events: &[Event]) -> Result<Receipt, StateError> {
        let now = self.clock.now();
        let (id, seq) = (self.rotation.fixed.id, self.rotation.seq);
        let receipt = self.store.append(&self.lease, id, seq, events, now).await?;
        self.rotation.state = receipt.state().clone();
        self.rotation.seq = receipt.seq();
        self.rotation.updated_at = now;
        Ok(receipt)
    }
}
