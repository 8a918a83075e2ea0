//! What next: the transition table, typed handles, decisions, schedule and retry arithmetic.
//!
//! Pure and synchronous: no clock, randomness, I/O or secrets; they come in as arguments. Whatever decides is here, whatever
//! awaits is in the runtime.

pub mod decide;
mod event;
pub mod handle;
pub mod heartbeat;
pub mod notice;
mod rotation;
pub mod schedule;
mod state;
mod step;
mod transition;

pub use event::{After, Event, Failure, Retry};
pub use notice::{Notice, NoticeKind};
pub use rotation::{Cause, NewRotation, Recorded, Rotation, RotationId, Shape};
pub use state::{Hold, Progress, State, Why};
pub use step::Step;
pub use transition::{Illegal, transition};
