//! A store that lies on purpose: chosen calls fail, before or after the change happened.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use jiff::Timestamp;
use keywheel_sdk::Bundle;

use crate::{Labels, SecretInfo, SecretStore, SecretsError, Selector, Stored, VersionInfo};

/// When a call fails, seen from the change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Nothing was done.
    Before,
    /// All was done, and the caller does not learn of it.
    After,
}

/// Forwards to another store; chosen calls answer [`SecretsError::Unavailable`] instead.
///
/// Every call of the trait is counted, reads too, from 1, in the order in which they start. So a test can run once without
/// faults, read [`FaultyStore::calls`], and then run once for each call and each [`When`].
pub struct FaultyStore {
    inner: Arc<dyn SecretStore>,
    plan: Mutex<Plan>,
}

#[derive(Default)]
struct Plan {
    faults: BTreeMap<u64, When>,
    calls: Vec<&'static str>,
    down: bool,
}

impl FaultyStore {
    /// Tells only the truth until told otherwise.
    pub fn new(inner: Arc<dyn SecretStore>) -> Self {
        FaultyStore { inner, plan: Mutex::default() }
    }

    /// Lets the call of this number, counted from 1 since the beginning, fail once.
    #[must_use]
    pub fn failing(self, call: u64, when: When) -> Self {
        self.fail(call, when);
        self
    }

    /// As [`FaultyStore::failing`], for a store that is already in use.
    pub fn fail(&self, call: u64, when: When) {
        self.plan().faults.insert(call, when);
    }

    /// While down, every call fails [`When::Before`].
    pub fn set_down(&self, down: bool) {
        self.plan().down = down;
    }

    /// The calls so far, by the names of the trait's functions. The first one has number 1.
    pub fn calls(&self) -> Vec<&'static str> {
        self.plan().calls.clone()
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a call and makes it, unless it is to fail.
    async fn call<T>(
        &self,
        name: &'static str,
        call: impl Future<Output = Result<T, SecretsError>>,
    ) -> Result<T, SecretsError> {
        let (number, fault) = {
            let mut plan = self.plan();
            plan.calls.push(name);
            let number = plan.calls.len() as u64;
            let fault = if plan.down { Some(When::Before) } else { plan.faults.remove(&number) };
            (number, fault)
        };
        let lost = || Err(SecretsError::Unavailable(format!("made to fail: call {number}, `{name}`")));
        match fault {
            Some(When::Before) => lost(),
            Some(When::After) => {
                // Whatever the answer was, it does not arrive.
                let _ = call.await;
                lost()
            }
            None => call.await,
        }
    }
}

#[async_trait]
impl SecretStore for FaultyStore {
    async fn stage(
        &self,
        secret: &str,
        version: &str,
        bundle: &Bundle,
        now: Timestamp,
        fence: u64,
    ) -> Result<(), SecretsError> {
        self.call("stage", self.inner.stage(secret, version, bundle, now, fence)).await
    }

    async fn read(&self, secret: &str, which: Selector<'_>) -> Result<Option<Stored>, SecretsError> {
        self.call("read", self.inner.read(secret, which)).await
    }

    async fn labels(&self, secret: &str) -> Result<Labels, SecretsError> {
        self.call("labels", self.inner.labels(secret)).await
    }

    async fn promote(
        &self,
        secret: &str,
        version: &str,
        replaces: Option<&str>,
        now: Timestamp,
        fence: u64,
    ) -> Result<(), SecretsError> {
        self.call("promote", self.inner.promote(secret, version, replaces, now, fence)).await
    }

    async fn discard(&self, secret: &str, version: &str, fence: u64) -> Result<(), SecretsError> {
        self.call("discard", self.inner.discard(secret, version, fence)).await
    }

    async fn raise_fence(&self, secret: &str, fence: u64) -> Result<(), SecretsError> {
        self.call("raise_fence", self.inner.raise_fence(secret, fence)).await
    }

    async fn put(
        &self,
        secret: &str,
        version: &str,
        bundle: &Bundle,
        replaces: Option<&str>,
        now: Timestamp,
        fence: u64,
    ) -> Result<(), SecretsError> {
        self.call("put", self.inner.put(secret, version, bundle, replaces, now, fence)).await
    }

    async fn list(&self) -> Result<Vec<SecretInfo>, SecretsError> {
        self.call("list", self.inner.list()).await
    }

    async fn versions(&self, secret: &str) -> Result<Vec<VersionInfo>, SecretsError> {
        self.call("versions", self.inner.versions(secret)).await
    }
}
