//! The matrix of points.

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;

use super::{Case, End, Scenario, ended};
use crate::ground::Ground;
use crate::house::{House, message_of, say};

/// A rotation that is ordered and waits for its daemon, to be killed and to recover, whatever its target is.
pub(crate) trait Victim: Sized {
    /// What it is made from.
    type Kind: Copy;

    async fn ordered(kind: Self::Kind, name: &str) -> Self;
    fn house(&self) -> &House;
    fn name(&self) -> &str;
    fn end(kind: Self::Kind) -> End;
    /// The invariants at this moment, seen from outside.
    async fn check(&self, when: &str);
    /// How it must be at the end.
    async fn check_end(&self, when: &str);
    /// Lets a daemon without faults bring it to its end, and checks that it got there alone.
    async fn recover(&self, when: &str);
    /// After a case that nobody recovered.
    async fn remove(&self) {}
    /// After all cases of a kind.
    fn all_done(_: Self::Kind) {}
}

impl Victim for Case {
    type Kind = Scenario;

    async fn ordered(scenario: Scenario, name: &str) -> Self {
        Case::new(scenario, name, None).await
    }
    fn house(&self) -> &House {
        &self.house
    }
    fn name(&self) -> &str {
        &self.name
    }
    fn end(scenario: Scenario) -> End {
        scenario.end
    }
    async fn check(&self, when: &str) {
        self.check(when).await;
    }
    async fn check_end(&self, when: &str) {
        self.check_end(when).await;
    }
    async fn recover(&self, when: &str) {
        self.recover(when).await;
    }
    async fn remove(&self) {
        self.remove().await;
    }
    fn all_done(scenario: Scenario) {
        scenario.ground.check_lines();
    }
}

/// The points that a rotation passes which nobody disturbs, in order.
async fn record<V: Victim>(kind: V::Kind, name: &str) -> Vec<String> {
    let victim = V::ordered(kind, &format!("{name}_record")).await;
    let points = passed(victim.house());
    victim.check_end("undisturbed").await;
    victim.remove().await;
    points
}

/// The points that are passed while nobody disturbs, in order.
pub fn passed(house: &House) -> Vec<String> {
    let mut daemon = house.daemon("keywheel=info,failpoint=trace", None);
    let mut seen = daemon.until(&["done", "rolled back", "parked", "in doubt"]);
    seen.extend(daemon.stop());
    let points: Vec<String> = seen
        .iter()
        .filter(|entry| entry["target"] == "failpoint")
        .map(|entry| entry["fields"]["point"].as_str().expect("a point has a name").to_owned())
        .collect();
    for place in ["journal/", "store/", "target/"] {
        assert!(points.iter().filter(|point| point.starts_with(place)).count() >= 4, "{place} is among {points:?}");
    }
    points
}

/// Runs the daemon, to be killed at the nth passing of whatever point. Whether it was; if not, it came to an end before.
pub async fn kill_at(house: &House, secret: &str, nth: usize) -> bool {
    if ended(house, secret).await {
        return false;
    }
    let mut daemon = house.daemon("keywheel=info", Some(&format!("any={nth}*off->1*return")));
    while let Some(entry) = daemon.next() {
        if ["done", "rolled back", "parked"].iter().any(|end| message_of(&entry).starts_with(end)) {
            daemon.ask_to_stop();
        }
    }
    let (status, _) = daemon.wait();
    assert!(status.success() || status.signal() == Some(9), "it was killed or it stopped: {status}");
    status.signal() == Some(9)
}

