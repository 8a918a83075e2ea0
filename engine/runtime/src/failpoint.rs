//! Named points at which a test kills this process: before and after each durable write and each effect.
//!
//! Compiled in by the feature `failpoints` only. `FAILPOINTS="target/apply/after=1*off->1*return"` (the syntax of the `fail`
//! crate) kills at the second passing of that point, by SIGKILL: nothing is flushed, dropped or answered. The name `any`
//! counts the passings of all points. Each passing is logged at TRACE under the target `failpoint`, so that a test can first
//! record which points there are.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use jiff::Timestamp;
use keywheel_core::handle::Receipt;
use keywheel_core::{Event, NewRotation, Notice, Recorded, Rotation, RotationId};
use keywheel_sdk::{Answer, Bundle, Call, Check, Descriptor, Finding, RevokeHow, Rotator, RotatorError, Secret, Usage};
use keywheel_secrets::{Labels, SecretInfo, SecretStore, SecretsError, Selector, Stored, VersionInfo};
use keywheel_state::{Claim, Delivery, History, Lease, Numbered, Outbox, StateError, StateStore};

use crate::{Consumers, Occasion};

/// What happens at a point.
#[async_trait]
pub trait Hook: Send + Sync {
    /// Returns to go on. A hook that never returns is a crash to those who drop the future.
    async fn pass(&self, point: &str);
}

/// Kills this process at the points that `FAILPOINTS` names.
pub struct Kill;

impl Kill {
    /// Reads `FAILPOINTS`, once, before any point is passed. The points stay as they are for the life of the process.
    ///
    /// # Panics
    /// If the variable cannot be read as points: in a test that is a mistake of the test.
    pub fn arm() {
        // Dropping the scenario would disarm the points.
        std::mem::forget(fail::FailScenario::setup());
    }
}

#[async_trait]
impl Hook for Kill {
    async fn pass(&self, point: &str) {
        tracing::trace!(target: "failpoint", point);
        if fail::eval(point, |_| ()).is_some() || fail::eval("any", |_| ()).is_some() {
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
            // The signal is on its way; nothing of ours may run until it is here.
            loop {
                std::thread::park();
            }
        }
    }
}

/// Runs `effect` between the points `<name>/before` and `<name>/after`.
async fn around<T>(hook: &Arc<dyn Hook>, name: &str, effect: impl Future<Output = T>) -> T {
    hook.pass(&format!("{name}/before")).await;
    let result = effect.await;
    hook.pass(&format!("{name}/after")).await;
    result
}

/// Points around each write to the journal: `journal/<event>-<step>/before`, named by what is written in one commit.
pub struct PointedState(pub Arc<dyn StateStore>, pub Arc<dyn Hook>);

/// Points around each write to the secret store: `store/promote/after`.
pub struct PointedSecrets(pub Arc<dyn SecretStore>, pub Arc<dyn Hook>);

/// Points around each consumer that is told: `consumer/after-promote/before`.
pub struct PointedConsumers(pub Arc<dyn Consumers>, pub Arc<dyn Hook>);

/// Points around each effect at the target: `target/apply/before`.
pub struct PointedRotator(pub Arc<dyn Rotator>, pub Arc<dyn Hook>);

fn name_of(before: &str, events: &[Event]) -> String {
    let words: Vec<String> = events
        .iter()
        .map(|event| match event {
            Event::Began { step, .. } => format!("began-{step}"),
            Event::Succeeded { step, .. } => format!("succeeded-{step}"),
            Event::Failed { step, .. } => format!("failed-{step}"),
            Event::Waited { step, .. } => format!("waited-{step}"),
            Event::Resumed { .. } | Event::RollBackOrdered { .. } => event.name().to_owned(),
        })
        .collect();
    format!("journal/{before}{}", words.join("+"))
}

