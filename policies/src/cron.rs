//! Standard five-field cron, matched against wall-clock fields.
//!
//! Only the calendar side lives here. Which instant a wall-clock time is, in a zone with clock changes, is decided by
//! `keywheel-core`, which is why [`Cron::is_interval`] says what kind of expression it is.
//!
//! The dialect is POSIX `crontab` with the extensions that every implementation shares (names, steps, 7 = Sunday). The `cron`
//! crate does the matching, in a dialect of its own: seconds first, Sunday = 1, and both day fields must fit. So each field is
//! checked and written out as a plain list for it, with names for days of the week; where either day field is enough, there
//! are two schedules. Its zones are not used (`chrono`'s UTC merely carries the fields): it fires twice where clocks are set
//! back, and may return what has passed.

use std::fmt;
use std::str::FromStr;

use chrono::{Datelike, NaiveDate, Timelike, Utc};
use cron::{Schedule, TimeUnitSpec};
use jiff::ToSpan as _;
use jiff::civil::{Date, DateTime, Time, Weekday, date};

/// One of the five fields, in the order in which they are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CronField {
    Minute,
    Hour,
    DayOfMonth,
    Month,
    DayOfWeek,
}

impl CronField {
    const ALL: [CronField; 5] =
        [CronField::Minute, CronField::Hour, CronField::DayOfMonth, CronField::Month, CronField::DayOfWeek];

    /// The lowest and the highest number that may be written.
    fn bounds(self) -> (u8, u8) {
        match self {
            CronField::Minute => (0, 59),
            CronField::Hour => (0, 23),
            CronField::DayOfMonth => (1, 31),
            CronField::Month => (1, 12),
            CronField::DayOfWeek => (0, 7),
        }
    }

    /// Names that stand for numbers, the first for the lowest.
    fn names(self) -> &'static [&'static str] {
        match self {
            CronField::Month => &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
            CronField::DayOfWeek => &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
            CronField::Minute | CronField::Hour | CronField::DayOfMonth => &[],
        }
    }
}

impl fmt::Display for CronField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CronField::Minute => "minute",
            CronField::Hour => "hour",
            CronField::DayOfMonth => "day of month",
            CronField::Month => "month",
            CronField::DayOfWeek => "day of week",
        })
    }
}

/// Why a cron expression was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CronError {
    /// The field at fault; `None` where it is the expression as a whole.
    pub field: Option<CronField>,
    /// What is wrong, naming the field.
    pub message: String,
    /// What to write instead, where that can be said.
    pub help: Option<String>,
    /// The part at fault: first character and number of characters within the expression.
    pub span: (usize, usize),
}

/// A five-field cron expression that fires at least once in its life.
#[derive(Debug, Clone)]
pub struct Cron {
    text: String,
    /// It fires when one of them does. Two where either day field is enough; they differ in these alone.
    schedules: Vec<Schedule>,
    interval: bool,
}

/// By the text, as it is written: what else there is follows from it.
impl PartialEq for Cron {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Cron {}

/// Within 40 years every combination of month, day and weekday that exists occurs, leap days on each weekday included.
const HORIZON_YEARS: i16 = 40;

impl Cron {
    /// Parses minute, hour, day of month, month and day of week.
    ///
    /// Understands `*`, numbers, names of months and days, lists, ranges and steps. 0 and 7 are Sunday. A range of days of
    /// the week may run over the weekend (`sat-mon`).
    ///
    /// # Errors
    /// Whatever is not of this dialect, and expressions that never fire, such as the 31st of February.
    pub fn parse(text: &str) -> Result<Self, CronError> {
        let fields = split(text);
        let whole = (0, text.chars().count().max(1));
        if text.trim_start().starts_with('@') {
            return Err(CronError {
                field: None,
                message: "names like `@daily` are not part of five-field cron".to_owned(),
                help: Some("write the five fields, such as `0 3 * * *`".to_owned()),
                span: whole,
            });
        }
        let found = fields.len();
        let Ok(fields) = <[(usize, &str); 5]>::try_from(fields) else {
            return Err(CronError {
                field: None,
                message: format!("a cron expression has five fields, this one has {found}"),
                help: Some(match found {
                    6 | 7 => "leave out seconds and years: minute, hour, day of month, month, day of week".to_owned(),
                    _ => "write minute, hour, day of month, month, day of week, such as `0 3 * * mon-fri`".to_owned(),
                }),
                span: whole,
            });
        };
        let mut sets = [0_u64; 5];
        for ((set, field), (at, part)) in sets.iter_mut().zip(CronField::ALL).zip(fields) {
            *set = parse_field(field, part, at)?;
        }
        let [minutes, hours, days, months, weekdays] = sets;
        let star = |index: usize| fields[index].1.starts_with('*');
        let schedule = |days: &str, weekdays: &str| {
            let text = format!("0 {} {} {days} {} {weekdays}", list(minutes), list(hours), list(months));
            Schedule::from_str(&text).expect("lists of numbers and names within bounds are of the library's dialect")
        };
        let (days, weekdays) = (list(days), weekday_names(weekdays));
        // POSIX: where both day fields are restricted, either is enough.
        let schedules = match (star(2), star(4)) {
            (false, false) => vec![schedule(&days, "*"), schedule("*", &weekdays)],
            (true, _) | (_, true) => vec![schedule(&days, &weekdays)],
        };
        let cron = Cron {
            text: text.split_whitespace().collect::<Vec<_>>().join(" "),
            schedules,
            interval: star(0) || star(1),
        };
        let start = date(2000, 1, 1);
        if cron.first_day(start, date(2000 + HORIZON_YEARS, 1, 1)).is_none() {
            return Err(CronError {
                field: None,
                message: "this expression never fires: no month has such a day".to_owned(),
                help: Some("check day of month against month".to_owned()),
                span: whole,
            });
        }
        Ok(cron)
    }

