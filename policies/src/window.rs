//! Arithmetic on windows, in wall-clock time. Instants and clock changes are `keywheel-core`'s.

use jiff::civil::{DateTime, Weekday};

use crate::model::Window;

const DAY: u32 = 24 * 60;
const WEEK: u32 = 7 * DAY;

impl Window {
    /// Whether the window is open at this wall-clock time.
    pub fn contains(&self, at: DateTime) -> bool {
        let (day, time) = (at.weekday(), at.time());
        if self.closes_next_day() {
            (self.opens_on(day) && time >= self.from) || (self.opens_on(day.previous()) && time < self.to)
        } else {
            self.opens_on(day) && time >= self.from && time < self.to
        }
    }

    /// Whether it opens on this day of the week.
    pub fn opens_on(&self, day: Weekday) -> bool {
        self.days.contains(&day)
    }

    /// Whether it runs across midnight.
    pub fn closes_next_day(&self) -> bool {
        self.to <= self.from
    }

    /// The longest time between closing and opening again, in minutes of wall-clock time. Zero where it never closes.
    pub fn longest_closed_minutes(&self) -> u32 {
        let minute = |time: jiff::civil::Time| {
            u32::from(time.hour().unsigned_abs()) * 60 + u32::from(time.minute().unsigned_abs())
        };
        let (from, to) = (minute(self.from), minute(self.to));
        let length = if self.closes_next_day() { to + DAY - from } else { to - from };
        let mut opens: Vec<u32> =
            self.days.iter().map(|day| u32::from(day.to_monday_zero_offset().unsigned_abs()) * DAY + from).collect();
        opens.sort_unstable();
        let Some(first) = opens.first().copied() else { return WEEK };
        opens.push(first + WEEK);
        opens.windows(2).map(|pair| (pair[1] - pair[0]).saturating_sub(length)).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::{Time, datetime};

    use super::*;

    fn window(days: &[Weekday], from: (i8, i8), to: (i8, i8)) -> Window {
        let time = |(hour, minute)| Time::constant(hour, minute, 0, 0);
        Window { days: days.to_vec(), from: time(from), to: time(to) }
    }

    #[test]
    fn a_window_across_midnight_belongs_to_the_day_it_opens() {
        let friday_night = window(&[Weekday::Friday], (22, 0), (2, 0));
        assert!(friday_night.contains(datetime(2026, 1, 2, 22, 0, 0, 0)));
        assert!(friday_night.contains(datetime(2026, 1, 3, 1, 59, 59, 0)));
        assert!(!friday_night.contains(datetime(2026, 1, 3, 2, 0, 0, 0)));
        assert!(!friday_night.contains(datetime(2026, 1, 2, 1, 0, 0, 0)));
    }

    #[test]
    fn the_longest_closed_time() {
        use Weekday::{Sunday, Thursday, Tuesday, Wednesday};
        let all = [Weekday::Monday, Tuesday, Wednesday, Thursday, Weekday::Friday, Weekday::Saturday, Sunday];
        assert_eq!(window(&[Tuesday, Wednesday, Thursday], (2, 0), (5, 0)).longest_closed_minutes(), 4 * DAY + 21 * 60);
        assert_eq!(window(&all, (2, 0), (5, 0)).longest_closed_minutes(), 21 * 60);
        assert_eq!(window(&all, (22, 0), (2, 0)).longest_closed_minutes(), 20 * 60);
        assert_eq!(window(&all, (0, 0), (0, 0)).longest_closed_minutes(), 0);
        assert_eq!(window(&[Sunday], (0, 0), (0, 0)).longest_closed_minutes(), 6 * DAY);
    }
}
