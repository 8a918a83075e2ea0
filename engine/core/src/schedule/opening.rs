//! When a window is open and no freeze holds.

use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use keywheel_policies::{Freeze, Schedule, Window};

/// From the first instant (included) to the second (excluded).
type Stretch = (Timestamp, Timestamp);

/// A window opens at least once in eight days; one more for each end, where clocks changed.
const DAYS_AHEAD: i32 = 10;

/// Freezes are few, and each ends a search at most once. What takes longer never opens.
const MOST_CLOSED_STRETCHES: usize = 10_000;

/// Whether a scheduled rotation may start at this instant.
pub fn is_open(schedule: &Schedule, at: Timestamp) -> bool {
    next_open(schedule, at) == Some(at)
}

/// The first instant from `from` (included) at which a scheduled rotation may start. `None`: never again.
pub fn next_open(schedule: &Schedule, from: Timestamp) -> Option<Timestamp> {
    let mut at = from;
    for _ in 0..MOST_CLOSED_STRETCHES {
        if let Some(end) = frozen_until(&schedule.freezes, at) {
            at = end;
            continue;
        }
        let Some(window) = &schedule.window else { return Some(at) };
        let (opens, _) = opening(window, &schedule.timezone, at)?;
        if opens <= at {
            return Some(at);
        }
        at = opens;
    }
    None
}

/// How long the schedule stays open from `open` on, but no more than `most`.
pub(super) fn open_for(schedule: &Schedule, open: Timestamp, most: SignedDuration) -> SignedDuration {
    let far = open.checked_add(most).unwrap_or(Timestamp::MAX);
    let mut end = far;
    if let Some(window) = &schedule.window {
        // Openings may follow each other without a pause, as those of whole days do.
        let mut reached = open;
        while reached < far {
            match opening(window, &schedule.timezone, reached) {
                Some((opens, closes)) if opens <= reached => reached = closes,
                Some(_) | None => break,
            }
        }
        end = end.min(reached);
    }
    for freeze in &schedule.freezes {
        let (begins, _) = frozen(freeze);
        if begins > open {
            end = end.min(begins);
        }
    }
    end.duration_since(open)
}

fn frozen_until(freezes: &[Freeze], at: Timestamp) -> Option<Timestamp> {
    freezes.iter().map(frozen).filter(|(from, to)| (*from..*to).contains(&at)).map(|(_, to)| to).max()
}

fn frozen(freeze: &Freeze) -> Stretch {
    let instant = |at: DateTime, otherwise: Timestamp| instant(&freeze.timezone, at).unwrap_or(otherwise);
    (instant(freeze.from, Timestamp::MIN), instant(freeze.to, Timestamp::MAX))
}

/// The opening that holds at this instant, or the next one.
fn opening(window: &Window, zone: &TimeZone, at: Timestamp) -> Option<Stretch> {
    let today = zone.to_datetime(at).date();
    (-2..=DAYS_AHEAD)
        .filter_map(|ahead| today.checked_add(ahead.days()).ok())
        .filter(|day| window.opens_on(day.weekday()))
        .filter_map(|day| opening_of(window, zone, day))
        .find(|(_, closes)| *closes > at)
}

/// The opening that begins on this day.
///
/// One that clocks skip whole, since they are set forward across it, begins at the change and lasts as long as usual: a
/// weekly window must not be missed for that.
fn opening_of(window: &Window, zone: &TimeZone, day: Date) -> Option<Stretch> {
    let from = day.to_datetime(window.from);
    let to = if window.closes_next_day() { day.tomorrow().ok()? } else { day }.to_datetime(window.to);
    let (opens, closes) = (instant(zone, from)?, instant(zone, to)?);
    if opens < closes {
        return Some((opens, closes));
    }
    Some((opens, opens.checked_add(to.duration_since(from)).ok()?))
}

/// The first instant with this wall-clock time, or where clocks skip it, the instant of the change.
fn instant(zone: &TimeZone, at: DateTime) -> Option<Timestamp> {
    let ambiguous = zone.to_ambiguous_timestamp(at);
    match ambiguous.offset() {
        AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Fold { .. } => ambiguous.earlier().ok(),
        AmbiguousOffset::Gap { .. } => {
            // `earlier` reads the clock as it will be after the change, which lies before it.
            let before = ambiguous.earlier().ok()?;
            zone.following(before).next().map(|change| change.timestamp())
        }
    }
}