    /// The expression as written, with single spaces.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether minutes or hours are counted on (`*`, `*/n`) instead of being fixed clock times.
    ///
    /// In a clock change fixed times fire exactly once, while an interval runs on: nothing in the gap, both passes in the
    /// overlap.
    pub fn is_interval(&self) -> bool {
        self.interval
    }

    /// Whether it fires at all on this day.
    pub fn fires_on(&self, day: Date) -> bool {
        let weekday = u32::from(day.weekday().to_sunday_one_offset().unsigned_abs());
        self.schedules.iter().any(|schedule| {
            schedule.days_of_month().includes(u32::from(day.day().unsigned_abs()))
                && schedule.days_of_week().includes(weekday)
                && self.fires_in_month(day)
        })
    }

    /// The wall-clock times at which it fires, from `from` (included), in order, until the year 2100.
    pub fn wall_clock_from(&self, from: DateTime) -> impl Iterator<Item = DateTime> {
        let before = carried(from.checked_sub(1.nanosecond()).unwrap_or(from));
        let mut firings: Vec<_> = before
            .map(|before| self.schedules.iter().map(|schedule| schedule.after_owned(before).peekable()).collect())
            .unwrap_or_default();
        std::iter::from_fn(move || {
            let next = firings.iter_mut().filter_map(|firing| firing.peek().copied()).min()?;
            for firing in &mut firings {
                firing.next_if_eq(&next);
            }
            civil(next)
        })
    }

    /// The clock times of a day on which it fires, in order.
    pub fn times_of_day(&self) -> impl Iterator<Item = Time> {
        let schedule = &self.schedules[0];
        schedule.hours().iter().flat_map(move |hour| {
            schedule.minutes().iter().map(move |minute| Time::constant(small(hour), small(minute), 0, 0))
        })
    }

    /// The days of the week on which it may fire, whatever its other fields say.
    pub fn may_fire_on(&self, weekday: Weekday) -> bool {
        let weekday = u32::from(weekday.to_sunday_one_offset().unsigned_abs());
        self.schedules.iter().any(|schedule| schedule.days_of_week().includes(weekday))
    }

    /// The longest time between two firings, in minutes of wall-clock time.
    pub fn longest_gap_minutes(&self) -> u64 {
        let times: Vec<u64> = self.times_of_day().map(minute_of_day).collect();
        let (Some(first), Some(last)) = (times.first(), times.last()) else { return 0 };
        let within = times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0);
        let end = date(2000 + HORIZON_YEARS, 1, 1);
        let mut day = self.first_day(date(2000, 1, 1), end);
        let mut widest_days = 0;
        while let Some(this) = day {
            day = this.tomorrow().ok().and_then(|next| self.first_day(next, end));
            let days = day.and_then(|next| this.until(next).ok()).map_or(0, |span| span.get_days());
            widest_days = widest_days.max(days);
        }
        let across = u64::from(widest_days.unsigned_abs()) * 24 * 60 + first - last;
        within.max(across)
    }

    fn fires_in_month(&self, day: Date) -> bool {
        self.schedules[0].months().includes(u32::from(day.month().unsigned_abs()))
    }

    fn first_day(&self, from: Date, before: Date) -> Option<Date> {
        let mut day = from;
        while day < before {
            if self.fires_on(day) {
                return Some(day);
            }
            // Whole months that do not fire are skipped: yearly expressions would walk through eleven of them.
            day = if self.fires_in_month(day) {
                day.tomorrow().ok()?
            } else {
                day.first_of_month().checked_add(1.month()).ok()?
            };
        }
        None
    }
}

