//! Who may do what.

use super::{ask, check, enter, instance, knock};

const SETUP: [(&str, &str); 9] = [
    ("CREATE LOGIN admin WITH PASSWORD = N'First-Passw0rd'", ""),
    ("CREATE LOGIN app WITH PASSWORD = N'First-Passw0rd'", ""),
    ("CREATE LOGIN boss WITH PASSWORD = N'First-Passw0rd'", ""),
    ("CREATE LOGIN chief WITH PASSWORD = N'First-Passw0rd'", ""),
    ("GRANT ALTER ANY LOGIN TO admin", ""),
    ("ALTER SERVER ROLE sysadmin ADD MEMBER boss", ""),
    ("GRANT CONTROL SERVER TO chief", ""),
    ("CREATE DATABASE shop", ""),
    ("GRANT NOTHING TO admin", "!102"),
];

#[tokio::test]
async fn passwords_are_changed_by_those_who_may() {
    let instance = instance();
    check(&mut instance.console(), &SETUP).await;
    let mut admin = enter(&instance, "admin", "First-Passw0rd", "").unwrap();
    check(
        &mut admin,
        &[
            ("ALTER LOGIN app WITH PASSWORD = N'Second-Passw0rd'", ""),
            ("ALTER LOGIN boss WITH PASSWORD = N'Second-Passw0rd'", "!15151"),
            ("ALTER LOGIN chief WITH PASSWORD = N'Second-Passw0rd'", "!15151"),
            ("ALTER LOGIN sa DISABLE", "!15151"),
            ("ALTER LOGIN boss WITH DEFAULT_DATABASE = tempdb", ""),
            ("ALTER LOGIN nobody WITH PASSWORD = N'Second-Passw0rd'", "!15151"),
            ("SELECT name, password_hash FROM sys.sql_logins WHERE name = 'app'", "app|NULL"),
            ("SELECT LOGINPROPERTY('app', 'PasswordHash'), LOGINPROPERTY('app', 'IsLocked')", "NULL|0"),
            ("GRANT CONTROL SERVER TO app", "!4613"),
            ("ALTER SERVER ROLE sysadmin ADD MEMBER app", "!15151"),
            ("DROP LOGIN boss", "!15151"),
        ],
    )
    .await;
    let mut chief = enter(&instance, "chief", "First-Passw0rd", "").unwrap();
    check(
        &mut chief,
        &[
            ("ALTER LOGIN boss WITH PASSWORD = N'Second-Passw0rd'", ""),
            ("SELECT DATALENGTH(password_hash) FROM sys.sql_logins WHERE name = 'sa'", "70"),
        ],
    )
    .await;
}

#[tokio::test]
async fn everyone_may_change_their_own_knowing_it() {
    let instance = instance();
    check(&mut instance.console(), &SETUP).await;
    let mut app = enter(&instance, "app", "First-Passw0rd", "").unwrap();
    check(
        &mut app,
        &[
            ("ALTER LOGIN app WITH PASSWORD = N'Second-Passw0rd'", "!15151"),
            ("ALTER LOGIN app WITH PASSWORD = N'Second-Passw0rd' OLD_PASSWORD = N'wrong'", "!15151"),
            ("ALTER LOGIN admin WITH PASSWORD = N'Second-Passw0rd' OLD_PASSWORD = N'First-Passw0rd'", "!15151"),
            ("ALTER LOGIN app WITH PASSWORD = N'short' OLD_PASSWORD = N'First-Passw0rd'", "!15116"),
            ("ALTER LOGIN app WITH PASSWORD = N'Second-Passw0rd' OLD_PASSWORD = N'First-Passw0rd'", ""),
            ("ALTER LOGIN app WITH CHECK_POLICY = OFF", "!15151"),
            ("ALTER LOGIN app DISABLE", "!15151"),
            ("CREATE LOGIN x WITH PASSWORD = N'First-Passw0rd'", "!15247"),
            ("SELECT name FROM sys.server_principals WHERE type = 'S'", "sa,app"),
            ("SELECT LOGINPROPERTY('admin', 'IsLocked')", "NULL"),
            ("CREATE DATABASE x", "!262"),
            ("USE shop", "!916"),
            ("SELECT name FROM shop.sys.database_principals", "!916"),
            (
                "SELECT HAS_PERMS_BY_NAME(NULL, NULL, 'ALTER ANY LOGIN'), HAS_PERMS_BY_NAME('app', 'LOGIN', 'ALTER')",
                "0|0",
            ),
            ("SELECT HAS_DBACCESS('shop')", "0"),
        ],
    )
    .await;
    for _ in 0..3 {
        ask(&mut app, "ALTER LOGIN app WITH PASSWORD = N'Third-Passw0rd' OLD_PASSWORD = N'wrong'").await;
    }
    assert_eq!(knock(&instance, "app", "Second-Passw0rd"), 0, "with the one above, four");
    for _ in 0..5 {
        ask(&mut app, "ALTER LOGIN app WITH PASSWORD = N'Third-Passw0rd' OLD_PASSWORD = N'wrong'").await;
    }
    assert_eq!(knock(&instance, "app", "Second-Passw0rd"), 18486, "a wrong OLD_PASSWORD is a bad password");
}

