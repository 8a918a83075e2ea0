//! What a rotator writes.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::fields;
use crate::{Answer, Bundle, Descriptor, Effect, Finding, Retry, RotatorError};

pub(super) const YES: &str = "yes";
pub(super) const NO: &str = "no";
pub(super) const PARTLY: &str = "partly";

/// The answer to the engine's first message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Greeting {
    /// Always `rotator`.
    pub r#type: String,
    /// One of the formats that were offered.
    pub format: u32,
    /// What a policy may say, as far as its settings tell. [`crate::Rotator::check_settings`] and [`crate::Rotator::place`] have no
    /// message: a policy must be readable whatever a process does.
    pub descriptor: Descriptor,
}

/// Instead of a greeting: why there is none. The rotator ends after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Always `failure`.
    pub r#type: String,
    /// For people, without secrets.
    pub message: String,
}

impl Failure {
    pub fn new(message: &str) -> Self {
        Failure { r#type: "failure".to_owned(), message: message.to_owned() }
    }
}

/// The answer to one call. Without an `error` it was done; the other members are what was asked for.
#[derive(Default, Serialize, Deserialize)]
pub struct Reply {
    /// Always `reply`.
    pub r#type: String,
    /// The call's.
    pub id: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Refusal>,
    /// To `probe`: `yes`, `no` or `partly`; where no answer could be had, `error` says why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// To `probe`, with `no` and `partly`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// To `preflight`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub findings: Option<Vec<Finding>>,
    /// To `generate`; to `derive_field` the one field, or nothing where it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "fields::maybe")]
    pub made: Option<Bundle>,
    /// To `usage`: open sessions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sessions: Option<u64>,
    /// To `last_used`: seconds since 1970-01-01 UTC; without it never, as far as the target knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used: Option<u64>,
}

impl Reply {
    /// Done, with nothing to say yet.
    pub fn done(id: u64) -> Self {
        Reply { r#type: "reply".to_owned(), id, ..Reply::default() }
    }

    /// Not done, or not known.
    pub fn failed(id: u64, error: RotatorError) -> Self {
        Reply { error: Some(error.into()), ..Reply::done(id) }
    }

    /// The failure, where it is one.
    ///
    /// # Errors
    /// That failure.
    pub fn into_done(mut self) -> Result<Self, RotatorError> {
        match self.error.take() {
            None => Ok(self),
            Some(refusal) => Err(refusal.into()),
        }
    }

    /// What it says to a probe. What is no answer is unknown.
    pub fn into_answer(self) -> Answer {
        let reply = match self.into_done() {
            Ok(reply) => reply,
            Err(error) => return Answer::Unknown(error),
        };
        let reason = reply.reason.unwrap_or_default();
        match reply.answer.as_deref() {
            Some(YES) => Answer::Yes,
            Some(NO) => Answer::No { reason },
            Some(PARTLY) => Answer::Partly { reason },
            _ => Answer::Unknown(RotatorError::unknown(
                "no-answer",
                "the rotator answered a probe with neither yes nor no",
            )),
        }
    }
}

/// [`RotatorError`] in a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// `none` is a promise that nothing changed; everything else is `unknown`.
    pub effect: Effect,
    pub retry: RetryWord,
    /// With `retry: after`: not before so many milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_ms: Option<u64>,
    pub code: String,
    pub message: String,
}

/// [`Retry`] in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryWord {
    Now,
    After,
    NewCandidate,
    Never,
}

impl From<RotatorError> for Refusal {
    fn from(error: RotatorError) -> Self {
        let (retry, after) = match error.retry {
            Retry::Now => (RetryWord::Now, None),
            Retry::After(pause) => (RetryWord::After, Some(pause)),
            Retry::NewCandidate => (RetryWord::NewCandidate, None),
            Retry::Never => (RetryWord::Never, None),
        };
        let after_ms = after.map(|pause| u64::try_from(pause.as_millis()).unwrap_or(u64::MAX));
        Refusal { effect: error.effect, retry, after_ms, code: error.code, message: error.message }
    }
}

impl From<Refusal> for RotatorError {
    fn from(refusal: Refusal) -> Self {
        let retry = match refusal.retry {
            RetryWord::Now => Retry::Now,
            RetryWord::After => Retry::After(Duration::from_millis(refusal.after_ms.unwrap_or_default())),
            RetryWord::NewCandidate => Retry::NewCandidate,
            RetryWord::Never => Retry::Never,
        };
        RotatorError { effect: refusal.effect, retry, code: refusal.code, message: refusal.message }
    }
}
