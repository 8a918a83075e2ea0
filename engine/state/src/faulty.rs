//! A store that lies on purpose: chosen calls fail, before or after the write happened.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use keywheel_core::handle::Receipt;
use keywheel_core::{Event, NewRotation, Notice, Recorded, Rotation, RotationId};

use crate::{Claim, Delivery, History, Lease, Numbered, Outbox, StateError, StateStore};

/// When a call fails, seen from the write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Nothing was done.
    Before,
    /// All was done, and the caller does not learn of it.
    After,
}

/// Forwards to another store; chosen calls answer [`StateError::Unavailable`] instead.
///
/// Every call of the trait is counted, reads too, from 1, in the order in which they start. So a test can run once without
/// faults, read [`FaultyState::calls`], and then run once for each call and each [`When`].
pub struct FaultyState {
    inner: Arc<dyn StateStore>,
    plan: Mutex<Plan>,
}

#[derive(Default)]
struct Plan {
    faults: BTreeMap<u64, When>,
    calls: Vec<&'static str>,
    down: bool,
}

impl FaultyState {
    /// Tells only the truth until told otherwise.
    pub fn new(inner: Arc<dyn StateStore>) -> Self {
        FaultyState { inner, plan: Mutex::default() }
    }

    /// Lets the call of this number, counted from 1 since the beginning, fail.
    #[must_use]
    pub fn failing(self, call: u64, when: When) -> Self {
        self.fail(call, when);
        self
    }

    /// As [`FaultyState::failing`], for a store that is already in use.
    pub fn fail(&self, call: u64, when: When) {
        self.plan().faults.insert(call, when);
    }

    /// While down, every call fails [`When::Before`].
    pub fn set_down(&self, down: bool) {
        self.plan().down = down;
    }

    /// The calls so far, by the names of the trait's functions. The first one has number 1.
    pub fn calls(&self) -> Vec<&'static str> {
        self.plan().calls.clone()
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a call and makes it, unless it is to fail.
    async fn call<T>(
        &self,
        name: &'static str,
        call: impl Future<Output = Result<T, StateError>>,
    ) -> Result<T, StateError> {
        let (number, fault) = {
            let mut plan = self.plan();
            plan.calls.push(name);
            let number = plan.calls.len() as u64;
            let fault = if plan.down { Some(When::Before) } else { plan.faults.remove(&number) };
            (number, fault)
        };
        let lost = || Err(StateError::Unavailable(format!("made to fail: call {number}, `{name}`")));
        match fault {
            Some(When::Before) => lost(),
            Some(When::After) => {
                // Whatever the answer was, it does not arrive.
                let _ = call.await;
                lost()
            }
            None => call.await,
        }
    }
}

#[async_trait]
impl StateStore for FaultyState {
    async fn claim(&self, secret: &str, ttl: Duration, now: Timestamp) -> Result<Claim, StateError> {
        self.call("claim", self.inner.claim(secret, ttl, now)).await
    }

    async fn renew(&self, lease: &Lease, ttl: Duration, now: Timestamp) -> Result<Lease, StateError> {
        self.call("renew", self.inner.renew(lease, ttl, now)).await
    }

    async fn release(&self, lease: &Lease) -> Result<(), StateError> {
        self.call("release", self.inner.release(lease)).await
    }

    async fn create(
        &self,
        lease: &Lease,
        new: NewRotation,
        events: &[Event],
        now: Timestamp,
    ) -> Result<Receipt, StateError> {
        self.call("create", self.inner.create(lease, new, events, now)).await
    }

    async fn append(
        &self,
        lease: &Lease,
        rotation: RotationId,
        after: u64,
        events: &[Event],
        now: Timestamp,
    ) -> Result<Receipt, StateError> {
        self.call("append", self.inner.append(lease, rotation, after, events, now)).await
    }

    async fn append_and_release(
        &self,
        lease: &Lease,
        rotation: RotationId,
        after: u64,
        events: &[Event],
        now: Timestamp,
    ) -> Result<Receipt, StateError> {
        self.call("append_and_release", self.inner.append_and_release(lease, rotation, after, events, now)).await
    }

    async fn rotation(&self, id: RotationId) -> Result<Option<Rotation>, StateError> {
        self.call("rotation", self.inner.rotation(id)).await
    }

    async fn events(&self, id: RotationId) -> Result<Vec<Recorded>, StateError> {
        self.call("events", self.inner.events(id)).await
    }

    async fn open(&self) -> Result<Vec<Rotation>, StateError> {
        self.call("open", self.inner.open()).await
    }

    async fn open_of(&self, secret: &str) -> Result<Option<Rotation>, StateError> {
        self.call("open_of", self.inner.open_of(secret)).await
    }

    async fn history(&self, which: &History) -> Result<Vec<Rotation>, StateError> {
        self.call("history", self.inner.history(which)).await
    }

    async fn latest(&self) -> Result<Vec<Rotation>, StateError> {
        self.call("latest", self.inner.latest()).await
    }
}

#[async_trait]
impl Outbox for FaultyState {
    async fn tell(&self, notices: &[Notice]) -> Result<(), StateError> {
        self.call("tell", self.inner.tell(notices)).await
    }

    async fn notices(&self, after: u64, limit: usize) -> Result<Vec<Numbered>, StateError> {
        self.call("notices", self.inner.notices(after, limit)).await
    }

    async fn last_notice(&self) -> Result<u64, StateError> {
        self.call("last_notice", self.inner.last_notice()).await
    }

    async fn delivery(&self, notifier: &str) -> Result<Option<Delivery>, StateError> {
        self.call("delivery", self.inner.delivery(notifier)).await
    }

    async fn deliveries(&self) -> Result<Vec<Delivery>, StateError> {
        self.call("deliveries", self.inner.deliveries()).await
    }

    async fn deliver(&self, lease: &Lease, delivery: &Delivery) -> Result<(), StateError> {
        self.call("deliver", self.inner.deliver(lease, delivery)).await
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::memory::MemoryState;

    const TTL: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn a_chosen_call_fails_before_or_after_its_effect() {
        let now = Timestamp::UNIX_EPOCH;
        for (when, granted) in [(When::Before, true), (When::After, false)] {
            let state = FaultyState::new(Arc::new(MemoryState::new())).failing(2, when);
            assert!(matches!(state.claim("orders", TTL, now).await.unwrap(), Claim::Granted(_)));
            let lost = state.claim("invoices", TTL, now).await.unwrap_err();
            assert_eq!(lost.to_string(), "the state store is unavailable: made to fail: call 2, `claim`");
            let third = state.claim("invoices", TTL, now).await.unwrap();
            assert_eq!(matches!(third, Claim::Granted(_)), granted);
            assert!(state.open().await.unwrap().is_empty());
            assert_eq!(state.calls(), ["claim", "claim", "claim", "open"]);
        }
    }

    #[tokio::test]
    async fn while_down_nothing_is_done() {
        let state = FaultyState::new(Arc::new(MemoryState::new()));
        state.set_down(true);
        state.claim("orders", TTL, Timestamp::UNIX_EPOCH).await.unwrap_err();
        state.set_down(false);
        let claim = state.claim("orders", TTL, Timestamp::UNIX_EPOCH).await.unwrap();
        assert!(matches!(claim, Claim::Granted(_)));
    }
}
