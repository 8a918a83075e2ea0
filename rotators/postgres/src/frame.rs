//! The time that one call may take, counted from its start.

use std::time::Duration;

use keywheel_sdk::RotatorError;
use tokio::time::Instant;

/// Handed through one call; each wait takes what is left.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame {
    started: Instant,
    deadline: Duration,
}

impl Frame {
    pub(crate) fn start(deadline: Duration) -> Self {
        Frame { started: Instant::now(), deadline }
    }

    /// What is left. Zero when the call is over.
    pub(crate) fn left(&self) -> Duration {
        self.deadline.saturating_sub(self.started.elapsed())
    }

    /// What is left, as the server's time-outs take it: milliseconds, never 0 (which would mean for ever).
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
