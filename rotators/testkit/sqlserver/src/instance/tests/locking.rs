//! Application locks, and waiting for other transactions.

use tokio::sync::oneshot;

use super::{ask, check, enter, instance, written};
use crate::exchange::{Parameter, Value};

const LOCK: &str = "DECLARE @rc int EXEC @rc = sp_getapplock @Resource = N'a lock', @LockMode = 'Exclusive', @LockOwner = 'Session', @LockTimeout = 0 SELECT @rc";
const FREE: &str =
    "DECLARE @rc int EXEC @rc = sp_releaseapplock @Resource = N'a lock', @LockOwner = 'Session' SELECT @rc";
const WAIT: &str = "DECLARE @rc int EXEC @rc = sys.sp_getapplock N'a lock', Exclusive, Session, -1 SELECT @rc";

#[tokio::test]
async fn one_session_holds_a_lock() {
    let instance = instance();
    let (mut one, mut other) = (instance.console(), instance.console());
    check(&mut one, &[(LOCK, "0"), (LOCK, "0")]).await;
    check(&mut other, &[(LOCK, "-1"), (FREE, "!1223,-999")]).await;
    check(&mut one, &[(FREE, "0")]).await;
    check(&mut other, &[(LOCK, "-1")]).await;
    check(&mut one, &[(FREE, "0"), (FREE, "!1223,-999")]).await;
    check(&mut other, &[(LOCK, "0")]).await;
    drop(other);
    check(&mut one, &[(LOCK, "0")]).await;
    one.reset();
    let mut third = instance.console();
    check(&mut third, &[(LOCK, "0")]).await;
    check(
        &mut third,
        &[
            ("SELECT resource_type, request_mode, request_status, resource_database_id FROM sys.dm_tran_locks WHERE resource_type = 'APPLICATION'", "APPLICATION|X|GRANT|1"),
            ("SELECT LEFT(resource_description, 11) FROM sys.dm_tran_locks WHERE resource_description LIKE '0:[[]a lock]%'", "0:[a lock]:"),
            ("DECLARE @rc int EXEC @rc = sp_getapplock 'x', 'Exclusive' SELECT @rc", "!15626,-999"),
            ("DECLARE @rc int EXEC @rc = sp_getapplock 'x', 'Nothing', 'Session' SELECT @rc", "!15600,-999"),
            ("BEGIN TRAN EXEC sp_getapplock 'x', 'Shared' COMMIT SELECT COUNT(*) FROM sys.dm_tran_locks WHERE request_mode = 'S' AND resource_type = 'APPLICATION'", "0"),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_lock_is_waited_for() {
    let instance = instance();
    let (mut one, mut other) = (instance.console(), instance.console());
    check(&mut one, &[(LOCK, "0")]).await;
    let (told, heard) = oneshot::channel();
    let waiting = tokio::spawn(async move {
        told.send(()).unwrap();
        let answer = ask(&mut other, WAIT).await;
        (answer, other)
    });
    heard.await.unwrap();
    // It waits now, or will find the lock free: either way it gets it, but when it waits that is to be seen.
    while ask(&mut one, "SELECT request_status FROM sys.dm_tran_locks WHERE request_status = 'WAIT'").await != "WAIT" {
        tokio::task::yield_now().await;
    }
    check(&mut one, &[(FREE, "0")]).await;
    let (answer, mut other) = waiting.await.unwrap();
    assert_eq!(answer, "1");
    check(&mut one, &[("DECLARE @rc int EXEC @rc = sp_getapplock 'a lock', Exclusive, Session, 20 SELECT @rc", "-1")])
        .await;
    // A wait that is dropped is over.
    let mut third = instance.console();
    assert!(tokio::time::timeout(std::time::Duration::from_millis(20), third.batch(WAIT, &[])).await.is_err());
    check(&mut other, &[("SELECT COUNT(*) FROM sys.dm_tran_locks WHERE request_status = 'WAIT'", "0"), (FREE, "0")])
        .await;
    check(&mut one, &[(LOCK, "0")]).await;
}

#[tokio::test]
async fn a_killed_session_loses_its_locks() {
    let instance = instance();
    let mut sa = instance.console();
    let mut other = enter(&instance, "sa", "Sa-Passw0rd!", "").unwrap();
    check(&mut other, &[(LOCK, "0"), ("BEGIN TRAN ALTER LOGIN sa WITH DEFAULT_DATABASE = tempdb", "")]).await;
    let spid = format!("SELECT open_transaction_count FROM sys.dm_exec_sessions WHERE session_id = {}", other.id());
    check(&mut sa, &[(LOCK, "-1"), (&spid, "1"), (&format!("KILL {}", other.id()), ""), (LOCK, "0")]).await;
    check(&mut sa, &[("SELECT default_database_name FROM sys.sql_logins", "master")]).await;
    // One that waits is told, and waits no more.
    let mut waiter = enter(&instance, "sa", "Sa-Passw0rd!", "").unwrap();
    let id = waiter.id();
    let waiting = tokio::spawn(async move { ask(&mut waiter, WAIT).await });
    while ask(&mut sa, "SELECT request_status FROM sys.dm_tran_locks WHERE request_status = 'WAIT'").await != "WAIT" {
        tokio::task::yield_now().await;
    }
    check(&mut sa, &[(&format!("KILL {id}"), "")]).await;
    assert_eq!(waiting.await.unwrap(), "!596");
}

#[tokio::test]
async fn procedures_are_called_by_name() {
    let instance = instance();
    let mut sa = instance.console();
    let text = |name: &str, text: &str| Parameter { name: name.to_owned(), value: Value::Text(text.to_owned()) };
    let parameters = [text("@Resource", "x"), text("@LockMode", "Exclusive"), text("@LockOwner", "Session")];
    assert_eq!(sa.procedure("sp_getapplock", &parameters).await.1, 0);
    let (replies, status) = sa.procedure("sys.sp_releaseapplock", &[text("", "x"), text("", "Session")]).await;
    assert_eq!((written(&replies).as_str(), status), ("", 0));
    let (replies, status) = sa.procedure("sp_nothing", &[]).await;
    assert_eq!((written(&replies).as_str(), status), ("!2812", 1));
    let (replies, _) =
        sa.procedure("sp_executesql", &[text("", "SELECT @a"), text("", "@a nvarchar(5)"), text("@a", "b")]).await;
    assert_eq!(written(&replies), "b");
}

#[tokio::test]
async fn a_transaction_keeps_others_out() {
    let instance = instance();
    let (mut one, mut other) = (instance.console(), instance.console());
    let change = "ALTER LOGIN sa WITH DEFAULT_DATABASE = tempdb";
    check(&mut one, &[("BEGIN TRANSACTION", ""), (change, "")]).await;
    check(
        &mut other,
        &[
            ("SET LOCK_TIMEOUT 10", ""),
            (change, "!1222"),
            ("SELECT default_database_name FROM sys.sql_logins", "master"),
        ],
    )
    .await;
    check(&mut other, &[("SET LOCK_TIMEOUT -1", "")]).await;
    let waiting = tokio::spawn(async move { ask(&mut other, "ALTER LOGIN sa WITH DEFAULT_LANGUAGE = british").await });
    check(&mut one, &[("COMMIT", "")]).await;
    assert_eq!(waiting.await.unwrap(), "");
    check(&mut one, &[("SELECT default_database_name, default_language_name FROM sys.sql_logins", "tempdb|british")])
        .await;
}
