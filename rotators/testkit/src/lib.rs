//! The exam that each rotator sits, servers for tests, and fakes that lie on purpose.
//!
//! - [`exam`]: the conformance exam. A new rotator writes a [`exam::Subject`] and calls [`exam::sit`].
//! - [`LyingRotator`]: a rotator around another one that fails, hangs or lies when told to, for tests of the engine.
//! - [`PostgresServer`]: a real, throwaway server.
//! - [`CutProxy`]: a line that breaks at a chosen moment, such as after the effect and before the acknowledgement.

mod certificates;
mod cut_proxy;
pub mod exam;
mod lying;
mod postgres_binaries;
mod postgres_server;

pub use certificates::Certificates;
pub use cut_proxy::{CutProxy, Fault};
pub use lying::{Lie, LyingRotator, Verb};
pub use postgres_server::{PostgresOptions, PostgresServer, StartError};
