//! Grant parity: each kind of difference is found and named.

use keywheel_sdk::{Check, Effect, GrantParity, Retry, Rotator};

use crate::scene::{Pair, fresh, server};

/// Verifies after `setup` (with `$live`, `$idle` and `$x`, a fresh name, filled in) and gives the error's message.
async fn difference(setup: &str) -> String {
    let pair = Pair::new(GrantParity::Require).await;
    let setup = setup.replace("$live", &pair.live()).replace("$idle", &pair.idle()).replace("$x", &fresh("thing"));
    // One by one: some cannot run inside a transaction.
    for statement in setup.split(';') {
        server().sql(statement).await;
    }
    pair.rotator.apply(&pair.call(), &pair.candidate, Some(&pair.current)).await.unwrap();
    let verified = pair.rotator.verify(&pair.call(), &pair.candidate, Some(&pair.current), &[Check::Login]).await;
    let error = verified.expect_err(&setup);
    assert_eq!((error.effect, error.retry, error.code.as_str()), (Effect::None, Retry::Never, "grant-parity"));
    assert!(error.message.contains("group role"), "{}", error.message);
    error.message
}

#[tokio::test]
async fn each_kind_of_difference_is_named() {
    for (setup, named) in [
        ("ALTER ROLE $live CREATEDB", "not the same: attribute CREATEDB"),
        ("ALTER ROLE $live CONNECTION LIMIT 5", "not the same: attribute CONNECTION LIMIT"),
        ("CREATE ROLE $x; GRANT $x TO $live", "only `$live`: member of $x"),
        ("CREATE ROLE $x; GRANT $x TO $idle", "only `$idle`: member of $x"),
        ("CREATE ROLE $x; GRANT $x TO $idle; GRANT $x TO $live WITH ADMIN OPTION", "not the same: member of $x"),
        ("ALTER ROLE $live SET app.token = 'hidden-value'", "only `$live`: setting app.token"),
        (
            "ALTER ROLE $live SET work_mem = '5MB'; ALTER ROLE $idle SET work_mem = '6MB'",
            "not the same: setting work_mem",
        ),
        (
            "ALTER ROLE $live IN DATABASE template1 SET work_mem = '5MB'",
            "only `$live`: setting work_mem in database template1",
        ),
        ("CREATE TABLE $x (a int); ALTER TABLE $x OWNER TO $live", "only `$live`: owner of table $x"),
        ("CREATE TABLE $x (a int); GRANT SELECT ON $x TO $live", "only `$live`: SELECT on table $x"),
        (
            "CREATE TABLE $x (a int); GRANT SELECT, UPDATE ON $x TO $live; GRANT SELECT ON $x TO $idle",
            "only `$live`: UPDATE on table $x",
        ),
        (
            "CREATE TABLE $x (a int); GRANT SELECT ON $x TO $live WITH GRANT OPTION; GRANT SELECT ON $x TO $idle",
            "only `$live`: SELECT on table $x with grant option",
        ),
        ("CREATE TABLE $x (a int); GRANT SELECT (a) ON $x TO $live", "only `$live`: SELECT on column a of table $x"),
        ("CREATE SCHEMA $x; GRANT USAGE ON SCHEMA $x TO $live", "only `$live`: USAGE on schema $x"),
        ("GRANT TEMPORARY ON DATABASE postgres TO $live", "only `$live`: TEMPORARY on database postgres"),
        (
            "CREATE FUNCTION $x() RETURNS int LANGUAGE sql AS 'SELECT 1'; GRANT EXECUTE ON FUNCTION $x() TO $live",
            "only `$live`: EXECUTE on function $x()",
        ),
        (
            "CREATE TABLE $x (a int); CREATE POLICY p ON $x TO $live USING (true)",
            "only `$live`: named in policy p on table $x",
        ),
    ] {
        let message = difference(setup).await;
        // The name of `$x` is fresh, so compare without the numbers.
        let expected = named.replace("$live", "orders_a_N").replace("$idle", "orders_b_N").replace("$x", "thing_N");
        assert!(without_numbers(&message).contains(&expected), "{setup}\n  expected {expected}\n  got {message}");
        assert!(!message.contains("hidden-value"), "{message}");
    }
}

#[tokio::test]
async fn rights_in_another_database_are_found() {
    let database = fresh("elsewhere");
    server().sql(&format!("CREATE DATABASE {database}")).await;
    let pair = Pair::new(GrantParity::Require).await;
    server().sql_in(&database, &format!("CREATE TABLE t (a int); GRANT SELECT ON t TO {}", pair.live())).await;
    pair.rotator.apply(&pair.call(), &pair.candidate, Some(&pair.current)).await.unwrap();
    let verified = pair.rotator.verify(&pair.call(), &pair.candidate, Some(&pair.current), &[Check::Login]).await;
    let message = verified.unwrap_err().message;
    assert!(message.contains("privileges on pg_class") && message.contains(&database), "{message}");
}

#[tokio::test]
async fn rights_through_a_group_are_the_same_rights() {
    let pair = Pair::new(GrantParity::Require).await;
    let (group, table) = (fresh("owners"), fresh("orders"));
    server()
        .sql(&format!(
            "CREATE ROLE {group}; GRANT {group} TO {}, {}; CREATE TABLE {table} (a int); ALTER TABLE {table} OWNER TO {group}",
            pair.live(),
            pair.idle()
        ))
        .await;
    let check = Check::Sql(format!("SELECT a FROM {table}"));
    pair.rotator.apply(&pair.call(), &pair.candidate, Some(&pair.current)).await.unwrap();
    pair.rotator.verify(&pair.call(), &pair.candidate, Some(&pair.current), &[Check::Login, check]).await.unwrap();
}

#[tokio::test]
async fn warn_and_ignore_let_differences_pass() {
    for parity in [GrantParity::Warn, GrantParity::Ignore] {
        let pair = Pair::new(parity).await;
        server().sql(&format!("ALTER ROLE {} CREATEDB", pair.live())).await;
        pair.rotator.apply(&pair.call(), &pair.candidate, Some(&pair.current)).await.unwrap();
        pair.rotator.verify(&pair.call(), &pair.candidate, Some(&pair.current), &[Check::Login]).await.unwrap();
    }
}

/// Replaces each number that follows an underscore by `N`.
fn without_numbers(text: &str) -> String {
    let mut out = String::new();
    let mut after_underscore = false;
    for character in text.chars() {
        if after_underscore && character.is_ascii_digit() {
            if !out.ends_with('N') {
                out.push('N');
            }
            continue;
        }
        after_underscore = character == '_';
        out.push(character);
    }
    out
}
