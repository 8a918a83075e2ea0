//! Writes a rotation's progress: each outcome is committed together with the intent of the next step. A new rotation begins to
//! exist with its first intent, and the lease goes back with the last outcome.

use std::sync::Arc;
use std::time::Instant;

use keywheel_core::handle::{AnyAttempt, InDoubt, Receipt, Standing};
use keywheel_core::{Event, Hold, NewRotation, Rotation, State, Step, transition};
use keywheel_state::{Lease, StateError, StateStore};
use tokio_util::sync::CancellationToken;

use crate::lease::Keeper;
use crate::{Clock, Engine};

/// What there is to turn.
pub(crate) enum Found {
    /// It is kept, and has not ended.
    Open(Rotation),
    /// Nothing of it is written yet.
    New(NewRotation),
}

impl Found {
    /// What is fixed for its whole life.
    pub fn fixed(&self) -> &NewRotation {
        match self {
            Found::Open(rotation) => &rotation.fixed,
            Found::New(fixed) => fixed,
        }
    }
}

/// The write side of one rotation, held by the one who has the lease.
pub(crate) struct Journal {
    store: Arc<dyn StateStore>,
    clock: Arc<dyn Clock>,
    lease: Lease,
    keeper: Arc<Keeper>,
    rotation: Rotation,
    /// Whether the store has the rotation.
    exists: bool,
    /// Whether the lease went back with what was written.
    released: bool,
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
    /// Of a rotation that is kept, or of one to be started with the first write.
    pub fn open(engine: &Engine, lease: Lease, keeper: Arc<Keeper>, found: Found, stopping: CancellationToken) -> Self {
        let (store, clock) = (Arc::clone(&engine.state), Arc::clone(&engine.clock));
        let (rotation, exists) = match found {
            Found::Open(rotation) => (rotation, true),
            Found::New(fixed) => {
                let now = clock.now();
                (Rotation { fixed, state: State::initial(), seq: 0, created_at: now, updated_at: now }, false)
            }
        };
        Journal { store, clock, lease, keeper, rotation, exists, released: false, began: Instant::now(), stopping }
    }

    /// The rotation as last written, and whether the lease was given back with it.
    pub fn into_rotation(self) -> (Rotation, bool) {
        (self.rotation, self.released)
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
            Standing::Ready(_) => return self.leave(&events).await.map(|()| Turn::Stopping),
            Standing::Held(hold) => return self.leave(&events).await.map(|()| Turn::Held(hold)),
            Standing::InDoubt(doubt) => {
                if !events.is_empty() {
                    let _ = self.commit(&events, false).await?;
                }
                return Ok(Turn::Look(doubt));
            }
            Standing::Parked { step, reason } => {
                return self.leave(&events).await.map(|()| Turn::Parked { step, reason });
            }
            Standing::Ended => return self.leave(&events).await.map(|()| Turn::Ended),
        };
        events.push(intent.event());
        self.began = Instant::now();
        let receipt = self.commit(&events, false).await?;
        let attempt = intent.durable(&receipt).expect("the store answers with the state that it just committed");
        Ok(Turn::Act(attempt))
    }

    /// Writes the last events of this turn, if any. A lease that goes back with them is renewed no more.
    async fn leave(&mut self, events: &[Event]) -> Result<(), StateError> {
        if !self.exists {
            let _ = self.commit(events, false).await?;
        } else if !events.is_empty() {
            self.keeper.rest();
            let _ = self.commit(events, true).await?;
            self.released = true;
        }
        Ok(())
    }

    async fn commit(&mut self, events: &[Event], last: bool) -> Result<Receipt, StateError> {
        let now = self.clock.now();
        let (store, lease) = (&self.store, &self.lease);
        let (id, seq) = (self.rotation.fixed.id, self.rotation.seq);
        let receipt = match (self.exists, last) {
            (false, _) => store.create(lease, self.rotation.fixed.clone(), events, now).await?,
            (true, false) => store.append(lease, id, seq, events, now).await?,
            (true, true) => store.append_and_release(lease, id, seq, events, now).await?,
        };
        self.exists = true;
        self.rotation.state = receipt.state().clone();
        self.rotation.seq = receipt.seq();
        self.rotation.updated_at = now;
        Ok(receipt)
    }
}
