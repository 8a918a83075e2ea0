//! Who may grant CONNECT in a database, and who can take it back.

use super::{ask, check, enter, instance};

const SETUP: [(&str, &str); 6] = [
    ("CREATE DATABASE shop", ""),
    ("USE shop", ""),
    ("CREATE USER target WITHOUT LOGIN", ""),
    ("GRANT CONNECT TO target", ""),
    ("CREATE ROLE clerks", ""),
    ("CREATE USER other WITHOUT LOGIN", ""),
];

const GIVEN: &str = "SELECT USER_NAME(grantor_principal_id), state_desc FROM shop.sys.database_permissions
                     WHERE permission_name = 'CONNECT' AND grantee_principal_id = USER_ID('target')";

#[tokio::test]
async fn connect_is_granted_by_those_who_may() {
    for (rights, expected) in [
        ("PRINT 'none'", "!15247"),
        ("GRANT ALTER ANY USER TO admin", "!15247"),
        ("GRANT CONNECT TO admin", "!15247"),
        ("GRANT CONNECT TO admin WITH GRANT OPTION", ""),
        ("GRANT CONTROL TO admin", ""),
        ("ALTER ROLE db_accessadmin ADD MEMBER admin", ""),
        ("ALTER ROLE db_securityadmin ADD MEMBER admin", ""),
        ("ALTER ROLE db_owner ADD MEMBER admin", ""),
        ("ALTER ROLE db_ddladmin ADD MEMBER admin", "!15247"),
    ] {
        let instance = instance();
        let mut sa = instance.console();
        check(&mut sa, &SETUP).await;
        ask(&mut sa, "CREATE LOGIN admin WITH PASSWORD = N'First-Passw0rd' CREATE USER admin FOR LOGIN admin").await;
        ask(&mut sa, rights).await;
        let mut admin = enter(&instance, "admin", "First-Passw0rd", "shop").unwrap();
        for verb in ["GRANT CONNECT TO", "DENY CONNECT TO", "REVOKE CONNECT FROM"] {
            assert_eq!(ask(&mut admin, &format!("{verb} target")).await, expected, "{rights}: {verb}");
        }
        let select = if rights.contains("db_accessadmin") || rights.contains("OPTION") { "!15247" } else { expected };
        assert_eq!(ask(&mut admin, "GRANT SELECT TO target").await, select, "{rights}");
        // Its own word is taken back, and that of `dbo` only by who speaks for `dbo`.
        let left = if rights.contains("db_owner") { "" } else { "dbo|GRANT" };
        assert_eq!(ask(&mut sa, GIVEN).await, left, "{rights}");
    }
}

#[tokio::test]
async fn each_grantor_s_word_stands_for_itself() {
    let instance = instance();
    let mut sa = instance.console();
    check(&mut sa, &SETUP).await;
    ask(&mut sa, "CREATE LOGIN admin WITH PASSWORD = N'First-Passw0rd' CREATE USER admin FOR LOGIN admin").await;
    check(&mut sa, &[("ALTER ROLE db_accessadmin ADD MEMBER admin", "")]).await;
    let mut admin = enter(&instance, "admin", "First-Passw0rd", "shop").unwrap();
    check(&mut admin, &[("DENY CONNECT TO target", ""), ("GRANT CONNECT TO target AS dbo", "!15151")]).await;
    check(
        &mut sa,
        &[
            (GIVEN, "dbo|GRANT,admin|DENY"),
            ("GRANT CONNECT TO target", ""),
            ("REVOKE CONNECT FROM target", ""),
            (GIVEN, "admin|DENY"),
            ("REVOKE CONNECT FROM target AS admin", ""),
            (GIVEN, ""),
            ("GRANT CONNECT TO target WITH GRANT OPTION", ""),
            ("REVOKE GRANT OPTION FOR CONNECT FROM target CASCADE", ""),
            (GIVEN, "dbo|GRANT"),
        ],
    )
    .await;
}
