//! An availability group on the line: its listener leads to the primary.

use keywheel_sqlserver_double::{AvailabilityGroup, Options, ServerOptions, SqlServer};

use super::raw::{LAST, NO_ENCRYPTION, PRELOGIN, Raw};
use super::tiberius_client::{batch, connect, number, sa, settings};

fn replica(group: &AvailabilityGroup, name: &str) -> SqlServer {
    let instance = Options { server_name: name.to_owned(), group: Some(group.clone()), ..Options::default() };
    SqlServer::start_with(ServerOptions { instance, ..ServerOptions::default() }).unwrap()
}

#[tokio::test]
async fn the_listener_leads_to_the_primary_and_a_failover_cuts_its_lines() {
    let group = AvailabilityGroup::new();
    let (one, two) = (replica(&group, "ONE"), replica(&group, "TWO"));
    one.execute("CREATE DATABASE shop ALTER AVAILABILITY GROUP ag ADD DATABASE shop").unwrap();
    let listener = group.listener().unwrap();
    let through = |login: &str, database: &str| {
        let mut settings = settings(&one, login, &super::sa_password());
        settings.port(listener.port());
        settings.database(database);
        settings
    };
    let mut client = connect(through("sa", "shop")).await.unwrap();
    let name = |rows: Vec<Vec<tiberius::Row>>| rows[0][0].get::<&str, _>(0).unwrap().to_owned();
    assert_eq!(name(batch(&mut client, "SELECT @@SERVERNAME").await.unwrap()), "ONE");
    let mut idle = Raw::connect_to(listener.port()).await;
    idle.send(PRELOGIN, LAST, &NO_ENCRYPTION).await;
    idle.receive().await.unwrap();
    assert!(group.fail_over_to("TWO"));
    assert_eq!(idle.receive().await, None);
    assert!(batch(&mut client, "SELECT 1").await.is_err());
    let mut client = connect(through("sa", "shop")).await.unwrap();
    assert_eq!(name(batch(&mut client, "SELECT @@SERVERNAME").await.unwrap()), "TWO");
    // Past the listener it is the instance that is connected to, and its database is closed.
    assert_eq!(name(batch(&mut sa(&one).await, "SELECT @@SERVERNAME").await.unwrap()), "ONE");
    let mut closed = settings(&one, "sa", &super::sa_password());
    closed.database("shop");
    assert_eq!(number(connect(closed).await), 976);
    drop(two);
    assert!(connect(through("sa", "shop")).await.is_err(), "there is no primary");
}
