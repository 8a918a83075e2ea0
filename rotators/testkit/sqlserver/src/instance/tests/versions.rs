//! What releases differ in, and what a server says of itself.

use super::{check, enter, instance, login};
use crate::instance::{Instance, Options, Version};

#[tokio::test]
async fn permissions_of_2022_are_unknown_before_it() {
    for (version, product, expected, granted) in [
        (Version::V2016, "13", "NULL", "!102"),
        (Version::V2019, "15", "NULL", "!102"),
        (Version::V2022, "16", "1", ""),
    ] {
        let instance = Instance::new(Options { version, ..Options::default() });
        let mut sa = instance.console();
        check(
            &mut sa,
            &[
                ("SELECT SERVERPROPERTY('ProductMajorVersion')", product),
                ("CREATE LOGIN app WITH PASSWORD = N'First-Passw0rd'", ""),
                ("SELECT HAS_PERMS_BY_NAME(NULL, NULL, 'VIEW SERVER STATE')", "1"),
            ],
        )
        .await;
        for name in [
            "CREATE LOGIN",
            "VIEW SERVER PERFORMANCE STATE",
            "VIEW SERVER SECURITY STATE",
            "VIEW ANY CRYPTOGRAPHICALLY SECURED DEFINITION",
            "VIEW ANY SECURITY DEFINITION",
        ] {
            let ask = format!("SELECT HAS_PERMS_BY_NAME(NULL, NULL, '{name}')");
            check(&mut sa, &[(&ask, expected), (&format!("GRANT {name} TO app"), granted)]).await;
        }
        let ask = "SELECT HAS_PERMS_BY_NAME(NULL, 'DATABASE', 'VIEW DATABASE PERFORMANCE STATE')";
        check(&mut sa, &[(ask, expected)]).await;
    }
}

#[tokio::test]
async fn a_login_is_authenticated_by_no_database() {
    let instance = instance();
    check(&mut instance.console(), &[("CREATE LOGIN app WITH PASSWORD = N'First-Passw0rd'", "")]).await;
    let mut app = enter(&instance, "app", "First-Passw0rd", "").unwrap();
    check(&mut app, &[("SELECT authenticating_database_id FROM sys.dm_exec_sessions", "0")]).await;
}

#[tokio::test]
async fn a_server_says_what_it_is_told_to() {
    let options = Options {
        product_version: Some("13.0.5026.0".to_owned()),
        integrated_security_only: true,
        tokens: [("a.token".to_owned(), "app".to_owned())].into(),
        ..Options::default()
    };
    let instance = Instance::new(options);
    let mut sa = instance.console();
    check(
        &mut sa,
        &[
            ("SELECT SERVERPROPERTY('ProductVersion'), SERVERPROPERTY('ProductMajorVersion')", "13.0.5026.0|13"),
            ("SELECT SERVERPROPERTY('IsIntegratedSecurityOnly')", "1"),
            ("CREATE LOGIN app WITH PASSWORD = N'First-Passw0rd'", ""),
        ],
    )
    .await;
    assert_eq!(enter(&instance, "app", "First-Passw0rd", "").err().unwrap(), [18456], "no passwords");
    let by = |token: &str| {
        let mut login = login("", "", "");
        login.token = Some(token.to_owned());
        instance.login(&login)
    };
    check(&mut by("a.token").unwrap(), &[("SELECT SUSER_SNAME()", "app")]).await;
    assert_eq!(by("another.token").err().unwrap()[0].number, 18456);
    check(&mut sa, &[("ALTER LOGIN app DISABLE", "")]).await;
    assert_eq!(by("a.token").err().unwrap()[0].number, 18456);
    let options = Options {
        version: Version::V2019,
        tokens: [("a.token".to_owned(), "sa".to_owned())].into(),
        ..Options::default()
    };
    let mut login = login("", "", "");
    login.token = Some("a.token".to_owned());
    assert!(Instance::new(options).login(&login).is_err(), "2019 knows no tokens");
}
