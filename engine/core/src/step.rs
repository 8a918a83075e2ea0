//! The six steps of a rotation, and the two that undo it.

use serde::{Deserialize, Serialize};

/// One step of a rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Make the candidate's value.
    Generate,
    /// Make the candidate durable in the secret store, as `PENDING`.
    Stage,
    /// Make the target accept the candidate.
    Apply,
    /// Log in as the application would.
    Verify,
    /// Move `CURRENT` to the candidate: the point of no return.
    Promote,
    /// Make the target refuse the previous credential, and prove it.
    Revoke,
    /// Rolling back: make the target refuse the candidate and accept `CURRENT`.
    Restore,
    /// Rolling back: destroy the candidate in the secret store.
    Discard,
}

impl Step {
    /// All steps: forward ones in their order, then those that undo.
    pub const ALL: [Step; 8] = [
        Step::Generate,
        Step::Stage,
        Step::Apply,
        Step::Verify,
        Step::Promote,
        Step::Revoke,
        Step::Restore,
        Step::Discard,
    ];

    /// The step that follows a success, `None` at an end.
    pub const fn next(self) -> Option<Step> {
        match self {
            Step::Generate => Some(Step::Stage),
            Step::Stage => Some(Step::Apply),
            Step::Apply => Some(Step::Verify),
            Step::Verify => Some(Step::Promote),
            Step::Promote => Some(Step::Revoke),
            Step::Restore => Some(Step::Discard),
            Step::Revoke | Step::Discard => None,
        }
    }

    /// Whether this step still leaves the way back open.
    pub const fn may_roll_back(self) -> bool {
        match self {
            Step::Generate | Step::Stage | Step::Apply | Step::Verify | Step::Promote => true,
            Step::Revoke | Step::Restore | Step::Discard => false,
        }
    }

    /// Whether a failure here may be answered with another value: only as long as the target accepts no candidate.
    pub const fn may_renew_candidate(self) -> bool {
        match self {
            Step::Generate | Step::Stage | Step::Apply => true,
            Step::Verify | Step::Promote | Step::Revoke | Step::Restore | Step::Discard => false,
        }
    }

    /// The word used everywhere: YAML, logs, tables.
    pub const fn name(self) -> &'static str {
        match self {
            Step::Generate => "generate",
            Step::Stage => "stage",
            Step::Apply => "apply",
            Step::Verify => "verify",
            Step::Promote => "promote",
            Step::Revoke => "revoke",
            Step::Restore => "restore",
            Step::Discard => "discard",
        }
    }
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}
