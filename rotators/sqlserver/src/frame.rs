//! The time until which one call may act.

use std::time::Duration;

use keywheel_sdk::RotatorError;
use tokio::time::Instant;

/// Handed through one call; each wait takes what is left.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame {
    until: Instant,
}

impl Frame {
    pub(crate) fn until(until: std::time::Instant) -> Self {
        Frame { until: until.into() }
    }

    /// What is left. Zero when the call is over.
    pub(crate) fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    /// What is left, as the server's time-outs take it: milliseconds, at least 1.
    pub(crate) fn left_ms(&self) -> i64 {
        i64::try_from(self.left().as_millis()).unwrap_or(i64::from(i32::MAX)).clamp(1, i64::from(i32::MAX))
    }

    /// Waits for `work` as long as the call may take; `late` says what it means if that is not enough.
    pub(crate) async fn within<T>(
        &self,
        work: impl Future<Output = T>,
        late: impl FnOnce() -> RotatorError,
    ) -> Result<T, RotatorError> {
        tokio::time::timeout(self.left(), work).await.map_err(|_| late())
    }
}
