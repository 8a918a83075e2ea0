//! The rotator against the double of SQL Server. One server of each kind for all tests; each test makes accounts of its own.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod answers;
mod azure;
mod conformance;
mod fence;
mod group;
mod lockout;
mod names;
mod preflight;
mod rights;
mod scene;
mod secrecy;
mod sessions;
