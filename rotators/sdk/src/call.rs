//! What the engine hands to a rotator with each call.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Bundle, Shape};

/// Who is allowed to change the account.
pub enum Admin {
    /// Another account with the right to do so.
    Credential(Bundle),
    /// The account changes its own password (`admin: self`): log in with whichever of the credentials works.
    Own,
}

/// How strictly two alternating accounts must match before the new one is promoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrantParity {
    /// A difference fails the step, and is listed.
    Require,
    /// Differences are reported by `preflight` only.
    Warn,
    /// Not compared.
    Ignore,
}

/// The shape of this rotation with what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    InPlace { user: String },
    Alternating { users: [String; 2], grant_parity: GrantParity, create_missing: bool },
    Overlapping,
}

impl Strategy {
    pub fn shape(&self) -> Shape {
        match self {
            Strategy::InPlace { .. } => Shape::InPlace,
            Strategy::Alternating { .. } => Shape::Alternating,
            Strategy::Overlapping => Shape::Overlapping,
        }
    }

    /// The accounts that this strategy manages.
    pub fn users(&self) -> &[String] {
        match self {
            Strategy::InPlace { user } => std::slice::from_ref(user),
            Strategy::Alternating { users, .. } => users,
            Strategy::Overlapping => &[],
        }
    }
}

/// The account to change, where it lives, and who may change it.
pub struct Target {
    /// The policy's `target:` map, checked against [`crate::Descriptor::settings`].
    pub settings: Map<String, Value>,
    pub strategy: Strategy,
    pub admin: Admin,
    /// What the policy's candidates are made of; `None` where the target makes them.
    pub generates: Option<Generates>,
}

/// What generated passwords are made of, for [`crate::Rotator::preflight`] to compare with what the target asks of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generates {
    /// In characters.
    pub length: usize,
    /// Of the four classes lower, upper, digit and symbol: how many may occur.
    pub classes: usize,
    /// How many occur in each password.
    pub required: usize,
    /// All characters that may occur are among the 64 of base64 (RFC 4648, section 4).
    pub base64: bool,
}

/// One check of the policy's `verify:` list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// Log in as the application would. Always done, listed or not.
    Login,
    /// Run this statement as the candidate, read-only; any error fails the check.
    Sql(String),
}

/// How `revoke` ends an idle alternating account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevokeHow {
    /// Also forbid login (Postgres: `NOLOGIN`), beside taking the password away.
    pub disable: bool,
    /// End the sessions that still run as the old credential.
    pub terminate_sessions: bool,
}

/// The frame of one call.
///
/// The same `rotation` comes with every call of one rotation, whatever process makes it: it is the idempotency key, and
/// the tag for what a provider makes.
pub struct Call<'a> {
    pub target: &'a Target,
    /// The rotation's id: idempotency key and tag.
    pub rotation: &'a str,
    /// Grows with each new owner of the secret. A rotator that can do so stops late effects of lower fences at the target.
    pub fence: u64,
    /// Until when this call may act. It counts from before the step's intent was written, so that a process that slept in
    /// between does nothing late. The engine gives up then and takes the outcome as unknown.
    pub until: Instant,
}

impl Call<'_> {
    /// How long this call may still act at `now`; zero when its time is over.
    pub fn left(&self, now: Instant) -> Duration {
        self.until.saturating_duration_since(now)
    }
}
