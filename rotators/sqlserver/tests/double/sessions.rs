//! Sessions: counted, drained, ended.

use keywheel_sdk::{Effect as Did, Retry, RevokeHow, Rotator};
use keywheel_sqlserver::SqlServerRotator;
use keywheel_sqlserver_double::{Reply, Value};
use tiberius::{AuthMethod, Client, EncryptionLevel};
use tokio::net::TcpStream;
use tokio_util::compat::{Compat, TokioAsyncWriteCompatExt};

use crate::scene::{Scene, Site, site};

pub const KEEP: RevokeHow = RevokeHow { disable: false, terminate_sessions: false };
pub const END: RevokeHow = RevokeHow { disable: true, terminate_sessions: true };

/// An application that keeps its session.
pub async fn application(site: &Site, name: &str, password: &str) -> Client<Compat<TcpStream>> {
    application_in(site, name, password, "master").await
}

pub async fn application_in(site: &Site, name: &str, password: &str, database: &str) -> Client<Compat<TcpStream>> {
    let mut options = tiberius::Config::new();
    options.host("localhost");
    options.port(site.server.port());
    options.database(database);
    options.authentication(AuthMethod::sql_server(name, password));
    options.encryption(EncryptionLevel::Required);
    options.trust_cert_ca(site.authority.display());
    let stream = TcpStream::connect(("127.0.0.1", site.server.port())).await.unwrap();
    Client::connect(options, stream.compat_write()).await.unwrap()
}

/// Runs a batch as sa inside a database, where the server has no USE.
pub async fn sql_in(site: &Site, database: &str, sql: &str) {
    let mut line =
        application_in(site, "sa", &keywheel_sqlserver_double::Options::default().sa_password, database).await;
    line.simple_query(sql).await.unwrap().into_results().await.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

#[tokio::test]
async fn sessions_are_counted_and_outlive_the_revoke_unless_they_are_ended() {
    let scene = Scene::alternating(site());
    let mut kept = application(site(), &scene.live(), "First-password-1").await;
    let count = async || scene.rotator.usage(&scene.call(), &scene.current).await.unwrap().sessions;
    assert_eq!(count().await, 1);
    scene.rotator.apply(&scene.call(), &scene.candidate, Some(&scene.current)).await.unwrap();
    scene.rotator.revoke(&scene.call(), &scene.current, &scene.candidate, KEEP).await.unwrap();
    assert_eq!(count().await, 1);
    kept.simple_query("SELECT 1").await.unwrap().into_results().await.unwrap();
    scene.rotator.revoke(&scene.call(), &scene.current, &scene.candidate, END).await.unwrap();
    assert_eq!(count().await, 0);
    assert!(kept.simple_query("SELECT 1").await.is_err(), "the session is gone");
}

#[tokio::test]
async fn an_admin_who_cannot_see_sessions_does_not_say_that_there_are_none() {
    let mut scene = Scene::alternating(site());
    let _kept = application(site(), &scene.live(), "First-password-1").await;
    let least = site().admin(&["ALTER ANY LOGIN"]);
    scene.target = crate::scene::target(site().settings(), scene.target.strategy.clone(), least);
    let error = scene.rotator.usage(&scene.call(), &scene.current).await.unwrap_err();
    assert_eq!((error.effect, error.retry, error.code.as_str()), (Did::None, Retry::Never, "300"), "{error:?}");
    // Ending them is impossible too; the password is gone all the same, and the error says that something happened.
    scene.rotator.apply(&scene.call(), &scene.candidate, Some(&scene.current)).await.unwrap();
    let error = scene.rotator.revoke(&scene.call(), &scene.current, &scene.candidate, END).await.unwrap_err();
    assert_eq!(error.effect, Did::Unknown, "{error:?}");
    assert!(!site().accepts(&scene.current, None));
}

#[tokio::test]
async fn a_revoked_login_that_a_person_enables_again_stays_shut() {
    let scene = Scene::alternating(site());
    scene.rotator.apply(&scene.call(), &scene.candidate, Some(&scene.current)).await.unwrap();
    scene.rotator.revoke(&scene.call(), &scene.current, &scene.candidate, KEEP).await.unwrap();
    site().sql(&format!("ALTER LOGIN {} ENABLE", scene.live()));
    assert!(!site().accepts(&scene.current, None), "its password went, too");
}

#[tokio::test]
async fn a_login_that_is_only_disabled_is_not_revoked() {
    // In place: somebody disabled the account, which still has the previous password.
    let scene = Scene::in_place(site());
    site().sql(&format!("ALTER LOGIN {} DISABLE", scene.live()));
    let error =
        SqlServerRotator::new().revoke(&scene.call(), &scene.current, &scene.candidate, KEEP).await.unwrap_err();
    assert_eq!((error.effect, error.code.as_str()), (Did::None, "not-revoked"), "{error:?}");
}

#[tokio::test]
async fn an_idle_login_is_disabled_after_revoke_and_after_restore() {
    let scene = Scene::alternating(site());
    let disabled = |name: &str| {
        let query = format!("SELECT CONVERT(int, is_disabled) AS d FROM sys.sql_logins WHERE name = N'{name}'");
        site().server.execute(&query).unwrap().contains(&Reply::Row(vec![Value::Int(1)]))
    };
    scene.rotator.apply(&scene.call(), &scene.candidate, Some(&scene.current)).await.unwrap();
    assert!(!disabled(&scene.idle()));
    scene.rotator.restore(&scene.call(), &scene.candidate, Some(&scene.current)).await.unwrap();
    assert!(disabled(&scene.idle()) && !disabled(&scene.live()));
    scene.rotator.apply(&scene.call(), &scene.candidate, Some(&scene.current)).await.unwrap();
    scene.rotator.revoke(&scene.call(), &scene.current, &scene.candidate, KEEP).await.unwrap();
    assert!(disabled(&scene.live()) && !disabled(&scene.idle()));
}
