//! Azure SQL Database, which knows less.

use super::{check, enter, knock};
use crate::instance::{Instance, Options, Version};

#[tokio::test]
async fn logins_are_changed_in_master_and_alone() {
    let instance = Instance::new(Options { version: Version::AzureSqlDatabase, ..Options::default() });
    let mut sa = instance.console();
    check(
        &mut sa,
        &[
            ("SELECT SERVERPROPERTY('EngineEdition'), SERVERPROPERTY('Edition')", "5|SQL Azure"),
            ("CREATE LOGIN app WITH PASSWORD = N'short'", "!40630"),
            ("CREATE LOGIN app WITH PASSWORD = N'alllowercase'", "!40632"),
            ("CREATE LOGIN app WITH PASSWORD = N'First-Passw0rd'", ""),
            ("ALTER LOGIN app WITH PASSWORD = N'Second-Passw0rd', CHECK_POLICY = OFF", "!40517"),
            ("ALTER LOGIN app WITH PASSWORD = N'Second-Passw0rd' UNLOCK", "!40517"),
            ("ALTER LOGIN app WITH PASSWORD = N'Second-Passw0rd' SELECT 1", "!40530,1"),
            ("ALTER LOGIN app WITH PASSWORD = N'Second-Passw0rd'", ""),
            ("ALTER LOGIN app DISABLE", ""),
            ("ALTER LOGIN app ENABLE", ""),
            ("CREATE SERVER ROLE x", "!40517"),
            ("EXEC sp_configure 'user options', 1", "!2812"),
            ("CREATE DATABASE shop", ""),
            ("USE shop", "!40508"),
            ("SELECT 1 FROM shop.sys.tables", "!40515"),
        ],
    )
    .await;
    let mut inside = enter(&instance, "sa@double", "Sa-Passw0rd!", "shop").unwrap();
    check(
        &mut inside,
        &[
            ("ALTER LOGIN app WITH PASSWORD = N'Third-Passw0rd'", "!5001"),
            ("SELECT 1 FROM sys.sql_logins", "!208"),
            ("CREATE USER app FROM LOGIN app", ""),
            ("CREATE USER lonely WITH PASSWORD = N'First-Passw0rd'", ""),
        ],
    )
    .await;
    assert_eq!(knock(&instance, "app", "Second-Passw0rd"), 0);
    check(&mut sa, &[("CREATE USER app FROM LOGIN app", ""), ("ALTER ROLE loginmanager ADD MEMBER app", "")]).await;
    let mut app = enter(&instance, "app", "Second-Passw0rd", "").unwrap();
    check(
        &mut app,
        &[
            ("SELECT IS_ROLEMEMBER('loginmanager')", "1"),
            ("CREATE LOGIN other WITH PASSWORD = N'First-Passw0rd'", ""),
            ("ALTER LOGIN other WITH PASSWORD = N'Second-Passw0rd'", ""),
            ("ALTER LOGIN sa WITH PASSWORD = N'Second-Passw0rd'", "!15151"),
        ],
    )
    .await;
    let mut other = enter(&instance, "other", "Second-Passw0rd", "").unwrap();
    check(
        &mut other,
        &[("ALTER LOGIN app DISABLE", "!15151"), ("CREATE LOGIN x WITH PASSWORD = N'First-Passw0rd'", "!15247")],
    )
    .await;
    let mut lonely = enter(&instance, "lonely", "First-Passw0rd", "shop").unwrap();
    check(
        &mut lonely,
        &[
            ("SELECT COUNT(*) FROM sys.dm_exec_sessions", "1"),
            ("KILL 51", "!6102"),
            ("SELECT 1 FROM sys.dm_tran_locks", "!262"),
        ],
    )
    .await;
    check(&mut inside, &[("GRANT VIEW DATABASE STATE, KILL DATABASE CONNECTION TO lonely", "")]).await;
    let spid = inside.id();
    check(&mut lonely, &[("SELECT COUNT(*) FROM sys.dm_exec_sessions", "2"), (&format!("KILL {spid}"), "")]).await;
}

fn azure() -> Instance {
    Instance::new(Options { version: Version::AzureSqlDatabase, ..Options::default() })
}

#[tokio::test]
async fn the_server_has_no_permissions_to_ask_for_and_no_sysadmin() {
    let instance = azure();
    let mut admin = instance.console();
    check(
        &mut admin,
        &[
            ("CREATE LOGIN app WITH PASSWORD = N'First-Passw0rd'", ""),
            ("SELECT HAS_PERMS_BY_NAME(NULL, NULL, 'ALTER ANY LOGIN')", "NULL"),
            ("SELECT HAS_PERMS_BY_NAME(NULL, 'SERVER', 'VIEW SERVER STATE')", "NULL"),
            ("SELECT HAS_PERMS_BY_NAME('app', 'LOGIN', 'ALTER')", "NULL"),
            ("SELECT HAS_PERMS_BY_NAME(NULL, 'DATABASE', 'ALTER ANY USER')", "1"),
            ("SELECT HAS_PERMS_BY_NAME('master', 'DATABASE', 'VIEW DATABASE STATE')", "1"),
            ("SELECT HAS_PERMS_BY_NAME('loginmanager', 'ROLE', 'ALTER')", "1"),
            ("SELECT IS_SRVROLEMEMBER('sysadmin'), IS_SRVROLEMEMBER('securityadmin')", "0|0"),
            ("SELECT IS_SRVROLEMEMBER('sysadmin', 'sa')", "0"),
            (
                "SELECT USER_NAME(), SERVERPROPERTY('IsHadrEnabled'), SERVERPROPERTY('HadrManagerStatus')",
                "dbo|NULL|NULL",
            ),
            ("SELECT COUNT(*) FROM sys.sql_logins WHERE password_hash IS NOT NULL", "0"),
            ("SELECT LOGINPROPERTY('app', 'IsLocked'), LOGINPROPERTY('app', 'IsExpired')", "NULL|NULL"),
            ("SELECT 1 FROM sys.server_permissions", "!208"),
            ("GRANT VIEW SERVER STATE TO app", "!40520"),
            ("GRANT CONTROL ON LOGIN::app TO sa", "!40520"),
            ("CREATE USER app FROM LOGIN app", ""),
            ("GRANT VIEW DATABASE STATE TO app", "!4606"),
            ("GRANT CONNECT, VIEW DEFINITION TO app", ""),
            ("ALTER LOGIN sa WITH PASSWORD = N'Second-Passw0rd'", ""),
        ],
    )
    .await;
    let mut app = enter(&instance, "app", "First-Passw0rd", "").unwrap();
    check(
        &mut app,
        &[("SELECT COUNT(*) FROM sys.dm_exec_sessions", "1"), ("SELECT 1 FROM sys.dm_exec_connections", "!262")],
    )
    .await;
    check(&mut admin, &[("ALTER SERVER ROLE ##MS_ServerStateReader## ADD MEMBER app", "")]).await;
    check(&mut app, &[("SELECT COUNT(*) FROM sys.dm_exec_sessions", "2")]).await;
}

#[tokio::test]
async fn nothing_is_locked_out() {
    let instance = azure();
    check(&mut instance.console(), &[("CREATE LOGIN app WITH PASSWORD = N'First-Passw0rd'", "")]).await;
    for _ in 0..9 {
        assert_eq!(knock(&instance, "app", "wrong"), 18456);
    }
    assert_eq!(knock(&instance, "app", "First-Passw0rd"), 0);
}
