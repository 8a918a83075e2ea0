//! The lock-out budget: how many failed logins our own probes may cost an account.
//!
//! A server that locks accounts out counts wrong passwords in a row, whoever sends them. Where the admin can be asked, a probe
//! costs none; where it cannot, this is the limit.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::{hmac, rand};
use keywheel_sdk::{Bundle, Retry, RotatorError};
use tokio::time::Instant;

use crate::settings::Address;

/// After this long without a failed login of ours, counting begins anew. Usual lock-out windows are 10 to 30 minutes.
const WINDOW: Duration = Duration::from_secs(30 * 60);

/// How many wrong passwords an account can bear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Limits {
    /// Failed logins in a row that may be ours.
    pub(crate) ours: u32,
    /// Failed logins in a row, whoever's, from which on we add none; `None` where the policy names no threshold.
    pub(crate) all: Option<u32>,
}

/// Whose failed logins are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Who {
    at: Address,
    name: String,
    /// Set for an admin: which credential.
    mark: Option<Mark>,
}

type Mark = [u8; 32];

impl Who {
    /// An account: what other values were tried before counts as well.
    pub(crate) fn account(at: &Address, name: &str) -> Self {
        Who { at: at.clone(), name: name.to_owned(), mark: None }
    }
}

/// Failed logins of this process.
pub(crate) struct Budget {
    /// Drawn anew in each process, so that a mark says nothing of the credential to who has not this memory.
    key: hmac::Key,
    failed: Mutex<HashMap<Who, (u32, Instant)>>,
}

impl Default for Budget {
    fn default() -> Self {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &rand::SystemRandom::new());
        Budget {
            key: key.expect("the system's generator does not fail once the process runs"),
            failed: Mutex::default(),
        }
    }
}

impl Budget {
    /// An admin with this credential. It can be locked out too, so all policies that use it share one count; another credential
    /// has one of its own, so that the right one is tried at once.
    pub(crate) fn admin(&self, at: &Address, credential: &Bundle) -> Who {
        let mut context = hmac::Context::with_key(&self.key);
        for (field, value) in credential.fields() {
            value.expose(|value| {
                for part in [field, value] {
                    context.update(&(part.len() as u64).to_be_bytes());
                    context.update(part.as_bytes());
                }
            });
        }
        let mark = context.sign().as_ref().try_into().expect("SHA-256 has 32 bytes");
        // With a token there may be no name.
        Who { at: at.clone(), name: credential.username().unwrap_or_default(), mark: Some(mark) }
    }

    /// Whether one more login may fail. `counted` is the server's own count, where it is known.
    ///
    /// Ours are held against our budget, all of them against the server's threshold and nothing else: an application that goes
    /// on with the previous password after `apply` fails all the time, and that must not keep the rotation from seeing that
    /// the candidate works.
    pub(crate) fn check(&self, who: &Who, limits: Limits, counted: Option<u32>) -> Result<(), RotatorError> {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.retain(|_, (_, since)| since.elapsed() < WINDOW);
        let ours = failed.get(who).map_or(0, |(count, _)| *count);
        let (name, at) = (&who.name, &who.at);
        let what = if ours >= limits.ours {
            format!("keywheel has had {ours} failed logins as `{name}` at {at} (`lockout_budget: {}`)", limits.ours)
        } else if let Some(counted) = counted.filter(|counted| limits.all.is_some_and(|all| *counted >= all)) {
            format!("`{name}` has had {counted} failed logins in a row at {at}, which is near its `lockout_threshold`")
        } else {
            return Ok(());
        };
        Err(RotatorError::not_done(
            Retry::After(WINDOW),
            "lockout-budget",
            format!("{what}; another one could lock it out, so nobody is asked for half an hour"),
        ))
    }

    /// Notes a login with a wrong password.
    pub(crate) fn failed(&self, who: &Who) {
        self.add(who, 1);
    }

    /// Notes that the account is locked out: each further try would keep it so.
    pub(crate) fn exhausted(&self, who: &Who, limits: Limits) {
        self.add(who, limits.ours);
    }

    fn add(&self, who: &Who, count: u32) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = failed.entry(who.clone()).or_insert((0, Instant::now()));
        *entry = (entry.0.saturating_add(count), Instant::now());
    }

    /// Notes a login that worked: the server begins to count anew.
    pub(crate) fn worked(&self, who: &Who) {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).remove(who);
    }
}

#[cfg(test)]
mod tests {
    use keywheel_sdk::Secret;

    use super::*;

    fn at() -> Address {
        Address { host: "h".to_owned(), port: 1 }
    }

    const LIMITS: Limits = Limits { ours: 2, all: None };

    #[tokio::test(start_paused = true)]
    async fn what_is_spent_comes_back_after_a_success_or_with_time() {
        let budget = Budget::default();
        let (orders, another) = (Who::account(&at(), "orders"), Who::account(&at(), "another"));
        let may = || budget.check(&orders, LIMITS, None).is_ok();
        assert!(may());
        budget.failed(&orders);
        assert!(may());
        budget.failed(&orders);
        assert!(!may());
        assert!(budget.check(&another, LIMITS, None).is_ok());
        budget.worked(&orders);
        assert!(may());
        budget.exhausted(&orders, LIMITS);
        assert!(!may());
        tokio::time::advance(WINDOW).await;
        assert!(may());
    }

    #[tokio::test]
    async fn the_servers_count_is_held_against_the_servers_threshold_only() {
        let (budget, orders) = (Budget::default(), Who::account(&at(), "orders"));
        let may = |all, counted| budget.check(&orders, Limits { all, ..LIMITS }, Some(counted)).is_ok();
        assert!(may(None, 1000) && may(Some(8), 7) && !may(Some(8), 8));
    }

    #[tokio::test]
    async fn an_admins_count_belongs_to_its_credential() {
        let budget = Budget::default();
        let admin = |password: &str| budget.admin(&at(), &Bundle::login("rotator", Secret::new(password.to_owned())));
        budget.failed(&admin("stale"));
        budget.failed(&admin("stale"));
        assert!(budget.check(&admin("stale"), LIMITS, None).is_err());
        assert!(budget.check(&admin("right"), LIMITS, None).is_ok());
    }
}
