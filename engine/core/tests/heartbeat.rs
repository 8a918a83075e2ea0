//! What follows from what a target says of `CURRENT`, and when it is asked.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::civil::Time;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use keywheel_core::NoticeKind;
use keywheel_core::heartbeat::{Follows, Heard, ONCE_MORE, Pulse, Subject, first};
use keywheel_policies::{Heartbeat, OnDrift, Schedule, Trigger, Weekday, Window};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn after(then: Timestamp, pause: Duration) -> Timestamp {
    then.checked_add(SignedDuration::try_from(pause).unwrap()).unwrap()
}

/// Open from two to five in the morning.
fn schedule() -> Schedule {
    let window = Window {
        days: vec![Weekday::Monday, Weekday::Tuesday, Weekday::Wednesday, Weekday::Thursday],
        from: Time::constant(2, 0, 0, 0),
        to: Time::constant(5, 0, 0, 0),
    };
    Schedule {
        trigger: Trigger::Every(30 * DAY),
        timezone: TimeZone::UTC,
        window: Some(window),
        before_expiry: None,
        jitter: Duration::ZERO,
        freezes: Vec::new(),
    }
}

/// What follows each answer, at its time.
fn follow(every: Duration, on_drift: OnDrift, answers: &[(&str, &str, Heard)]) -> Vec<Follows> {
    let (schedule, mut pulse) = (schedule(), Pulse::default());
    let heartbeat = Heartbeat { every, on_drift };
    let hear = |(now, version, heard): &(&str, &str, Heard)| {
        let subject = Subject { secret: "prod/orders", policy: "orders", version, heartbeat, schedule: &schedule };
        let follows = pulse.hear(subject, heard, at(now));
        follows.notice.iter().for_each(|notice| pulse.told(notice));
        follows
    };
    answers.iter().map(hear).collect()
}

fn no() -> Heard {
    Heard::Refused { reason: "wrong password".to_owned() }
}

fn nothing() -> Heard {
    Heard::Unknown { why: "no route".to_owned() }
}

fn ids(follows: &[Follows]) -> Vec<Option<&str>> {
    follows.iter().map(|follows| follows.notice.as_ref().map(|notice| notice.id.as_str())).collect()
}

#[test]
fn a_yes_is_followed_by_the_next_heartbeat_alone() {
    let follows = follow(HOUR, OnDrift::Rotate, &[("2026-03-02T03:00:00Z", "v1", Heard::Accepted)]);
    assert_eq!(follows, [Follows { next: at("2026-03-02T04:00:00Z"), notice: None, rotate: false }]);
}

#[test]
fn a_no_is_believed_the_second_time_and_told_once_a_day() {
    let answers = [
        ("2026-03-02T22:00:00Z", "v1", no()),
        ("2026-03-02T22:00:10Z", "v1", no()),
        ("2026-03-02T23:00:10Z", "v1", no()),
        ("2026-03-03T00:00:10Z", "v1", no()),
        ("2026-03-03T01:00:10Z", "v1", no()),
        // It was put right, and is wrong again.
        ("2026-03-03T02:00:10Z", "v1", Heard::Accepted),
        ("2026-03-04T03:00:10Z", "v1", no()),
        ("2026-03-04T03:00:20Z", "v1", no()),
    ];
    let follows = follow(HOUR, OnDrift::Alert, &answers);
    let (first, second, third) =
        ("drift/prod/orders/v1/2026-03-02", "drift/prod/orders/v1/2026-03-03", "drift/prod/orders/v1/2026-03-04");
    assert_eq!(ids(&follows), [None, Some(first), None, Some(second), None, None, None, Some(third)]);
    assert_eq!(follows[0].next, after(at(answers[0].0), ONCE_MORE));
    assert_eq!(follows[1].next, after(at(answers[1].0), HOUR));
    assert!(follows.iter().all(|follows| !follows.rotate));
    let told = follows[1].notice.clone().unwrap();
    assert_eq!((told.kind, told.secret.as_deref()), (NoticeKind::Drift, Some("prod/orders")));
    assert_eq!(told.message, "the target refuses `CURRENT`, which is version v1: wrong password");
}

#[test]
fn a_no_to_one_version_says_nothing_of_another() {
    let answers = [("2026-03-02T03:00:00Z", "v1", no()), ("2026-03-02T03:00:10Z", "v2", no())];
    let follows = follow(HOUR, OnDrift::Rotate, &answers);
    assert_eq!(ids(&follows), [None, None]);
    assert!(follows.iter().all(|follows| !follows.rotate));
}

