//! What a statement waits for: an application lock, or a time.

use std::sync::Arc;
use std::time::Duration;

use super::value::{parse_instant, text};
use crate::exchange::{Message, Value};
use crate::instance::Shared;
use crate::instance::message::error;

/// A wait for an application lock, given up when it is dropped.
pub(super) struct Waiting {
    shared: Arc<Shared>,
    ticket: u64,
}

impl Waiting {
    pub(super) fn new(shared: &Arc<Shared>, ticket: u64) -> Self {
        Self { shared: Arc::clone(shared), ticket }
    }

    pub(super) fn is_granted(&self) -> bool {
        self.shared.state().locks.is_granted(self.ticket)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.shared.state().locks.give_up(self.ticket);
        self.shared.tell();
    }
}

/// `WAITFOR DELAY '00:00:02.5'`.
pub(super) fn delay(value: &Value) -> Result<Duration, Message> {
    let time = text(value).unwrap_or_default();
    let bad = || error(148, format!("Incorrect time syntax in time string '{time}' used with WAITFOR."));
    let millis = parse_instant(&format!("19000101 {time}")).map_err(|_| bad())?;
    u64::try_from(millis).map(Duration::from_millis).map_err(|_| bad())
}