#[async_trait]
impl StateStore for PointedState {
    async fn claim(&self, secret: &str, ttl: Duration, now: Timestamp) -> Result<Claim, StateError> {
        around(&self.1, "journal/claim", self.0.claim(secret, ttl, now)).await
    }
    async fn renew(&self, lease: &Lease, ttl: Duration, now: Timestamp) -> Result<Lease, StateError> {
        self.0.renew(lease, ttl, now).await
    }
    async fn release(&self, lease: &Lease) -> Result<(), StateError> {
        around(&self.1, "journal/release", self.0.release(lease)).await
    }
    async fn create(
        &self,
        lease: &Lease,
        new: NewRotation,
        events: &[Event],
        now: Timestamp,
    ) -> Result<Receipt, StateError> {
        let name = if events.is_empty() { "journal/create".to_owned() } else { name_of("create+", events) };
        around(&self.1, &name, self.0.create(lease, new, events, now)).await
    }
    async fn append(
        &self,
        lease: &Lease,
        rotation: RotationId,
        after: u64,
        events: &[Event],
        now: Timestamp,
    ) -> Result<Receipt, StateError> {
        around(&self.1, &name_of("", events), self.0.append(lease, rotation, after, events, now)).await
    }
    async fn append_and_release(
        &self,
        lease: &Lease,
        rotation: RotationId,
        after: u64,
        events: &[Event],
        now: Timestamp,
    ) -> Result<Receipt, StateError> {
        let append = self.0.append_and_release(lease, rotation, after, events, now);
        around(&self.1, &format!("{}+release", name_of("", events)), append).await
    }
    async fn rotation(&self, id: RotationId) -> Result<Option<Rotation>, StateError> {
        self.0.rotation(id).await
    }
    async fn events(&self, id: RotationId) -> Result<Vec<Recorded>, StateError> {
        self.0.events(id).await
    }
    async fn open(&self) -> Result<Vec<Rotation>, StateError> {
        self.0.open().await
    }
    async fn open_of(&self, secret: &str) -> Result<Option<Rotation>, StateError> {
        self.0.open_of(secret).await
    }
    async fn history(&self, which: &History) -> Result<Vec<Rotation>, StateError> {
        self.0.history(which).await
    }
    async fn latest(&self) -> Result<Vec<Rotation>, StateError> {
        self.0.latest().await
    }
}

#[async_trait]
impl Outbox for PointedState {
    async fn tell(&self, notices: &[Notice]) -> Result<(), StateError> {
        around(&self.1, "outbox/tell", self.0.tell(notices)).await
    }
    async fn notices(&self, after: u64, limit: usize) -> Result<Vec<Numbered>, StateError> {
        self.0.notices(after, limit).await
    }
    async fn last_notice(&self) -> Result<u64, StateError> {
        self.0.last_notice().await
    }
    async fn delivery(&self, notifier: &str) -> Result<Option<Delivery>, StateError> {
        self.0.delivery(notifier).await
    }
    async fn deliveries(&self) -> Result<Vec<Delivery>, StateError> {
        self.0.deliveries().await
    }
    async fn deliver(&self, lease: &Lease, delivery: &Delivery) -> Result<(), StateError> {
        let name = if delivery.sending.is_some() { "outbox/sending" } else { "outbox/sent" };
        around(&self.1, name, self.0.deliver(lease, delivery)).await
    }
}

#[async_trait]
impl Consumers for PointedConsumers {
    async fn tell(&self, consumer: &str, occasion: &Occasion<'_>) -> Result<(), String> {
        around(&self.1, &format!("consumer/{}", occasion.moment.word()), self.0.tell(consumer, occasion)).await
    }
}