#[test]
fn an_error_is_neither_a_yes_nor_a_no() {
    let answers = [
        ("2026-03-02T03:00:00Z", "v1", no()),
        ("2026-03-02T03:00:10Z", "v1", nothing()),
        ("2026-03-02T04:00:10Z", "v1", no()),
    ];
    let follows = follow(HOUR, OnDrift::Rotate, &answers);
    assert_eq!(ids(&follows), [None, None, Some("drift/prod/orders/v1/2026-03-02")]);
    assert_eq!(follows[1].next, at("2026-03-02T04:00:10Z"));
    assert_eq!(follows.iter().map(|follows| follows.rotate).collect::<Vec<_>>(), [false, false, true]);
}

#[test]
fn silence_is_told_after_the_fourth_time_and_ever_more_rarely() {
    let times: Vec<String> = (0..20).map(|hour| format!("2026-03-02T{hour:02}:00:00Z")).collect();
    let mut answers: Vec<(&str, &str, Heard)> = times.iter().map(|time| (time.as_str(), "v1", nothing())).collect();
    let told = |follows: &[Follows]| -> Vec<(usize, String)> {
        let notices = follows.iter().enumerate();
        notices.filter_map(|(n, follows)| follows.notice.clone().map(|notice| (n + 1, notice.id))).collect()
    };
    let id = |doubled: u32| format!("heartbeat/prod/orders/v1/2026-03-02/{doubled}");
    let follows = follow(HOUR, OnDrift::Rotate, &answers);
    assert_eq!(told(&follows), [(4, id(4)), (8, id(8)), (16, id(16))]);
    let fourth = follows[3].notice.clone().unwrap();
    assert_eq!(fourth.kind, NoticeKind::Failed);
    assert!(fourth.message.starts_with("nobody could tell in 4 heartbeats in a row"), "{}", fourth.message);
    // Any answer ends it.
    answers[3].2 = Heard::Accepted;
    assert_eq!(told(&follow(HOUR, OnDrift::Rotate, &answers)), [(8, id(4)), (12, id(8)), (20, id(16))]);
}

#[test]
fn a_rotation_begins_only_where_the_schedule_is_open_and_on_a_no_of_then() {
    let answers = [
        ("2026-03-02T01:30:00Z", "v1", no()),
        ("2026-03-02T01:30:10Z", "v1", no()),
        ("2026-03-02T02:00:00Z", "v1", no()),
    ];
    let follows = follow(HOUR, OnDrift::Rotate, &answers);
    assert_eq!(follows[1].next, at("2026-03-02T02:00:00Z"), "when the window opens it is asked again");
    assert_eq!(follows.iter().map(|follows| follows.rotate).collect::<Vec<_>>(), [false, false, true]);
}

#[test]
fn a_drift_is_asked_about_each_day_at_least() {
    let answers = [("2026-03-06T06:00:00Z", "v1", no()), ("2026-03-06T06:00:10Z", "v1", no())];
    for on_drift in [OnDrift::Alert, OnDrift::Rotate] {
        let follows = follow(30 * DAY, on_drift, &answers);
        assert_eq!(follows[1].next, at("2026-03-07T06:00:10Z"), "the window opens on Monday only");
    }
}

#[test]
fn the_first_heartbeats_of_many_secrets_are_spread() {
    let start = at("2026-03-02T12:34:56.789Z");
    for every in [MINUTE, HOUR, 30 * DAY] {
        let mut parts = BTreeMap::new();
        for number in 0..10_000 {
            let due = first(&format!("prod/{number}"), every, start);
            let wait = Duration::try_from(due.duration_since(start)).unwrap();
            assert!(wait < every, "{due}");
            *parts.entry((wait.as_millis() * 20 / every.as_millis()) as u32).or_insert(0) += 1;
        }
        assert!(parts.len() == 20 && parts.values().all(|count| (350..650).contains(count)), "{every:?}: {parts:?}");
    }
}

#[test]
fn the_first_heartbeat_is_not_put_off_by_each_start() {
    let start = at("2026-03-02T12:34:56.789Z");
    let due = first("prod/orders", 7 * DAY, start);
    for hours in 0..(7 * 24) {
        let again = after(start, hours * HOUR);
        let expected = if again <= due { due } else { after(due, 7 * DAY) };
        assert_eq!(first("prod/orders", 7 * DAY, again), expected, "started again after {hours} hours");
    }
}
