//! When a key that is made now ends by itself, as far as its declaration says.

use std::time::SystemTime;

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use serde_json::{Map, Value};

use crate::duration;
use crate::provider::Provider;
use crate::template::setting;

/// The moment of a call plus the lifetime that its policy gives to keys.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expiry {
    /// In whole seconds.
    at: Timestamp,
    lifetime: u64,
}

/// A spelling of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExpiryPart {
    /// `2026-11-24`, in UTC.
    Date,
    /// RFC 3339 in UTC, in seconds.
    Time,
    /// The lifetime in seconds.
    Seconds,
}

impl ExpiryPart {
    pub const ALL: [ExpiryPart; 3] = [ExpiryPart::Date, ExpiryPart::Time, ExpiryPart::Seconds];

    /// The word after `expires.`.
    pub fn word(self) -> &'static str {
        match self {
            ExpiryPart::Date => "date",
            ExpiryPart::Time => "time",
            ExpiryPart::Seconds => "seconds",
        }
    }
}

impl Expiry {
    /// `None` where the declaration knows no lifetime.
    pub fn of(provider: &Provider, target: &Map<String, Value>, now: SystemTime) -> Option<Expiry> {
        let name = provider.lifetime.as_deref()?;
        let lifetime = setting(&provider.settings, target, name)?.as_str().and_then(duration::parse)?.as_secs();
        let now = Timestamp::from_second(Timestamp::try_from(now).ok()?.as_second()).ok()?;
        let at = now.checked_add(SignedDuration::from_secs(i64::try_from(lifetime).ok()?)).ok()?;
        Some(Expiry { at, lifetime })
    }

    /// The lifetime in seconds.
    pub fn seconds(self) -> u64 {
        self.lifetime
    }

    /// As a text.
    pub fn text(self, part: ExpiryPart) -> String {
        match part {
            ExpiryPart::Date => self.at.to_zoned(TimeZone::UTC).date().to_string(),
            ExpiryPart::Time => self.at.to_string(),
            ExpiryPart::Seconds => self.lifetime.to_string(),
        }
    }
}
