//! Durations as policies write them.

use std::time::Duration;

/// From the longest to the shortest, with their seconds.
const UNITS: [(char, u64); 5] = [('w', 604_800), ('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

/// Ten years, leap days included: the longest that a policy can say.
const LONGEST: u64 = 3_660 * 86_400;

/// Reads what [`crate::SettingKind::Duration`] describes: `90s`, `24h`, `1d12h`. Takes what policies take, and nothing else.
///
/// # Errors
/// What is wrong with the text, as a fragment.
pub fn duration(text: &str) -> Result<Duration, &'static str> {
    let (mut rest, mut units, mut seconds) = (text, UNITS.as_slice(), 0_u64);
    if rest.is_empty() {
        return Err("it is empty");
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit()).ok_or("the last number has no unit")?;
        let (number, tail) = rest.split_at(end);
        let letter = tail.chars().next().ok_or("the last number has no unit")?;
        if number.is_empty() {
            return Err("each unit has a whole number before it");
        }
        if !UNITS.iter().any(|(unit, _)| *unit == letter) {
            return Err("the units are w, d, h, m and s");
        }
        // Only what is shorter than the last unit is left to be said.
        let at =
            units.iter().position(|(unit, _)| *unit == letter).ok_or("the longest unit comes first, and each once")?;
        let (_, size) = units[at];
        let more = number.parse::<u64>().ok().and_then(|number| number.checked_mul(size));
        seconds = more
            .and_then(|more| seconds.checked_add(more))
            .filter(|all| *all <= LONGEST)
            .ok_or("it is longer than ten years")?;
        (rest, units) = (&tail[letter.len_utf8()..], &units[at + 1..]);
    }
    Ok(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    /// The same file is read by the test of the reader of policies: what that one lets through, a rotator can read.
    const CASES: &str = include_str!("../../../policies/tests/durations.txt");

    #[test]
    fn durations_are_those_of_policies() {
        let cases: Vec<_> = CASES.lines().map(|line| line.rsplit_once('=').unwrap()).collect();
        assert!(cases.len() > 15, "the cases are there");
        for (text, seconds) in cases {
            assert_eq!(duration(text).ok().map(|d| d.as_secs()), seconds.parse().ok(), "`{text}`");
        }
    }
}
