//! The one test binary of the whole: what is true of the product as people run it, and of this repository.

mod canary;
mod cli;
#[cfg(feature = "failpoints")]
mod crash;
#[cfg(feature = "failpoints")]
mod daemon;
mod examples;
#[cfg(feature = "failpoints")]
mod ground;
mod heartbeat;
mod house;
#[cfg(feature = "failpoints")]
mod keys;
#[cfg(feature = "failpoints")]
mod notify;
mod plugins;
#[cfg(feature = "failpoints")]
mod readers;
mod tidy;
