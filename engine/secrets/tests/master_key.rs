//! Master keys: where they come from, who may read them, and changing them under a running system.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};

use futures_util::FutureExt;
use jiff::Timestamp;
use keywheel_sdk::{Bundle, Secret};
use keywheel_secrets::{Keyring, Label, LocalStore, MasterKey, MasterKeyError, SecretStore, SecretsError, Selector};
use sqlx::{AssertSqlSafe, ConnectOptions};

const NOW: Timestamp = Timestamp::UNIX_EPOCH;
const FENCE: u64 = 1;

fn login(password: &str) -> Bundle {
    Bundle::login("app_a", Secret::new(password.to_owned()))
}

async fn raw(path: &Path) -> sqlx::SqliteConnection {
    sqlx::sqlite::SqliteConnectOptions::new().filename(path).connect().await.unwrap()
}

async fn rows_under(path: &Path, key: impl std::fmt::Display) -> i64 {
    let count = format!("SELECT count(*) FROM versions WHERE key = x'{key}'");
    sqlx::query_scalar(AssertSqlSafe(count)).fetch_one(&mut raw(path).await).await.unwrap()
}

async fn fill(store: &LocalStore, secrets: usize) {
    let writes = (0..secrets).map(|n| async move {
        store.put(&format!("s{n}"), "v1", &login(&format!("value {n}")), None, NOW, FENCE).await.unwrap();
    });
    futures_util::future::join_all(writes).await;
}

async fn all_readable(store: &LocalStore, secrets: usize) {
    for n in 0..secrets {
        let stored = store.read(&format!("s{n}"), Selector::Label(Label::Current)).await.unwrap().unwrap();
        assert!(stored.bundle.same_as(&login(&format!("value {n}"))));
    }
}

#[test]
fn a_key_file_is_private_whole_and_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("master.key");
    let id = MasterKey::generate_file(&path).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.starts_with("keywheel-master-1:") && text.ends_with('\n') && text.lines().count() == 1);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(Keyring::load(&path).unwrap().primary().id(), id);
    assert_eq!(MasterKey::from_text(&text).unwrap().id(), id);
    assert_eq!(Keyring::from_text(&text).unwrap().primary().id(), id);

    assert!(matches!(MasterKey::generate_file(&path), Err(MasterKeyError::Exists { .. })));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no draft is left behind");
}

#[test]
fn a_key_file_that_others_may_read_is_refused_with_the_cure() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("master.key");
    MasterKey::generate_file(&path).unwrap();
    for mode in [0o640, 0o604, 0o620, 0o602, 0o610, 0o777] {
        std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let error = Keyring::load(&path).err().unwrap();
        assert!(matches!(error, MasterKeyError::Open { mode: found, .. } if found == mode), "{error}");
        assert!(error.to_string().contains(&format!("chmod 600 {}", path.display())), "{error}");
        assert!(MasterKey::prepend_to_file(&path).is_err());
    }
    for mode in [0o400, 0o600, 0o700] {
        std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        Keyring::load(&path).unwrap();
    }
    assert!(matches!(Keyring::load(&folder.path().join("none")), Err(MasterKeyError::File { .. })));
    assert!(matches!(Keyring::load(folder.path()), Err(MasterKeyError::File { .. } | MasterKeyError::Open { .. })));
}

#[test]
fn what_is_no_key_is_refused_without_showing_it() {
    let good = "keywheel-master-1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    MasterKey::from_text(&format!("  {good}\n")).unwrap();
    let bad = [
        "",
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        "keywheel-master-2:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        "keywheel-master-1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHg==",
        "keywheel-master-1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gIQ==",
        "keywheel-master-1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",
        "keywheel-master-1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBka!xwdHh8=",
        "keywheel-master-1:",
    ];
    for text in bad {
        let error = MasterKey::from_text(text).err().unwrap();
        assert!(!format!("{error} {error:?}").contains("AAEC"), "{error}");
    }
    assert!(Keyring::from_text(" \n ").is_err());
    let other = MasterKey::generate().unwrap();
    assert_ne!(MasterKey::from_text(good).unwrap().id(), other.id());
    // The id is part of what is stored: it must never come out differently. HKDF computed by another implementation.
    assert_eq!(MasterKey::from_text(good).unwrap().id().to_string(), "4fc6c832a8f3938d");

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("master.key");
    std::fs::write(&path, format!("# the new one\n{good}\n\nnonsense\n")).unwrap();
    std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    let error = Keyring::load(&path).err().unwrap();
    assert!(error.to_string().contains("line 4"), "{error}");
}

