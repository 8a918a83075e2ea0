//! When: from a schedule and the last promotion to the next instant.
//!
//! Everything here is arithmetic on instants that come in as arguments. `clock` says when cron fires in a zone with clock
//! changes, `opening` when a window is open and no freeze holds, `due` puts both together and spreads secrets by jitter.

mod clock;
mod due;
mod opening;

pub use clock::next_firing;
pub(crate) use due::share;
pub use due::{next_due, next_due_of, occurrences};
pub use opening::{is_open, next_open};
