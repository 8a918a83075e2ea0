//! A rotator that lies on purpose: it stands around another one and fails, hangs or answers wrongly when told to.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;
use keywheel_sdk::{Answer, Bundle, Call, Check, Descriptor, Finding, RevokeHow, Rotator, RotatorError, Secret, Usage};
use tokio::sync::watch;

/// One call of [`Rotator`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    Preflight,
    Probe,
    Generate,
    Sweep,
    Apply,
    Verify,
    Restore,
    Usage,
    LastUsed,
    Disable,
    Revoke,
}

/// What happens to one call.
#[derive(Debug, Clone)]
pub enum Lie {
    /// Nothing is passed on; the caller gets this error.
    FailBefore(RotatorError),
    /// The call is passed on and done, and the caller gets this error all the same: a lost acknowledgement.
    FailAfter(RotatorError),
    /// Nothing is passed on, and no answer ever comes.
    HangBefore,
    /// The call is passed on and done, and no answer ever comes.
    HangAfter,
    /// Only for [`Verb::Probe`]: this answer, without asking. Other verbs ignore it and tell the truth.
    Answer(Answer),
    /// The truth: keeps a place in the queue.
    Truth,
}

/// A decorator over any rotator, for tests of the engine. Lies are queued per verb and used up one per call; with an empty
/// queue the truth is told. Calls are counted.
pub struct LyingRotator<R> {
    inner: R,
    lies: Mutex<BTreeMap<Verb, VecDeque<Lie>>>,
    /// Calls that have begun.
    begun: watch::Sender<BTreeMap<Verb, u64>>,
    /// Calls that hang right now, or did until they were dropped.
    hung: watch::Sender<u64>,
}

impl<R: Rotator> LyingRotator<R> {
    /// Tells the truth until told otherwise.
    pub fn new(inner: R) -> Self {
        LyingRotator {
            inner,
            lies: Mutex::default(),
            begun: watch::Sender::new(BTreeMap::new()),
            hung: watch::Sender::new(0),
        }
    }

    /// The honest one inside.
    pub fn inner(&self) -> &R {
        &self.inner
    }

    /// Queues a lie for the next call of `verb` that has none yet.
    pub fn lie(&self, verb: Verb, lie: Lie) {
        self.lies.lock().unwrap_or_else(PoisonError::into_inner).entry(verb).or_default().push_back(lie);
    }

    /// Forgets all lies that were not used.
    pub fn be_honest(&self) {
        self.lies.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// How many lies of `verb` are still unused.
    pub fn unused(&self, verb: Verb) -> usize {
        self.lies.lock().unwrap_or_else(PoisonError::into_inner).get(&verb).map_or(0, VecDeque::len)
    }

    /// How often `verb` was called.
    pub fn calls(&self, verb: Verb) -> u64 {
        self.begun.borrow().get(&verb).copied().unwrap_or(0)
    }

    /// Returns once `verb` was called that often.
    pub async fn wait_for_calls(&self, verb: Verb, count: u64) {
        let mut begun = self.begun.subscribe();
        begun
            .wait_for(|calls| calls.get(&verb).copied().unwrap_or(0) >= count)
            .await
            .expect("the sender lives as long as `self`");
    }

    /// Returns once that many calls have come to hang.
    pub async fn wait_for_hung(&self, count: u64) {
        let mut hung = self.hung.subscribe();
        hung.wait_for(|hanging| *hanging >= count).await.expect("the sender lives as long as `self`");
    }

    fn begin(&self, verb: Verb) -> Lie {
        self.begun.send_modify(|calls| *calls.entry(verb).or_default() += 1);
        let mut lies = self.lies.lock().unwrap_or_else(PoisonError::into_inner);
        lies.get_mut(&verb).and_then(VecDeque::pop_front).unwrap_or(Lie::Truth)
    }

    async fn hang<T>(&self) -> T {
        self.hung.send_modify(|count| *count += 1);
        std::future::pending().await
    }

    async fn tell<T>(
        &self,
        verb: Verb,
        honest: impl Future<Output = Result<T, RotatorError>> + Send,
    ) -> Result<T, RotatorError> {
        match self.begin(verb) {
            Lie::Truth | Lie::Answer(_) => honest.await,
            Lie::FailBefore(error) => Err(error),
            Lie::FailAfter(error) => honest.await.and(Err(error)),
            Lie::HangBefore => self.hang().await,
            Lie::HangAfter => {
                honest.await.ok();
                self.hang().await
            }
        }
    }
}

#[async_trait]
impl<R: Rotator> Rotator for LyingRotator<R> {
    fn describe(&self) -> Descriptor {
        self.inner.describe()
    }

