//! The exam that each rotator sits, servers for tests, and fakes that lie on purpose.
//!
//! - [`exam`]: the conformance exam. A new rotator writes a [`exam::Subject`] and calls [`exam::sit`].
//! - [`LyingRotator`]: a rotator around another one that fails, hangs or lies when told to, for tests of the engine.
//! - [`HabitualLiar`]: a rotator around another one with one bad habit, for tests of the exam, which must find it out.
//! - [`PostgresServer`]: a real, throwaway server.
//! - [`LiveSqlServer`]: real servers of SQL Server, where somebody names one.
//! - [`built_example`]: programs that Cargo builds beside a test.
//! - [`python_with`]: clients that others wrote.
//! - [`CutProxy`]: a line that breaks at a chosen moment, such as after the effect and before the acknowledgement.

mod built;
mod certificates;
mod habit;
mod live_sqlserver;
mod lying;
mod postgres_binaries;
mod postgres_server;
mod python;

pub use built::built_example;
pub use certificates::Certificates;
pub use habit::{Habit, HabitualLiar};
pub use keywheel_exam as exam;
pub use keywheel_exam::{CutProxy, Fault};
pub use live_sqlserver::LiveSqlServer;
pub use lying::{Lie, LyingRotator, Verb};
pub use postgres_server::{PostgresOptions, PostgresServer, StartError};
pub use python::python_with;