#[async_trait]
impl SecretStore for PointedSecrets {
    async fn stage(
        &self,
        secret: &str,
        version: &str,
        bundle: &Bundle,
        now: Timestamp,
        fence: u64,
    ) -> Result<(), SecretsError> {
        around(&self.1, "store/stage", self.0.stage(secret, version, bundle, now, fence)).await
    }
    async fn read(&self, secret: &str, which: Selector<'_>) -> Result<Option<Stored>, SecretsError> {
        self.0.read(secret, which).await
    }
    async fn labels(&self, secret: &str) -> Result<Labels, SecretsError> {
        self.0.labels(secret).await
    }
    async fn promote(
        &self,
        secret: &str,
        version: &str,
        replaces: Option<&str>,
        now: Timestamp,
        fence: u64,
    ) -> Result<(), SecretsError> {
        around(&self.1, "store/promote", self.0.promote(secret, version, replaces, now, fence)).await
    }
    async fn discard(&self, secret: &str, version: &str, fence: u64) -> Result<(), SecretsError> {
        around(&self.1, "store/discard", self.0.discard(secret, version, fence)).await
    }
    async fn raise_fence(&self, secret: &str, fence: u64) -> Result<(), SecretsError> {
        around(&self.1, "store/fence", self.0.raise_fence(secret, fence)).await
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
        self.0.put(secret, version, bundle, replaces, now, fence).await
    }
    async fn list(&self) -> Result<Vec<SecretInfo>, SecretsError> {
        self.0.list().await
    }
    async fn versions(&self, secret: &str) -> Result<Vec<VersionInfo>, SecretsError> {
        self.0.versions(secret).await
    }
}

#[async_trait]
impl Rotator for PointedRotator {
    fn describe(&self) -> Descriptor {
        self.0.describe()
    }
    fn check_settings(&self, settings: &serde_json::Map<String, serde_json::Value>) -> Result<(), String> {
        self.0.check_settings(settings)
    }
    fn place(&self, settings: &serde_json::Map<String, serde_json::Value>) -> keywheel_sdk::Place {
        self.0.place(settings)
    }
    async fn derive_field(
        &self,
        call: &Call<'_>,
        credential: &Bundle,
        field: &str,
    ) -> Result<Option<Secret>, RotatorError> {
        self.0.derive_field(call, credential, field).await
    }
    async fn preflight(&self, call: &Call<'_>, current: Option<&Bundle>) -> Result<Vec<Finding>, RotatorError> {
        self.0.preflight(call, current).await
    }
    async fn probe(&self, call: &Call<'_>, credential: &Bundle, others: &[&Bundle]) -> Answer {
        around(&self.1, "target/probe", self.0.probe(call, credential, others)).await
    }
    async fn generate(&self, call: &Call<'_>, current: Option<&Bundle>) -> Result<Bundle, RotatorError> {
        around(&self.1, "target/generate", self.0.generate(call, current)).await
    }
    async fn sweep(&self, call: &Call<'_>, earlier: &[String], keep: &[&Bundle]) -> Result<(), RotatorError> {
        around(&self.1, "target/sweep", self.0.sweep(call, earlier, keep)).await
    }
    async fn apply(&self, call: &Call<'_>, candidate: &Bundle, current: Option<&Bundle>) -> Result<(), RotatorError> {
        around(&self.1, "target/apply", self.0.apply(call, candidate, current)).await
    }
    async fn verify(
        &self,
        call: &Call<'_>,
        candidate: &Bundle,
        current: Option<&Bundle>,
        checks: &[Check],
    ) -> Result<(), RotatorError> {
        around(&self.1, "target/verify", self.0.verify(call, candidate, current, checks)).await
    }
    async fn restore(&self, call: &Call<'_>, candidate: &Bundle, current: Option<&Bundle>) -> Result<(), RotatorError> {
        around(&self.1, "target/restore", self.0.restore(call, candidate, current)).await
    }
    async fn usage(&self, call: &Call<'_>, credential: &Bundle) -> Result<Usage, RotatorError> {
        around(&self.1, "target/usage", self.0.usage(call, credential)).await
    }
    async fn last_used(&self, call: &Call<'_>, credential: &Bundle) -> Result<Option<SystemTime>, RotatorError> {
        around(&self.1, "target/last-used", self.0.last_used(call, credential)).await
    }
    async fn disable(&self, call: &Call<'_>, previous: &Bundle, current: &Bundle) -> Result<(), RotatorError> {
        around(&self.1, "target/disable", self.0.disable(call, previous, current)).await
    }
    async fn revoke(
        &self,
        call: &Call<'_>,
        previous: &Bundle,
        current: &Bundle,
        how: RevokeHow,
    ) -> Result<(), RotatorError> {
        around(&self.1, "target/revoke", self.0.revoke(call, previous, current, how)).await
    }
}
