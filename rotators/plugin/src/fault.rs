//! What a plugin did wrong.

use std::process::ExitStatus;
use std::time::Duration;

use keywheel_sdk::message::Malformed;
use keywheel_sdk::{Retry, RotatorError};

use crate::library::{LoadError, NoReply};

/// What a plugin's process did wrong.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The system did not start it.
    #[error("its process does not start: {0}")]
    NotStarted(#[source] std::io::Error),
    /// It said nothing in this time.
    #[error("it did not greet within {} s", .0.as_secs())]
    NoGreeting(Duration),
    /// It is a library that does not load.
    #[error(transparent)]
    NotLoaded(#[from] LoadError),
    /// Its library did not do what each must.
    #[error(transparent)]
    NoReply(#[from] NoReply),
    /// It said itself why it cannot go on.
    #[error("{0}")]
    Said(String),
    /// It speaks a format that was not offered.
    #[error("it speaks format {0} of the messages, which this version does not")]
    Format(u32),
    /// It says something else of itself than when it was first started.
    #[error("it says that it is another one than before")]
    Changed,
    /// Its process ended in the middle.
    #[error("its process ended: {0}")]
    Ended(ExitStatus),
    /// It closed its output and runs on.
    #[error("it closed its output")]
    Closed,
    /// Reading from it or writing to it failed.
    #[error("its pipes broke: {0}")]
    Pipe(#[source] std::io::Error),
    /// What it wrote is no message.
    #[error("{0}")]
    Malformed(#[from] Malformed),
    /// It answered a call that was not asked: the second answer to an earlier one, or one to no call at all.
    #[error("it answered call {got} instead of {expected}")]
    OtherCall { got: u64, expected: u64 },
    /// It wrote without being asked.
    #[error("it wrote {0} messages that nobody asked for")]
    Flood(usize),
    /// A call that nobody waits for still runs in this process, and could act at any moment.
    #[error("an earlier call still runs, and cannot be ended")]
    Busy,
    /// No answer came while the call could still act.
    #[error("it did not answer in time")]
    Late,
}

impl Fault {
    /// One word for filters.
    pub fn code(&self) -> &'static str {
        match self {
            Fault::NotStarted(_) => "plugin-not-started",
            Fault::NoGreeting(_) => "plugin-no-greeting",
            Fault::NotLoaded(_) => "plugin-not-loaded",
            Fault::NoReply(_) => "plugin-no-reply",
            Fault::Said(_) => "plugin-failure",
            Fault::Format(_) => "plugin-format",
            Fault::Changed => "plugin-changed",
            Fault::Ended(_) => "plugin-ended",
            Fault::Closed => "plugin-closed",
            Fault::Pipe(_) => "plugin-pipe",
            Fault::Malformed(_) => "plugin-malformed",
            Fault::OtherCall { .. } => "plugin-other-call",
            Fault::Flood(_) => "plugin-flood",
            Fault::Busy => "plugin-busy",
            Fault::Late => "plugin-late",
        }
    }

    /// Before the plugin had the whole call: nothing has happened.
    pub(crate) fn before(&self, plugin: &str) -> RotatorError {
        RotatorError::not_done(Retry::Now, self.code(), format!("the plugin `{plugin}` was not asked: {self}"))
    }

    /// After it: whatever was asked may have happened.
    pub(crate) fn after(&self, plugin: &str) -> RotatorError {
        RotatorError::unknown(self.code(), format!("the plugin `{plugin}` gave no answer: {self}"))
    }
}