fn minute_of_day(time: Time) -> u64 {
    u64::from(time.hour().unsigned_abs()) * 60 + u64::from(time.minute().unsigned_abs())
}

/// A set of bits as the library's list of numbers.
fn list(set: u64) -> String {
    (0..64).filter(|n| set >> n & 1 == 1).map(|n| n.to_string()).collect::<Vec<_>>().join(",")
}

/// A set of bits, Sunday first, as the library's list of names: in numbers it counts from 1.
fn weekday_names(set: u64) -> String {
    let names = CronField::DayOfWeek.names();
    (0..7).filter(|n| set >> n & 1 == 1).map(|n| names[n]).collect::<Vec<_>>().join(",")
}

fn small(n: u32) -> i8 {
    i8::try_from(n).expect("hours and minutes are below 60")
}

/// A wall-clock time as the library takes it. `None` outside the calendar.
fn carried(at: DateTime) -> Option<chrono::DateTime<Utc>> {
    let day = NaiveDate::from_ymd_opt(i32::from(at.year()), at.month().try_into().ok()?, at.day().try_into().ok()?)?;
    let time = day.and_hms_nano_opt(
        at.hour().try_into().ok()?,
        at.minute().try_into().ok()?,
        at.second().try_into().ok()?,
        at.subsec_nanosecond().try_into().ok()?,
    )?;
    Some(time.and_utc())
}

/// A wall-clock time as the library gives it.
fn civil(at: chrono::DateTime<Utc>) -> Option<DateTime> {
    let day = Date::new(at.year().try_into().ok()?, at.month().try_into().ok()?, at.day().try_into().ok()?).ok()?;
    Some(day.at(small(at.hour()), small(at.minute()), small(at.second()), 0))
}

/// The fields with the character at which each begins.
fn split(text: &str) -> Vec<(usize, &str)> {
    text.split_whitespace()
        .map(|field| {
            let before = field.as_ptr().addr() - text.as_ptr().addr();
            (text[..before].chars().count(), field)
        })
        .collect()
}

/// One field as a set of bits.
fn parse_field(field: CronField, text: &str, at: usize) -> Result<u64, CronError> {
    let mut set = 0;
    let mut at = at;
    for item in text.split(',') {
        let refuse = |message: String, help: Option<String>| CronError {
            field: Some(field),
            message: format!("{field}: {message}"),
            help,
            span: (at, item.chars().count().max(1)),
        };
        set |= parse_item(field, item).map_err(|(message, help)| refuse(message, help))?;
        at += item.chars().count() + 1;
    }
    Ok(set)
}

fn parse_item(field: CronField, item: &str) -> Result<u64, (String, Option<String>)> {
    let (low, high) = field.bounds();
    let (range, step) = match item.split_once('/') {
        Some((range, step)) => (range, Some(step)),
        None => (item, None),
    };
    let (from, mut to) = if range == "*" {
        (low, if field == CronField::DayOfWeek { 6 } else { high })
    } else if let Some((from, to)) = range.split_once('-') {
        (number(field, from)?, number(field, to)?)
    } else {
        let one = number(field, range)?;
        if let Some(step) = step {
            return Err((
                "a step needs a range to walk through".to_owned(),
                Some(format!("write `{one}-{high}/{step}` or `*/{step}`")),
            ));
        }
        (one, one)
    };
    if to < from {
        if field != CronField::DayOfWeek {
            return Err((
                format!("the range ends before it begins ({from} to {to})"),
                Some(format!("write two ranges: `{from}-{high},{low}-{to}`")),
            ));
        }
        to += 7;
    }
    let step =
        match step {
            None => 1,
            Some(step) => step.parse::<u8>().ok().filter(|n| (1..=high).contains(n)).ok_or_else(|| {
                (format!("a step is a whole number from 1 to {high}"), Some("such as `*/5`".to_owned()))
            })?,
        };
    let mut set = 0_u64;
    for n in (from..=to).step_by(usize::from(step)) {
        set |= 1 << if field == CronField::DayOfWeek { n % 7 } else { n };
    }
    Ok(set)
}

