//! Both stores sit the exam, and liars fail it.
#![expect(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "tests")]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use keywheel_core::handle::Receipt;
use keywheel_core::{Event, NewRotation, Notice, Recorded, Rotation, RotationId};
use keywheel_state::exam::{self, Examinee, Hall};
use keywheel_state::memory::MemoryState;
use keywheel_state::sqlite::SqliteState;
use keywheel_state::{Claim, Delivery, History, Lease, Numbered, Outbox, StateError, StateStore};

struct Memory;

#[async_trait]
impl Examinee for Memory {
    async fn hall(&self) -> Result<Hall, StateError> {
        let one = MemoryState::new();
        let two = Arc::new(one.another_holder());
        Ok(Hall { one: Arc::new(one), two, keep: Box::new(()) })
    }

    fn sees_gone_holders(&self) -> bool {
        true
    }
}

struct Sqlite;

#[async_trait]
impl Examinee for Sqlite {
    async fn hall(&self) -> Result<Hall, StateError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.db");
        let one = Arc::new(SqliteState::open(&path).await?);
        let two = Arc::new(SqliteState::open(&path).await?);
        Ok(Hall { one, two, keep: Box::new(folder) })
    }

    fn sees_gone_holders(&self) -> bool {
        true
    }
}

async fn pass(examinee: &dyn Examinee) {
    match exam::sit(examinee).await {
        Ok(passed) => assert_eq!(passed, exam::CASES.len()),
        Err(failures) => panic!("{failures}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_passes() {
    pass(&Memory).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_passes() {
    pass(&Sqlite).await;
}

/// Ways to be wrong, each of which some case must notice.
#[derive(Debug, Clone, Copy)]
enum Lie {
    GrantsHeldLeases,
    RenewsLostLeases,
    IgnoresRelease,
    WritesUnderLostLeases,
    ForgetsAppends,
    ForgetsTheLastEvent,
    AppendsOneByOne,
    IgnoresThePlace,
    IgnoresNanoseconds,
    ListsOldestFirst,
    IgnoresTheLimit,
    HidesEndedOnes,
    CreatesWithoutEvents,
    KeepsTheLease,
    ReleasesAfterARefusal,
    SaysOfAllWhoActedFirst,
    ForgetsNotices,
    TellsAgain,
    DeliversWithoutALease,
}

struct Liar {
    lie: Lie,
    inner: MemoryState,
}

struct Lies(Lie);

#[async_trait]
impl Examinee for Lies {
    async fn hall(&self) -> Result<Hall, StateError> {
        let one = MemoryState::new();
        let two = Arc::new(Liar { lie: self.0, inner: one.another_holder() });
        Ok(Hall { one: Arc::new(Liar { lie: self.0, inner: one }), two, keep: Box::new(()) })
    }

    fn sees_gone_holders(&self) -> bool {
        true
    }
}

#[async_trait]
impl Outbox for Liar {
    async fn tell(&self, notices: &[Notice]) -> Result<(), StateError> {
        let mut notices = notices.to_vec();
        if matches!(self.lie, Lie::TellsAgain) {
            let number = self.inner.last_notice().await?;
            notices.iter_mut().for_each(|notice| notice.id.push_str(&format!("/{number}")));
        }
        self.inner.tell(&notices).await
    }

    async fn notices(&self, after: u64, limit: usize) -> Result<Vec<Numbered>, StateError> {
        if matches!(self.lie, Lie::ForgetsNotices) {
            return Ok(Vec::new());
        }
        self.inner.notices(after, limit).await
    }

    async fn last_notice(&self) -> Result<u64, StateError> {
        self.inner.last_notice().await
    }

    async fn delivery(&self, notifier: &str) -> Result<Option<Delivery>, StateError> {
        self.inner.delivery(notifier).await
    }

    async fn deliveries(&self) -> Result<Vec<Delivery>, StateError> {
        self.inner.deliveries().await
    }

    async fn deliver(&self, lease: &Lease, delivery: &Delivery) -> Result<(), StateError> {
        match (self.lie, self.inner.deliver(lease, delivery).await) {
            (Lie::DeliversWithoutALease, Err(StateError::Fenced { .. })) => Ok(()),
            (_, delivered) => delivered,
        }
    }
}

#[async_trait]
impl StateStore for Liar {
    async fn claim(&self, secret: &str, ttl: Duration, now: Timestamp) -> Result<Claim, StateError> {
        match (self.lie, self.inner.claim(secret, ttl, now).await?) {
            (Lie::GrantsHeldLeases, Claim::Held { until }) => {
                Ok(Claim::Granted(Lease { secret: secret.to_owned(), fence: 1, expires_at: until, plugin: None }))
            }
            (_, claim) => Ok(claim),
        }
    }

    async fn renew(&self, lease: &Lease, ttl: Duration, now: Timestamp) -> Result<Lease, StateError> {
        match (self.lie, self.inner.renew(lease, ttl, now).await) {
            (Lie::RenewsLostLeases, Err(StateError::Fenced { .. })) => Ok(lease.clone()),
            (_, renewed) => renewed,
        }
    }

    async fn release(&self, lease: &Lease) -> Result<(), StateError> {
        match self.lie {
            Lie::IgnoresRelease => Ok(()),
            _ => self.inner.release(lease).await,
        }
    }

    async fn create(
        &self,
        lease: &Lease,
        new: NewRotation,
        events: &[Event],
        now: Timestamp,
    ) -> Result<Receipt, StateError> {
        let kept = if matches!(self.lie, Lie::CreatesWithoutEvents) { &[] } else { events };
        self.inner.create(lease, new, kept, now).await
    }

    async fn append_and_release(
        &self,
        lease: &Lease,
        rotation: RotationId,
        after: u64,
        events: &[Event],
        now: Timestamp,
    ) -> Result<Receipt, StateError> {
        match self.lie {
            Lie::KeepsTheLease => self.inner.append(lease, rotation, after, events, now).await,
            Lie::ReleasesAfterARefusal => {
                let appended = self.inner.append(lease, rotation, after, events, now).await;
                self.inner.release(lease).await?;
                appended
            }
            _ => self.inner.append_and_release(lease, rotation, after, events, now).await,
        }
    }

    async fn append(
        &self,
        lease: &Lease,
        rotation: RotationId,
        after: u64,
        events: &[Event],
        now: Timestamp,
    ) -> Result<Receipt, StateError> {
        let row = self.inner.rotation(rotation).await?.ok_or(StateError::NotFound(rotation))?;
        let untrue = || Receipt::of_commit(rotation, row.state.clone(), after + events.len() as u64);
        let append = |after, events| self.inner.append(lease, rotation, after, events, now);
        match self.lie {
            Lie::WritesUnderLostLeases => match append(after, events).await {
                Err(StateError::Fenced { .. }) => Ok(untrue()),
                answer => answer,
            },
            Lie::ForgetsAppends => Ok(untrue()),
            Lie::ForgetsTheLastEvent => {
                let _ = append(after, &events[..events.len().saturating_sub(1)]).await?;
                Ok(untrue())
            }
            Lie::AppendsOneByOne => {
                let mut receipt = append(after, &[]).await?;
                for event in events {
                    receipt = append(receipt.seq(), std::slice::from_ref(event)).await?;
                }
                Ok(receipt)
            }
            Lie::IgnoresThePlace => append(row.seq, events).await,
            _ => append(after, events).await,
        }
    }

    async fn rotation(&self, id: RotationId) -> Result<Option<Rotation>, StateError> {
        let hides = matches!(self.lie, Lie::HidesEndedOnes);
        let mut found = self.inner.rotation(id).await?.filter(|rotation| !(hides && rotation.state.ended()));
        if let (Lie::IgnoresNanoseconds, Some(rotation)) = (self.lie, &mut found) {
            rotation.created_at += jiff::SignedDuration::from_nanos(789);
        }
        Ok(found)
    }

    async fn events(&self, id: RotationId) -> Result<Vec<Recorded>, StateError> {
        let mut events = self.inner.events(id).await?;
        if matches!(self.lie, Lie::SaysOfAllWhoActedFirst) {
            let first = events.first().and_then(|recorded| recorded.plugin.clone());
            events.iter_mut().for_each(|recorded| recorded.plugin.clone_from(&first));
        }
        Ok(events)
    }

    async fn open(&self) -> Result<Vec<Rotation>, StateError> {
        self.inner.open().await
    }

    async fn open_of(&self, secret: &str) -> Result<Option<Rotation>, StateError> {
        self.inner.open_of(secret).await
    }

    async fn history(&self, which: &History) -> Result<Vec<Rotation>, StateError> {
        let mut which = which.clone();
        if matches!(self.lie, Lie::IgnoresTheLimit) {
            which.limit = usize::MAX;
        }
        let mut history = self.inner.history(&which).await?;
        if matches!(self.lie, Lie::ListsOldestFirst) {
            history.reverse();
        }
        Ok(history)
    }

    async fn latest(&self) -> Result<Vec<Rotation>, StateError> {
        self.inner.latest().await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_liar_is_found_out() {
    for (lie, case) in [
        (Lie::GrantsHeldLeases, "grants a lease to one of many"),
        (Lie::RenewsLostLeases, "does not extend a lease that was lost"),
        (Lie::IgnoresRelease, "takes a lease back"),
        (Lie::WritesUnderLostLeases, "refuses an append under a lease that was taken over"),
        (Lie::ForgetsAppends, "gives back every event"),
        (Lie::ForgetsTheLastEvent, "gives back every event"),
        (Lie::AppendsOneByOne, "leaves no trace of illegal events"),
        (Lie::IgnoresThePlace, "refuses an append at the wrong place"),
        (Lie::IgnoresNanoseconds, "creates a rotation in the initial state"),
        (Lie::ListsOldestFirst, "lists rotations by order of creation"),
        (Lie::IgnoresTheLimit, "lists rotations by order of creation"),
        (Lie::HidesEndedOnes, "keeps many rotations apart"),
        (Lie::CreatesWithoutEvents, "creates a rotation with its first events"),
        (Lie::KeepsTheLease, "gives the lease back with the last events"),
        (Lie::ReleasesAfterARefusal, "gives the lease back with the last events"),
        (Lie::SaysOfAllWhoActedFirst, "records the plugin that acted"),
        (Lie::ForgetsNotices, "keeps what people should hear of"),
        (Lie::TellsAgain, "keeps what is told once"),
        (Lie::DeliversWithoutALease, "keeps how far each notifier is"),
    ] {
        let found = exam::sit(&Lies(lie)).await.expect_err("a liar passed");
        assert!(found.lines().any(|line| line.starts_with(case)), "{lie:?}:\n{found}");
    }
}
