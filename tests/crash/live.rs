//! The matrix over real servers of SQL Server, where `KEYWHEEL_TEST_MSSQL` names them.

use super::points::every_point_of;
use crate::ground::{Ground, live};
use crate::house::say;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_point_of_real_servers() {
    if live().is_empty() {
        return say("not run: SIGKILL at each point over a real SQL Server (KEYWHEEL_TEST_MSSQL names none)");
    }
    for (number, server) in live().iter().enumerate() {
        let address = server.address();
        say(&format!("{address}: {}", server.about().await));
        // Told from those of another run, which may not have come to its end.
        let run = std::process::id();
        every_point_of(Ground::Live(number), &format!("live_{run}_{number}_login")).await;
        match server.contained_database().await {
            Ok(_) => every_point_of(Ground::LiveContained(number), &format!("live_{run}_{number}_user")).await,
            Err(why) => say(&format!("not applicable: contained users at {address}: {why}")),
        }
        say(&format!("not applicable: a group at {address}: the address is one server's"));
    }
}
