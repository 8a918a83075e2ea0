//! Tells of what no event says: what is too old, and what stands still.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use jiff::Timestamp;
use keywheel_core::{Notice, Rotation, notice};
use keywheel_policies::{Policy, Resting};
use keywheel_secrets::SecretInfo;
use keywheel_state::{StateError, StateStore};

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

/// Remembers what was told, so that the store is not written to in order to find that it knows.
#[derive(Default)]
pub(crate) struct Telling {
    told: BTreeSet<String>,
}

impl Telling {
    /// Tells what is new. What fails is told the next time.
    pub async fn look(
        &mut self,
        state: &dyn StateStore,
        aging: &[Aging],
        live: &HashMap<&str, &SecretInfo>,
        open: &[Rotation],
        now: Timestamp,
    ) -> Result<(), StateError> {
        let old = aging.iter().filter_map(|one| one.notice(live.get(one.secret.as_str())?, now));
        let notices: Vec<Notice> = old.chain(open.iter().filter_map(|one| notice::of_open(one, now))).collect();
        let new: Vec<Notice> = notices.iter().filter(|notice| !self.told.contains(&notice.id)).cloned().collect();
        // Not too many in one statement.
        for some in new.chunks(500) {
            state.tell(some).await?;
        }
        self.told = notices.into_iter().map(|notice| notice.id).collect();
        Ok(())
    }
}