#[test]
fn a_new_key_goes_before_the_old_one() {
    let folder = tempfile::tempdir().unwrap();
    let (path, link) = (folder.path().join("master.key"), folder.path().join("link"));
    let old = MasterKey::generate_file(&path).unwrap();
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let new = MasterKey::prepend_to_file(&link).unwrap();
    let ring = Keyring::load(&path).unwrap();
    assert_eq!(ring.primary().id(), new);
    assert!(ring.get(old).is_some() && ring.get(new).is_some());
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    let lock = std::fs::metadata(folder.path().join("master.key.lock")).unwrap();
    assert_eq!((lock.permissions().mode() & 0o777, lock.len()), (0o600, 0));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3, "no draft is left behind");
}

#[test]
fn a_changed_key_file_keeps_its_owner() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("master.key");
    MasterKey::generate_file(&path).unwrap();
    // Another owner where the system lets us set one; else our own, which must stay as well.
    let _ = std::os::unix::fs::chown(&path, Some(4711), Some(4712));
    let owner = |path: &Path| std::fs::metadata(path).map(|found| (found.uid(), found.gid())).unwrap();
    let before = owner(&path);
    MasterKey::prepend_to_file(&path).unwrap();
    assert_eq!(owner(&path), before);
    assert_eq!(owner(&folder.path().join("master.key.lock")), before, "the owner can change the key as well");
}

#[test]
fn two_at_once_lose_no_key() {
    const ROUNDS: usize = 40;
    const SECRETS: usize = 10;
    let folder = tempfile::tempdir().unwrap();
    let (path, keys) = (folder.path().join("secrets.db"), folder.path().join("master.key"));
    MasterKey::generate_file(&keys).unwrap();
    let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let open = || async { LocalStore::open(&path, Keyring::load(&keys).unwrap()).await.unwrap() };
    runtime().block_on(async { fill(&open().await, SECRETS).await });

    let start = Barrier::new(2);
    let change = || {
        let runtime = runtime();
        let mut made = Vec::new();
        let store = runtime.block_on(open());
        start.wait(); // both know the same key
        for _ in 0..ROUNDS {
            made.push(loop {
                match MasterKey::prepend_to_file(&keys) {
                    Ok(id) => break id,
                    Err(error) => assert!(matches!(error, MasterKeyError::Busy { .. }), "{error}"),
                }
                std::thread::yield_now();
            });
            while let Err(error) = runtime.block_on(store.rewrap()) {
                assert!(error.to_string().contains("being changed"), "{error}");
                std::thread::yield_now();
            }
        }
        made
    };
    let made = std::thread::scope(|scope| {
        let both = [scope.spawn(change), scope.spawn(change)];
        both.map(|thread| thread.join().unwrap()).concat()
    });
    let ring = Keyring::load(&keys).unwrap();
    for id in made {
        assert!(ring.get(id).is_some(), "key {id} was made, and is not in the file");
    }
    // With nothing but the file.
    runtime().block_on(async { all_readable(&open().await, SECRETS).await });
}

