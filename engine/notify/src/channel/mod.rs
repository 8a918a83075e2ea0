//! How a message is handed over.

mod chat;
mod email;
mod http;
mod log;
mod webhook;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use keywheel_policies::{AdminSource, Channel as Spec, Reference};
use keywheel_sdk::Secret;

use crate::Message;

pub(crate) use webhook::post_signed;
pub use webhook::sign;

/// What messages go through.
#[async_trait]
pub trait Channel: Send + Sync {
    /// Hands a message over, at this instant, to all but those who `has` says have it. `Ok` says that it was taken: by the mail
    /// server, not by its reader. May be repeated.
    ///
    /// Ends by itself within two minutes.
    ///
    /// # Errors
    /// Whatever went wrong, and who has it now.
    async fn send(&self, message: &Message, has: &[String], now: Timestamp) -> Result<Sent, SendError>;

    /// How many notices one message writes out; others need another message. `None`: it counts the rest, and that is enough.
    fn most(&self) -> Option<usize> {
        None
    }
}

/// How long handing over takes at the most.
pub(crate) const LONGEST: Duration = Duration::from_secs(120);

/// It was taken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sent {
    /// What is wrong all the same: a recipient whom the server does not know, and who will never get it.
    pub but: Option<String>,
}

/// A message was not taken by all, as far as can be seen. Holds no secret value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SendError {
    pub message: String,
    /// The other side asks not to be tried again earlier.
    pub retry_after: Option<Duration>,
    /// It is certain that those who are not in `has` do not have it.
    pub untaken: bool,
    /// It was refused for what it says, and would be again.
    pub of_content: bool,
    /// Those recipients who have it, where there are several.
    pub has: Vec<String>,
}

impl SendError {
    /// Nobody knows whether it was taken.
    pub fn unknown(message: impl Into<String>) -> Self {
        SendError { message: message.into(), retry_after: None, untaken: false, of_content: false, has: Vec::new() }
    }

    /// It was certainly not taken.
    pub fn untaken(message: impl Into<String>) -> Self {
        SendError { untaken: true, ..SendError::unknown(message) }
    }
}

/// Nothing was sent, for want of a credential.
impl From<String> for SendError {
    fn from(message: String) -> Self {
        SendError::untaken(message)
    }
}

/// Where secret texts come from. Asked for each message anew, since they change.
#[async_trait]
pub trait Credentials: Send + Sync {
    /// The text behind a reference.
    ///
    /// # Errors
    /// Why there is none, for people.
    async fn text(&self, reference: &Reference) -> Result<Secret, String>;

    /// An account's name and password.
    ///
    /// # Errors
    /// Why there are none, for people.
    async fn login(&self, source: &AdminSource) -> Result<(String, Secret), String>;
}

/// The channel that `keywheel.yaml` describes. Opens nothing.
pub fn channel_of(spec: &Spec, credentials: Arc<dyn Credentials>) -> Box<dyn Channel> {
    match spec {
        Spec::Email(email) => Box::new(email::Email::new(email.clone(), credentials)),
        Spec::Webhook(webhook) => Box::new(webhook::Webhook::new(webhook.clone(), credentials)),
        Spec::Slack(chat) => Box::new(chat::Chat::new(chat::Form::Slack, chat.clone(), credentials)),
        Spec::Teams(chat) => Box::new(chat::Chat::new(chat::Form::Teams, chat.clone(), credentials)),
        Spec::Log => Box::new(log::Log),
    }
}
