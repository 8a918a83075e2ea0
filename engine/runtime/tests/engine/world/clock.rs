//! A clock that only moves when told, and wakes whoever sleeps by it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use keywheel_core::RotationId;
use keywheel_runtime::Clock;
use tokio::sync::watch;

/// Time that the test sets.
pub struct SetClock {
    micros: watch::Sender<i64>,
    ids: AtomicU64,
}

impl SetClock {
    pub fn new() -> Arc<Self> {
        let start: Timestamp = "2026-03-01T00:00:00Z".parse().expect("a valid instant");
        Arc::new(SetClock { micros: watch::Sender::new(start.as_microsecond()), ids: AtomicU64::new(1) })
    }

    pub fn advance(&self, by: Duration) {
        let by = i64::try_from(by.as_micros()).expect("a test does not take that long");
        self.micros.send_modify(|now| *now += by);
    }

    /// Never goes back.
    pub fn advance_to(&self, to: Timestamp) {
        self.micros.send_modify(|now| *now = to.as_microsecond().max(*now));
    }
}

#[async_trait]
impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_microsecond(*self.micros.borrow()).expect("within range")
    }

    async fn sleep_until(&self, until: Timestamp) {
        let mut micros = self.micros.subscribe();
        micros.wait_for(|now| *now >= until.as_microsecond()).await.expect("the sender is here");
    }

    fn roll(&self) -> f64 {
        0.5
    }

    fn rotation_id(&self) -> RotationId {
        RotationId::new(uuid::Uuid::from_u128(0x7000_0000 + u128::from(self.ids.fetch_add(1, Ordering::SeqCst))))
    }
}
