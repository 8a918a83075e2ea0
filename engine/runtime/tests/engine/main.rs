//! The engine against a world in memory: what each step demands, what a doubt costs, who may act, and crashes by the thousand.
#![cfg(feature = "failpoints")]
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod consumers;
mod doubt;
mod hands;
mod heartbeat;
mod lease;
mod pauses;
mod proof;
mod provider;
mod schedule;
mod simulation;
mod stopping;
mod telling;
mod world;