/// SIGKILL at each point once, the `needed` ones among them; after a restart it ends by itself.
pub(crate) async fn every_point<V: Victim>(kind: V::Kind, name: &str, needed: &[&str]) {
    let points = record::<V>(kind, name).await;
    for needed in needed {
        assert!(points.iter().any(|point| point == needed), "{needed} is among {points:?}");
    }
    for (nth, point) in points.iter().enumerate() {
        let when = format!("killed at {point} (passing {nth})");
        let victim = V::ordered(kind, &format!("{name}_{nth}")).await;
        assert!(kill_at(victim.house(), victim.name(), nth).await, "{when}: it was not passed");
        victim.check(&when).await;
        victim.recover(&when).await;
    }
    V::all_done(kind);
    let (kinds, end): (BTreeSet<_>, _) = (points.iter().collect(), V::end(kind));
    say(&format!("{name}: SIGKILL at {} points ({} kinds), each ended as {end:?}", points.len(), kinds.len()));
}

/// A second SIGKILL while the first is being recovered from, at points spread over the recovery.
pub(crate) async fn two_kills<V: Victim>(kind: V::Kind, name: &str) {
    let points = record::<V>(kind, name).await;
    let mut second = 0;
    for (nth, point) in points.iter().enumerate() {
        let victim = V::ordered(kind, &format!("{name}_{nth}")).await;
        assert!(kill_at(victim.house(), victim.name(), nth).await, "killed at {point}");
        victim.check(&format!("killed at {point} (passing {nth})")).await;
        // A stride that shares no factor with the length visits all distances from the restart.
        let then = (nth * 7) % (points.len() - nth).max(8);
        let when = format!("killed at {point} (passing {nth}), then at passing {then} of the recovery");
        second += usize::from(kill_at(victim.house(), victim.name(), then).await);
        victim.check(&when).await;
        victim.recover(&when).await;
    }
    say(&format!("{name}: {} first kills, {second} second kills during recovery", points.len()));
    assert!(second > points.len() / 2, "most second kills struck: {second} of {}", points.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_point_in_place() {
    every_point::<Case>(
        Scenario { ground: Ground::Postgres, alternating: false, end: End::Done },
        "kill_in_place",
        &[],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_point_alternating() {
    every_point::<Case>(
        Scenario { ground: Ground::Postgres, alternating: true, end: End::Done },
        "kill_alternating",
        &[],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_point_in_place_rolled_back() {
    every_point::<Case>(
        Scenario { ground: Ground::Postgres, alternating: false, end: End::RolledBack },
        "kill_in_place_back",
        &[],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_point_alternating_rolled_back() {
    every_point::<Case>(
        Scenario { ground: Ground::Postgres, alternating: true, end: End::RolledBack },
        "kill_alternating_back",
        &[],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_kills_in_a_row() {
    two_kills::<Case>(Scenario { ground: Ground::Postgres, alternating: false, end: End::Done }, "twice_in_place")
        .await;
    two_kills::<Case>(Scenario { ground: Ground::Postgres, alternating: true, end: End::Done }, "twice_alternating")
        .await;
    two_kills::<Case>(
        Scenario { ground: Ground::Postgres, alternating: false, end: End::RolledBack },
        "twice_in_place_back",
    )
    .await;
}

/// Each kind of account of SQL Server, to its end and back.
pub(super) async fn every_point_of(ground: Ground, name: &str) {
    for (alternating, shape) in [(false, "in_place"), (true, "alternating")] {
        for (end, how) in [(End::Done, ""), (End::RolledBack, "_back")] {
            every_point::<Case>(Scenario { ground, alternating, end }, &format!("kill_{name}_{shape}{how}"), &[]).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_point_of_a_sqlserver_login() {
    every_point_of(Ground::SqlServer, "login").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_point_of_a_contained_user() {
    every_point_of(Ground::Contained, "contained").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_point_of_three_replicas() {
    every_point_of(Ground::Group, "group").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_kills_in_a_row_of_sqlserver() {
    two_kills::<Case>(
        Scenario { ground: Ground::SqlServer, alternating: false, end: End::RolledBack },
        "twice_login_back",
    )
    .await;
    two_kills::<Case>(Scenario { ground: Ground::Contained, alternating: true, end: End::Done }, "twice_contained")
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_kills_in_a_row_over_three_replicas() {
    two_kills::<Case>(Scenario { ground: Ground::Group, alternating: true, end: End::Done }, "twice_group").await;
}
