//! Grant parity, and siblings that are made with it.

use keywheel_sdk::{Bundle, Check, Effect as Did, GrantParity, Retry, Rotator, Strategy, Target};
use keywheel_sqlserver::SqlServerRotator;
use serde_json::json;

use crate::scene::{call, fresh, login, sa, site, target};

/// A login with rights of every kind, and a sibling that does not exist yet.
struct Rich {
    target: Target,
    current: Bundle,
    candidate: Bundle,
    database: String,
    rotator: SqlServerRotator,
}

fn rich() -> Rich {
    let (first, second, database, role) = (fresh("rich_a"), fresh("rich_b"), fresh("db"), fresh("team"));
    site().create_login(&first, "First-password-1");
    site().sql(&format!("CREATE DATABASE {database}"));
    site().sql(&format!("ALTER LOGIN {first} WITH DEFAULT_DATABASE = {database}"));
    site().sql(&format!("ALTER SERVER ROLE processadmin ADD MEMBER {first}; GRANT VIEW SERVER STATE TO {first}"));
    site().sql(&format!(
        "USE {database}; CREATE TABLE dbo.orders (id int); CREATE ROLE {role}; \
         CREATE USER {first} FOR LOGIN {first} WITH DEFAULT_SCHEMA = dbo; ALTER ROLE {role} ADD MEMBER {first}; \
         ALTER ROLE db_datareader ADD MEMBER {first}; GRANT EXECUTE ON SCHEMA::dbo TO {first}; \
         GRANT INSERT ON OBJECT::dbo.orders TO {first} WITH GRANT OPTION; DENY DELETE ON OBJECT::dbo.orders TO {first}"
    ));
    let strategy = Strategy::Alternating {
        users: [first.clone(), second.clone()],
        grant_parity: GrantParity::Require,
        create_missing: true,
    };
    Rich {
        target: target(site().settings_with(json!({ "database": database })), strategy, sa()),
        current: login(&first, "First-password-1"),
        candidate: login(&second, "Candidate-password-2"),
        database,
        rotator: SqlServerRotator::new(),
    }
}

#[tokio::test]
async fn a_sibling_is_made_with_all_rights_of_the_first() {
    let rich = rich();
    let call = call(&rich.target);
    rich.rotator.apply(&call, &rich.candidate, Some(&rich.current)).await.unwrap();
    let checks = [Check::Login, Check::Sql("SELECT TOP 1 1 FROM dbo.orders".to_owned())];
    rich.rotator.verify(&call, &rich.candidate, Some(&rich.current), &checks).await.unwrap();
    rich.rotator.apply(&call, &rich.candidate, Some(&rich.current)).await.unwrap();
    assert!(site().accepts(&rich.candidate, None) && site().accepts(&rich.current, None));
}

#[tokio::test]
async fn each_missing_right_is_named() {
    let rich = rich();
    let call = call(&rich.target);
    rich.rotator.apply(&call, &rich.candidate, Some(&rich.current)).await.unwrap();
    let (first, second) = (rich.current.username().unwrap(), rich.candidate.username().unwrap());
    let database = &rich.database;
    for (change, undo, part) in [
        (
            format!("REVOKE VIEW SERVER STATE FROM {second}"),
            format!("GRANT VIEW SERVER STATE TO {second}"),
            format!("`{first}` has GRANT VIEW SERVER STATE, `{second}` has not"),
        ),
        (
            format!("ALTER SERVER ROLE processadmin DROP MEMBER {second}"),
            format!("ALTER SERVER ROLE processadmin ADD MEMBER {second}"),
            format!("`{first}` has server role `processadmin`"),
        ),
        (
            format!("USE {database}; ALTER ROLE db_datareader DROP MEMBER {second}"),
            format!("USE {database}; ALTER ROLE db_datareader ADD MEMBER {second}"),
            format!("role `db_datareader` in `{database}`"),
        ),
        (
            format!("USE {database}; GRANT UPDATE ON OBJECT::dbo.orders TO {second}"),
            format!("USE {database}; REVOKE UPDATE ON OBJECT::dbo.orders FROM {second}"),
            format!("`{second}` has GRANT UPDATE on OBJECT_OR_COLUMN `dbo.orders` in `{database}`, `{first}` has not"),
        ),
        (
            format!("ALTER LOGIN {second} WITH DEFAULT_DATABASE = master"),
            format!("ALTER LOGIN {second} WITH DEFAULT_DATABASE = {database}"),
            format!("`{second}` has default database master"),
        ),
    ] {
        site().sql(&change);
        let error = rich.rotator.verify(&call, &rich.candidate, Some(&rich.current), &[]).await.unwrap_err();
        assert_eq!((error.effect, error.retry, error.code.as_str()), (Did::None, Retry::Never, "grant-parity"));
        assert!(error.message.contains(&part), "{change}: {}", error.message);
        site().sql(&undo);
        rich.rotator.verify(&call, &rich.candidate, Some(&rich.current), &[]).await.unwrap();
    }
}

