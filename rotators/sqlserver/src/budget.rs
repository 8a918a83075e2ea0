//! The lock-out budget: how many failed logins our own probes may cost an account.
//!
//! A server that locks accounts out counts wrong passwords in a row, whoever sends them. Where the admin can be asked, a probe
//! costs none; where it cannot, this is the limit.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use keywheel_sdk::{Retry, RotatorError};
use tokio::time::Instant;

use crate::settings::Address;

/// After this long without a failed login of ours, counting begins anew. Usual lock-out windows are 10 to 30 minutes.
const WINDOW: Duration = Duration::from_secs(30 * 60);

/// Failed logins of this process, by instance and account.
#[derive(Default)]
pub(crate) struct Budget(Mutex<HashMap<(Address, String), (u32, Instant)>>);

impl Budget {
    /// Whether one more login may fail. `counted` is the server's own count, where it is known.
    pub(crate) fn check(&self, at: &Address, name: &str, limit: u32, counted: Option<u32>) -> Result<(), RotatorError> {
        let mut failed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        failed.retain(|_, (_, since)| since.elapsed() < WINDOW);
        let ours = failed.get(&(at.clone(), name.to_owned())).map_or(0, |(count, _)| *count);
        let spent = ours.max(counted.unwrap_or(0));
        if spent < limit {
            return Ok(());
        }
        Err(RotatorError::not_done(
            Retry::After(WINDOW),
            "lockout-budget",
            format!(
                "`{name}` has had {spent} failed logins in a row at {at}; another one could lock it out \
                 (`lockout_budget: {limit}`), so nobody is asked for half an hour"
            ),
        ))
    }

    /// Notes a login with a wrong password.
    pub(crate) fn failed(&self, at: &Address, name: &str) {
        let mut failed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = failed.entry((at.clone(), name.to_owned())).or_insert((0, Instant::now()));
        *entry = (entry.0 + 1, Instant::now());
    }

    /// Notes a login that worked: the server begins to count anew.
    pub(crate) fn worked(&self, at: &Address, name: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&(at.clone(), name.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_spent_comes_back_after_a_success_or_with_time() {
        let (budget, at) = (Budget::default(), Address { host: "h".to_owned(), port: 1 });
        let may = |counted| budget.check(&at, "orders", 2, counted).is_ok();
        assert!(may(None) && may(Some(1)) && !may(Some(2)));
        budget.failed(&at, "orders");
        assert!(may(None));
        budget.failed(&at, "orders");
        assert!(!may(None) && !may(Some(0)));
        assert!(budget.check(&at, "another", 2, None).is_ok());
        budget.worked(&at, "orders");
        assert!(may(None));
        budget.failed(&at, "orders");
        budget.failed(&at, "orders");
        tokio::time::advance(WINDOW).await;
        assert!(may(None));
    }
}
