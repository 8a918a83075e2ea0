//! SET options: what a session begins with, and how long they last.

use super::{ask, check, enter, instance};
use crate::exchange::Value;

const FLAGS: &str = "SELECT @@TRANCOUNT, DB_NAME(), SESSIONPROPERTY('QUOTED_IDENTIFIER')";

#[tokio::test]
async fn sessions_begin_with_the_user_options_of_the_server() {
    let instance = instance();
    let mut sa = instance.console();
    check(
        &mut sa,
        &[("CREATE LOGIN app WITH PASSWORD = N'First-Passw0rd'", ""), ("EXEC sp_configure 'user options', 2", "")],
    )
    .await;
    let read = "SELECT COUNT(*) FROM sys.sql_logins WHERE name = 'app'";
    let mut before = enter(&instance, "app", "First-Passw0rd", "").unwrap();
    check(&mut before, &[(read, "1"), ("SELECT @@TRANCOUNT", "0")]).await;
    check(&mut sa, &[("RECONFIGURE", "")]).await;
    check(&mut before, &[(read, "1"), ("SELECT @@TRANCOUNT", "0")]).await;
    let mut after = enter(&instance, "app", "First-Passw0rd", "").unwrap();
    let all = [(read, "1"), ("SELECT @@TRANCOUNT", "1"), ("ROLLBACK SET IMPLICIT_TRANSACTIONS OFF", ""), (read, "1")];
    check(&mut after, &all).await;
    assert_eq!(ask(&mut after, "SELECT @@TRANCOUNT").await, "0");
    after.reset();
    check(&mut after, &[(read, "1"), ("SELECT @@TRANCOUNT", "1")]).await;
    check(&mut sa, &[("EXEC sp_configure 'user options', 16896 RECONFIGURE", "")]).await;
    let mut strict = enter(&instance, "app", "First-Passw0rd", "tempdb").unwrap();
    let replies = strict.batch("SELECT 1 AS a", &[]).await;
    assert!(matches!(replies.last(), Some(crate::exchange::Reply::Done(None))), "no counts");
    check(&mut strict, &[("BEGIN TRAN ALTER LOGIN nobody DISABLE", "!15151"), ("SELECT @@TRANCOUNT", "0")]).await;
}

#[tokio::test]
async fn what_is_set_within_a_statement_ends_with_it() {
    let instance = instance();
    let mut sa = instance.console();
    let set = "SET QUOTED_IDENTIFIER OFF; SET IMPLICIT_TRANSACTIONS ON; USE tempdb;";
    let (inside, outside) = ("0|tempdb|0", "0|master|1");
    for (statement, expected) in [
        (format!("EXEC (N'{set}')"), ""),
        (format!("EXEC sp_executesql N'{set}'"), ""),
        (format!("EXEC sp_executesql N'{set} ALTER LOGIN nobody DISABLE'"), "!15151"),
        (format!("EXEC sp_executesql N'{set} SELECT 1 FROM nothing'"), "!208"),
        (format!("EXEC (N'{set} EXEC (N''USE msdb'') PRINT DB_NAME()')"), "\"tempdb\""),
        (
            format!("BEGIN TRY EXEC (N'{set} THROW 50001, N''x'', 1') END TRY BEGIN CATCH PRINT DB_NAME() END CATCH"),
            "\"master\"",
        ),
    ] {
        assert_eq!(ask(&mut sa, &statement).await, expected, "{statement}");
        assert_eq!(ask(&mut sa, FLAGS).await, outside, "{statement}");
    }
    let parameter = crate::exchange::Parameter { name: "@p".to_owned(), value: Value::Int(1) };
    let replies = sa.statement(&format!("{set} SELECT DB_NAME()"), &[parameter]).await;
    assert_eq!(super::written(&replies), "tempdb");
    assert_eq!(ask(&mut sa, FLAGS).await, outside);
    check(&mut sa, &[(set, ""), (FLAGS, inside)]).await;
}