#[tokio::test]
async fn a_sibling_that_cannot_be_made_leaves_nothing() {
    let rich = rich();
    let weak = site().admin(&["ALTER ANY LOGIN"]);
    let target = Target { ..target(rich.target.settings.clone(), rich.target.strategy.clone(), weak) };
    let call = call(&target);
    let error = rich.rotator.apply(&call, &rich.candidate, Some(&rich.current)).await.unwrap_err();
    assert_eq!(error.effect, Did::None, "{error:?}");
    let name = rich.candidate.username().unwrap();
    let left = site().server.execute(&format!("SELECT name FROM sys.sql_logins WHERE name = N'{name}'")).unwrap();
    assert!(!left.iter().any(|reply| matches!(reply, keywheel_sqlserver_double::Reply::Row(_))), "{left:?}");
}

#[tokio::test]
async fn an_admin_who_sees_no_users_does_not_say_that_the_rights_are_the_same() {
    let rich = rich();
    let (first, second) = (rich.current.username().unwrap(), rich.candidate.username().unwrap());
    site().create_login(&second, "Idle-password-2");
    site().sql(&format!("USE {}; CREATE USER {second} FOR LOGIN {second}", rich.database));
    let weak = site().admin(&["ALTER ANY LOGIN", "VIEW SERVER STATE", "CONNECT ANY DATABASE"]);
    let target = target(rich.target.settings.clone(), crate::scene::alternating(&first, &second), weak.duplicate());
    let call = call(&target);
    rich.rotator.apply(&call, &rich.candidate, Some(&rich.current)).await.unwrap();
    let error = rich.rotator.verify(&call, &rich.candidate, Some(&rich.current), &[]).await.unwrap_err();
    assert_eq!((error.effect, error.code.as_str()), (Did::None, "grant-parity"), "{error:?}");
    assert!(error.message.contains("VIEW DEFINITION"), "{error:?}");
    // With the right there, the two differ; what cannot be seen elsewhere is told.
    let (other, name) = (fresh("hidden"), weak.username().unwrap());
    site().sql(&format!("CREATE DATABASE {other}"));
    site().sql(&format!("USE {}; CREATE USER {name} FOR LOGIN {name}; GRANT VIEW DEFINITION TO {name}", rich.database));
    let error = rich.rotator.verify(&call, &rich.candidate, Some(&rich.current), &[]).await.unwrap_err();
    assert!(error.message.contains("role `db_datareader`") && error.message.contains("not compared"), "{error:?}");
}

