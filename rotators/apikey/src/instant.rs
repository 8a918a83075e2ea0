//! Instants as providers write them.

use jiff::civil::{Date, Time};
use jiff::{Timestamp, tz::TimeZone};
use serde_json::Value;

/// What a date without a time of day stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Day {
    First,
    Last,
}

/// RFC 3339, Unix seconds as a number or in digits, or a date in UTC. `None`: none of them.
pub(crate) fn parse(value: &Value, day: Day) -> Option<Timestamp> {
    match value {
        Value::Number(number) => match number.as_i64() {
            Some(seconds) => Timestamp::from_second(seconds).ok(),
            None => fraction(number.as_f64()?),
        },
        Value::String(text) if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => {
            // Fewer digits are a year or a compact date.
            (text.len() >= 9).then(|| text.parse().ok().and_then(|seconds| Timestamp::from_second(seconds).ok()))?
        }
        Value::String(text) if text.len() == 10 => {
            let time = match day {
                Day::First => Time::midnight(),
                Day::Last => Time::constant(23, 59, 59, 0),
            };
            let date: Date = text.parse().ok()?;
            TimeZone::UTC.to_timestamp(date.to_datetime(time)).ok()
        }
        Value::String(text) => text.parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Whole seconds are enough.
fn fraction(seconds: f64) -> Option<Timestamp> {
    // What is beyond an `i64` becomes its nearest end, which is no instant.
    Timestamp::from_second(seconds.floor() as i64).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn as_providers_write_them() {
        for (value, first, last) in [
            (json!("2026-11-24T21:00:00Z"), "2026-11-24T21:00:00Z", "2026-11-24T21:00:00Z"),
            (json!("2026-11-24T21:00:00.25+02:00"), "2026-11-24T19:00:00.25Z", "2026-11-24T19:00:00.25Z"),
            (json!("2026-11-24 21:00:00+0000"), "2026-11-24T21:00:00Z", "2026-11-24T21:00:00Z"),
            (json!("2026-11-24"), "2026-11-24T00:00:00Z", "2026-11-24T23:59:59Z"),
            (json!(1_795_554_000), "2026-11-24T21:00:00Z", "2026-11-24T21:00:00Z"),
            (json!(1_795_554_000.9), "2026-11-24T21:00:00Z", "2026-11-24T21:00:00Z"),
            (json!("1795554000"), "2026-11-24T21:00:00Z", "2026-11-24T21:00:00Z"),
            (json!("0001-01-01T00:00:00Z"), "0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ] {
            assert_eq!(parse(&value, Day::First).map(|time| time.to_string()).as_deref(), Some(first), "{value}");
            assert_eq!(parse(&value, Day::Last).map(|time| time.to_string()).as_deref(), Some(last), "{value}");
        }
        for value in [
            json!(null),
            json!(true),
            json!(""),
            json!("2026"),
            json!("20261124"),
            json!("2026-11-24T21:00:00"),
            json!("2026-13-24"),
            json!("24/11/2026"),
            json!("never"),
            // Milliseconds are no seconds.
            json!(1_795_554_000_000_i64),
            json!(1e300),
            json!(["2026-11-24"]),
        ] {
            assert_eq!(parse(&value, Day::First), None, "{value}");
        }
    }
}
