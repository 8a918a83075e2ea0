//! The reference store: everything in memory, for tests and as the yardstick for other stores.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use keywheel_core::decide::later;
use keywheel_core::handle::Receipt;
use keywheel_core::notice::Subject;
use keywheel_core::{Event, NewRotation, Notice, Recorded, Rotation, RotationId, State};

use crate::fold::{advance, heard, whole_micros};
use crate::outbox::notifier_lease;
use crate::{Claim, Delivery, History, Lease, Numbered, Outbox, StateError, StateStore};

/// State that lives as long as its holders. A clone is the same holder; [`MemoryState::another_holder`] is another.
#[derive(Clone)]
pub struct MemoryState {
    data: Arc<Mutex<Data>>,
    holder: Arc<Holder>,
}

/// Who holds leases. When its last clone is dropped it is gone, and so are its leases: as after the end of a process.
struct Holder {
    id: u64,
    data: Arc<Mutex<Data>>,
}

#[derive(Default)]
struct Data {
    /// Holders so far; the last one's id.
    holders: u64,
    /// Those that are not gone.
    living: BTreeSet<u64>,
    /// By secret. Kept when given back, since fences must grow.
    leases: BTreeMap<String, Held>,
    /// In order of creation.
    rotations: Vec<Kept>,
    by_id: BTreeMap<RotationId, usize>,
    /// In order of creation, so the last one is the newest; only it can be open.
    by_secret: BTreeMap<String, Vec<usize>>,
    /// The first has number 1.
    notices: Vec<Notice>,
    deliveries: BTreeMap<String, Delivery>,
}

struct Held {
    fence: u64,
    /// `None` once given back.
    holder: Option<u64>,
    expires_at: Timestamp,
}

struct Kept {
    row: Rotation,
    journal: Vec<Recorded>,
}

impl MemoryState {
    /// An empty store, with its first holder.
    pub fn new() -> Self {
        Self::join(Arc::default())
    }

    /// Another holder of the same data, as another process would be.
    pub fn another_holder(&self) -> Self {
        Self::join(Arc::clone(&self.data))
    }

    fn join(data: Arc<Mutex<Data>>) -> Self {
        let id = {
            let mut data = lock(&data);
            data.holders += 1;
            let id = data.holders;
            data.living.insert(id);
            id
        };
        MemoryState { holder: Arc::new(Holder { id, data: Arc::clone(&data) }), data }
    }

    fn data(&self) -> MutexGuard<'_, Data> {
        lock(&self.data)
    }
}

impl Default for MemoryState {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        lock(&self.data).living.remove(&self.id);
    }
}

/// A panic elsewhere leaves the data whole: each change is made after all checks, without a way to fail half-way.
fn lock(data: &Mutex<Data>) -> MutexGuard<'_, Data> {
    data.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Data {
    /// The lease's row, if it is still this holder's.
    fn owned(&mut self, lease: &Lease, holder: u64) -> Result<&mut Held, StateError> {
        self.leases
            .get_mut(&lease.secret)
            .filter(|held| held.fence == lease.fence && held.holder == Some(holder))
            .ok_or_else(|| StateError::Fenced { secret: lease.secret.clone() })
    }

    fn append(
        &mut self,
        lease: &Lease,
        holder: u64,
        rotation: RotationId,
        after: u64,
        events: &[Event],
        now: Timestamp,
    ) -> Result<Receipt, StateError> {
        let number = *self.by_id.get(&rotation).ok_or(StateError::NotFound(rotation))?;
        let secret = &self.rotations[number].row.fixed.secret;
        if *secret != lease.secret {
            return Err(StateError::Fenced { secret: secret.clone() });
        }
        self.owned(lease, holder)?;
        let (receipt, notices) = self.rotations[number].append(lease, after, events, whole_micros(now))?;
        self.tell(&notices);
        Ok(receipt)
    }

    fn tell(&mut self, notices: &[Notice]) {
        for notice in notices {
            if self.notices.iter().all(|told| told.id != notice.id) {
                self.notices.push(notice.clone());
            }
        }
    }

    fn newest_of(&self, secret: &str) -> Option<&Rotation> {
        let number = *self.by_secret.get(secret)?.last()?;
        Some(&self.rotations[number].row)
    }

    fn open_of(&self, secret: &str) -> Option<&Rotation> {
        self.newest_of(secret).filter(|rotation| !rotation.state.ended())
    }
}