    fn check_settings(&self, settings: &serde_json::Map<String, serde_json::Value>) -> Result<(), String> {
        self.inner.check_settings(settings)
    }

    fn place(&self, settings: &serde_json::Map<String, serde_json::Value>) -> keywheel_sdk::Place {
        self.inner.place(settings)
    }

    async fn derive_field(
        &self,
        call: &Call<'_>,
        credential: &Bundle,
        field: &str,
    ) -> Result<Option<Secret>, RotatorError> {
        self.inner.derive_field(call, credential, field).await
    }

    async fn preflight(&self, call: &Call<'_>, current: Option<&Bundle>) -> Result<Vec<Finding>, RotatorError> {
        self.tell(Verb::Preflight, self.inner.preflight(call, current)).await
    }

    async fn probe(&self, call: &Call<'_>, credential: &Bundle, others: &[&Bundle]) -> Answer {
        match self.begin(Verb::Probe) {
            Lie::Truth => self.inner.probe(call, credential, others).await,
            Lie::Answer(answer) => answer,
            Lie::FailBefore(error) => Answer::Unknown(error),
            Lie::FailAfter(error) => {
                self.inner.probe(call, credential, others).await;
                Answer::Unknown(error)
            }
            Lie::HangBefore => self.hang().await,
            Lie::HangAfter => {
                self.inner.probe(call, credential, others).await;
                self.hang().await
            }
        }
    }

    async fn generate(&self, call: &Call<'_>, current: Option<&Bundle>) -> Result<Bundle, RotatorError> {
        self.tell(Verb::Generate, self.inner.generate(call, current)).await
    }

    async fn sweep(&self, call: &Call<'_>, earlier: &[String], keep: &[&Bundle]) -> Result<(), RotatorError> {
        self.tell(Verb::Sweep, self.inner.sweep(call, earlier, keep)).await
    }

    async fn apply(&self, call: &Call<'_>, candidate: &Bundle, current: Option<&Bundle>) -> Result<(), RotatorError> {
        self.tell(Verb::Apply, self.inner.apply(call, candidate, current)).await
    }

    async fn verify(
        &self,
        call: &Call<'_>,
        candidate: &Bundle,
        current: Option<&Bundle>,
        checks: &[Check],
    ) -> Result<(), RotatorError> {
        self.tell(Verb::Verify, self.inner.verify(call, candidate, current, checks)).await
    }

    async fn restore(&self, call: &Call<'_>, candidate: &Bundle, current: Option<&Bundle>) -> Result<(), RotatorError> {
        self.tell(Verb::Restore, self.inner.restore(call, candidate, current)).await
    }

    async fn usage(&self, call: &Call<'_>, credential: &Bundle) -> Result<Usage, RotatorError> {
        self.tell(Verb::Usage, self.inner.usage(call, credential)).await
    }

    async fn last_used(&self, call: &Call<'_>, credential: &Bundle) -> Result<Option<SystemTime>, RotatorError> {
        self.tell(Verb::LastUsed, self.inner.last_used(call, credential)).await
    }

    async fn disable(&self, call: &Call<'_>, previous: &Bundle, current: &Bundle) -> Result<(), RotatorError> {
        self.tell(Verb::Disable, self.inner.disable(call, previous, current)).await
    }

