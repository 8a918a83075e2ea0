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

pub use webhook::sign;

/// What messages go through.
#[async_trait]
pub trait Channel: Send + Sync {
    /// Hands a message over, at this instant. `Ok` says that it was taken: by the mail server, not by its reader. May be repeated.
    ///
    /// # Errors
    /// Whatever went wrong; the message may have been taken all the same.
    async fn send(&self, message: &Message, now: Timestamp) -> Result<(), SendError>;
}

/// A message was not taken, as far as can be seen. Holds no secret value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SendError {
    pub message: String,
    /// The other side asks not to be tried again earlier.
    pub retry_after: Option<Duration>,
}

impl SendError {
    fn new(message: impl Into<String>) -> Self {
        SendError { message: message.into(), retry_after: None }
    }
}

impl From<String> for SendError {
    fn from(message: String) -> Self {
        SendError::new(message)
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
