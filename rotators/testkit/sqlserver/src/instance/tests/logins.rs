//! Logins: their passwords, policy, lock-out and age.

use std::time::Duration;

use super::{ask, check, enter, instance, knock, login};
use crate::instance::{Instance, Options, PasswordPolicy, Version};

const APP: &str = "CREATE LOGIN app WITH PASSWORD = N'First-Passw0rd'";

#[tokio::test]
async fn a_password_is_changed() {
    let instance = instance();
    let mut sa = instance.console();
    check(&mut sa, &[(APP, ""), (APP, "!15025")]).await;
    assert_eq!(knock(&instance, "APP", "First-Passw0rd"), 0, "names are without case");
    assert_eq!(knock(&instance, "app", "first-passw0rd"), 18456, "passwords are not");
    assert_eq!(knock(&instance, "nobody", "First-Passw0rd"), 18456);
    check(&mut sa, &[("ALTER LOGIN [app] WITH PASSWORD = N'Second-Passw0rd'", "")]).await;
    assert_eq!(knock(&instance, "app", "First-Passw0rd"), 18456);
    assert_eq!(knock(&instance, "app", "Second-Passw0rd"), 0);
    assert!(instance.accepts("app", "Second-Passw0rd", Some("master")));
    assert!(!instance.accepts("app", "Second-Passw0rd", Some("nothing")));
}

#[tokio::test]
async fn hostile_names_and_passwords_stay_what_they_are() {
    let instance = instance();
    let mut sa = instance.console();
    for (name, password) in [
        ("a]b", "It's-Passw0rd"),
        ("a'b", "x''Passw0rd''"),
        ("a;DROP LOGIN sa--", "Passw0rd]]--/*"),
        ("ünï 🔑", "Pässw0rd🔑🔑"),
        ("a\"b", "Passw0rd\"; x"),
        ("[a]", "Passw0rd\n\t x"),
    ] {
        let quoted = name.replace(']', "]]");
        let literal = password.replace('\'', "''");
        let create = format!("CREATE LOGIN [{quoted}] WITH PASSWORD = N'{literal}', CHECK_POLICY = OFF");
        assert_eq!(ask(&mut sa, &create).await, "", "{create}");
        assert_eq!(knock(&instance, name, password), 0, "{name}");
        assert_eq!(
            ask(&mut sa, &format!("SELECT name FROM sys.sql_logins WHERE name = N'{}'", name.replace('\'', "''")))
                .await,
            name
        );
        assert_eq!(ask(&mut sa, &format!("DROP LOGIN [{quoted}]")).await, "");
    }
    check(
        &mut sa,
        &[
            ("ALTER LOGIN a]b WITH PASSWORD = 'x'", "!102"),
            ("ALTER LOGIN [sa] WITH PASSWORD = N'it's'", "!105"),
            ("ALTER LOGIN [sa] WITH PASSWORD = N'a' + N'b'", "!102"),
            ("DECLARE @p nvarchar(20) = N'Other-Passw0rd' ALTER LOGIN sa WITH PASSWORD = @p", "!102"),
            ("ALTER LOGIN sa WITH PASSWORD = N'Other-Passw0rd' x", "!102"),
            ("ALTER LOGIN sa WITH", "!156"),
            ("ALTER LOGIN sa", "!102"),
            ("SELECT 1 ALTER LOGIN sa WITH NOTHING = 1", "!102"),
        ],
    )
    .await;
    assert_eq!(knock(&instance, "sa", "Sa-Passw0rd!"), 0, "nothing of it was executed");
}