    async fn revoke(
        &self,
        call: &Call<'_>,
        previous: &Bundle,
        current: &Bundle,
        how: RevokeHow,
    ) -> Result<(), RotatorError> {
        self.tell(Verb::Revoke, self.inner.revoke(call, previous, current, how)).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::{Duration, Instant};

    use keywheel_sdk::{Admin, Capabilities, Origin, Shape, Strategy, Target};

    use super::*;

    /// Does nothing but count what reaches it.
    #[derive(Default)]
    struct Counter(AtomicU64);

    #[async_trait]
    impl Rotator for Counter {
        fn describe(&self) -> Descriptor {
            Descriptor {
                kind: "counter".to_owned(),
                version: "0.0.0".to_owned(),
                shapes: vec![Shape::InPlace],
                origin: Origin::Engine,
                settings: Vec::new(),
                capabilities: Capabilities::default(),
                derived_fields: Vec::new(),
            }
        }
        async fn preflight(&self, _: &Call<'_>, _: Option<&Bundle>) -> Result<Vec<Finding>, RotatorError> {
            Ok(Vec::new())
        }
        async fn probe(&self, _: &Call<'_>, _: &Bundle, _: &[&Bundle]) -> Answer {
            Answer::Yes
        }
        async fn apply(&self, _: &Call<'_>, _: &Bundle, _: Option<&Bundle>) -> Result<(), RotatorError> {
            self.0.fetch_add(1, Ordering::SeqCst);
            Ok(())
        }
        async fn verify(&self, _: &Call<'_>, _: &Bundle, _: Option<&Bundle>, _: &[Check]) -> Result<(), RotatorError> {
            Ok(())
        }
        async fn restore(&self, _: &Call<'_>, _: &Bundle, _: Option<&Bundle>) -> Result<(), RotatorError> {
            Ok(())
        }
        async fn usage(&self, _: &Call<'_>, _: &Bundle) -> Result<Usage, RotatorError> {
            Ok(Usage { sessions: 0 })
        }
        async fn revoke(&self, _: &Call<'_>, _: &Bundle, _: &Bundle, _: RevokeHow) -> Result<(), RotatorError> {
            Ok(())
        }
    }

    fn target() -> Target {
        Target {
            settings: Default::default(),
            strategy: Strategy::InPlace { user: "orders".to_owned() },
            admin: Admin::Own,
            generates: None,
        }
    }

    #[tokio::test]
    async fn lies_are_used_up_in_order_and_then_the_truth_is_told() {
        let liar = LyingRotator::new(Counter::default());
        let lost = RotatorError::unknown("lost", "no answer");
        liar.lie(Verb::Apply, Lie::FailBefore(lost.clone()));
        liar.lie(Verb::Apply, Lie::FailAfter(lost.clone()));
        let target = target();
        let call = Call { target: &target, rotation: "r1", fence: 1, until: Instant::now() + Duration::from_secs(1) };
        let bundle = Bundle::new();

        assert_eq!(liar.apply(&call, &bundle, None).await, Err(lost.clone()));
        assert_eq!(liar.inner().0.load(Ordering::SeqCst), 0, "the first lie failed before the effect");
        assert_eq!(liar.apply(&call, &bundle, None).await, Err(lost));
        assert_eq!(liar.inner().0.load(Ordering::SeqCst), 1, "the second lie failed after the effect");
        assert_eq!(liar.apply(&call, &bundle, None).await, Ok(()));
        assert_eq!(liar.calls(Verb::Apply), 3);
    }

    #[tokio::test]
    async fn a_hang_after_the_effect_is_seen_from_outside() {
        let liar = LyingRotator::new(Counter::default());
        liar.lie(Verb::Apply, Lie::HangAfter);
        liar.lie(Verb::Probe, Lie::Answer(Answer::No { reason: "a lie".to_owned() }));
        let target = target();
        let call = Call { target: &target, rotation: "r1", fence: 1, until: Instant::now() + Duration::from_secs(1) };
        let bundle = Bundle::new();
        tokio::select! {
            _ = liar.apply(&call, &bundle, None) => panic!("it must hang"),
            () = liar.wait_for_hung(1) => {}
        }
        assert_eq!(liar.inner().0.load(Ordering::SeqCst), 1);
        assert_eq!(liar.probe(&call, &bundle, &[]).await, Answer::No { reason: "a lie".to_owned() });
        assert_eq!(liar.probe(&call, &bundle, &[]).await, Answer::Yes);
    }
}
