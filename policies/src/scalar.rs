//! Small texts with a form of their own: durations, clock times, dates, names.

use std::time::Duration;

use jiff::civil::{Date, DateTime, Time};

/// Units from the longest to the shortest, with their seconds.
const UNITS: [(char, u64); 5] = [('w', 604_800), ('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

/// Longer than any policy has reason to wait, and far from what overflows a calendar.
const MAX_SECONDS: u64 = 3_660 * 86_400;

/// Why a duration was refused, as a fragment.
pub(crate) type Refusal = &'static str;

/// `90s`, `30m`, `24h`, `30d`, `2w`, or several from the longest to the shortest: `1d12h`.
pub(crate) fn duration(text: &str) -> Result<Duration, Refusal> {
    let mut rest = text;
    let mut total = 0_u64;
    let mut last = u64::MAX;
    if text.is_empty() {
        return Err("a duration is missing");
    }
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, tail) = rest.split_at(digits);
        if number.is_empty() {
            return Err("a duration is a number with a unit");
        }
        let Some(unit) = tail.chars().next() else { return Err("a duration needs a unit") };
        let Some((_, seconds)) = UNITS.iter().find(|(letter, _)| *letter == unit) else {
            return Err("this unit is not known");
        };
        if *seconds >= last {
            return Err("units go from the longest to the shortest, each once");
        }
        last = *seconds;
        total = number
            .parse::<u64>()
            .ok()
            .and_then(|n| n.checked_mul(*seconds))
            .and_then(|n| n.checked_add(total))
            .filter(|n| *n <= MAX_SECONDS)
            .ok_or("a duration may not be longer than ten years")?;
        rest = &tail[unit.len_utf8()..];
    }
    Ok(Duration::from_secs(total))
}

/// A duration as people write it: `1d12h`. Parts of a second are dropped.
pub(crate) fn spell(duration: Duration) -> String {
    let mut seconds = duration.as_secs();
    let mut text = String::new();
    for (letter, unit) in UNITS.iter().skip(1) {
        if seconds >= *unit {
            text.push_str(&format!("{}{letter}", seconds / unit));
            seconds %= unit;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// `HH:MM`, and `24:00` as the day's end (midnight, told by `true`).
pub(crate) fn clock_time(text: &str) -> Option<(Time, bool)> {
    let (hour, minute) = text.split_once(':')?;
    let two = |part: &str| {
        (part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit())).then(|| part.parse::<i8>().ok()).flatten()
    };
    match (two(hour)?, two(minute)?) {
        (24, 0) => Some((Time::midnight(), true)),
        (hour, minute) => Some((Time::new(hour, minute, 0, 0).ok()?, false)),
    }
}

/// A date, or a date with a clock time; `false` for a bare date.
pub(crate) fn date_or_time(text: &str) -> Option<(DateTime, bool)> {
    if text.len() == 10 {
        return text.parse::<Date>().ok().map(|date| (date.to_datetime(Time::midnight()), false));
    }
    let wall = text.len() >= 16 && !text.contains(['Z', 'z', '+', '[']) && text.matches('-').count() == 2;
    wall.then(|| text.parse::<DateTime>().ok()).flatten().map(|time| (time, true))
}

/// Longest names that stores and file systems all take.
const MAX_NAME: usize = 200;

/// Letters, digits and `. _ -`, and `/` between parts; no part is empty or made of dots only.
pub(crate) fn is_name(text: &str, slashes: bool) -> bool {
    let part_is_fine = |part: &str| {
        !part.is_empty()
            && part.chars().any(|c| c != '.')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
    };
    text.len() <= MAX_NAME && (slashes || !text.contains('/')) && text.split('/').all(part_is_fine)
}

/// A name that environments accept.
pub(crate) fn is_variable_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.len() <= MAX_NAME
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Whether this host is the machine itself.
pub(crate) fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The word that was probably meant.
pub(crate) fn closest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let written = written.to_lowercase();
    known
        .into_iter()
        .map(|word| {
            let other = word.to_lowercase();
            // A different separator (`max-age`, `maxAge`) is the most common slip.
            let bare = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).collect::<String>();
            let score = if bare(&other) == bare(&written) { 1.0 } else { strsim::jaro_winkler(&written, &other) };
            (score, strsim::damerau_levenshtein(&written, &other), word)
        })
        .filter(|(score, distance, word)| *score >= 0.99 || (*distance <= 1 + word.chars().count() / 4 && *score > 0.7))
        .max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)))
        .map(|(_, _, word)| word)
}

/// Words for a help line: `a`, `b` or `c`.
pub(crate) fn list_words<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    match words.split_last() {
        None => "none".to_owned(),
        Some((one, [])) => one.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_need_units() {
        // What a rotator reads of its settings is the same: the file is also its test's.
        let cases: Vec<_> =
            include_str!("../tests/durations.txt").lines().filter_map(|line| line.rsplit_once('=')).collect();
        assert!(cases.len() > 15, "the cases are there");
        for (text, seconds) in cases {
            assert_eq!(duration(text).ok().map(|d| d.as_secs()), seconds.parse().ok(), "`{text}`");
        }
    }

    #[test]
    fn clock_times() {
        assert_eq!(clock_time("02:05"), Some((Time::constant(2, 5, 0, 0), false)));
        assert_eq!(clock_time("24:00"), Some((Time::midnight(), true)));
        for text in ["2:05", "24:01", "02:60", "02", "02:05:00", "-1:00", "+2:00"] {
            assert_eq!(clock_time(text), None, "{text}");
        }
    }

    #[test]
    fn dates_with_and_without_times() {
        assert!(date_or_time("2026-12-20").is_some_and(|(_, timed)| !timed));
        assert!(date_or_time("2026-12-20T18:00").is_some_and(|(_, timed)| timed));
        for text in ["2026-13-01", "2026-12-20T18:00Z", "2026-12-20T18:00+01:00", "20.12.2026", "tomorrow"] {
            assert_eq!(date_or_time(text), None, "{text}");
        }
    }

    #[test]
    fn names() {
        for name in ["orders", "prod/orders/db", "a.b-c_d"] {
            assert!(is_name(name, true), "{name}");
        }
        for name in ["", "/a", "a/", "a//b", "../a", "a b", "ä", "a\n"] {
            assert!(!is_name(name, true), "{name}");
        }
        assert!(!is_name("a/b", false));
    }

    #[test]
    fn the_closest_word() {
        let known = ["max_age", "schedule", "secret", "strategy", "verify"];
        assert_eq!(closest("max-age", known), Some("max_age"));
        assert_eq!(closest("maxAge", known), Some("max_age"));
        assert_eq!(closest("shedule", known), Some("schedule"));
        assert_eq!(closest("verfiy", known), Some("verify"));
        assert_eq!(closest("colour", known), None);
    }

    proptest! {
        #[test]
        fn a_spelled_duration_reads_back(seconds in 0..MAX_SECONDS) {
            let whole = Duration::from_secs(seconds);
            prop_assert_eq!(duration(&spell(whole)), Ok(whole));
        }
    }
}
