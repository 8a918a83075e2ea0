//! What can happen to a rotation: the only input of the transition table, appended to the journal and never changed.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Hold, Step};

/// One thing that happened. Holds references and messages, never a secret value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The intent to take the step. Durable before its effect starts.
    Began { step: Step, attempt: u32 },
    /// The step's effect is there. `settled`: found by looking, after its outcome had been in doubt.
    Succeeded { step: Step, settled: bool, note: Option<String>, hold: Option<Hold> },
    /// The step's effect is certainly not there. `settled` as above.
    Failed { step: Step, settled: bool, failure: Failure, then: After },
    /// The step cannot be taken yet. Costs no try.
    Waited { step: Step, hold: Hold },
    /// A person lets a parked rotation try again.
    Resumed { by: String },
    /// A person orders the way back.
    RollBackOrdered { by: String },
}

/// What went wrong, for people and filters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// A short stable word, or the target's own number.
    pub code: String,
    pub message: String,
    pub retry: Retry,
}

/// What would help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// The same again, after the usual backoff.
    Now,
    /// The same again, not before this long.
    After(Duration),
    /// Only another value.
    NewCandidate,
    /// Only a person.
    Never,
}

/// What was decided to follow a failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum After {
    /// Try the step again.
    Again { hold: Option<Hold> },
    /// Forget this candidate and make another.
    NewCandidate { hold: Option<Hold> },
    /// Undo.
    RollBack,
    /// Wait for a person.
    Park,
}

impl Event {
    /// A short stable word for filters and tables.
    pub fn name(&self) -> &'static str {
        match self {
            Event::Began { .. } => "began",
            Event::Succeeded { .. } => "succeeded",
            Event::Failed { .. } => "failed",
            Event::Waited { .. } => "waited",
            Event::Resumed { .. } => "resumed",
            Event::RollBackOrdered { .. } => "roll-back-ordered",
        }
    }
}

impl Failure {
    pub fn new(code: &str, message: impl Into<String>, retry: Retry) -> Self {
        Failure { code: code.to_owned(), message: message.into(), retry }
    }
}

impl std::fmt::Display for After {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            After::Again { .. } => "again",
            After::NewCandidate { .. } => "new candidate",
            After::RollBack => "roll back",
            After::Park => "park",
        })?;
        match self.until() {
            Some(until) => write!(f, " after {until}"),
            None => Ok(()),
        }
    }
}

impl After {
    /// Until when nothing happens.
    pub fn until(&self) -> Option<Timestamp> {
        match self {
            After::Again { hold } | After::NewCandidate { hold } => hold.map(|h| h.until),
            After::RollBack | After::Park => None,
        }
    }
}
