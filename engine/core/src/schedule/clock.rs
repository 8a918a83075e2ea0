//! The instants at which a cron expression fires in a time zone.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use keywheel_policies::Cron;

/// The first instant after `after` at which the expression fires. `None` only at the end of the calendar.
///
/// Where clocks are set forward, fixed clock times within the gap fire at the moment of the change, and intervals
/// ([`Cron::is_interval`]) skip it. Where clocks are set back, fixed times fire in the first pass only, and intervals in
/// both. So a daily rotation happens once a day on every day of the year, and an hourly one once an hour.
pub fn next_firing(cron: &Cron, zone: &TimeZone, after: Timestamp) -> Option<Timestamp> {
    // Between two changes of the clock an instant and its wall-clock time differ by a constant. The search walks from one
    // such stretch to the next.
    let mut offset = zone.to_offset(after);
    let mut from = offset.to_datetime(after).checked_add(jiff::SignedDuration::from_nanos(1)).ok()?;
    let mut passed = wall_clock_passed(zone, after);
    for change in zone.following(after).map(Some).chain(std::iter::once(None)) {
        let begin = if cron.is_interval() { from } else { from.max(passed) };
        let end = change.as_ref().map(|change| offset.to_datetime(change.timestamp()));
        let hit = cron.wall_clock_from(begin).next()?;
        let Some((change, end)) = change.zip(end) else {
            return offset.to_timestamp(hit).ok();
        };
        if hit < end {
            return offset.to_timestamp(hit).ok();
        }
        let resumes = change.offset().to_datetime(change.timestamp());
        if !cron.is_interval() && cron.wall_clock_from(end.max(passed)).next().is_some_and(|hit| hit < resumes) {
            return Some(change.timestamp());
        }
        passed = passed.max(end);
        offset = change.offset();
        from = resumes;
    }
    None
}

/// The wall-clock time up to which clocks had already run when they were last changed: after clocks were set back, times
/// before it come a second time.
fn wall_clock_passed(zone: &TimeZone, at: Timestamp) -> DateTime {
    let tick = jiff::SignedDuration::from_nanos(1);
    let Ok(next) = at.checked_add(tick) else { return DateTime::MIN };
    let Some(change) = zone.preceding(next).next() else { return DateTime::MIN };
    match change.timestamp().checked_sub(tick) {
        Ok(before) => zone.to_offset(before).to_datetime(change.timestamp()),
        Err(_) => DateTime::MIN,
    }
}
