//! Who is told: notices from the outbox of the state store become messages to people, by mail, webhook, chat or log.
//!
//! `consumer` is for applications, and not for people: what is done with a new version before the previous one ends.
//!
//! The engine never waits for this: it writes notices beside its events, and each notifier walks behind them. Bottom up:
//! `message` is what is said, `channel` is how it is handed over, `route` is who hears of what, `plan` decides what a
//! notifier does next, and `notifier` does it.
//!
//! A message is begun durably before it is handed over, and ended after it was taken. So a crash, or an answer that was lost,
//! can repeat one and never lose it; a repeated one has the same id.

mod channel;
mod consumer;
mod message;
mod notifier;
mod plan;
mod route;

pub use channel::{Channel, Credentials, SendError, Sent, channel_of, sign};
pub use consumer::{Version, consume};
pub use message::{Message, Sender};
pub use notifier::{Digests, Notifier, Time};
pub use route::Routes;
