//! Where a rotation stands: plain data, stored as it is, derived from its events alone.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Step;

/// Where a rotation stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    pub progress: Progress,
    /// Which candidate this is, from 1. A refused value makes the next.
    pub candidate: u32,
    /// Begun tries of the step that `progress` names, without those that only waited.
    pub tries: u32,
    /// All attempts so far: each has its own number.
    pub attempts: u32,
    /// Whether the target may have seen this candidate, so that rolling back must visit it.
    pub touched: bool,
    /// Why it is rolled back, once that is decided.
    pub undo: Option<String>,
    /// When `CURRENT` moved to the candidate.
    pub promoted_at: Option<Timestamp>,
    /// When the previous credential was disabled, where that comes before its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled_at: Option<Timestamp>,
    /// When the policy's consumers had all taken over the new version, where it has any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consumed_at: Option<Timestamp>,
}

/// What moves a rotation next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// The step may begin, once the hold is over. Left by `Began`, or by a person's order to roll back.
    Ready { step: Step, hold: Option<Hold> },
    /// The step's intent is durable. Whoever did not write it finds it *in doubt*. Left by the step's outcome.
    Attempting { step: Step },
    /// A person must act. Left by `Resumed` or `RollBackOrdered`.
    Parked { step: Step, reason: String },
    /// `CURRENT` is the candidate and the target refuses the previous. Never left.
    Done,
    /// The target is as it was, the candidate is destroyed. Never left.
    RolledBack,
}

/// A wait that costs no attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    pub until: Timestamp,
    pub why: Why,
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// The pause after a failure.
    Backoff,
    /// The grace period between promote and revoke.
    Grace,
    /// The same, and consumers have taken over the new version.
    Consumed,
    /// Somebody still uses the previous credential.
    Drain,
    /// The previous credential is disabled, and its owner may still ask for it back before it is deleted.
    Disabled,
    /// The provider may still be at a creation whose outcome is in doubt.
    InDoubt,
}

impl State {
    /// The state of a rotation just created.
    pub fn initial() -> Self {
        State {
            progress: Progress::Ready { step: Step::Generate, hold: None },
            candidate: 1,
            tries: 0,
            attempts: 0,
            touched: false,
            undo: None,
            promoted_at: None,
            disabled_at: None,
            consumed_at: None,
        }
    }

    /// The step at which it stands, `None` once ended.
    pub fn step(&self) -> Option<Step> {
        match &self.progress {
            Progress::Ready { step, .. } | Progress::Attempting { step } | Progress::Parked { step, .. } => Some(*step),
            Progress::Done | Progress::RolledBack => None,
        }
    }

    /// Whether nothing will ever happen to it again.
    pub fn ended(&self) -> bool {
        self.step().is_none()
    }
}
