//! SIGKILL at each journal write, store write and request to the provider.

use super::Case;
use crate::crash::End;
use crate::crash::points::{Victim, every_point, two_kills};
use crate::house::House;

/// What only keys pass.
const POINTS: [&str; 3] = ["target/generate/before", "target/generate/after", "target/sweep/after"];

impl Victim for Case {
    type Kind = End;

    async fn ordered(end: End, name: &str) -> Self {
        Case::ordered(end, name).await
    }
    fn house(&self) -> &House {
        &self.house
    }
    fn name(&self) -> &str {
        &self.name
    }
    fn end(end: End) -> End {
        end
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
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_point_of_a_key() {
    every_point::<Case>(End::Done, "key", &POINTS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_point_of_a_key_that_is_disabled_first() {
    every_point::<Case>(End::Done, "disabled_key", &POINTS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_point_of_a_key_rolled_back() {
    every_point::<Case>(End::RolledBack, "key_back", &POINTS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_kills_in_a_row_of_a_key() {
    two_kills::<Case>(End::Done, "twice_key").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_kills_in_a_row_of_a_key_rolled_back() {
    two_kills::<Case>(End::RolledBack, "twice_key_back").await;
}
