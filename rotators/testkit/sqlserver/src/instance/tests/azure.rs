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
