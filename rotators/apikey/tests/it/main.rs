//! Declarations as files, and the rotator against a small service that does what it is told.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod addresses;
mod answers;
mod aws;
mod believing;
mod declarations;
mod ending;
mod exclusive;
mod fake;
mod listing;
mod login;
mod making;
mod markup;
mod passing;
mod times;
mod values;
