//! The rotator against a real PostgreSQL server. One server for all tests; each test makes accounts of its own.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod account;
mod conformance;
mod fence;
mod grants;
mod preflight;
mod scene;
mod secrecy;
mod sessions;
mod tls;
mod verify;