#[tokio::test]
async fn a_denial_outweighs_a_grant() {
    let instance = instance();
    let mut sa = instance.console();
    check(&mut sa, &SETUP).await;
    check(&mut sa, &[("GRANT VIEW ANY DEFINITION TO admin", ""), ("REVOKE VIEW ANY DEFINITION FROM admin", "")]).await;
    let may = "SELECT HAS_PERMS_BY_NAME(NULL, NULL, 'ALTER ANY LOGIN'), HAS_PERMS_BY_NAME('app', 'LOGIN', 'ALTER')";
    let mut admin = enter(&instance, "admin", "First-Passw0rd", "").unwrap();
    check(&mut admin, &[(may, "1|1")]).await;
    check(&mut sa, &[("DENY ALTER ON LOGIN::app TO admin", "")]).await;
    check(&mut admin, &[(may, "1|0"), ("ALTER LOGIN app DISABLE", "!15151")]).await;
    check(&mut sa, &[("REVOKE ALTER ON LOGIN::app FROM admin", ""), ("DENY ALTER ANY LOGIN TO admin", "")]).await;
    check(&mut admin, &[(may, "0|0"), ("ALTER LOGIN app DISABLE", "!15151")]).await;
    check(&mut sa, &[("GRANT ALTER ON LOGIN::app TO admin", ""), ("REVOKE ALTER ANY LOGIN TO admin", "")]).await;
    check(&mut admin, &[(may, "0|1"), ("ALTER LOGIN app DISABLE", ""), ("ALTER LOGIN chief DISABLE", "!15151")]).await;
    check(
        &mut sa,
        &[
            ("CREATE SERVER ROLE rotators", ""),
            ("GRANT ALTER ANY LOGIN TO rotators", ""),
            ("ALTER SERVER ROLE rotators ADD MEMBER admin", ""),
            ("DROP SERVER ROLE rotators", "!15144"),
            ("SELECT m.name FROM sys.server_role_members rm JOIN sys.server_principals r ON r.principal_id = rm.role_principal_id
              JOIN sys.server_principals m ON m.principal_id = rm.member_principal_id WHERE r.name = 'rotators'", "admin"),
            ("SELECT permission_name, state_desc FROM sys.server_permissions p JOIN sys.server_principals r
              ON r.principal_id = p.grantee_principal_id WHERE r.name = 'rotators'", "ALTER ANY LOGIN|GRANT"),
            ("DENY CONNECT SQL TO app", ""),
        ],
    )
    .await;
    check(&mut admin, &[(may, "1|1"), ("ALTER LOGIN app ENABLE", "")]).await;
    assert_eq!(knock(&instance, "app", "First-Passw0rd"), 18456, "it may not connect");
}

#[tokio::test]
async fn sessions_are_seen_and_killed_by_those_who_may() {
    let instance = instance();
    let mut sa = instance.console();
    check(&mut sa, &SETUP).await;
    let mut app = enter(&instance, "app", "First-Passw0rd", "").unwrap();
    let victim = enter(&instance, "app", "First-Passw0rd", "").unwrap();
    assert_eq!((app.id(), victim.id()), (51, 52));
    let sessions = "SELECT session_id FROM sys.dm_exec_sessions WHERE is_user_process = 1";
    check(
        &mut app,
        &[
            (sessions, "51"),
            ("SELECT @@SPID", "51"),
            ("SELECT resource_type FROM sys.dm_tran_locks", "!300"),
            ("SELECT 1 FROM sys.dm_exec_connections", "!300"),
            ("KILL 52", "!6102"),
        ],
    )
    .await;
    check(
        &mut sa,
        &[
            (sessions, "51,52"),
            ("GRANT VIEW SERVER STATE TO app", ""),
            ("GRANT ALTER ANY CONNECTION TO app", ""),
            ("KILL 60", "!6106"),
            ("KILL -1", "!6101"),
            ("KILL 0", "!6101"),
            ("KILL x", "!102"),
            ("ALTER LOGIN app DISABLE", ""),
        ],
    )
    .await;
    let killed = victim.killed();
    check(
        &mut app,
        &[
            (sessions, "51,52"),
            ("SELECT login_name, program_name, host_name, open_transaction_count FROM sys.dm_exec_sessions WHERE session_id = 52", "app|test|here|0"),
            ("SELECT encrypt_option, auth_scheme FROM sys.dm_exec_connections WHERE session_id = @@SPID", "TRUE|SQL"),
            ("KILL 51", "!6104"),
            ("BEGIN TRAN KILL 52 ROLLBACK", "!6115"),
            ("KILL 52", ""),
            (sessions, "51"),
            ("KILL 52", "!6106"),
        ],
    )
    .await;
    killed.await;
    let mut victim = victim;
    assert_eq!(ask(&mut victim, "SELECT 1").await, "!596");
    check(&mut sa, &[("ALTER LOGIN app ENABLE", "")]).await;
    let again = enter(&instance, "app", "First-Passw0rd", "").unwrap();
    assert_eq!(again.id(), 52, "ids are given again");
    drop(victim);
    check(&mut sa, &[(sessions, "51,52")]).await;
    assert_eq!(instance.sessions("APP"), 2);
}

#[tokio::test]
async fn databases_have_permissions_of_their_own() {
    let instance = instance();
    let mut sa = instance.console();
    check(&mut sa, &SETUP).await;
    check(
        &mut sa,
        &[
            ("USE shop", ""),
            ("CREATE USER app FOR LOGIN app WITH DEFAULT_SCHEMA = sales", ""),
            ("CREATE USER app2 FOR LOGIN app", "!15063"),
            ("CREATE USER app FOR LOGIN admin", "!15023"),
            ("CREATE USER x FOR LOGIN nobody", "!15007"),
            ("CREATE USER x WITH PASSWORD = 'First-Passw0rd'", "!33233"),
            ("CREATE USER ghost WITHOUT LOGIN", ""),
            ("CREATE SCHEMA sales", ""),
            ("CREATE TABLE sales.orders (id int)", ""),
            ("CREATE TABLE customers (id int)", ""),
            ("INSERT INTO sales.orders VALUES (7)", ""),
        ],
    )
    .await;
    let mut app = enter(&instance, "app", "First-Passw0rd", "shop").unwrap();
    check(
        &mut app,
        &[("SELECT 1 FROM orders", "!229"), ("SELECT name FROM sys.tables", ""), ("SELECT 1 FROM nothing", "!208")],
    )
    .await;
    check(&mut sa, &[("GRANT SELECT ON SCHEMA::sales TO app", "")]).await;
    check(
        &mut app,
        &[
            ("SELECT id FROM orders", "7"),
            ("SELECT id FROM shop.dbo.customers", "!229"),
            ("INSERT INTO orders VALUES (1)", "!229"),
        ],
    )
    .await;
    check(
        &mut sa,
        &[("DENY SELECT ON OBJECT::sales.orders TO app", ""), ("ALTER ROLE db_datareader ADD MEMBER app", "")],
    )
    .await;
    check(
        &mut app,
        &[
            ("SELECT id FROM orders", "!229"),
            ("SELECT 1 FROM dbo.customers", ""),
            ("SELECT IS_MEMBER('db_datareader')", "1"),
        ],
    )
    .await;
    check(
        &mut app,
        &[
            ("CREATE USER y WITHOUT LOGIN", "!15247"),
            ("CREATE ROLE r", "!15247"),
            ("ALTER ROLE db_owner ADD MEMBER app", "!15151"),
            ("GRANT SELECT TO ghost", "!15247"),
            ("SELECT name FROM sys.database_principals WHERE type = 'S' AND principal_id > 4", "app"),
        ],
    )
    .await;
    check(
        &mut sa,
        &[
            ("CREATE ROLE r AUTHORIZATION dbo", ""),
            ("GRANT ALTER ANY USER, ALTER ANY ROLE TO r", ""),
            ("EXEC sp_addrolemember 'r', N'app'", ""),
            ("EXEC sp_addrolemember r, nobody", "!15151"),
            ("SELECT permission_name FROM sys.database_permissions WHERE grantee_principal_id = USER_ID('app') AND class = 3", "SELECT"),
        ],
    )
    .await;
    check(
        &mut app,
        &[
            ("CREATE USER y WITHOUT LOGIN", ""),
            ("ALTER USER y WITH NAME = z", ""),
            ("DROP USER z", ""),
            ("DROP USER IF EXISTS z", ""),
            ("DROP USER z", "!15151"),
            ("DROP USER dbo", "!15150"),
            ("SELECT HAS_PERMS_BY_NAME('shop', 'DATABASE', 'ALTER ANY USER')", "1"),
            ("SELECT HAS_PERMS_BY_NAME('orders', 'OBJECT', 'SELECT'), HAS_PERMS_BY_NAME('dbo.customers', 'OBJECT', 'SELECT')", "NULL|1"),
        ],
    )
    .await;
    check(
        &mut sa,
        &[
            ("DROP LOGIN app", "!15434"),
            ("USE master", ""),
            ("DROP DATABASE shop", "!3702"),
            ("ALTER AUTHORIZATION ON DATABASE::shop TO admin", ""),
            ("DROP LOGIN admin", "!15174"),
        ],
    )
    .await;
    drop(app);
    check(
        &mut sa,
        &[("DROP DATABASE shop", ""), ("DROP DATABASE shop", "!3701"), ("DROP DATABASE IF EXISTS shop", "")],
    )
    .await;
}
