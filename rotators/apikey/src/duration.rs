//! Lengths of time as policies write them.

use std::time::Duration;

/// Units from the longest to the shortest, with their seconds.
const UNITS: [(char, u64); 5] = [('w', 604_800), ('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];
/// Ten years: the longest that policies may write, and far from what overflows a calendar.
const LONGEST: u64 = 3_660 * 86_400;

/// `90s`, `24h`, `90d`, `2w`, or several units from the longest to the shortest: `1d12h`.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    let (mut rest, mut total, mut units) = (text, 0u64, UNITS.iter());
    loop {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, tail) = rest.split_at(digits);
        let unit = tail.chars().next()?;
        let (_, seconds) = units.find(|(letter, _)| *letter == unit)?;
        total = number.parse::<u64>().ok()?.checked_mul(*seconds)?.checked_add(total)?;
        rest = &tail[unit.len_utf8()..];
        if rest.is_empty() {
            return (total <= LONGEST).then(|| Duration::from_secs(total));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_policies_write_them() {
        for (text, seconds) in
            [("90s", 90), ("30m", 1_800), ("24h", 86_400), ("2w", 1_209_600), ("1d12h", 129_600), ("0s", 0)]
        {
            assert_eq!(parse(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        for text in
            ["", "30", "s", "30x", "1h1d", "1h1h", "1.5h", "-1h", " 1h", "1 h", "99999999999999999999s", "600w", "1ü"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
