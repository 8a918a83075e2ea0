//! Time, chance and ids: all that is not reproducible, in one place, so that tests can give it.

use std::hash::{BuildHasher, Hasher, RandomState};

use async_trait::async_trait;
use jiff::Timestamp;
use keywheel_core::RotationId;
use uuid::Uuid;

/// Where the runtime gets time, chance and ids from.
#[async_trait]
pub trait Clock: Send + Sync {
    fn now(&self) -> Timestamp;

    /// Returns at `until` or a little later. Wall-clock time: a jump of the system's clock is seen within seconds.
    async fn sleep_until(&self, until: Timestamp);

    /// A number in `0.0..1.0` for jitter. Not for secrets.
    fn roll(&self) -> f64;

    /// A fresh id, greater than all before.
    fn rotation_id(&self) -> RotationId;
}

/// The system's.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    async fn sleep_until(&self, until: Timestamp) {
        // Timers count monotonic time. Sleeping in short stretches notices when the wall clock was set.
        const STRETCH: std::time::Duration = std::time::Duration::from_secs(5);
        loop {
            let left = until.duration_since(self.now());
            let Ok(left) = std::time::Duration::try_from(left) else { return };
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(STRETCH)).await;
        }
    }

    fn roll(&self) -> f64 {
        // The standard library keys each hasher anew: random enough to spread retries, and no dependency.
        let bits = RandomState::new().build_hasher().finish() >> 11;
        bits as f64 / (1u64 << 53) as f64
    }

    #[expect(clippy::disallowed_methods, reason = "ids sort by time")]
    fn rotation_id(&self) -> RotationId {
        RotationId::new(Uuid::now_v7())
    }
}