impl Kept {
    /// The receipt, and what people should hear of it.
    fn append(
        &mut self,
        lease: &Lease,
        after: u64,
        events: &[Event],
        now: Timestamp,
    ) -> Result<(Receipt, Vec<Notice>), StateError> {
        let state = advance(&self.row, after, events, now)?;
        let fixed = &self.row.fixed;
        let subject = Subject { rotation: fixed.id, secret: &fixed.secret, policy: &fixed.policy };
        let notices = heard(subject, &self.row.state, after, events, now)?;
        self.row.state = state;
        for (event, seq) in events.iter().zip(after + 1..) {
            let (fence, plugin) = (lease.fence, lease.plugin.clone());
            self.journal.push(Recorded { seq, at: now, fence, plugin, event: event.clone() });
            self.row.seq = seq;
            self.row.updated_at = now;
        }
        Ok((Receipt::of_commit(self.row.fixed.id, self.row.state.clone(), self.row.seq), notices))
    }
}

#[async_trait]
impl StateStore for MemoryState {
    async fn claim(&self, secret: &str, ttl: Duration, now: Timestamp) -> Result<Claim, StateError> {
        let now = whole_micros(now);
        let expires_at = whole_micros(later(now, ttl));
        let mut data = self.data();
        let data = &mut *data;
        let fence = match data.leases.get(secret) {
            None => 1,
            Some(held) => {
                let living = held.holder.is_some_and(|holder| data.living.contains(&holder));
                if living && held.expires_at > now {
                    return Ok(Claim::Held { until: held.expires_at });
                }
                held.fence + 1
            }
        };
        data.leases.insert(secret.to_owned(), Held { fence, holder: Some(self.holder.id), expires_at });
        Ok(Claim::Granted(Lease { secret: secret.to_owned(), fence, expires_at, plugin: None }))
    }

    async fn renew(&self, lease: &Lease, ttl: Duration, now: Timestamp) -> Result<Lease, StateError> {
        let expires_at = whole_micros(later(whole_micros(now), ttl));
        let mut data = self.data();
        data.owned(lease, self.holder.id)?.expires_at = expires_at;
        Ok(Lease { expires_at, ..lease.clone() })
    }

    async fn release(&self, lease: &Lease) -> Result<(), StateError> {
        let mut data = self.data();
        if let Ok(held) = data.owned(lease, self.holder.id) {
            held.holder = None;
        }
        Ok(())
    }

    async fn create(
        &self,
        lease: &Lease,
        new: NewRotation,
        events: &[Event],
        now: Timestamp,
    ) -> Result<Receipt, StateError> {
        let now = whole_micros(now);
        let mut data = self.data();
        if new.secret != lease.secret {
            return Err(StateError::Fenced { secret: new.secret });
        }
        data.owned(lease, self.holder.id)?;
        if let Some(open) = data.open_of(&new.secret) {
            return Err(StateError::AlreadyOpen { secret: new.secret, rotation: open.fixed.id });
        }
        if let Some(&number) = data.by_id.get(&new.id) {
            let found = data.rotations[number].row.seq;
            return Err(StateError::Moved { rotation: new.id, expected: 0, found });
        }
        let row = Rotation { fixed: new, state: State::initial(), seq: 0, created_at: now, updated_at: now };
        let mut kept = Kept { row, journal: Vec::new() };
        let (receipt, notices) = kept.append(lease, 0, events, now)?;
        data.tell(&notices);
        let number = data.rotations.len();
        data.by_id.insert(kept.row.fixed.id, number);
        data.by_secret.entry(lease.secret.clone()).or_default().push(number);
        data.rotations.push(kept);
        Ok(receipt)
    }

