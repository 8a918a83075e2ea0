//! Tells of what no event says: what is too old, and what stands still.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use jiff::Timestamp;
use keywheel_core::{Notice, Rotation, RotationId, notice};
use keywheel_policies::{Policy, Resting};
use keywheel_secrets::SecretInfo;
use keywheel_state::StateStore;

/// So many notices are told in one statement.
const AT_ONCE: usize = 500;

/// So many ids are remembered.
const REMEMBERED: usize = 100_000;

/// A secret whose age is looked at, whether it is rotated or rests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aging {
    pub secret: String,
    pub policy: String,
    pub max_age: Duration,
}

impl Aging {
    /// `None` for a policy without a `max_age`.
    pub fn of(policy: &Policy) -> Option<Self> {
        let max_age = policy.max_age?;
        Some(Aging { secret: policy.secret.name.clone(), policy: policy.name.clone(), max_age })
    }

    /// The same for a policy that rests.
    pub fn of_resting(resting: &Resting) -> Option<Self> {
        let max_age = resting.max_age?;
        Some(Aging { secret: resting.secret.clone(), policy: resting.policy.clone(), max_age })
    }

    /// What should be told now of its `CURRENT`.
    pub fn notice(&self, live: &SecretInfo, now: Timestamp) -> Option<Notice> {
        let (version, since) = live.labels.current.as_deref().zip(live.current_since)?;
        notice::of_age((&self.secret, &self.policy, version), since, self.max_age, now)
    }
}

/// Remembers what was told, so that the store is not written to in order to find that it knows; and since when what is open was
/// seen as it stands.
#[derive(Default)]
pub(crate) struct Telling {
    told: BTreeSet<String>,
    seen: HashMap<RotationId, (u64, Timestamp)>,
}

impl Telling {
    /// Tells of what is open. What fails is told the next time, and holds up nobody.
    pub async fn look(&mut self, state: &dyn StateStore, open: &[Rotation], now: Timestamp) {
        let before = std::mem::take(&mut self.seen);
        for rotation in open {
            let (id, seq) = (rotation.fixed.id, rotation.seq);
            let since = before.get(&id).filter(|seen| seen.0 == seq).map_or(now, |seen| seen.1.min(now));
            self.seen.insert(id, (seq, since));
        }
        let seen = |rotation: &Rotation| self.seen.get(&rotation.fixed.id).map_or(now, |seen| seen.1);
        let notices: Vec<_> = open.iter().filter_map(|one| notice::of_open(one, now, seen(one))).collect();
        self.tell(state, notices).await;
    }

    /// Tells of what is too old.
    pub async fn age(
        &mut self,
        state: &dyn StateStore,
        aging: &[Aging],
        live: &HashMap<&str, &SecretInfo>,
        now: Timestamp,
    ) {
        let old = aging.iter().filter_map(|one| one.notice(live.get(one.secret.as_str())?, now)).collect();
        self.tell(state, old).await;
    }

    async fn tell(&mut self, state: &dyn StateStore, notices: Vec<Notice>) {
        // The store knows them all: this only saves asking.
        if self.told.len() > REMEMBERED {
            self.told.clear();
        }
        let new: Vec<Notice> = notices.into_iter().filter(|notice| !self.told.contains(&notice.id)).collect();
        for some in new.chunks(AT_ONCE) {
            if let Err(error) = state.tell(some).await {
                tracing::warn!(%error, "what is late or stands still cannot be told now; will try again");
                return;
            }
            self.told.extend(some.iter().map(|notice| notice.id.clone()));
        }
    }
}