fn number(field: CronField, text: &str) -> Result<u8, (String, Option<String>)> {
    let (low, high) = field.bounds();
    let names = field.names();
    if let Some(position) = names.iter().position(|name| text.eq_ignore_ascii_case(name)) {
        return Ok(low + u8::try_from(position).expect("twelve names at most"));
    }
    let help = match field {
        CronField::Month => format!("{low} to {high}, or jan to dec"),
        CronField::DayOfWeek => "0 to 7 (0 and 7 are Sunday), or sun to sat".to_owned(),
        CronField::Minute | CronField::Hour | CronField::DayOfMonth => format!("{low} to {high}"),
    };
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return match text.parse::<u8>() {
            Ok(n) if (low..=high).contains(&n) => Ok(n),
            Ok(_) | Err(_) => Err(("out of range".to_owned(), Some(help))),
        };
    }
    let odd = text.contains(['L', 'W', '#', '?', 'l', 'w']);
    let message = match (text.is_empty(), odd) {
        (true, _) => "empty",
        (false, true) => "`L`, `W`, `#` and `?` are not part of standard cron",
        (false, false) => "neither a number nor a name",
    };
    Err((message.to_owned(), Some(help)))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a panic is the test's failure")]

    use jiff::civil::datetime;

    use super::*;

    fn first(expression: &str, from: DateTime, count: usize) -> Vec<String> {
        Cron::parse(expression).unwrap().wall_clock_from(from).take(count).map(|t| t.to_string()).collect()
    }

    #[test]
    fn sunday_is_zero_and_seven() {
        let from = datetime(2026, 1, 1, 0, 0, 0, 0);
        assert_eq!(first("0 3 * * 0", from, 3), first("0 3 * * 7", from, 3));
        assert_eq!(first("0 3 * * sun", from, 1), ["2026-01-04T03:00:00"]);
        assert_eq!(
            first("0 3 * * 5-7", from, 3),
            ["2026-01-02T03:00:00", "2026-01-03T03:00:00", "2026-01-04T03:00:00"]
        );
    }

    #[test]
    fn either_day_field_is_enough_where_both_are_restricted() {
        let from = datetime(2026, 1, 1, 0, 0, 0, 0);
        assert_eq!(
            first("0 3 13 * fri", from, 3),
            ["2026-01-02T03:00:00", "2026-01-09T03:00:00", "2026-01-13T03:00:00"]
        );
    }

    #[test]
    fn days_of_the_week_may_run_over_the_weekend() {
        let from = datetime(2026, 1, 2, 0, 0, 0, 0);
        assert_eq!(
            first("0 3 * * SAT-MON", from, 3),
            ["2026-01-03T03:00:00", "2026-01-04T03:00:00", "2026-01-05T03:00:00"]
        );
    }

    #[test]
    fn a_leap_day_is_found() {
        assert_eq!(first("0 0 29 2 *", datetime(2028, 3, 1, 0, 0, 0, 0), 1), ["2032-02-29T00:00:00"]);
    }

    #[test]
    fn what_begins_within_a_minute_is_met_at_the_next() {
        assert_eq!(first("* * * * *", datetime(2026, 1, 1, 23, 59, 1, 0), 1), ["2026-01-02T00:00:00"]);
    }

    #[test]
    fn what_never_fires_is_refused() {
        for never in ["0 0 31 2 *", "0 0 30 feb *", "0 0 31 4,6,9,11 *"] {
            assert!(Cron::parse(never).unwrap_err().message.contains("never fires"), "{never}");
        }
    }

    #[test]
    fn messages_name_the_field_and_its_place() {
        let error = Cron::parse("0 3  * jam *").unwrap_err();
        assert_eq!((error.field, error.span), (Some(CronField::Month), (7, 3)));
        for (expression, fragment) in [
            ("0 3 * *", "five fields, this one has 4"),
            ("0 0 3 * * *", "this one has 6"),
            ("60 3 * * *", "minute: out of range"),
            ("0 3 0 * *", "day of month: out of range"),
            ("0 3 * * 8", "day of week: out of range"),
            ("0 5-3 * * *", "ends before it begins"),
            ("0 3 L * *", "not part of standard cron"),
            ("5/15 * * * *", "a step needs a range"),
            ("*/0 * * * *", "a step is a whole number"),
            ("1,,2 * * * *", "empty"),
            ("@daily", "@daily"),
            ("", "five fields"),
        ] {
            let error = Cron::parse(expression).unwrap_err();
            assert!(error.message.contains(fragment), "{expression}: {error}");
        }
    }

    #[test]
    fn the_longest_gap() {
        for (expression, minutes) in [
            ("* * * * *", 1),
            ("0 3 * * *", 24 * 60),
            ("0 9-17 * * *", 16 * 60),
            ("0 3 * * mon-fri", 3 * 24 * 60),
            ("0 3 1 * *", 31 * 24 * 60),
            ("0 3 1 */3 *", 92 * 24 * 60),
            ("0 0 29 2 *", 1461 * 24 * 60),
        ] {
            assert_eq!(Cron::parse(expression).unwrap().longest_gap_minutes(), minutes, "{expression}");
        }
    }

    #[test]
    fn intervals_are_told_from_fixed_times() {
        for (expression, interval) in
            [("*/15 * * * *", true), ("0 * * * *", true), ("30 2 * * *", false), ("0 1-3 * * *", false)]
        {
            assert_eq!(Cron::parse(expression).unwrap().is_interval(), interval, "{expression}");
        }
    }
}
