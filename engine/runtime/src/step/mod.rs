//! The effects, one verb per file, all of the same shape: given a durable attempt, do it and say truthfully how it went.

use keywheel_core::{Failure, Hold};

mod apply;
mod consume;
mod discard;
mod generate;
mod promote;
mod restore;
mod revoke;
mod stage;
mod sweep;
mod verify;

pub(crate) use apply::apply;
pub(crate) use consume::{before_revoke, is_to_be_taken_over, taken_over};
pub(crate) use discard::discard;
pub(crate) use generate::generate;
pub(crate) use promote::{grace, promote};
pub(crate) use restore::restore;
pub(crate) use revoke::revoke;
pub(crate) use stage::stage;
pub(crate) use sweep::{sweep_all, sweep_before, sweep_own};
pub(crate) use verify::verify;

/// How an effect went.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It is there. `hold` delays the next step.
    Done { note: Option<String>, hold: Option<Hold> },
    /// It is certainly not there.
    NotApplied(Failure),
    /// Not yet; costs no try.
    Wait(Hold),
    /// Nobody knows: to be settled by looking.
    Unknown(Failure),
}

impl Outcome {
    /// Done, with nothing to add.
    pub const DONE: Outcome = Outcome::Done { note: None, hold: None };

    /// Done, and people should know this of it.
    pub fn noted(note: impl Into<String>) -> Self {
        Outcome::Done { note: Some(note.into()), hold: None }
    }
}

/// Unwraps or ends the effect: nothing was changed so far.
macro_rules! ready {
    ($result:expr) => {
        match $result {
            Ok(value) => value,
            Err(failure) => return $crate::step::Outcome::NotApplied(failure),
        }
    };
}
use ready;