#[tokio::test]
async fn the_policy_holds_where_it_is_on() {
    let instance = instance();
    let mut sa = instance.console();
    let long = format!("ALTER LOGIN app WITH PASSWORD = N'{}'", "aB3-".repeat(33));
    check(
        &mut sa,
        &[
            ("CREATE LOGIN app WITH PASSWORD = N'short1!'", "!15116"),
            ("CREATE LOGIN app WITH PASSWORD = N'alllowercase'", "!15118"),
            ("CREATE LOGIN app WITH PASSWORD = N'Passw0rd-app'", "!15118"),
            ("CREATE LOGIN app WITH PASSWORD = N'short', CHECK_POLICY = OFF", ""),
            ("ALTER LOGIN app WITH PASSWORD = N''", ""),
            ("ALTER LOGIN app WITH CHECK_EXPIRATION = ON", "!15122"),
            ("ALTER LOGIN app WITH CHECK_POLICY = ON", ""),
            ("SELECT is_policy_checked, is_expiration_checked FROM sys.sql_logins WHERE name = 'app'", "1|1"),
            ("ALTER LOGIN app WITH PASSWORD = N'short1!'", "!15116"),
            (&long, "!15156"),
            ("ALTER LOGIN app WITH PASSWORD = N'First-Passw0rd'", ""),
            ("ALTER LOGIN app WITH PASSWORD = N'Second-Passw0rd'", ""),
            ("ALTER LOGIN app WITH PASSWORD = N'Second-Passw0rd'", "!15115"),
            ("ALTER LOGIN app WITH PASSWORD = N'First-Passw0rd'", "!15115"),
            ("SELECT LOGINPROPERTY('app', 'HistoryLength')", "3"),
            ("ALTER LOGIN app WITH CHECK_POLICY = OFF", ""),
            ("SELECT LOGINPROPERTY('app', 'HistoryLength')", "0"),
            ("ALTER LOGIN app WITH CHECK_POLICY = ON, CHECK_EXPIRATION = OFF", ""),
            ("ALTER LOGIN app WITH PASSWORD = N'First-Passw0rd'", ""),
            ("ALTER LOGIN app WITH PASSWORD = N'Third-Passw0rd' MUST_CHANGE", "!15128"),
            ("ALTER LOGIN app WITH PASSWORD = 0x0200AABBCCDD HASHED", "!15021"),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_hash_can_be_carried_over() {
    let (one, other) = (instance(), instance());
    let mut sa = one.console();
    check(&mut sa, &[(APP, "")]).await;
    let hash = ask(&mut sa, "SELECT password_hash FROM sys.sql_logins WHERE name = 'app'").await;
    let sid = ask(&mut sa, "SELECT sid FROM sys.server_principals WHERE name = 'app'").await;
    assert_eq!((hash.len(), sid.len()), (142, 34));
    assert!(hash.starts_with("0x0200"));
    let mut there = other.console();
    let options = format!("WITH PASSWORD = {hash} HASHED, SID = {sid}");
    check(
        &mut there,
        &[
            (&format!("CREATE LOGIN app {options}"), "!15118"),
            (&format!("CREATE LOGIN app {options}, CHECK_POLICY = OFF"), ""),
            (&format!("CREATE LOGIN app2 {options}, CHECK_POLICY = OFF"), "!15433"),
            ("CREATE LOGIN app3 WITH PASSWORD = 'Other-Passw0rd', SID = 0x01", "!15419"),
        ],
    )
    .await;
    assert_eq!(knock(&other, "app", "First-Passw0rd"), 0);
    let newer = Instance::new(Options { version: Version::V2025, ..Options::default() });
    let hash = ask(&mut newer.console(), "SELECT LOGINPROPERTY('sa', 'PasswordHash')").await;
    assert!(hash.starts_with("0x0300"), "{hash}");
    assert_eq!(knock(&newer, "sa", "Sa-Passw0rd!"), 0);
}

#[tokio::test]
async fn bad_passwords_lock_a_login_out() {
    let instance = instance();
    let mut sa = instance.console();
    check(&mut sa, &[(APP, "")]).await;
    for _ in 0..4 {
        assert_eq!(knock(&instance, "app", "wrong"), 18456);
    }
    assert_eq!(knock(&instance, "app", "First-Passw0rd"), 0, "a success begins the count anew");
    assert!(!instance.accepts("app", "wrong", None), "a trial counts nothing");
    for _ in 0..5 {
        assert_eq!(knock(&instance, "app", "wrong"), 18456);
    }
    assert_eq!(knock(&instance, "app", "First-Passw0rd"), 18486);
    assert_eq!(knock(&instance, "app", "wrong"), 18486);
    check(
        &mut sa,
        &[
            ("SELECT LOGINPROPERTY('app', 'IsLocked'), LOGINPROPERTY('app', 'BadPasswordCount')", "1|5"),
            ("ALTER LOGIN app WITH PASSWORD = N'Second-Passw0rd'", ""),
        ],
    )
    .await;
    assert_eq!(knock(&instance, "app", "Second-Passw0rd"), 18486, "a change of the password does not unlock");
    check(&mut sa, &[("ALTER LOGIN app WITH PASSWORD = N'Third-Passw0rd' UNLOCK", "")]).await;
    assert_eq!(knock(&instance, "app", "Third-Passw0rd"), 0);
    for _ in 0..5 {
        knock(&instance, "app", "wrong");
    }
    instance.advance(Duration::from_secs(1799));
    assert_eq!(knock(&instance, "app", "Third-Passw0rd"), 18486);
    instance.advance(Duration::from_secs(2));
    assert_eq!(knock(&instance, "app", "Third-Passw0rd"), 0);
    for _ in 0..4 {
        knock(&instance, "app", "wrong");
    }
    instance.advance(Duration::from_secs(1801));
    knock(&instance, "app", "wrong");
    assert_eq!(knock(&instance, "app", "Third-Passw0rd"), 0, "the window has passed");
    check(&mut sa, &[("ALTER LOGIN app WITH CHECK_POLICY = OFF", "")]).await;
    for _ in 0..9 {
        knock(&instance, "app", "wrong");
    }
    assert_eq!(knock(&instance, "app", "Third-Passw0rd"), 0, "no policy, no lock-out");
}

#[tokio::test]
async fn a_login_can_be_disabled_expired_or_due() {
    let policy = PasswordPolicy { max_age: Some(Duration::from_secs(100)), ..PasswordPolicy::default() };
    let instance = Instance::new(Options { password_policy: policy, ..Options::default() });
    let mut sa = instance.console();
    check(&mut sa, &[(APP, ""), ("ALTER LOGIN app DISABLE", "")]).await;
    assert_eq!(knock(&instance, "app", "wrong"), 18456);
    assert_eq!(knock(&instance, "app", "First-Passw0rd"), 18470);
    check(
        &mut sa,
        &[("SELECT is_disabled FROM sys.sql_logins WHERE name = 'app'", "1"), ("ALTER LOGIN app ENABLE", "")],
    )
    .await;
    instance.advance(Duration::from_secs(101));
    assert_eq!(knock(&instance, "app", "First-Passw0rd"), 0, "it does not expire unless it is told to");
    check(&mut sa, &[("ALTER LOGIN app WITH CHECK_EXPIRATION = ON", "")]).await;
    assert_eq!(knock(&instance, "app", "First-Passw0rd"), 18487);
    assert_eq!(knock(&instance, "app", "wrong"), 18456);
    check(
        &mut sa,
        &[
            ("SELECT LOGINPROPERTY('app', 'IsExpired')", "1"),
            ("ALTER LOGIN app WITH PASSWORD = N'Second-Passw0rd' MUST_CHANGE", ""),
            ("SELECT LOGINPROPERTY('app', 'IsExpired'), LOGINPROPERTY('app', 'IsMustChange')", "0|1"),
            ("ALTER LOGIN app WITH CHECK_EXPIRATION = OFF", "!15128"),
        ],
    )
    .await;
    assert_eq!(knock(&instance, "app", "Second-Passw0rd"), 18488);
    let mut change = login("app", "Second-Passw0rd", "");
    change.change_to = Some("Second-Passw0rd".to_owned());
    assert_eq!(instance.login(&change).err().unwrap()[0].number, 18463, "reused");
    change.change_to = Some("Third-Passw0rd".to_owned());
    assert!(instance.login(&change).is_ok());
    assert_eq!(knock(&instance, "app", "Third-Passw0rd"), 0);
}

#[tokio::test]
async fn databases_are_checked_after_the_password() {
    let instance = instance();
    let mut sa = instance.console();
    check(&mut sa, &[(APP, ""), ("CREATE DATABASE shop", ""), ("ALTER LOGIN app WITH DEFAULT_DATABASE = shop", "")])
        .await;
    assert_eq!(enter(&instance, "app", "wrong", "shop").err().unwrap(), [18456]);
    assert_eq!(enter(&instance, "app", "First-Passw0rd", "shop").err().unwrap(), [4060, 18456]);
    assert_eq!(enter(&instance, "app", "First-Passw0rd", "").err().unwrap(), [4064, 18456]);
    assert_eq!(enter(&instance, "app", "First-Passw0rd", "tempdb").unwrap().database(), "tempdb");
    check(&mut sa, &[("USE shop", ""), ("CREATE USER app FOR LOGIN app", "")]).await;
    assert_eq!(enter(&instance, "app", "First-Passw0rd", "").unwrap().database(), "shop");
    check(
        &mut sa,
        &[("DROP LOGIN app", ""), ("ALTER LOGIN x WITH DEFAULT_DATABASE = nothing", "!15151"), ("USE nothing", "!911")],
    )
    .await;
}

#[tokio::test]
async fn logins_are_renamed_and_dropped() {
    let instance = instance();
    let mut sa = instance.console();
    check(
        &mut sa,
        &[
            (APP, ""),
            ("ALTER LOGIN app WITH NAME = sa", "!15025"),
            ("ALTER LOGIN app WITH NAME = [app 2]", ""),
            ("ALTER LOGIN app DISABLE", "!15151"),
            ("DROP LOGIN app", "!15151"),
            ("DROP LOGIN sa", "!15405"),
        ],
    )
    .await;
    let session = enter(&instance, "app 2", "First-Passw0rd", "").unwrap();
    check(&mut sa, &[("DROP LOGIN [app 2]", "!15434")]).await;
    drop(session);
    check(&mut sa, &[("DROP LOGIN [app 2]", "")]).await;
}

#[tokio::test]
async fn a_change_is_real_when_it_is_committed() {
    let instance = instance();
    let mut sa = instance.console();
    let change = "ALTER LOGIN app WITH PASSWORD = N'Second-Passw0rd'";
    let compare = "SELECT PWDCOMPARE(N'Second-Passw0rd', password_hash) FROM sys.sql_logins WHERE name = 'app'";
    check(&mut sa, &[(APP, ""), ("BEGIN TRAN", ""), (change, ""), (compare, "1"), ("SELECT @@TRANCOUNT", "1")]).await;
    assert_eq!(knock(&instance, "app", "Second-Passw0rd"), 18456);
    check(&mut instance.console(), &[(compare, "0")]).await;
    check(&mut sa, &[("ROLLBACK", ""), (compare, "0"), ("COMMIT", "!3902"), ("ROLLBACK", "!3903")]).await;
    check(&mut sa, &[("SET IMPLICIT_TRANSACTIONS ON", ""), (change, ""), ("SELECT @@TRANCOUNT", "1")]).await;
    assert_eq!(knock(&instance, "app", "Second-Passw0rd"), 18456);
    drop(sa);
    assert_eq!(knock(&instance, "app", "First-Passw0rd"), 0, "the end of a session rolls back");
    let mut sa = instance.console();
    check(&mut sa, &[("SET IMPLICIT_TRANSACTIONS ON", ""), (change, ""), ("COMMIT", "")]).await;
    assert_eq!(knock(&instance, "app", "Second-Passw0rd"), 0);
    check(
        &mut sa,
        &[
            ("SET IMPLICIT_TRANSACTIONS OFF SET XACT_ABORT ON", ""),
            ("BEGIN TRAN CREATE LOGIN b WITH PASSWORD = 'First-Passw0rd' ALTER LOGIN nobody DISABLE", "!15151"),
            ("SELECT @@TRANCOUNT, SUSER_ID('b')", "0|NULL"),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_comparison_with_nothing_is_no() {
    let instance = instance();
    let mut sa = instance.console();
    check(
        &mut sa,
        &[
            (APP, ""),
            ("SELECT PWDCOMPARE(N'First-Passw0rd', NULL), PWDCOMPARE(NULL, NULL)", "0|0"),
            ("GRANT ALTER ANY LOGIN TO app", ""),
        ],
    )
    .await;
    let mut app = enter(&instance, "app", "First-Passw0rd", "").unwrap();
    let compare =
        "SELECT password_hash, PWDCOMPARE(N'First-Passw0rd', password_hash) FROM sys.sql_logins WHERE name = 'app'";
    check(&mut app, &[(compare, "NULL|0")]).await;
}

#[tokio::test]
async fn properties_are_there_where_the_policy_is() {
    let instance = instance();
    let mut sa = instance.console();
    let lockout = "SELECT LOGINPROPERTY('app', 'IsLocked'), LOGINPROPERTY('app', 'BadPasswordCount'),
                   DATEDIFF(day, '19000101', LOGINPROPERTY('app', 'LockoutTime'))";
    let age = "SELECT LOGINPROPERTY('app', 'IsExpired'), LOGINPROPERTY('app', 'IsMustChange'),
               LOGINPROPERTY('app', 'DaysUntilExpiration')";
    let history = "SELECT LOGINPROPERTY('app', 'HistoryLength')";
    let always = "SELECT DATALENGTH(LOGINPROPERTY('app', 'PasswordHash')), LOGINPROPERTY('app', 'DefaultDatabase')";
    check(
        &mut sa,
        &[
            (APP, ""),
            (lockout, "0|0|0"),
            (age, "NULL|NULL|NULL"),
            (history, "1"),
            ("ALTER LOGIN app WITH CHECK_EXPIRATION = ON", ""),
            (age, "0|0|42"),
            ("ALTER LOGIN app WITH CHECK_EXPIRATION = OFF", ""),
            ("ALTER LOGIN app WITH CHECK_POLICY = OFF", ""),
            (lockout, "NULL|NULL|NULL"),
            (age, "NULL|NULL|NULL"),
            (history, "0"),
            (always, "70|master"),
            ("ALTER LOGIN app WITH CHECK_POLICY = ON", ""),
            (history, "1"),
        ],
    )
    .await;
}