    async fn append(
        &self,
        lease: &Lease,
        rotation: RotationId,
        after: u64,
        events: &[Event],
        now: Timestamp,
    ) -> Result<Receipt, StateError> {
        self.data().append(lease, self.holder.id, rotation, after, events, now)
    }

    async fn append_and_release(
        &self,
        lease: &Lease,
        rotation: RotationId,
        after: u64,
        events: &[Event],
        now: Timestamp,
    ) -> Result<Receipt, StateError> {
        let mut data = self.data();
        let receipt = data.append(lease, self.holder.id, rotation, after, events, now)?;
        data.owned(lease, self.holder.id)?.holder = None;
        Ok(receipt)
    }

    async fn rotation(&self, id: RotationId) -> Result<Option<Rotation>, StateError> {
        let data = self.data();
        Ok(data.by_id.get(&id).map(|&number| data.rotations[number].row.clone()))
    }

    async fn events(&self, id: RotationId) -> Result<Vec<Recorded>, StateError> {
        let data = self.data();
        Ok(data.by_id.get(&id).map(|&number| data.rotations[number].journal.clone()).unwrap_or_default())
    }

    async fn open(&self) -> Result<Vec<Rotation>, StateError> {
        let data = self.data();
        Ok(data.rotations.iter().filter(|kept| !kept.row.state.ended()).map(|kept| kept.row.clone()).collect())
    }

    async fn open_of(&self, secret: &str) -> Result<Option<Rotation>, StateError> {
        Ok(self.data().open_of(secret).cloned())
    }

    async fn history(&self, which: &History) -> Result<Vec<Rotation>, StateError> {
        let data = self.data();
        let meant = |kept: &&Kept| which.secret.as_ref().is_none_or(|secret| *secret == kept.row.fixed.secret);
        Ok(data.rotations.iter().rev().filter(meant).take(which.limit).map(|kept| kept.row.clone()).collect())
    }

    async fn latest(&self) -> Result<Vec<Rotation>, StateError> {
        let data = self.data();
        Ok(data.by_secret.keys().filter_map(|secret| data.newest_of(secret)).cloned().collect())
    }
}

#[async_trait]
impl Outbox for MemoryState {
    async fn tell(&self, notices: &[Notice]) -> Result<(), StateError> {
        self.data().tell(notices);
        Ok(())
    }

    async fn notices(&self, after: u64, limit: usize) -> Result<Vec<Numbered>, StateError> {
        let data = self.data();
        let behind = (1..).zip(&data.notices).skip(usize::try_from(after).unwrap_or(usize::MAX)).take(limit);
        Ok(behind.map(|(number, notice)| Numbered { number, notice: notice.clone() }).collect())
    }

    async fn last_notice(&self) -> Result<u64, StateError> {
        Ok(self.data().notices.len() as u64)
    }

    async fn delivery(&self, notifier: &str) -> Result<Option<Delivery>, StateError> {
        Ok(self.data().deliveries.get(notifier).cloned())
    }

    async fn deliveries(&self) -> Result<Vec<Delivery>, StateError> {
        Ok(self.data().deliveries.values().cloned().collect())
    }

    async fn deliver(&self, lease: &Lease, delivery: &Delivery) -> Result<(), StateError> {
        let mut data = self.data();
        data.owned(lease, self.holder.id)?;
        if lease.secret != notifier_lease(&delivery.notifier) {
            return Err(StateError::Fenced { secret: lease.secret.clone() });
        }
        data.deliveries.insert(delivery.notifier.clone(), delivery.clone());
        Ok(())
    }
}
