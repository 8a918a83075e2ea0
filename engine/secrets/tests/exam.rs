//! Both stores sit the exam, the local one also as two processes on one file, and the liar as one who tells the truth.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use jiff::Timestamp;
use keywheel_sdk::{Bundle, Secret};
use keywheel_secrets::faulty::{FaultyStore, When};
use keywheel_secrets::memory::MemoryStore;
use keywheel_secrets::{
    Labels, LocalStore, MasterKey, SecretInfo, SecretStore, SecretsError, Selector, Stored, VersionInfo, exam,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_memory_store_passes() {
    exam::run(|| async { Arc::new(MemoryStore::new()) as Arc<dyn SecretStore> }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_local_store_passes() {
    let folder = tempfile::tempdir().unwrap();
    let (key, number) = (MasterKey::generate().unwrap(), AtomicUsize::new(0));
    exam::run(|| async {
        let path = folder.path().join(format!("{}.db", number.fetch_add(1, Ordering::Relaxed)));
        Arc::new(LocalStore::open(&path, key.clone()).await.unwrap()) as Arc<dyn SecretStore>
    })
    .await;
}

/// Sends each call to the other of two handles than the call before: what one process does, the next one must see.
struct Alternating {
    stores: [LocalStore; 2],
    calls: AtomicUsize,
}

impl Alternating {
    fn next(&self) -> &LocalStore {
        &self.stores[self.calls.fetch_add(1, Ordering::Relaxed) % 2]
    }
}

#[async_trait]
impl SecretStore for Alternating {
    async fn stage(
        &self,
        secret: &str,
        version: &str,
        bundle: &Bundle,
        now: Timestamp,
        fence: u64,
    ) -> Result<(), SecretsError> {
        self.next().stage(secret, version, bundle, now, fence).await
    }
    async fn read(&self, secret: &str, which: Selector<'_>) -> Result<Option<Stored>, SecretsError> {
        self.next().read(secret, which).await
    }
    async fn labels(&self, secret: &str) -> Result<Labels, SecretsError> {
        self.next().labels(secret).await
    }
    async fn promote(
        &self,
        secret: &str,
        version: &str,
        replaces: Option<&str>,
        now: Timestamp,
        fence: u64,
    ) -> Result<(), SecretsError> {
        self.next().promote(secret, version, replaces, now, fence).await
    }
    async fn discard(&self, secret: &str, version: &str, fence: u64) -> Result<(), SecretsError> {
        self.next().discard(secret, version, fence).await
    }
    async fn raise_fence(&self, secret: &str, fence: u64) -> Result<(), SecretsError> {
        self.next().raise_fence(secret, fence).await
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
        self.next().put(secret, version, bundle, replaces, now, fence).await
    }
    async fn list(&self) -> Result<Vec<SecretInfo>, SecretsError> {
        self.next().list().await
    }
    async fn versions(&self, secret: &str) -> Result<Vec<VersionInfo>, SecretsError> {
        self.next().versions(secret).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_handles_on_one_file_pass_as_one() {
    let folder = tempfile::tempdir().unwrap();
    let (key, number) = (MasterKey::generate().unwrap(), AtomicUsize::new(0));
    exam::run(|| async {
        let path = folder.path().join(format!("{}.db", number.fetch_add(1, Ordering::Relaxed)));
        let stores =
            [LocalStore::open(&path, key.clone()).await.unwrap(), LocalStore::open(&path, key.clone()).await.unwrap()];
        Arc::new(Alternating { stores, calls: AtomicUsize::new(0) }) as Arc<dyn SecretStore>
    })
    .await;
}

#[tokio::test]
async fn the_liar_lies_as_told_and_no_more() {
    exam::run(|| async { Arc::new(FaultyStore::new(Arc::new(MemoryStore::new()))) as Arc<dyn SecretStore> }).await;

    let now = Timestamp::UNIX_EPOCH;
    let bundle = Bundle::login("app_a", Secret::new("x".to_owned()));
    for (when, staged) in [(When::Before, None), (When::After, Some("v1".to_owned()))] {
        let store = FaultyStore::new(Arc::new(MemoryStore::new())).failing(2, when);
        assert_eq!(store.labels("s").await.unwrap().pending, None);
        let lost = store.stage("s", "v1", &bundle, now, 1).await;
        assert!(matches!(lost, Err(SecretsError::Unavailable(_))), "{lost:?}");
        assert_eq!(store.labels("s").await.unwrap().pending, staged);
        assert_eq!(store.calls(), ["labels", "stage", "labels"]);
        store.set_down(true);
        assert!(store.labels("s").await.is_err());
        store.set_down(false);
        assert!(store.labels("s").await.is_ok());
    }
}

/// A store that forgets to compare must fail, or the exam proves nothing.
#[tokio::test]
#[should_panic(expected = "promotion_from_another_current_is_refused")]
async fn a_careless_store_fails_the_exam() {
    struct Careless(MemoryStore);
    #[async_trait]
    impl SecretStore for Careless {
        async fn stage(
            &self,
            secret: &str,
            version: &str,
            bundle: &Bundle,
            now: Timestamp,
            fence: u64,
        ) -> Result<(), SecretsError> {
            self.0.stage(secret, version, bundle, now, fence).await
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
            _replaces: Option<&str>,
            now: Timestamp,
            fence: u64,
        ) -> Result<(), SecretsError> {
            let current = self.0.labels(secret).await?.current;
            self.0.promote(secret, version, current.as_deref(), now, fence).await
        }
        async fn discard(&self, secret: &str, version: &str, fence: u64) -> Result<(), SecretsError> {
            self.0.discard(secret, version, fence).await
        }
        async fn raise_fence(&self, secret: &str, fence: u64) -> Result<(), SecretsError> {
            self.0.raise_fence(secret, fence).await
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
    exam::run(|| async { Arc::new(Careless(MemoryStore::new())) as Arc<dyn SecretStore> }).await;
}
