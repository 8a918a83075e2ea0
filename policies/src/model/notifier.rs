//! Who is told of what, and how.

use std::path::PathBuf;
use std::time::Duration;

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::Cron;

use super::AdminSource;

/// What people are told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoticeKind {
    /// A step failed again after its first failure, or makes no progress. It will be tried again.
    Failed,
    /// A rotation was undone: the target is as before.
    RolledBack,
    /// A rotation waits for a person.
    Parked,
    /// A secret's `CURRENT` is older than its `max_age`.
    Overdue,
    /// A heartbeat found that the target refuses `CURRENT`.
    Drift,
    /// A rotation is done: the previous credential is refused.
    Succeeded,
    /// What was rotated, what is due and what is late, at set times.
    Digest,
    /// Somebody wants to see whether messages arrive.
    Test,
}

impl NoticeKind {
    /// Those that a policy can name, in the order of their urgency.
    pub const NAMED: [NoticeKind; 6] = [
        NoticeKind::Parked,
        NoticeKind::Overdue,
        NoticeKind::Drift,
        NoticeKind::Failed,
        NoticeKind::RolledBack,
        NoticeKind::Succeeded,
    ];

    /// The word that policies and messages use.
    pub fn word(self) -> &'static str {
        match self {
            NoticeKind::Failed => "failed",
            NoticeKind::RolledBack => "rolled-back",
            NoticeKind::Parked => "parked",
            NoticeKind::Overdue => "overdue",
            NoticeKind::Drift => "drift",
            NoticeKind::Succeeded => "succeeded",
            NoticeKind::Digest => "digest",
            NoticeKind::Test => "test",
        }
    }
}

/// Who is told of what happens to a policy's secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notify {
    /// Names of notifiers, without repeats. Empty: nobody is told.
    pub to: Vec<String>,
    /// Without repeats. `Digest` and `Test` are never among them: a notifier itself says when it has those.
    pub on: Vec<NoticeKind>,
}

impl Notify {
    /// What is told where nothing else is written: all that may need a person.
    pub const DEFAULT_ON: [NoticeKind; 5] =
        [NoticeKind::Parked, NoticeKind::Overdue, NoticeKind::Drift, NoticeKind::Failed, NoticeKind::RolledBack];
}

/// One way to tell people, under its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotifierSpec {
    pub name: String,
    pub channel: Channel,
    /// How long further notices are waited for after the first, so that what happens at once is one message.
    pub group_wait: Duration,
    /// The shortest time between two messages.
    pub group_interval: Duration,
    /// When a digest is sent, if at all.
    pub digest: Option<DigestSchedule>,
}

/// When a digest is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DigestSchedule {
    pub cron: Cron,
    pub timezone: TimeZone,
}

/// What messages go through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Channel {
    Email(Email),
    /// A POST with the signature of Standard Webhooks.
    Webhook(Webhook),
    /// A message to an incoming webhook of Slack, or of what understands its form (Mattermost, Rocket.Chat).
    Slack(Chat),
    /// A message to a workflow of Microsoft Teams.
    Teams(Chat),
    /// The program's own log.
    Log,
}

/// Mail through one SMTP server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Email {
    pub host: String,
    pub port: u16,
    pub tls: MailTls,
    /// Authorities to trust beside the system's, as PEM.
    pub ca_file: Option<PathBuf>,
    /// Whom to log in as, if at all. Never `AdminSource::Own`.
    pub login: Option<AdminSource>,
    /// A mailbox, such as `keywheel <keywheel@example.com>`.
    pub from: String,
    /// Mailboxes, at least one.
    pub to: Vec<String>,
}

/// How a connection to a mail server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailTls {
    /// Begins in clear, and must change to TLS before anything is said (RFC 3207).
    StartTls,
    /// TLS from the first byte (RFC 8314).
    Implicit,
    /// In clear: to this machine only, unless `insecure: true` says otherwise.
    Disable,
}

/// An address that takes signed messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// `https`, or `http` to this machine, unless `insecure: true` says otherwise.
    pub url: String,
    /// The key of the signature: `whsec_` and base64, or base64 alone. Several while it changes: each signs.
    pub signed_with: Vec<Reference>,
    /// Authorities to trust beside the system's, as PEM.
    pub ca_file: Option<PathBuf>,
}

/// An address that is itself a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chat {
    pub url: Reference,
    /// Authorities to trust beside the system's, as PEM.
    pub ca_file: Option<PathBuf>,
}

/// Where a text is that must not be written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// A field of `CURRENT` of a secret in the store.
    Secret { name: String, field: String },
    /// The value of an environment variable.
    Env(String),
    /// The content of a file, without the line break at its end.
    File(PathBuf),
}
