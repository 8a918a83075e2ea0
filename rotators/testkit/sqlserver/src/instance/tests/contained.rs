//! Contained databases, and the groups that share them.

use super::{ask, check, enter, instance, knock};
use crate::instance::{AvailabilityGroup, Instance, Options, Secondaries};

const ON: [(&str, &str); 4] = [
    ("CREATE DATABASE shop CONTAINMENT = PARTIAL", "!12824"),
    ("EXEC sp_configure 'contained database authentication', 1; RECONFIGURE", ""),
    ("CREATE DATABASE shop CONTAINMENT = PARTIAL", ""),
    ("USE shop", ""),
];

#[tokio::test]
async fn users_with_passwords_log_in_where_they_are() {
    let instance = instance();
    let mut sa = instance.console();
    check(&mut sa, &ON).await;
    check(
        &mut sa,
        &[
            ("CREATE USER app WITH PASSWORD = N'short'", "!15116"),
            ("CREATE USER app WITH PASSWORD = N'First-Passw0rd'", ""),
            ("CREATE LOGIN app WITH PASSWORD = N'Login-Passw0rd'", ""),
            ("SELECT authentication_type_desc FROM sys.database_principals WHERE name = 'app'", "DATABASE"),
        ],
    )
    .await;
    assert_eq!(enter(&instance, "app", "First-Passw0rd", "").err().unwrap(), [18456]);
    assert_eq!(enter(&instance, "app", "Login-Passw0rd", "shop").err().unwrap(), [18456], "the server is not asked");
    assert_eq!(knock(&instance, "app", "Login-Passw0rd"), 0);
    let mut app = enter(&instance, "app", "First-Passw0rd", "shop").unwrap();
    check(
        &mut app,
        &[
            ("SELECT USER_NAME(), DB_NAME()", "app|shop"),
            ("ALTER USER app WITH PASSWORD = N'Second-Passw0rd'", "!15151"),
            ("ALTER USER app WITH PASSWORD = N'Second-Passw0rd' OLD_PASSWORD = N'wrong'", "!15151"),
            ("ALTER USER app WITH PASSWORD = N'Second-Passw0rd' OLD_PASSWORD = N'First-Passw0rd'", ""),
            ("USE master", "!916"),
        ],
    )
    .await;
    check(
        &mut sa,
        &[
            ("ALTER USER app WITH PASSWORD = N'Second-Passw0rd'", "!15115"),
            ("ALTER USER app WITH PASSWORD = N'Third-Passw0rd'", ""),
            ("ALTER USER nobody WITH PASSWORD = N'Third-Passw0rd'", "!15151"),
            ("ALTER USER dbo WITH PASSWORD = N'Third-Passw0rd'", "!15150"),
        ],
    )
    .await;
    assert!(instance.accepts("app", "Third-Passw0rd", Some("shop")));
    check(&mut sa, &[("EXEC sp_configure 'contained database authentication', 0 RECONFIGURE", "")]).await;
    assert_eq!(enter(&instance, "app", "Third-Passw0rd", "shop").err().unwrap(), [18456]);
}

#[tokio::test]
async fn contained_users_travel_and_logins_do_not() {
    let group = AvailabilityGroup::new();
    group.set_secondaries(Secondaries::Readable);
    let replica = |name: &str| {
        let options = Options {
            server_name: name.to_owned(),
            group: Some(group.clone()),
            contained_authentication: true,
            ..Options::default()
        };
        Instance::new(options)
    };
    let (one, two) = (replica("ONE"), replica("TWO"));
    let mut sa = one.console();
    check(
        &mut sa,
        &[
            ("CREATE DATABASE shop CONTAINMENT = PARTIAL", ""),
            ("CREATE LOGIN app WITH PASSWORD = N'First-Passw0rd'", ""),
            ("USE shop", ""),
            ("CREATE USER app WITH PASSWORD = N'First-Passw0rd'", ""),
        ],
    )
    .await;
    assert_eq!(knock(&two, "app", "First-Passw0rd"), 18456);
    assert!(enter(&two, "app", "First-Passw0rd", "shop").is_ok());
    let mut there = two.console();
    check(
        &mut there,
        &[
            ("SELECT DATABASEPROPERTYEX('shop', 'Updateability')", "READ_ONLY"),
            ("USE shop", ""),
            ("ALTER USER app WITH PASSWORD = N'Second-Passw0rd'", "!3906"),
            ("CREATE LOGIN app WITH PASSWORD = N'Other-Passw0rd'", ""),
            ("SELECT r.replica_server_name, s.role_desc FROM sys.availability_replicas r JOIN sys.dm_hadr_availability_replica_states s
              ON s.replica_id = r.replica_id ORDER BY r.replica_server_name", "ONE|PRIMARY,TWO|SECONDARY"),
            ("SELECT is_local FROM sys.dm_hadr_database_replica_states WHERE is_primary_replica = 1", "0"),
        ],
    )
    .await;
    group.set_lag(3);
    check(&mut sa, &[("ALTER USER app WITH PASSWORD = N'Second-Passw0rd'", "")]).await;
    assert!(enter(&two, "app", "First-Passw0rd", "shop").is_ok(), "it has not arrived");
    for _ in 0..3 {
        ask(&mut there, "SELECT 1").await;
    }
    assert_eq!(enter(&two, "app", "First-Passw0rd", "shop").err().unwrap(), [18456]);
    assert!(enter(&two, "app", "Second-Passw0rd", "shop").is_ok());
    one.fail_over();
    check(&mut there, &[("ALTER USER app WITH PASSWORD = N'Third-Passw0rd'", "")]).await;
    check(&mut sa, &[("ALTER USER app WITH PASSWORD = N'Fourth-Passw0rd'", "!3906")]).await;
}
