//! Databases of an availability group that are not contained, and who may enter them where.

use super::{ask, check, enter, knock, login};
use crate::instance::{AvailabilityGroup, Instance, Options, Secondaries};

const APP: &str = "CREATE LOGIN app WITH PASSWORD = N'First-Passw0rd'";

fn two_replicas() -> (AvailabilityGroup, Instance, Instance) {
    let group = AvailabilityGroup::new();
    let replica = |name: &str| {
        let options = Options { server_name: name.to_owned(), group: Some(group.clone()), ..Options::default() };
        Instance::new(options)
    };
    let (one, two) = (replica("ONE"), replica("TWO"));
    (group, one, two)
}

const SHOP: [(&str, &str); 6] = [
    (APP, ""),
    ("CREATE DATABASE shop", ""),
    ("USE shop", ""),
    ("CREATE USER app FOR LOGIN app", ""),
    ("CREATE TABLE orders (id int) INSERT INTO orders VALUES (7) GRANT SELECT TO app", ""),
    ("ALTER AVAILABILITY GROUP [ag] ADD DATABASE shop", ""),
];

#[tokio::test]
async fn users_travel_and_belong_to_the_login_of_their_sid() {
    let (group, one, two) = two_replicas();
    let mut sa = one.console();
    check(&mut sa, &SHOP[..5]).await;
    assert_eq!(ask(&mut two.console(), "SELECT DB_ID('shop')").await, "NULL", "it has not joined");
    check(&mut sa, &[SHOP[5], ("ALTER AVAILABILITY GROUP ag ADD DATABASE master", "!911")]).await;
    let sid = ask(&mut sa, "SELECT sid FROM sys.server_principals WHERE name = 'app'").await;
    let mut there = two.console();
    check(
        &mut there,
        &[
            (APP, ""),
            ("SELECT DATABASEPROPERTYEX('shop', 'Updateability')", "READ_ONLY"),
            ("ALTER AVAILABILITY GROUP ag ADD DATABASE shop", "!41190"),
        ],
    )
    .await;
    assert!(group.fail_over_to("two"));
    assert_eq!(group.primary().as_deref(), Some("TWO"));
    assert_eq!(
        enter(&two, "app", "First-Passw0rd", "shop").err().unwrap(),
        [4060, 18456],
        "another SID, another login"
    );
    let sibling = format!("DROP LOGIN app {APP}, SID = {sid}");
    check(&mut there, &[(&sibling, "")]).await;
    let mut app = enter(&two, "app", "First-Passw0rd", "shop").unwrap();
    check(&mut app, &[("SELECT id FROM orders", "7"), ("SELECT USER_NAME()", "app")]).await;
    check(&mut there, &[("USE shop", ""), ("INSERT INTO orders VALUES (8)", "")]).await;
    check(&mut sa, &[("INSERT INTO orders VALUES (9)", "!3906")]).await;
    assert_eq!(knock(&one, "app", "First-Passw0rd"), 0, "its logins are the instance's own");
}

#[tokio::test]
async fn secondaries_are_entered_as_far_as_they_are_open() {
    let (group, one, two) = two_replicas();
    let mut sa = one.console();
    check(&mut sa, &SHOP).await;
    let sid = ask(&mut sa, "SELECT sid FROM sys.server_principals WHERE name = 'app'").await;
    let mut there = two.console();
    check(&mut there, &[(&format!("{APP}, SID = {sid}"), ""), ("USE shop", "!976")]).await;
    let number = |instance: &Instance, read_only: bool| {
        let login = crate::exchange::Login { read_only, ..login("app", "First-Passw0rd", "shop") };
        instance.login(&login).err().map_or(0, |messages| messages[0].number)
    };
    assert_eq!((number(&two, false), number(&two, true), number(&one, false)), (976, 976, 0));
    assert_eq!(knock(&two, "app", "First-Passw0rd"), 0, "the instance itself is open");
    group.set_secondaries(Secondaries::ReadIntent);
    assert_eq!((number(&two, false), number(&two, true)), (978, 0));
    check(&mut there, &[("SELECT id FROM shop.dbo.orders", "!978")]).await;
    group.set_secondaries(Secondaries::Readable);
    check(&mut there, &[("SELECT id FROM shop.dbo.orders", "7"), ("INSERT INTO shop.dbo.orders VALUES (8)", "!3906")])
        .await;
    group.set_resolving("ONE", true);
    assert_eq!((number(&one, false), number(&two, false)), (983, 0));
    check(&mut sa, &[("USE shop", "!983")]).await;
    group.set_resolving("ONE", false);
    assert_eq!(number(&one, false), 0);
}

#[tokio::test]
async fn a_former_primary_ends_the_sessions_of_the_group() {
    let (group, one, _two) = two_replicas();
    check(&mut one.console(), &SHOP).await;
    let mut inside = enter(&one, "app", "First-Passw0rd", "shop").unwrap();
    let mut outside = enter(&one, "app", "First-Passw0rd", "").unwrap();
    assert_eq!(ask(&mut inside, "SELECT id FROM orders").await, "7");
    assert!(group.fail_over_to("TWO"));
    assert_eq!(ask(&mut outside, "SELECT DB_NAME()").await, "master");
    assert_eq!(ask(&mut inside, "SELECT id FROM orders").await, "!596");
}

#[tokio::test]
async fn a_database_that_leaves_the_group_stays_at_the_primary() {
    let (_group, one, two) = two_replicas();
    let mut sa = one.console();
    check(&mut sa, &SHOP).await;
    assert_ne!(ask(&mut two.console(), "SELECT DB_ID('shop')").await, "NULL");
    check(&mut sa, &[("ALTER AVAILABILITY GROUP ag REMOVE DATABASE shop", ""), ("SELECT id FROM orders", "7")]).await;
    assert_eq!(ask(&mut two.console(), "SELECT DB_ID('shop')").await, "NULL");
}
