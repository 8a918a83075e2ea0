//! Failures, as two questions: did it happen, and what next?

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Did the target change? There is no third answer: who is not certain that nothing happened says `Unknown`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Certainly nothing changed: the target answered so, or the request never left.
    None,
    /// It may have changed: a timeout, a cut line, a server going down.
    Unknown,
}

/// What helps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// The same again, after the policy's usual backoff.
    Now,
    /// The same again, but not before this long.
    After(Duration),
    /// The target refuses this value for its content: only another value can help.
    NewCandidate,
    /// A person must change something first.
    Never,
}

/// A rotator's failure.
///
/// `message` is for people: what happened, and what to do; it never holds a secret value (the engine redacts it all the
/// same). `code` is a short stable word or the target's own number (an SQLSTATE), for filters and statistics.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct RotatorError {
    pub effect: Effect,
    pub retry: Retry,
    pub code: String,
    pub message: String,
}

impl RotatorError {
    /// Certainly nothing changed; `retry` says what helps.
    pub fn not_done(retry: Retry, code: &str, message: impl Into<String>) -> Self {
        RotatorError { effect: Effect::None, retry, code: code.to_owned(), message: message.into() }
    }

    /// It may have happened. The engine will probe before it does anything else.
    pub fn unknown(code: &str, message: impl Into<String>) -> Self {
        RotatorError { effect: Effect::Unknown, retry: Retry::Now, code: code.to_owned(), message: message.into() }
    }
}

impl From<crate::MissingField> for RotatorError {
    fn from(missing: crate::MissingField) -> Self {
        RotatorError::not_done(Retry::Never, "missing-field", missing.to_string())
    }
}
