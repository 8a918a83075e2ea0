//! Waiting for what a provider has promised to reach all of its servers.

use std::time::{Duration, Instant};

use crate::access::Access;

/// The first pause between two questions; each next one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(4);
/// Kept of the call's time for the last question.
const RESERVE: Duration = Duration::from_secs(1);

/// The time for which a provider may lag behind what it has answered.
pub(crate) struct Patience {
    until: Instant,
    pause: Duration,
}

impl Patience {
    /// As long as the provider's declaration says, within the call's time.
    pub fn of(access: &Access<'_>) -> Self {
        let now = Instant::now();
        let left = access.call.left(now).saturating_sub(RESERVE);
        Patience { until: now + access.provider.propagation.min(left), pause: FIRST_PAUSE }
    }

    /// Waits before the next question. `false`, at once: the time is over.
    #[expect(clippy::disallowed_methods, reason = "the provider sends no signal when its servers have caught up")]
    pub async fn wait(&mut self) -> bool {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        tokio::time::sleep(self.pause.min(left)).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        true
    }
}
