//! No password leaves in clear: not on the wire, not in errors, not in logs.

use std::io::Write;
use std::sync::{Arc, Mutex};

use keywheel_sdk::{Check, Rotator};
use keywheel_sqlserver_double::{Encryption, Options, ServerOptions, SqlServer};
use tracing::instrument::WithSubscriber;
use tracing_subscriber::fmt::MakeWriter;

use crate::scene::{CANARY, Scene, Site, call, in_place, login, policy, sa, target};
use crate::sessions::KEEP;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Log;

    fn make_writer(&self) -> Log {
        self.clone()
    }
}

#[tokio::test]
async fn every_message_is_encrypted_and_nothing_is_logged() {
    let own = Site::start(Options { password_policy: policy(), ..Options::default() }, Encryption::Offer);
    let scene = Scene::alternating(&own);
    let log = Log::default();
    // All levels of all targets: the driver's own among them.
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(log.clone()).finish();
    async {
        let call = scene.call();
        scene.rotator.preflight(&call, Some(&scene.current)).await.unwrap();
        scene.rotator.apply(&call, &scene.candidate, Some(&scene.current)).await.unwrap();
        scene.rotator.probe(&call, &scene.candidate, &[]).await;
        let checks = [Check::Login, Check::Sql("SELECT nonsense".to_owned())];
        scene.rotator.verify(&call, &scene.candidate, Some(&scene.current), &checks).await.unwrap_err();
        scene.rotator.revoke(&call, &scene.current, &scene.candidate, KEEP).await.unwrap();
    }
    .with_subscriber(subscriber)
    .await;
    let heard = own.server.heard();
    assert!(heard.iter().filter(|heard| heard.text.contains("WITH PASSWORD")).count() >= 2, "passwords were sent");
    assert!(heard.iter().all(|heard| heard.encrypted), "a statement travelled in clear");
    assert!(own.server.logins_heard().iter().all(|heard| heard.encrypted), "a login travelled in clear");
    let log = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    assert!(log.contains("tiberius"), "the driver's log was listened to");
    for value in [CANARY, "First-password-1", "Idle-password-2"] {
        assert!(!log.contains(value), "a password was logged");
    }
}

#[tokio::test]
async fn a_server_without_encryption_is_not_told_anything() {
    let plain = SqlServer::start_with(ServerOptions { tls: None, ..ServerOptions::default() }).unwrap();
    plain.execute("CREATE LOGIN orders WITH PASSWORD = N'First-password-1'").unwrap();
    let settings = serde_json::json!({ "host": "localhost", "port": plain.port() });
    let target = target(settings.as_object().unwrap().clone(), in_place("orders"), sa());
    let rotator = keywheel_sqlserver::SqlServerRotator::new();
    let candidate = login("orders", CANARY);
    let error = rotator.apply(&call(&target), &candidate, None).await.unwrap_err();
    assert_eq!(error.effect, keywheel_sdk::Effect::None, "{error:?}");
    assert!(plain.heard().is_empty() && plain.logins_heard().is_empty(), "not even a login was tried");
}

#[tokio::test]
async fn a_certificate_of_a_stranger_is_refused() {
    let own = Site::start(Options::default(), Encryption::Offer);
    let stranger = Site::start(Options::default(), Encryption::Offer);
    let mut settings = own.settings();
    settings.insert("ca_file".to_owned(), stranger.authority.to_str().unwrap().into());
    let scene = Scene::in_place(&own);
    let unknown = target(settings, scene.target.strategy.clone(), sa());
    let error = scene.rotator.apply(&call(&unknown), &scene.candidate, None).await.unwrap_err();
    assert_eq!((error.effect, error.code.as_str()), (keywheel_sdk::Effect::None, "tls"), "{error:?}");
    let mut settings = own.settings();
    settings.insert("host".to_owned(), "127.0.0.2".into());
    let misnamed = target(settings, scene.target.strategy.clone(), sa());
    let applied = scene.rotator.apply(&call(&misnamed), &scene.candidate, None).await;
    assert!(applied.is_err(), "a certificate for another name was accepted");
    assert!(own.server.logins_heard().is_empty(), "not even a login was tried");
}
