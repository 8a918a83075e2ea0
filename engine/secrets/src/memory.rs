//! The reference store: the interface's meaning in the fewest lines. For tests; forgets everything when dropped.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use jiff::Timestamp;
use keywheel_sdk::Bundle;

use crate::bounds::{check_bundle, check_name};
use crate::moves::{self, Progress};
use crate::{Label, Labels, SecretInfo, SecretStore, SecretsError, Selector, Stored, VersionInfo, expires_at};

/// Versions with labels in memory.
#[derive(Default)]
pub struct MemoryStore {
    secrets: Mutex<BTreeMap<String, Kept>>,
}

#[derive(Default)]
struct Kept {
    /// In the order of creation.
    versions: Vec<Version>,
    /// The highest one seen.
    fence: u64,
}

struct Version {
    name: String,
    label: Label,
    created_at: Timestamp,
    promoted_at: Option<Timestamp>,
    bundle: Bundle,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Kept>> {
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn current(versions: &[Version]) -> Option<&Version> {
    versions.iter().find(|version| version.label == Label::Current)
}

#[async_trait]
impl SecretStore for MemoryStore {
    async fn stage(
        &self,
        secret: &str,
        version: &str,
        bundle: &Bundle,
        now: Timestamp,
        fence: u64,
    ) -> Result<(), SecretsError> {
        check_new(secret, version, bundle)?;
        let mut secrets = self.lock();
        let kept = secrets.entry(secret.to_owned()).or_default();
        moves::fence(kept.fence, fence).map_err(conflict(secret))?;
        let versions = &mut kept.versions;
        match moves::stage(&labels(versions), version).map_err(conflict(secret))? {
            Progress::Happened => same_value(versions, secret, version, bundle)?,
            Progress::Due => {
                versions.retain(|v| v.label != Label::Pending);
                versions.push(Version {
                    name: version.to_owned(),
                    label: Label::Pending,
                    created_at: now,
                    promoted_at: None,
                    bundle: bundle.duplicate(),
                });
            }
        }
        kept.fence = fence;
        Ok(())
    }

    async fn read(&self, secret: &str, which: Selector<'_>) -> Result<Option<Stored>, SecretsError> {
        let secrets = self.lock();
        let wanted = |v: &&Version| match which {
            Selector::Label(label) => v.label == label,
            Selector::Version(name) => v.name == name,
        };
        Ok(secrets.get(secret).and_then(|kept| kept.versions.iter().find(wanted)).map(|v| Stored {
            version: v.name.clone(),
            label: Some(v.label),
            created_at: v.created_at,
            bundle: v.bundle.duplicate(),
        }))
    }

    async fn labels(&self, secret: &str) -> Result<Labels, SecretsError> {
        Ok(self.lock().get(secret).map(|kept| labels(&kept.versions)).unwrap_or_default())
    }

    async fn promote(
        &self,
        secret: &str,
        version: &str,
        replaces: Option<&str>,
        now: Timestamp,
        fence: u64,
    ) -> Result<(), SecretsError> {
        let mut secrets = self.lock();
        let mut none = Kept::default();
        let kept = secrets.get_mut(secret).unwrap_or(&mut none);
        moves::fence(kept.fence, fence).map_err(conflict(secret))?;
        let versions = &mut kept.versions;
        match moves::promote(&labels(versions), version, replaces).map_err(conflict(secret))? {
            Progress::Happened => {}
            Progress::Due => {
                make_room(versions);
                for v in versions.iter_mut().filter(|v| v.name == version) {
                    v.label = Label::Current;
                    v.promoted_at = Some(now);
                }
            }
        }
        kept.fence = fence;
        Ok(())
    }

    async fn discard(&self, secret: &str, version: &str, fence: u64) -> Result<(), SecretsError> {
        let mut secrets = self.lock();
        let kept = secrets.entry(secret.to_owned()).or_default();
        moves::fence(kept.fence, fence).map_err(conflict(secret))?;
        moves::discard(&labels(&kept.versions), version).map_err(conflict(secret))?;
        kept.versions.retain(|v| v.name != version);
        kept.fence = fence;
        Ok(())
    }

    async fn raise_fence(&self, secret: &str, fence: u64) -> Result<(), SecretsError> {
        check_name("secret", secret)?;
        let mut secrets = self.lock();
        let kept = secrets.entry(secret.to_owned()).or_default();
        moves::fence(kept.fence, fence).map_err(conflict(secret))?;
        kept.fence = fence;
        Ok(())
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
        check_new(secret, version, bundle)?;
        let mut secrets = self.lock();
        let kept = secrets.entry(secret.to_owned()).or_default();
        moves::fence(kept.fence, fence).map_err(conflict(secret))?;
        let versions = &mut kept.versions;
        match moves::put(&labels(versions), version, replaces).map_err(conflict(secret))? {
            Progress::Happened => same_value(versions, secret, version, bundle)?,
            Progress::Due => {
                make_room(versions);
                versions.push(Version {
                    name: version.to_owned(),
                    label: Label::Current,
                    created_at: now,
                    promoted_at: Some(now),
                    bundle: bundle.duplicate(),
                });
            }
        }
        kept.fence = fence;
        Ok(())
    }

    async fn list(&self) -> Result<Vec<SecretInfo>, SecretsError> {
        let secrets = self.lock();
        let kept = secrets.iter().filter(|(_, kept)| !kept.versions.is_empty());
        Ok(kept
            .map(|(name, Kept { versions, .. })| SecretInfo {
                name: name.clone(),
                labels: labels(versions),
                current_since: current(versions).and_then(|v| v.promoted_at),
                current_expires_at: current(versions).and_then(|v| expires_at(&v.bundle)),
            })
            .collect())
    }

    async fn versions(&self, secret: &str) -> Result<Vec<VersionInfo>, SecretsError> {
        let secrets = self.lock();
        let versions = secrets.get(secret).into_iter().flat_map(|kept| &kept.versions).rev();
        Ok(versions
            .map(|v| VersionInfo {
                version: v.name.clone(),
                label: Some(v.label),
                created_at: v.created_at,
                promoted_at: v.promoted_at,
                expires_at: expires_at(&v.bundle),
            })
            .collect())
    }
}

fn check_new(secret: &str, version: &str, bundle: &Bundle) -> Result<(), SecretsError> {
    check_name("secret", secret)?;
    check_name("version", version)?;
    check_bundle(bundle)
}

fn labels(versions: &[Version]) -> Labels {
    let on = |label| versions.iter().find(|v| v.label == label).map(|v| v.name.clone());
    Labels { pending: on(Label::Pending), current: on(Label::Current), previous: on(Label::Previous) }
}

fn make_room(versions: &mut Vec<Version>) {
    versions.retain(|v| v.label != Label::Previous);
    for v in versions.iter_mut().filter(|v| v.label == Label::Current) {
        v.label = Label::Previous;
    }
}

fn same_value(versions: &[Version], secret: &str, version: &str, bundle: &Bundle) -> Result<(), SecretsError> {
    if versions.iter().any(|v| v.name == version && v.bundle.same_as(bundle)) {
        return Ok(());
    }
    Err(conflict(secret)(format!("version `{version}` exists with another value")))
}

fn conflict(secret: &str) -> impl FnOnce(String) -> SecretsError {
    let secret = secret.to_owned();
    |reason| SecretsError::Conflict { secret, reason }
}