#[tokio::test]
async fn two_accounts_without_a_user_in_the_applications_database_are_not_compared_there() {
    let (first, second, database) = (fresh("bare_a"), fresh("bare_b"), fresh("db"));
    site().sql(&format!("CREATE DATABASE {database}"));
    site().create_login(&first, "First-password-1");
    site().create_login(&second, "Candidate-password-2");
    let strategy = crate::scene::alternating(&first, &second);
    let (current, candidate) = (login(&first, "First-password-1"), login(&second, "Candidate-password-2"));
    let rotator = SqlServerRotator::new();
    let at = |database: &str| target(site().settings_with(json!({ "database": database })), strategy.clone(), sa());
    let found = rotator.preflight(&call(&at(&database)), Some(&current)).await.unwrap();
    let errors = |found: &[keywheel_sdk::Finding]| {
        found
            .iter()
            .filter(|one| one.severity == keywheel_sdk::Severity::Error)
            .map(|one| one.what.clone())
            .collect::<Vec<_>>()
    };
    assert!(errors(&found).iter().any(|what| what.contains("has a user in")), "{found:#?}");
    rotator.verify(&call(&at("master")), &candidate, Some(&current), &[]).await.unwrap();
    // A member of sysadmin needs no user.
    site()
        .sql(&format!("ALTER SERVER ROLE sysadmin ADD MEMBER {first}; ALTER SERVER ROLE sysadmin ADD MEMBER {second}"));
    let found = rotator.preflight(&call(&at(&database)), Some(&current)).await.unwrap();
    assert!(errors(&found).is_empty(), "{found:#?}");
}

#[tokio::test]
async fn two_names_of_one_account_do_not_take_turns() {
    // The first pair is refused on our side. In the second one our folding sees two names (a final sigma), the server one.
    for (first, second) in [(fresh("twin"), None), (fresh("ΟΔΟΣ"), Some("ς"))] {
        let name = first;
        site().create_login(&name, "First-password-1");
        let second = second.map_or_else(|| name.to_uppercase(), |sigma| name.replace('Σ', sigma));
        let strategy = crate::scene::alternating(&name, &second);
        let target = target(site().settings(), strategy, sa());
        let (current, candidate) = (login(&name, "First-password-1"), login(&second, "Candidate-password-2"));
        let rotator = SqlServerRotator::new();
        let call = call(&target);
        let applied = rotator.apply(&call, &candidate, Some(&current)).await;
        let revoked = rotator.revoke(&call, &current, &candidate, crate::sessions::KEEP).await;
        let restored = rotator.restore(&call, &candidate, Some(&current)).await;
        for error in [applied, revoked, restored].map(Result::unwrap_err) {
            assert_eq!((error.effect, error.retry, error.code.as_str()), (Did::None, Retry::Never, "account"));
        }
        assert!(rotator.preflight(&call, Some(&current)).await.is_err());
        assert!(site().accepts(&current, None));
    }
}

#[tokio::test]
async fn a_current_of_another_name_is_not_guessed_to_be_the_same() {
    let name = fresh("cased");
    site().create_login(&name, "First-password-1");
    let target = target(site().settings(), crate::scene::in_place(&name), sa());
    let current = login(&name.to_uppercase(), "First-password-1");
    let candidate = login(&name, "Candidate-password-2");
    let rotator = SqlServerRotator::new();
    let applied = rotator.apply(&call(&target), &candidate, Some(&current)).await;
    let restored = rotator.restore(&call(&target), &candidate, Some(&current)).await;
    for error in [applied, restored].map(Result::unwrap_err) {
        assert_eq!((error.effect, error.retry, error.code.as_str()), (Did::None, Retry::Never, "account"), "{error:?}");
    }
    assert!(site().accepts(&current, None), "nothing was scrambled");
}

#[tokio::test]
async fn a_database_that_cannot_be_written_does_not_stand_in_the_way() {
    let rich = rich();
    let (first, archive) = (rich.current.username().unwrap(), fresh("archive"));
    site().sql(&format!("CREATE DATABASE {archive}"));
    site().sql(&format!("USE {archive}; CREATE USER {first} FOR LOGIN {first}"));
    site().sql(&format!("ALTER DATABASE {archive} SET READ_ONLY"));
    let call = call(&rich.target);
    rich.rotator.apply(&call, &rich.candidate, Some(&rich.current)).await.unwrap();
    rich.rotator.verify(&call, &rich.candidate, Some(&rich.current), &[Check::Login]).await.unwrap();
}
