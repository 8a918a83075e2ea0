//! The line: verified, and refused where it cannot be.

use keywheel_postgres::PostgresRotator;
use keywheel_sdk::{Admin, Answer, Check, Effect, Retry, Rotator, Target};
use keywheel_testkit::{Certificates, PostgresOptions, PostgresServer};
use serde_json::json;

use crate::scene::{call, in_place, login};

fn over_tls(server: &PostgresServer, host: &str, tls: &str, authority: Option<&std::path::Path>) -> Target {
    let mut settings = json!({ "host": host, "port": server.port(), "tls": tls });
    if let Some(file) = authority {
        settings["ca_file"] = json!(file.to_str().unwrap());
    }
    let (name, password) = server.superuser();
    Target {
        settings: settings.as_object().unwrap().clone(),
        strategy: in_place("orders"),
        admin: Admin::Credential(login(name, password)),
        generates: None,
    }
}

#[tokio::test]
async fn a_verified_line_works_and_a_wrong_authority_or_name_is_refused() {
    // Fails only if another test was first.
    rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
    let tls_names = vec!["localhost".to_owned()];
    let options = PostgresOptions { tls: true, tls_names, ..PostgresOptions::default() };
    let server = PostgresServer::start_with(&options).unwrap();
    server.sql("CREATE ROLE orders LOGIN PASSWORD 'live-password'").await;
    let (current, candidate) = (login("orders", "live-password"), login("orders", "over-tls-only"));
    let rotator = PostgresRotator::new();

    let other = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(other.path(), Certificates::for_names(&["localhost"]).authority).unwrap();
    for (what, wrong) in [
        ("another authority", over_tls(&server, "localhost", "verify-full", Some(other.path()))),
        ("only the system's authorities", over_tls(&server, "localhost", "verify-full", None)),
        ("a name that is not in the certificate", over_tls(&server, "127.0.0.1", "verify-full", server.authority())),
    ] {
        let error = rotator.apply(&call(&wrong), &candidate, Some(&current)).await.unwrap_err();
        let seen = (error.effect, error.retry, error.code.as_str());
        assert_eq!(seen, (Effect::None, Retry::Never, "tls"), "{what}: {error:?}");
        let answer = rotator.probe(&call(&wrong), &current, &[]).await;
        assert!(matches!(answer, Answer::Unknown(_)), "{what}: {answer:?}");
    }
    assert!(server.accepts("orders", "live-password").await);

    for (host, tls) in [("localhost", "verify-full"), ("127.0.0.1", "verify-ca"), ("127.0.0.1", "require")] {
        let target = over_tls(&server, host, tls, server.authority());
        rotator.apply(&call(&target), &candidate, Some(&current)).await.unwrap();
        rotator.verify(&call(&target), &candidate, Some(&current), &[Check::Login]).await.unwrap();
    }
    let encrypted = server
        .sql("SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'keywheel'")
        .await;
    assert!(!encrypted.is_empty() && encrypted.iter().all(|row| row[0].as_deref() == Some("t")), "{encrypted:?}");
}

#[tokio::test]
async fn a_server_without_tls_is_refused_by_default() {
    let server = PostgresServer::start().unwrap();
    let target = over_tls(&server, "localhost", "verify-full", None);
    let error = PostgresRotator::new().apply(&call(&target), &login("orders", "x"), None).await.unwrap_err();
    assert_eq!((error.effect, error.retry, error.code.as_str()), (Effect::None, Retry::Never, "tls"));
}
