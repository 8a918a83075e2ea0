//! One run of the six steps for one secret, as it is kept.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Event, State};

/// A rotation's id: a UUID of version 7, so that ids sort by time. Also the idempotency key at the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RotationId(Uuid);

impl RotationId {
    pub const fn new(id: Uuid) -> Self {
        RotationId(id)
    }

    pub const fn as_uuid(&self) -> &Uuid {
        &self.0
    }
}

impl std::fmt::Display for RotationId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::str::FromStr for RotationId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(RotationId)
    }
}

/// How old and new credentials live side by side at the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    InPlace,
    Alternating,
    Overlapping,
}

/// Why a rotation was started. A program that does not know one of these words refuses the rotation, and misreads nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The policy's schedule said so.
    Schedule { due: Timestamp },
    /// A person said so.
    Person { by: String, reason: Option<String> },
    /// A heartbeat found that the target refuses this version, which was `CURRENT`.
    Drift { version: String },
}

/// What is fixed when a rotation starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewRotation {
    pub id: RotationId,
    /// The secret's name in the store.
    pub secret: String,
    /// The policy's name.
    pub policy: String,
    /// SHA-256 of the policy file's text.
    pub digest: String,
    pub shape: Shape,
    /// The target and its accounts, as one text: another one is another rotation's business.
    pub target: String,
    pub cause: Cause,
    /// The version that was `CURRENT` at the start: what promotion must find there.
    pub replaces: Option<String>,
}

/// A rotation with where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotation {
    pub fixed: NewRotation,
    pub state: State,
    /// How many events its journal has. The next event gets this number plus one.
    pub seq: u64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// One journal entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// From 1, without holes.
    pub seq: u64,
    pub at: Timestamp,
    /// The fencing token of who wrote it.
    pub fence: u64,
    /// The plugin that acted then, by the SHA-256 of its file in hexadecimal digits. `None` for rotators that come with the program,
    /// for what a person ordered, and in journals from before there were plugins.
    pub plugin: Option<String>,
    pub event: Event,
}

impl NewRotation {
    /// The secret's version that holds the given candidate. The same after any crash, so staging it is idempotent.
    pub fn version(&self, candidate: u32) -> String {
        format!("{}.{candidate}", self.id)
    }
}
