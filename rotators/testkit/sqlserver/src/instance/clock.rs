//! The instance's own clock: real time, plus what a test has advanced.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Milliseconds from 1900-01-01, where DATETIME begins, to 1970-01-01.
const EPOCH: i64 = 25_567 * 86_400_000;

#[derive(Debug, Default)]
pub(crate) struct Clock {
    advanced: Duration,
}

impl Clock {
    /// Milliseconds since 1900-01-01 UTC, to the 1/300 of a second that DATETIME knows: what is read can be compared with.
    pub(crate) fn now(&self) -> i64 {
        #[expect(clippy::disallowed_methods, reason = "this is the clock of a server of its own, as PostgreSQL's is")]
        let now = SystemTime::now();
        let since = now.duration_since(UNIX_EPOCH).expect("the machine's clock is past 1970") + self.advanced;
        let ticks = (millis(since) * 3 + 5) / 10;
        EPOCH + (ticks * 10 + 1) / 3
    }

    pub(crate) fn advance(&mut self, by: Duration) {
        self.advanced += by;
    }
}

/// A duration in the unit of this clock.
pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).expect("a test's durations fit in 292 million years")
}