#[tokio::test]
async fn while_the_key_is_being_changed_nobody_else_changes_it() {
    let folder = tempfile::tempdir().unwrap();
    let (path, keys) = (folder.path().join("secrets.db"), folder.path().join("master.key"));
    let old = MasterKey::generate_file(&keys).unwrap();
    let store = LocalStore::open(&path, Keyring::load(&keys).unwrap()).await.unwrap();
    fill(&store, 1).await;
    let lock = folder.path().join("master.key.lock");
    let other = std::fs::File::create(&lock).unwrap();
    other.lock().unwrap();
    let text = std::fs::read_to_string(&keys).unwrap();
    assert!(
        matches!(MasterKey::prepend_to_file(&keys), Err(MasterKeyError::Busy { path }) if path.ends_with("master.key.lock"))
    );
    assert!(matches!(store.rewrap().await, Err(SecretsError::Unavailable(text)) if text.contains("being changed")));
    assert_eq!(std::fs::read_to_string(&keys).unwrap(), text);
    assert_eq!(rows_under(&path, old).await, 1);
    drop(other);
    let new = MasterKey::prepend_to_file(&keys).unwrap();
    assert_eq!(store.rewrap().await.unwrap().key, new);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_master_key_changes_while_others_read_and_write() {
    const SECRETS: usize = 150;
    let folder = tempfile::tempdir().unwrap();
    let (path, keys) = (folder.path().join("secrets.db"), folder.path().join("master.key"));
    let old = MasterKey::generate_file(&keys).unwrap();
    let daemon = Arc::new(LocalStore::open(&path, Keyring::load(&keys).unwrap()).await.unwrap());
    fill(&daemon, SECRETS).await;

    // The daemon goes on with the old keyring in memory: it reads everything again and again, and writes.
    let (stop, rounds) = (Arc::new(AtomicBool::new(false)), Arc::new(tokio::sync::Semaphore::new(0)));
    let at_work = tokio::spawn({
        let (daemon, stop, rounds) = (Arc::clone(&daemon), Arc::clone(&stop), Arc::clone(&rounds));
        async move {
            let mut round = 0;
            while !stop.load(Ordering::Relaxed) {
                all_readable(&daemon, SECRETS).await;
                daemon.stage("busy", &format!("v{round}"), &login("busy"), NOW, FENCE).await.unwrap();
                round += 1;
                rounds.add_permits(1);
            }
        }
    });
    rounds.acquire_many(1).await.unwrap().forget();

    let new = MasterKey::prepend_to_file(&keys).unwrap();
    let command = LocalStore::open(&path, Keyring::load(&keys).unwrap()).await.unwrap();
    let done = command.rewrap().await.unwrap();
    assert_eq!(done.key, new);
    assert!(done.rewrapped >= SECRETS as u64, "{done:?}");
    assert_eq!(rows_under(&path, old).await, 0);

    rounds.acquire_many(2).await.unwrap().forget(); // at least one whole round later
    stop.store(true, Ordering::Relaxed);
    at_work.await.unwrap();
    assert_eq!(rows_under(&path, old).await, 0, "the daemon wraps with the new key as well");
    assert_eq!(rows_under(&path, new).await, SECRETS as i64 + 1);

    let again = command.rewrap().await.unwrap();
    assert_eq!((again.rewrapped, again.already), (0, SECRETS as u64 + 1));

    // Step three: the old key goes, and is not missed.
    let first_line = std::fs::read_to_string(&keys).unwrap().lines().next().unwrap().to_owned();
    let only_new = LocalStore::open(&path, Keyring::from_text(&first_line).unwrap()).await.unwrap();
    all_readable(&only_new, SECRETS).await;
}

#[tokio::test]
async fn a_rewrap_that_is_cut_off_anywhere_can_be_repeated() {
    const SECRETS: usize = 200;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secrets.db");
    let mut ring_text = MasterKeyText::new(folder.path());
    let store = LocalStore::open(&path, ring_text.ring()).await.unwrap();
    fill(&store, SECRETS).await;
    store.close().await;
    // Earlier and later cuts, until one fell in the middle and one came too late.
    let (mut halves, mut finished, mut polls) = (0, 0, 1);
    for _ in 0..100 {
        let new = ring_text.add();
        let store = LocalStore::open(&path, ring_text.ring()).await.unwrap();
        let mut rewrap = Box::pin(store.rewrap());
        let mut too_late = false;
        for _ in 0..polls {
            too_late = rewrap.as_mut().now_or_never().is_some();
            if too_late {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(rewrap);
        store.close().await;
        drop(store);

        let store = LocalStore::open(&path, ring_text.ring()).await.unwrap();
        let left = SECRETS as i64 - rows_under(&path, new).await;
        if left > 0 && left < SECRETS as i64 {
            halves += 1;
            all_readable(&store, SECRETS).await;
        }
        store.rewrap().await.unwrap();
        assert_eq!(rows_under(&path, new).await, SECRETS as i64);
        store.close().await;
        finished += i32::from(too_late);
        if halves > 0 && finished > 0 {
            return;
        }
        // Around the end of a rewrap, wherever that is on this machine.
        polls = if too_late { polls * 3 / 4 } else { polls * 3 / 2 + 1 };
    }
    panic!("{halves} cuts fell in the middle and {finished} came too late");
}

/// A key file that gets one key after the other.
struct MasterKeyText {
    path: std::path::PathBuf,
}

impl MasterKeyText {
    fn new(folder: &Path) -> Self {
        let path = folder.join("master.key");
        MasterKey::generate_file(&path).unwrap();
        Self { path }
    }

    fn add(&mut self) -> keywheel_secrets::KeyId {
        MasterKey::prepend_to_file(&self.path).unwrap()
    }

    fn ring(&self) -> Keyring {
        Keyring::load(&self.path).unwrap()
    }
}

#[tokio::test]
async fn one_damaged_version_does_not_keep_the_others_under_the_old_key() {
    const SECRETS: usize = 100;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secrets.db");
    let mut ring_text = MasterKeyText::new(folder.path());
    let old = ring_text.ring().primary().id();
    let store = LocalStore::open(&path, ring_text.ring()).await.unwrap();
    fill(&store, SECRETS).await;
    let damage = "UPDATE versions SET wrapped = value WHERE number = 3 RETURNING secret";
    let damaged: String = sqlx::query_scalar(damage).fetch_one(&mut raw(&path).await).await.unwrap();
    ring_text.add();

    let error = store.rewrap().await.err().unwrap();
    assert!(matches!(&error, SecretsError::Corrupt { secret, .. } if *secret == damaged), "{error}");
    assert_eq!(rows_under(&path, old).await, 1);
    // CURRENT cannot be discarded: a new value takes its place, and the damaged one goes.
    store.put(&damaged, "v2", &login("new"), Some("v1"), NOW, FENCE).await.unwrap();
    store.discard(&damaged, "v1", FENCE).await.unwrap();
    assert_eq!(store.rewrap().await.unwrap().rewrapped, 0);
    assert_eq!(rows_under(&path, old).await, 0);
}

#[tokio::test]
async fn a_process_without_the_new_key_says_so_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (path, keys) = (folder.path().join("secrets.db"), folder.path().join("master.key"));
    let old = MasterKey::generate_file(&keys).unwrap();
    let text = std::fs::read_to_string(&keys).unwrap();
    // From text there is no file to read again.
    let stale = LocalStore::open(&path, Keyring::from_text(&text).unwrap()).await.unwrap();
    stale.put("orders", "v1", &login("one"), None, NOW, FENCE).await.unwrap();
    let new = MasterKey::prepend_to_file(&keys).unwrap();
    let command = LocalStore::open(&path, Keyring::load(&keys).unwrap()).await.unwrap();
    command.rewrap().await.unwrap();

    let read = stale.read("orders", Selector::Label(Label::Current)).await.err().unwrap();
    let written = stale.put("orders", "v2", &login("two"), Some("v1"), NOW, FENCE).await.err().unwrap();
    for error in [read, written] {
        assert!(matches!(&error, SecretsError::Unavailable(text) if text.contains(&new.to_string())), "{error}");
    }
    assert_eq!(command.labels("orders").await.unwrap().current.as_deref(), Some("v1"));
    assert_eq!(rows_under(&path, old).await, 0);
    // Labels need no key.
    stale.promote("orders", "v9", None, NOW, FENCE).await.err().unwrap();
    assert_eq!(stale.labels("orders").await.unwrap().current.as_deref(), Some("v1"));

    let error = LocalStore::open(&path, Keyring::from_text(&text).unwrap()).await.err().unwrap();
    assert!(matches!(&error, SecretsError::Invalid(text) if text.contains(&new.to_string())), "{error}");
}
