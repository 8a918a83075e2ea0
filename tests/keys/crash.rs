//! SIGKILL at each journal write, store write and request to the provider.

use super::{Case, Key, Kind};
use crate::crash::End;
use crate::crash::points::{Victim, every_point, two_kills};
use crate::house::House;

/// What only keys that the provider makes pass.
const ISSUED: [&str; 3] = ["target/generate/before", "target/generate/after", "target/sweep/after"];
/// What those that the engine makes pass, there and back.
const PUT: [&str; 4] = ["target/apply/before", "target/apply/after", "target/revoke/before", "target/revoke/after"];
const PUT_BACK: [&str; 4] =
    ["target/apply/before", "target/apply/after", "target/restore/before", "target/restore/after"];

impl Victim for Case {
    type Kind = Kind;

    async fn ordered(kind: Kind, name: &str) -> Self {
        Case::ordered(kind, name).await
    }
    fn house(&self) -> &House {
        &self.house
    }
    fn name(&self) -> &str {
        &self.name
    }
    fn end(kind: Kind) -> End {
        kind.end
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
    every_point::<Case>(Kind::done(Key::Issued), "key", &ISSUED).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_point_of_a_key_that_is_disabled_first() {
    every_point::<Case>(Kind::done(Key::DisabledFirst), "disabled_key", &ISSUED).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_point_of_a_key_rolled_back() {
    every_point::<Case>(Kind::rolled_back(Key::Issued), "key_back", &ISSUED).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_kills_in_a_row_of_a_key() {
    two_kills::<Case>(Kind::done(Key::Issued), "twice_key").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_kills_in_a_row_of_a_key_rolled_back() {
    two_kills::<Case>(Kind::rolled_back(Key::Issued), "twice_key_back").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_point_of_a_put_key_in_place() {
    every_point::<Case>(Kind::done(Key::InPlace), "put_in_place", &PUT).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_point_of_a_put_key_in_place_rolled_back() {
    every_point::<Case>(Kind::rolled_back(Key::InPlace), "put_in_place_back", &PUT_BACK).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_point_of_a_put_key_alternating() {
    every_point::<Case>(Kind::done(Key::Alternating), "put_alternating", &PUT).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_point_of_a_put_key_alternating_rolled_back() {
    every_point::<Case>(Kind::rolled_back(Key::Alternating), "put_alternating_back", &PUT_BACK).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_point_of_a_put_token_alternating() {
    every_point::<Case>(Kind::done(Key::AlternatingToken), "put_token", &PUT).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_point_of_a_put_token_alternating_rolled_back() {
    every_point::<Case>(Kind::rolled_back(Key::AlternatingToken), "put_token_back", &PUT_BACK).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_kills_in_a_row_of_a_put_key_in_place() {
    two_kills::<Case>(Kind::done(Key::InPlace), "twice_put_in_place").await;
    two_kills::<Case>(Kind::rolled_back(Key::InPlace), "twice_put_in_place_back").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_kills_in_a_row_of_a_put_key_alternating() {
    two_kills::<Case>(Kind::done(Key::Alternating), "twice_put_alternating").await;
    two_kills::<Case>(Kind::rolled_back(Key::Alternating), "twice_put_alternating_back").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_point_of_a_key_of_a_plugin() {
    every_point::<Case>(Kind::done(Key::Plugged), "plugged", &PUT).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_point_of_a_key_of_a_plugin_rolled_back() {
    every_point::<Case>(Kind::rolled_back(Key::Plugged), "plugged_back", &PUT_BACK).await;
}
