//! `max_age:` is proved from the other durations, or refused with the arithmetic.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::cron::Cron;
use crate::model::{OnDeadline, Revoke, RevokeWhen, Schedule, Strategy, Trigger};
use crate::scalar::spell;
use crate::tree::Span;
use crate::walk::Walk;

/// Longest gaps of cron expressions, since a fleet asks for the same one thousands of times.
#[derive(Default)]
pub(crate) struct Gaps(RefCell<HashMap<String, Duration>>);

impl Gaps {
    fn of(&self, cron: &Cron) -> Duration {
        let mut known = self.0.borrow_mut();
        *known.entry(cron.as_str().to_owned()).or_insert_with(|| Duration::from_secs(cron.longest_gap_minutes() * 60))
    }
}

const CODE: &str = "max-age-cannot-be-kept";

/// Refuses a `max_age` that the schedule and the revocation cannot keep.
///
/// The longest life of a credential: it becomes `CURRENT` right after a window closed or a rotation fired, waits for its
/// successor, and is accepted until the revocation's deadline. Freezes are not part of it: they are exceptions with a
/// date, and `keywheel plan` shows what they delay.
pub(crate) fn check(
    walk: &Walk<'_>,
    span: Span,
    max_age: Duration,
    schedule: &Schedule,
    revoke: &Revoke,
    strategy: &Strategy,
    gaps: &Gaps,
) {
    let mut parts: Vec<(Duration, &str)> = Vec::new();
    match &schedule.trigger {
        Trigger::Manual => {
            walk.tell(
                walk.problem(CODE, span, "nothing makes a manual rotation happen in time")
                    .help("remove `max_age`, or give `every` or `cron`"),
            );
            return;
        }
        Trigger::Every(every) => parts.push((*every, "between rotations")),
        Trigger::Cron(cron) => parts.push((gaps.of(cron), "between two times of `cron`")),
    }
    if let Some(window) = &schedule.window {
        parts.push((Duration::from_secs(u64::from(window.longest_closed_minutes()) * 60), "until the window opens"));
    }
    if schedule.window.is_some() || matches!(schedule.trigger, Trigger::Cron(_)) {
        parts.push((set_back(&schedule.timezone), "when clocks are set back"));
    }
    parts.push((schedule.jitter, "jitter"));
    if !matches!(strategy, Strategy::InPlace { .. }) {
        parts.push((revoke.after, "of grace (`revoke.after`)"));
        if revoke.when != RevokeWhen::Always {
            if revoke.on_deadline == OnDeadline::Park {
                walk.tell(
                    walk.problem(
                        CODE,
                        span,
                        "with `on_deadline: park` the old credential may stay accepted for any time",
                    )
                    .help("write `on_deadline: revoke`, or remove `max_age`"),
                );
                return;
            }
            parts.push((revoke.deadline, "until `revoke.deadline`"));
        }
        // While it is disabled it is accepted no more, so that `disable_first` adds nothing.
    }
    let longest = parts.iter().map(|(part, _)| *part).sum::<Duration>();
    if longest > max_age {
        let sum: Vec<String> = parts
            .iter()
            .filter(|(part, _)| !part.is_zero())
            .map(|(part, what)| format!("{} {what}", spell(*part)))
            .collect();
        let problem =
            walk.problem(CODE, span, format!("a credential may be accepted for {}, longer than this", spell(longest)));
        walk.tell(problem.help(format!(
            "{} = {}: allow that, or shorten a part of it",
            sum.join(" + "),
            spell(longest)
        )));
    }
}

/// How far clocks are set back at most: a night with 25 hours is a longer wait.
fn set_back(zone: &TimeZone) -> Duration {
    // Any stretch of a few years shows a zone's habit; 2026-01-01 is as good as another.
    let from = Timestamp::constant(1_767_225_600, 0);
    let mut offset = zone.to_offset(from).seconds();
    let mut most = 0;
    for transition in zone.following(from).take(6) {
        most = most.max(offset - transition.offset().seconds());
        offset = transition.offset().seconds();
    }
    Duration::from_secs(u64::from(most.unsigned_abs()))
}
