//! Names of every kind, in every statement that they reach: none gets out of its quotes.

use keywheel_sdk::{Check, GrantParity, Rotator, Strategy};
use keywheel_sqlserver::SqlServerRotator;
use keywheel_sqlserver_double::Version;
use serde_json::json;

use crate::scene::{CONTAINED, Site, alternating, call, fresh, literal, login, quoted, sa, site, target};
use crate::sessions::{END, application, application_in};

/// Each with a number of its own, so that no two are alike.
fn odd_names() -> impl Iterator<Item = String> {
    ["we]ird", "o'brien", "Ünï-пользователь", "🔑 key", "a;DROP LOGIN sa--", "[in]", "\"quoted\"", "a.b", "x]'y"]
        .into_iter()
        .map(|name| format!("{name} {}", fresh("n")))
}

#[tokio::test]
async fn a_sibling_is_made_compared_and_revoked_whatever_the_names() {
    // Of its own: who reads all databases at the moment in which one is dropped is refused.
    let site = Site::of(Version::V2022);
    for first in odd_names() {
        let (second, database, role) = (format!("{first}]'b"), format!("db {first}"), format!("role {first}"));
        site.create_login(&first, "First-password-1");
        site.sql(&format!("CREATE DATABASE {}", quoted(&database)));
        site.sql(&format!(
            "USE {db}; CREATE ROLE {role}; CREATE USER {user} FOR LOGIN {user} WITH DEFAULT_SCHEMA = dbo; \
             ALTER ROLE {role} ADD MEMBER {user}; GRANT EXECUTE ON SCHEMA::dbo TO {user}",
            db = quoted(&database),
            role = quoted(&role),
            user = quoted(&first),
        ));
        let strategy = Strategy::Alternating {
            users: [first.clone(), second.clone()],
            grant_parity: GrantParity::Require,
            create_missing: true,
        };
        let target = target(site.settings_with(json!({ "database": database })), strategy, sa());
        let (current, candidate) = (login(&first, "First-password-1"), login(&second, "Candidate-password-2"));
        let (rotator, call) = (SqlServerRotator::new(), call(&target));
        let mut kept = application(&site, &first, "First-password-1").await;
        rotator.apply(&call, &candidate, Some(&current)).await.unwrap();
        rotator.verify(&call, &candidate, Some(&current), &[Check::Login]).await.unwrap();
        site.sql(&format!("USE {}; ALTER ROLE {} DROP MEMBER {}", quoted(&database), quoted(&role), quoted(&second)));
        let error = rotator.verify(&call, &candidate, Some(&current), &[]).await.unwrap_err();
        assert!(error.code == "grant-parity" && error.message.contains(&role), "{error:?}");
        assert_eq!(rotator.usage(&call, &current).await.unwrap().sessions, 1, "{first}");
        rotator.revoke(&call, &current, &candidate, END).await.unwrap();
        assert!(kept.simple_query("SELECT 1").await.is_err(), "the session of {first} is gone");
        assert!(!site.accepts(&current, None) && site.accepts(&candidate, None), "{first}");
        site.sql(&format!("DROP LOGIN {}; DROP LOGIN {}", quoted(&first), quoted(&second)));
        site.sql(&format!("DROP DATABASE {}", quoted(&database)));
    }
}

#[tokio::test]
async fn contained_users_take_turns_whatever_their_names() {
    for first in odd_names() {
        let second = format!("{first}]'b");
        site().create_contained_user(&first, "First-password-1");
        site().create_contained_user(&second, "Idle-password-2");
        // A login of the same name is somebody else.
        site().create_login(&first, "Login-password-3");
        let settings = site().settings_with(json!({ "account": "contained-user", "database": CONTAINED }));
        let target = target(settings, alternating(&first, &second), sa());
        let (current, candidate) = (login(&first, "First-password-1"), login(&second, "Candidate-password-2"));
        let (rotator, call) = (SqlServerRotator::new(), call(&target));
        let mut kept = application_in(site(), &first, "First-password-1", CONTAINED).await;
        let mut stranger = application(site(), &first, "Login-password-3").await;
        rotator.apply(&call, &candidate, Some(&current)).await.unwrap();
        rotator.verify(&call, &candidate, Some(&current), &[Check::Login]).await.unwrap();
        assert_eq!(rotator.usage(&call, &current).await.unwrap().sessions, 1, "{first}");
        rotator.revoke(&call, &current, &candidate, END).await.unwrap();
        assert!(kept.simple_query("SELECT 1").await.is_err(), "the session of {first} is gone");
        assert!(stranger.simple_query("SELECT 1").await.is_ok(), "the login's session stays");
        assert!(!site().accepts(&current, Some(CONTAINED)) && site().accepts(&candidate, Some(CONTAINED)), "{first}");
        let left = format!("SELECT 1 AS n FROM sys.sql_logins WHERE name = {}", literal(&first));
        assert!(!site().server.execute(&left).unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_contained_user_of_a_logins_name_is_neither_counted_nor_ended() {
    let (first, second) = (fresh("same_a"), fresh("same_b"));
    for (name, password) in [(&first, "First-password-1"), (&second, "Idle-password-2")] {
        site().create_login(name, password);
    }
    site().create_contained_user(&first, "Contained-password-3");
    let target = target(site().settings(), alternating(&first, &second), sa());
    let (current, candidate) = (login(&first, "First-password-1"), login(&second, "Candidate-password-2"));
    let (rotator, call) = (SqlServerRotator::new(), call(&target));
    let mut contained = application_in(site(), &first, "Contained-password-3", CONTAINED).await;
    assert_eq!(rotator.usage(&call, &current).await.unwrap().sessions, 0);
    let _kept = application(site(), &first, "First-password-1").await;
    assert_eq!(rotator.usage(&call, &current).await.unwrap().sessions, 1);
    rotator.apply(&call, &candidate, Some(&current)).await.unwrap();
    rotator.revoke(&call, &current, &candidate, END).await.unwrap();
    assert_eq!(rotator.usage(&call, &current).await.unwrap().sessions, 0);
    assert!(contained.simple_query("SELECT 1").await.is_ok(), "the contained user is somebody else");
}
