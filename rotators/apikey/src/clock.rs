//! The time of day, for what a provider compares with its own clock. Waiting goes by monotonic time instead.

use std::time::SystemTime;

/// The moment of the call.
#[expect(clippy::disallowed_methods, reason = "signatures and expiries are instants by the provider's clock")]
pub(crate) fn now() -> SystemTime {
    SystemTime::now()
}
