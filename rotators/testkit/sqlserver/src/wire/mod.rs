//! The line: TDS 7.4 and TDS 8.0 as [MS-TDS] has them, from packets up to a login's conversation with its session.

mod answer;
mod conversation;
mod input;
mod line;
mod login7;
mod parameter;
mod prelogin;
mod prepared;
mod request;
mod table;
mod tls;
mod tokens;
mod welcome;
mod wrapped;

use crate::exchange::{Message, Reply};

pub(crate) use tls::Tls;
pub(crate) use welcome::serve;

/// The first error among replies.
pub(crate) fn first_error(replies: &[Reply]) -> Option<&Message> {
    answer::errors(replies).next()
}
