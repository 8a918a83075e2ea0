//! The encrypted file: nothing readable in it, nothing exchangeable in it, and only the right key opens it.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

use jiff::Timestamp;
use keywheel_sdk::{Bundle, Secret};
use keywheel_secrets::{Keyring, Label, LocalStore, MasterKey, SecretStore, SecretsError, Selector};
use sqlx::{AssertSqlSafe, ConnectOptions, SqliteConnection};

const CANARY: &str = "canary-7f1d-never-in-clear";
const NOW: Timestamp = Timestamp::UNIX_EPOCH;
const FENCE: u64 = 1;

fn login(password: &str) -> Bundle {
    Bundle::login("app_a", Secret::new(password.to_owned()))
}

async fn raw(path: &Path) -> SqliteConnection {
    sqlx::sqlite::SqliteConnectOptions::new().filename(path).connect().await.unwrap()
}

async fn sql(path: &Path, statement: &str) {
    let changed = sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut raw(path).await).await.unwrap();
    assert!(changed.rows_affected() > 0, "{statement}");
}

fn refusal<T>(result: Result<T, SecretsError>) -> SecretsError {
    result.err().expect("must be refused")
}

/// All bytes of the database file and its companions.
fn bytes_beside(path: &Path) -> Vec<u8> {
    let mut all = Vec::new();
    for suffix in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        all.extend(std::fs::read(name).unwrap_or_default());
    }
    assert!(!all.is_empty());
    all
}

fn contains(all: &[u8], part: &[u8]) -> bool {
    all.windows(part.len()).any(|window| window == part)
}

#[tokio::test]
async fn no_value_and_no_key_is_in_the_files_or_in_errors() {
    let folder = tempfile::tempdir().unwrap();
    let (path, key_file) = (folder.path().join("secrets.db"), folder.path().join("master.key"));
    MasterKey::generate_file(&key_file).unwrap();
    let store = LocalStore::open(&path, Keyring::load(&key_file).unwrap()).await.unwrap();
    let bundle = login(CANARY).with("unusual-field", Secret::new(CANARY.repeat(500)));
    store.stage("orders", "v1", &bundle, NOW, FENCE).await.unwrap();
    store.promote("orders", "v1", None, NOW, FENCE).await.unwrap();
    store.stage("orders", "v2", &login(CANARY), NOW, FENCE).await.unwrap();
    let refused = refusal(store.stage("orders", "v2", &login("another"), NOW, FENCE).await);
    assert!(!format!("{refused} {refused:?}").contains(CANARY));

    let key_text = std::fs::read_to_string(&key_file).unwrap();
    for moment in ["open", "closed"] {
        let all = bytes_beside(&path);
        assert!(contains(&all, b"orders"), "names are in clear, or this test looks at the wrong file");
        for part in [CANARY, "unusual-field", "app_a", key_text.trim()] {
            assert!(!contains(&all, part.as_bytes()), "`{part}` while {moment}");
        }
        if moment == "open" {
            store.close().await;
        }
    }
}

#[tokio::test]
async fn what_is_destroyed_is_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secrets.db");
    let store = LocalStore::open(&path, MasterKey::generate().unwrap()).await.unwrap();
    for version in ["v1", "v2"] {
        store.stage("orders", version, &login(CANARY), NOW, FENCE).await.unwrap();
        store.promote("orders", version, (version == "v2").then_some("v1"), NOW, FENCE).await.unwrap();
    }
    let wrapped: Vec<u8> = sqlx::query_scalar("SELECT wrapped FROM versions WHERE version = 'v1'")
        .fetch_one(&mut raw(&path).await)
        .await
        .unwrap();
    store.discard("orders", "v1", FENCE).await.unwrap();
    store.close().await; // moves the write-ahead log into the file
    assert!(!contains(&bytes_beside(&path), &wrapped));
}

