//! The model: a policy as the engine acts on it. Complete, checked, without options that mean "the default".

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use jiff::civil;
use jiff::tz::TimeZone;

use crate::Cron;

mod consumer;
mod notifier;

pub use consumer::{ConsumerKind, ConsumerSpec, Exec, ExecInput, File, FileSignal, Signal};
pub use jiff::civil::Weekday;
pub use notifier::{
    Channel, Chat, DigestSchedule, Email, MailTls, NoticeKind, NotifierSpec, Notify, Reference, Webhook,
};

/// What must be rotated, when, and how carefully.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Unique among all policies, variables of `for_each` already filled in.
    pub name: String,
    pub owner: Option<String>,
    pub labels: BTreeMap<String, String>,
    /// The rotator's kind, such as `postgres`.
    pub rotator: String,
    /// Which of its versions acts: the highest that fits the policy's pin, where there is one.
    pub rotator_version: String,
    /// The rotator's own settings, checked against what it declares.
    pub target: serde_json::Map<String, serde_json::Value>,
    pub admin: AdminSource,
    pub strategy: Strategy,
    pub secret: SecretSpec,
    pub adopt: Adopt,
    pub schedule: Schedule,
    /// No credential of this secret may be accepted by the target for longer than this after it became `CURRENT`.
    pub max_age: Option<Duration>,
    pub generate: Generate,
    pub verify: Vec<Check>,
    pub revoke: Revoke,
    pub on_failure: OnFailure,
    /// Names of consumers that are to take over the new version once it is `CURRENT`, in this order: until each has, the
    /// previous one is not revoked.
    pub after_promote: Vec<String>,
    /// Names of consumers that are told before the previous version is revoked, in this order; it waits until each was.
    pub before_revoke: Vec<String>,
    /// How often the target is asked about `CURRENT` between rotations, if it is.
    pub heartbeat: Option<Heartbeat>,
    /// Who is told. `None`: whoever `keywheel.yaml` says.
    pub notify: Option<Notify>,
    /// The file it was read from.
    pub file: PathBuf,
    /// SHA-256 of the file's text in lower-case hex: which words a rotation acted on.
    pub digest: String,
}

/// Where the admin's credential is. Always a reference, never the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdminSource {
    /// `CURRENT` of another secret in the store.
    Secret(String),
    /// An environment variable: a password where `username` is given, else a JSON object of fields.
    Env { name: String, username: Option<String> },
    /// A file with the same content.
    File { path: PathBuf, username: Option<String> },
    /// The account changes itself.
    Own,
}

/// How old and new live side by side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Strategy {
    /// One account. `accept_gap` was written down: readers are refused from apply to promote.
    InPlace { user: String },
    /// Two accounts that take turns.
    Alternating { users: [String; 2], grant_parity: GrantParity, create_missing: bool },
    /// A second key beside the first.
    Overlapping,
}

/// How strictly two alternating accounts must match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GrantParity {
    Require,
    Warn,
    Ignore,
}

/// The secret's name in the store and its fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretSpec {
    pub name: String,
    /// At least `username` and `password`, or all that the provider makes; in the order written.
    pub fields: Vec<String>,
}

/// What to do with a secret that has no `CURRENT` yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adopt {
    /// Wait until a person puts the live value (`keywheel secret put`). The default: nobody's login breaks by surprise.
    Keep,
    /// Make the first value at once, within the window.
    Rotate,
}

/// When a rotation is due.
#[derive(Debug, Clone)]
pub struct Schedule {
    pub trigger: Trigger,
    /// The zone of windows, cron and freezes. UTC where nothing needs a clock time.
    pub timezone: TimeZone,
    pub window: Option<Window>,
    /// How long before a credential ends by itself it is rotated, if nothing makes it due earlier.
    pub before_expiry: Option<Duration>,
    /// Each secret is delayed by a share of this, always the same share for the same secret.
    pub jitter: Duration,
    /// Resolved from the names in the policy.
    pub freezes: Vec<Freeze>,
}

/// What makes a rotation due.
#[derive(Debug, Clone)]
pub enum Trigger {
    /// This long after the last promotion.
    Every(Duration),
    /// At each matching clock time.
    Cron(Cron),
    /// Only when a person asks.
    Manual,
}

/// The hours in which a scheduled rotation may start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// Days on which the window opens, Monday first, without repeats. All seven where none are written.
    pub days: Vec<Weekday>,
    pub from: civil::Time,
    /// Exclusive. Earlier than or equal to `from`: the window closes on the next day.
    pub to: civil::Time,
}

/// A named time in which no scheduled rotation starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Freeze {
    pub name: String,
    /// Included.
    pub from: civil::DateTime,
    /// Excluded.
    pub to: civil::DateTime,
    pub timezone: TimeZone,
}

/// How a password is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generate {
    /// In characters.
    pub length: usize,
    /// `uri-safe`, `alphanumeric`, `ascii`, `hex`, or `custom:` with the characters themselves.
    pub charset: String,
    /// Classes of which at least one character must occur: `lower`, `upper`, `digit`, `symbol`.
    pub require: Vec<String>,
    /// Characters never used.
    pub exclude: String,
    pub first: FirstCharacter,
}

/// What a password may begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstCharacter {
    Any,
    Letter,
    Alphanumeric,
}

/// One check before promotion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    Login,
    Sql(String),
}

/// How the old credential ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revoke {
    /// The grace period: not before this long after promotion. Zero where the shape leaves nothing to wait for (in place).
    pub after: Duration,
    pub when: RevokeWhen,
    /// How long after the grace period `when` may hold it up.
    pub deadline: Duration,
    pub on_deadline: OnDeadline,
    /// Refuse it for this long in a way that can be undone at the target, before it ends for good.
    pub disable_first: Option<Duration>,
    /// Forbid login beside taking the password away (alternating).
    pub disable: bool,
    /// End sessions that still run as the old credential.
    pub terminate_sessions: bool,
}

/// What must be true before the old credential is revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RevokeWhen {
    /// The grace period alone decides.
    Always,
    /// Nobody is logged in with it.
    NoSessions,
    /// Nobody has used it for this long, as far as the target knows.
    Unused(Duration),
}

/// What to do when the old credential is still used at the deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDeadline {
    Revoke,
    Park,
}

/// How failures are met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnFailure {
    /// Tries of one step, at least 1.
    pub attempts: u32,
    pub backoff: Backoff,
    pub then: Exhausted,
}

/// A scheduled probe of `CURRENT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heartbeat {
    /// After the last answer.
    pub every: Duration,
    pub on_drift: OnDrift,
}

/// What to do when the target refuses `CURRENT`. People are told in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDrift {
    Alert,
    /// Begin a rotation when the schedule is open: once for each version.
    Rotate,
}

/// The shortest and the longest wait between tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    pub min: Duration,
    pub max: Duration,
}

/// What follows when tries run out before promotion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exhausted {
    RollBack,
    Park,
}