#[tokio::test]
async fn nothing_in_the_file_can_be_exchanged() {
    let folder = tempfile::tempdir().unwrap();
    let key = MasterKey::generate().unwrap();
    let swap = |columns: &[&str], a: u8, b: u8| {
        let sets: Vec<_> = columns.iter().map(|column| format!("{column} = o.{column}")).collect();
        format!(
            "UPDATE versions AS v SET {} FROM (SELECT number, wrapped, value FROM versions) AS o
             WHERE v.number IN ({a}, {b}) AND o.number = {a} + {b} - v.number",
            sets.join(", ")
        )
    };
    // Rows by number: 1 = orders v1 (PREVIOUS), 2 = orders v2 (CURRENT), 3 = billing v2 (CURRENT).
    let cases = [
        ("both boxes between versions", swap(&["wrapped", "value"], 1, 2)),
        ("both boxes between secrets", swap(&["wrapped", "value"], 2, 3)),
        ("values only", swap(&["value"], 1, 2)),
        ("data keys only", swap(&["wrapped"], 1, 2)),
        ("columns of one row", "UPDATE versions SET wrapped = value, value = wrapped".to_owned()),
        ("a value for a data key", "UPDATE versions SET wrapped = value".to_owned()),
        ("the seal for a data key", "UPDATE versions SET wrapped = (SELECT seal FROM store)".to_owned()),
        ("another version", "UPDATE versions SET version = version || 'x'".to_owned()),
        ("another name", "UPDATE versions SET secret = secret || 'x'".to_owned()),
        (
            "name and version shifted",
            "UPDATE versions SET secret = secret || 'v', version = substr(version, 2)".to_owned(),
        ),
        ("an empty value", "UPDATE versions SET value = x''".to_owned()),
        ("a short value", "UPDATE versions SET value = substr(value, 1, length(value) - 1)".to_owned()),
        ("a longer value", "UPDATE versions SET value = CAST(value || x'00' AS BLOB)".to_owned()),
        ("another format", "UPDATE versions SET value = CAST(x'02' || substr(value, 2) AS BLOB)".to_owned()),
        ("another time", "UPDATE versions SET created_at = 'yesterday'".to_owned()),
    ];
    for (n, (what, statement)) in cases.iter().enumerate() {
        let path = folder.path().join(format!("{n}.db"));
        let store = LocalStore::open(&path, key.clone()).await.unwrap();
        store.put("orders", "v1", &login("one"), None, NOW, FENCE).await.unwrap();
        store.put("orders", "v2", &login("two"), Some("v1"), NOW, FENCE).await.unwrap();
        store.put("billing", "v2", &login("six"), None, NOW, FENCE).await.unwrap();
        sql(&path, statement).await;
        let mut looked = 0;
        for secret in store.list().await.unwrap().iter().map(|info| info.name.clone()) {
            for label in [Label::Current, Label::Previous] {
                match store.read(&secret, Selector::Label(label)).await {
                    Err(SecretsError::Corrupt { secret: named, .. }) if named == secret => looked += 1,
                    Err(other) => panic!("{what}: {other}"),
                    Ok(None) => {}
                    // A row that the statement did not touch still reads as it was.
                    Ok(Some(stored)) => {
                        let was = if label == Label::Previous {
                            "one"
                        } else if secret == "orders" {
                            "two"
                        } else {
                            "six"
                        };
                        assert!(stored.bundle.same_as(&login(was)), "{what}");
                    }
                }
            }
        }
        assert!(looked >= 2, "{what}: {looked} refused");
    }
}

#[tokio::test]
async fn every_altered_byte_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secrets.db");
    let store = LocalStore::open(&path, MasterKey::generate().unwrap()).await.unwrap();
    store.put("orders", "v1", &login("one"), None, NOW, FENCE).await.unwrap();
    let mut file = raw(&path).await;
    for column in ["wrapped", "value"] {
        let good: Vec<u8> = sqlx::query_scalar(AssertSqlSafe(format!("SELECT {column} FROM versions")))
            .fetch_one(&mut file)
            .await
            .unwrap();
        assert!(good.len() > 40);
        let update = format!("UPDATE versions SET {column} = ?");
        for position in 0..good.len() {
            let mut bad = good.clone();
            bad[position] ^= 1;
            sqlx::query(AssertSqlSafe(update.as_str())).bind(bad).execute(&mut file).await.unwrap();
            let error = refusal(store.read("orders", Selector::Version("v1")).await);
            assert!(matches!(error, SecretsError::Corrupt { .. }), "{column} {position}: {error}");
        }
        sqlx::query(AssertSqlSafe(update.as_str())).bind(good).execute(&mut file).await.unwrap();
        assert!(store.read("orders", Selector::Version("v1")).await.unwrap().unwrap().bundle.same_as(&login("one")));
    }
}

#[tokio::test]
async fn a_row_of_another_store_does_not_fit() {
    let folder = tempfile::tempdir().unwrap();
    let key = MasterKey::generate().unwrap();
    let (ours, theirs) = (folder.path().join("ours.db"), folder.path().join("theirs.db"));
    let store = LocalStore::open(&ours, key.clone()).await.unwrap();
    let other = LocalStore::open(&theirs, key).await.unwrap();
    for store in [&store, &other] {
        store.put("orders", "v1", &login("one"), None, NOW, FENCE).await.unwrap();
    }
    other.close().await;
    let copy = format!(
        "ATTACH '{}' AS theirs; UPDATE versions SET (wrapped, value) = (SELECT wrapped, value FROM theirs.versions)",
        theirs.display()
    );
    sql(&ours, &copy).await;
    let error = refusal(store.read("orders", Selector::Version("v1")).await);
    assert!(matches!(error, SecretsError::Corrupt { .. }), "{error}");
}

#[tokio::test]
async fn a_wrong_key_is_told_at_once_and_the_right_one_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secrets.db");
    let (right, wrong) = (MasterKey::generate().unwrap(), MasterKey::generate().unwrap());
    let store = LocalStore::open(&path, right.clone()).await.unwrap();
    store.put("orders", "v1", &login("one"), None, NOW, FENCE).await.unwrap();
    store.close().await;

    let error = refusal(LocalStore::open(&path, wrong.clone()).await);
    assert!(matches!(error, SecretsError::Invalid(_)), "{error}");
    let text = error.to_string();
    assert!(text.contains(&right.id().to_string()) && text.contains(&wrong.id().to_string()), "{text}");

    let store = LocalStore::open(&path, right).await.unwrap();
    assert!(store.read("orders", Selector::Label(Label::Current)).await.unwrap().is_some());
    store.close().await;

    // A key of that id that does not fit: the seal itself was altered.
    sql(&path, "UPDATE store SET seal = CAST(substr(seal, 1, length(seal) - 1) || x'00' AS BLOB)").await;
    sql(&path, &format!("UPDATE store SET key = x'{}'", wrong.id())).await;
    let error = refusal(LocalStore::open(&path, wrong).await);
    assert!(matches!(error, SecretsError::Corrupt { .. }), "{error}");
}

#[tokio::test]
async fn other_files_are_refused_as_such() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("letter.txt");
    std::fs::write(&path, "Dear Sir or Madam, this is by no means a database. ".repeat(20)).unwrap();
    let error = refusal(LocalStore::open(&path, MasterKey::generate().unwrap()).await);
    assert!(matches!(error, SecretsError::Invalid(_)), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_processes_that_promote_one_wins() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secrets.db");
    let key = MasterKey::generate().unwrap();
    let stores = [LocalStore::open(&path, key.clone()).await.unwrap(), LocalStore::open(&path, key).await.unwrap()];
    stores[0].put("orders", "v0", &login("zero"), None, NOW, FENCE).await.unwrap();
    for round in 0..40 {
        let current = stores[0].labels("orders").await.unwrap().current.unwrap();
        let names = [format!("a{round}"), format!("b{round}")];
        let value = login("x");
        let (a, b) = tokio::join!(
            stores[0].put("orders", &names[0], &value, Some(&current), NOW, FENCE),
            stores[1].put("orders", &names[1], &value, Some(&current), NOW, FENCE),
        );
        let winner = match (a, b) {
            (Ok(()), Err(SecretsError::Conflict { .. })) => 0,
            (Err(SecretsError::Conflict { .. }), Ok(())) => 1,
            other => panic!("{other:?}"),
        };
        for store in &stores {
            let labels = store.labels("orders").await.unwrap();
            assert_eq!((labels.current.as_ref(), labels.previous.as_ref()), (Some(&names[winner]), Some(&current)));
        }
    }
}

#[tokio::test]
async fn fences_last_and_a_journal_that_begins_again_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secrets.db");
    let key = MasterKey::generate().unwrap();
    let store = LocalStore::open(&path, key.clone()).await.unwrap();
    store.put("orders", "v1", &login("one"), None, NOW, 7).await.unwrap();
    store.raise_fence("orders", 9).await.unwrap();
    store.close().await;

    let store = LocalStore::open(&path, key).await.unwrap();
    let error = refusal(store.put("orders", "v2", &login("two"), Some("v1"), NOW, 8).await);
    assert!(matches!(error, SecretsError::Conflict { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("fence is 9, this one's 8") && text.contains("journal is younger"), "{text}");
    refusal(store.raise_fence("orders", u64::MAX).await);
    store.put("orders", "v2", &login("two"), Some("v1"), NOW, 9).await.unwrap();

    // What the store's description says to do where the journal is gone for good.
    sql(&path, "DELETE FROM fences").await;
    store.put("orders", "v3", &login("three"), Some("v2"), NOW, 1).await.unwrap();
}

#[tokio::test]
async fn a_file_of_the_first_format_is_brought_forward() {
    let folder = tempfile::tempdir().unwrap();
    let (path, key_file) = (folder.path().join("secrets.db"), folder.path().join("master.key"));
    MasterKey::generate_file(&key_file).unwrap();
    let store = LocalStore::open(&path, Keyring::load(&key_file).unwrap()).await.unwrap();
    store.put("orders", "v1", &login(CANARY), None, NOW, FENCE).await.unwrap();
    store.close().await;
    // As it was before values had an end.
    let before = "DELETE FROM _sqlx_migrations WHERE version = 2; ALTER TABLE versions DROP COLUMN expires_at";
    sql(&path, before).await;
    let store = LocalStore::open(&path, Keyring::load(&key_file).unwrap()).await.unwrap();
    let stored = store.read("orders", Selector::Label(Label::Current)).await.unwrap().unwrap();
    assert!(stored.bundle.same_as(&login(CANARY)));
    assert_eq!(store.list().await.unwrap()[0].current_expires_at, None);
    store.close().await;
}
