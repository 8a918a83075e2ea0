//! The schedule: tables worked out by hand, an independent cron as oracle, and properties that hold for all schedules.

#![expect(clippy::unwrap_used, reason = "a panic is the test's failure")]

use std::str::FromStr as _;
use std::time::Duration;

use jiff::civil::{Time, Weekday, date};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use keywheel_core::schedule::{is_open, next_due, next_due_of, next_firing, next_open, occurrences};
use keywheel_policies::{Cron, Freeze, Schedule, Trigger, Window};
use proptest::prelude::*;

const DAY: u64 = 86_400;
const WEEK: [Weekday; 7] = [
    Weekday::Monday,
    Weekday::Tuesday,
    Weekday::Wednesday,
    Weekday::Thursday,
    Weekday::Friday,
    Weekday::Saturday,
    Weekday::Sunday,
];

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap()
}

fn every(seconds: u64) -> Schedule {
    Schedule {
        trigger: Trigger::Every(Duration::from_secs(seconds)),
        timezone: TimeZone::UTC,
        window: None,
        before_expiry: None,
        jitter: Duration::ZERO,
        freezes: Vec::new(),
    }
}

fn window(days: &[Weekday], from: (i8, i8), to: (i8, i8)) -> Window {
    let time = |(hour, minute)| Time::new(hour, minute, 0, 0).unwrap();
    Window { days: days.to_vec(), from: time(from), to: time(to) }
}

#[test]
fn clock_changes() {
    // Zone, expression, after, then the next firings. Instants of the changes from the zones' rules, by hand.
    let table: &[(&str, &str, &str, &[&str])] = &[
        // New York, 2027-03-14 07:00Z: 02:00 becomes 03:00. A fixed time in the gap fires at the change.
        ("America/New_York", "30 2 * * *", "2027-03-13T12:00Z", &["2027-03-14T07:00Z", "2027-03-15T06:30Z"]),
        ("America/New_York", "0,30 2 * * *", "2027-03-13T12:00Z", &["2027-03-14T07:00Z", "2027-03-15T06:00Z"]),
        ("America/New_York", "0 2,3 * * *", "2027-03-13T12:00Z", &["2027-03-14T07:00Z", "2027-03-15T06:00Z"]),
        ("America/New_York", "30 * * * *", "2027-03-14T05:45Z", &["2027-03-14T06:30Z", "2027-03-14T07:30Z"]),
        ("America/New_York", "*/30 2 * * *", "2027-03-13T08:00Z", &["2027-03-15T06:00Z", "2027-03-15T06:30Z"]),
        // New York, 2026-11-01 06:00Z: 02:00 becomes 01:00. A fixed time fires in the first pass, an interval in both.
        ("America/New_York", "30 1 * * *", "2026-10-31T12:00Z", &["2026-11-01T05:30Z", "2026-11-02T06:30Z"]),
        ("America/New_York", "30 1 * * *", "2026-11-01T05:30Z", &["2026-11-02T06:30Z"]),
        ("America/New_York", "30 1 * * *", "2026-11-01T06:10Z", &["2026-11-02T06:30Z"]),
        (
            "America/New_York",
            "*/30 * * * *",
            "2026-11-01T04:45Z",
            &["2026-11-01T05:00Z", "2026-11-01T05:30Z", "2026-11-01T06:00Z", "2026-11-01T06:30Z", "2026-11-01T07:00Z"],
        ),
        ("Europe/Berlin", "15 2 * * *", "2026-03-28T12:00Z", &["2026-03-29T01:00Z", "2026-03-30T00:15Z"]),
        ("Europe/Berlin", "15 2 * * *", "2026-10-24T12:00Z", &["2026-10-25T00:15Z", "2026-10-26T01:15Z"]),
        // Dublin's summer is its standard time, and its winter an hour back from that.
        ("Europe/Dublin", "30 1 * * *", "2026-03-28T12:00Z", &["2026-03-29T01:00Z", "2026-03-30T00:30Z"]),
        // Lord Howe changes by half an hour: 2026-10-03 15:30Z forward, 2026-04-04 15:00Z back.
        ("Australia/Lord_Howe", "15 2 * * *", "2026-10-03T00:00Z", &["2026-10-03T15:30Z", "2026-10-04T15:15Z"]),
        ("Australia/Lord_Howe", "45 1 * * *", "2026-04-04T00:00Z", &["2026-04-04T14:45Z", "2026-04-05T15:15Z"]),
        (
            "Australia/Lord_Howe",
            "*/15 * * * *",
            "2026-04-04T14:25Z",
            &["2026-04-04T14:30Z", "2026-04-04T14:45Z", "2026-04-04T15:00Z", "2026-04-04T15:15Z", "2026-04-04T15:30Z"],
        ),
        // St John's is half an hour off the others: 2026-03-08 05:30Z forward, 2026-11-01 04:30Z back.
        ("America/St_Johns", "30 2 * * *", "2026-03-07T12:00Z", &["2026-03-08T05:30Z", "2026-03-09T05:00Z"]),
        ("America/St_Johns", "30 1 * * *", "2026-10-31T12:00Z", &["2026-11-01T04:00Z", "2026-11-02T05:00Z"]),
        // São Paulo changed at midnight: 2018-11-04 03:00Z forward, 2019-02-17 02:00Z back to 23:00 of the day before.
        ("America/Sao_Paulo", "0 0 * * *", "2018-11-03T12:00Z", &["2018-11-04T03:00Z", "2018-11-05T02:00Z"]),
        ("America/Sao_Paulo", "30 23 * * *", "2019-02-16T12:00Z", &["2019-02-17T01:30Z", "2019-02-18T02:30Z"]),
        // Samoa left out 2011-12-30: it became the 31st at 10:00Z.
        ("Pacific/Apia", "0 3 30 * *", "2011-12-29T00:00Z", &["2011-12-30T10:00Z", "2012-01-29T13:00Z"]),
        ("UTC", "0 3 29 2 *", "2026-01-01T00:00Z", &["2028-02-29T03:00Z", "2032-02-29T03:00Z"]),
    ];
    for (zone_name, expression, after, expected) in table {
        let (zone, cron) = (zone(zone_name), Cron::parse(expression).unwrap());
        let firings = std::iter::successors(Some(at(after)), |last| next_firing(&cron, &zone, *last)).skip(1);
        let found: Vec<Timestamp> = firings.take(expected.len()).collect();
        let expected: Vec<Timestamp> = expected.iter().map(|text| at(text)).collect();
        assert_eq!(found, expected, "{zone_name} {expression} after {after}");
    }
}

/// A small generator of its own: the same expressions on every machine, in every order.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.roll(high - low + 1)
    }

    fn field(&mut self, low: u64, high: u64, names: &[&str], star: u64) -> String {
        if self.roll(10) < star {
            return "*".to_owned();
        }
        let named = |n: u64| {
            names.get(usize::try_from(n - low).unwrap()).map_or_else(|| n.to_string(), |name| (*name).to_owned())
        };
        let items = self.between(1, 3);
        let item = |dice: &mut Dice| {
            let (a, b) = (dice.between(low, high), dice.between(low, high));
            let (a, b) = (a.min(b), a.max(b));
            match dice.roll(5) {
                0 => format!("{a}-{b}"),
                1 => format!("{a}-{b}/{}", dice.between(1, high.min(20))),
                2 => named(a),
                _ => a.to_string(),
            }
        };
        (0..items).map(|_| item(self)).collect::<Vec<_>>().join(",")
    }
}

const MONTHS: [&str; 12] = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const DAYS: [&str; 8] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"];

#[test]
fn a_thousand_expressions_agree_with_another_cron() {
    let mut dice = Dice(42);
    let (mut compared, mut both_days, mut expressions) = (0, 0, 0);
    while expressions < 1_000 {
        let minute = if dice.roll(4) == 0 { format!("*/{}", dice.between(1, 59)) } else { dice.field(0, 59, &[], 2) };
        let hour = if dice.roll(6) == 0 { format!("*/{}", dice.between(1, 23)) } else { dice.field(0, 23, &[], 3) };
        let (day, month, weekday) =
            (dice.field(1, 31, &[], 5), dice.field(1, 12, &MONTHS, 6), dice.field(0, 7, &DAYS, 5));
        let expression = format!("{minute} {hour} {day} {month} {weekday}");
        let Ok(cron) = Cron::parse(&expression) else {
            // The only reason for refusal that these can have, and the other one must agree.
            assert!(Cron::parse(&expression).unwrap_err().message.contains("never fires"), "{expression}");
            continue;
        };
        expressions += 1;
        both_days += i32::from(day != "*" && weekday != "*");
        let other = croner::Cron::from_str(&expression).unwrap_or_else(|error| panic!("{expression}: {error}"));
        let mut now = Timestamp::from_second(1_767_225_600 + i64::try_from(dice.roll(4 * 365 * DAY)).unwrap()).unwrap();
        for _ in 0..25 {
            let ours = next_firing(&cron, &TimeZone::UTC, now).unwrap();
            let theirs = other.find_next_occurrence(&now.to_zoned(TimeZone::UTC), false).unwrap().timestamp();
            assert_eq!(ours, theirs, "{expression} after {now}");
            now = ours;
            compared += 1;
        }
    }
    assert!(both_days > 100, "only {both_days} expressions restrict both days");
    assert_eq!(compared, 25_000);
}

#[test]
fn changing_clocks_agree_with_another_cron() {
    let zones = [
        "America/New_York",
        "Europe/Berlin",
        "Australia/Lord_Howe",
        "Asia/Kolkata",
        "America/St_Johns",
        "Africa/Cairo",
    ];
    let starts = [
        "2026-03-06T00:00Z",
        "2026-03-27T00:00Z",
        "2026-04-03T00:00Z",
        "2026-10-02T00:00Z",
        "2026-10-23T00:00Z",
        "2026-10-30T00:00Z",
    ];
    let mut dice = Dice(7);
    for _ in 0..300 {
        let name = zones[usize::try_from(dice.roll(6)).unwrap()];
        let zone = zone(name);
        // The other one takes lists and ranges for intervals, which is another way to read the same tradition.
        let minute = if dice.roll(3) == 0 {
            format!("*/{}", [5, 10, 15, 30][usize::try_from(dice.roll(4)).unwrap()])
        } else {
            dice.roll(60).to_string()
        };
        let hour = if dice.roll(3) == 0 { "*".to_owned() } else { dice.roll(5).to_string() };
        let expression = format!("{minute} {hour} * * *");
        let (cron, other) = (Cron::parse(&expression).unwrap(), croner::Cron::from_str(&expression).unwrap());
        let mut now = at(starts[usize::try_from(dice.roll(6)).unwrap()]);
        for _ in 0..60 {
            let ours = next_firing(&cron, &zone, now).unwrap();
            let theirs = other.find_next_occurrence(&now.to_zoned(zone.clone()), false).unwrap().timestamp();
            assert_eq!(ours, theirs, "{name} {expression} after {now}");
            now = ours;
        }
    }
}

#[test]
fn an_interval_is_elapsed_time() {
    let schedule = Schedule { timezone: zone("Europe/Berlin"), ..every(30 * DAY) };
    // Clocks change in between; thirty days stay thirty times 24 hours.
    assert_eq!(next_due(&schedule, "a", at("2026-03-15T12:00Z")), Some(at("2026-04-14T12:00Z")));
}

#[test]
fn nothing_makes_a_manual_rotation_due() {
    let schedule = Schedule { trigger: Trigger::Manual, ..every(1) };
    assert_eq!(next_due(&schedule, "a", at("2026-03-15T12:00Z")), None);
    assert_eq!(next_open(&schedule, at("2026-03-15T12:00Z")), Some(at("2026-03-15T12:00Z")));
}

#[test]
fn a_window_across_midnight() {
    let schedule = Schedule { window: Some(window(&[Weekday::Friday], (22, 0), (2, 0))), ..every(DAY) };
    // 2026-01-02 is a Friday.
    for (time, open) in [
        ("2026-01-02T21:59:59Z", false),
        ("2026-01-02T22:00:00Z", true),
        ("2026-01-03T01:59:59Z", true),
        ("2026-01-03T02:00:00Z", false),
        ("2026-01-02T01:00:00Z", false),
    ] {
        assert_eq!(is_open(&schedule, at(time)), open, "{time}");
    }
    assert_eq!(next_open(&schedule, at("2026-01-03T02:00Z")), Some(at("2026-01-09T22:00Z")));
}

#[test]
fn windows_when_clocks_change() {
    let sunday = |from, to| Schedule {
        timezone: zone("Europe/Berlin"),
        window: Some(window(&[Weekday::Sunday], from, to)),
        ..every(DAY)
    };
    // 2026-03-29: 02:00 becomes 03:00 at 01:00Z. A window that is skipped whole opens at the change for its usual length.
    let schedule = sunday((2, 0), (3, 0));
    assert_eq!(next_open(&schedule, at("2026-03-28T12:00Z")), Some(at("2026-03-29T01:00Z")));
    assert!(is_open(&schedule, at("2026-03-29T01:59:59Z")));
    assert_eq!(next_open(&schedule, at("2026-03-29T02:00Z")), Some(at("2026-04-05T00:00Z")));
    // One that reaches beyond the gap closes when its clock time says so.
    let schedule = sunday((2, 30), (5, 0));
    assert_eq!(next_open(&schedule, at("2026-03-28T12:00Z")), Some(at("2026-03-29T01:00Z")));
    assert_eq!(next_open(&schedule, at("2026-03-29T03:00Z")), Some(at("2026-04-05T00:30Z")));
    // 2026-10-25: 03:00 becomes 02:00 at 01:00Z. The hour that comes twice belongs to it twice.
    let schedule = sunday((2, 0), (3, 0));
    assert_eq!(next_open(&schedule, at("2026-10-24T12:00Z")), Some(at("2026-10-25T00:00Z")));
    assert!(is_open(&schedule, at("2026-10-25T01:59:59Z")));
    assert!(!is_open(&schedule, at("2026-10-25T02:00Z")));
}

fn year_end() -> Freeze {
    Freeze {
        name: "year-end".to_owned(),
        from: date(2026, 12, 20).at(0, 0, 0, 0),
        to: date(2027, 1, 6).at(0, 0, 0, 0),
        timezone: zone("Europe/Berlin"),
    }
}

#[test]
fn a_freeze_holds_in_its_own_zone() {
    let schedule = Schedule { freezes: vec![year_end()], ..every(DAY) };
    assert!(is_open(&schedule, at("2026-12-19T22:59:59Z")));
    assert_eq!(next_open(&schedule, at("2026-12-19T23:00:00Z")), Some(at("2027-01-05T23:00:00Z")));
    let nightly = Schedule { window: Some(window(&WEEK, (2, 0), (3, 0))), ..schedule };
    assert_eq!(next_open(&nightly, at("2026-12-24T12:00Z")), Some(at("2027-01-06T02:00Z")));
}

#[test]
fn what_never_opens_is_never_due() {
    let forever = Freeze { from: date(1, 1, 1).at(0, 0, 0, 0), to: date(9999, 12, 31).at(0, 0, 0, 0), ..year_end() };
    let schedule = Schedule { window: Some(window(&WEEK, (2, 0), (3, 0))), freezes: vec![forever], ..every(DAY) };
    assert_eq!(next_due(&schedule, "a", at("2026-01-01T00:00Z")), None);
}

#[test]
fn jitter_is_the_same_share_each_time_and_spreads_names() {
    let schedule = Schedule { jitter: Duration::from_secs(3_600), ..every(DAY) };
    let since = at("2026-01-01T00:00Z");
    let delay = |name: &str| next_due(&schedule, name, since).unwrap().duration_since(since + 24.hours()).as_secs();
    assert_eq!(delay("orders"), delay("orders"));
    let delays: Vec<i64> = (0..1_000).map(|n| delay(&format!("db/{n}"))).collect();
    assert!(delays.iter().all(|seconds| (0..3_600).contains(seconds)));
    for quarter in 0..4 {
        let within = delays.iter().filter(|seconds| **seconds / 900 == quarter).count();
        assert!((200..300).contains(&within), "{within} of 1,000 in quarter {quarter}");
    }
}

#[test]
fn jitter_shrinks_to_what_is_left_of_the_window() {
    let schedule =
        Schedule { jitter: Duration::from_secs(12 * 3_600), window: Some(window(&WEEK, (2, 0), (3, 0))), ..every(DAY) };
    for n in 0..200 {
        let due = next_due(&schedule, &format!("db/{n}"), at("2026-01-01T02:50Z")).unwrap();
        assert!((at("2026-01-02T02:50Z")..at("2026-01-02T03:00Z")).contains(&due), "{due}");
    }
}

#[test]
fn jitter_ends_before_a_freeze_begins() {
    let schedule = Schedule { jitter: Duration::from_secs(12 * 3_600), freezes: vec![year_end()], ..every(DAY) };
    for n in 0..200 {
        // Ten minutes before the freeze begins in Berlin.
        let due = next_due(&schedule, &format!("db/{n}"), at("2026-12-18T22:50Z")).unwrap();
        assert!((at("2026-12-19T22:50Z")..at("2026-12-19T23:00Z")).contains(&due), "{due}");
    }
}

#[test]
fn a_plan_for_ninety_days() {
    let schedule = Schedule { window: Some(window(&[Weekday::Tuesday], (2, 0), (5, 0))), ..every(30 * DAY) };
    let plan: Vec<Timestamp> = occurrences(&schedule, "a", at("2026-01-06T02:00Z"), at("2026-04-06T02:00Z")).collect();
    assert_eq!(plan, [at("2026-02-10T02:00Z"), at("2026-03-17T02:00Z")]);
}

fn schedules() -> impl Strategy<Value = Schedule> {
    let zones = prop::sample::select(vec![
        "UTC",
        "Europe/Berlin",
        "America/New_York",
        "Australia/Lord_Howe",
        "America/St_Johns",
    ]);
    let trigger = prop_oneof![
        (60_u64..40 * DAY).prop_map(|seconds| Trigger::Every(Duration::from_secs(seconds))),
        (0_u8..60, 0_u8..24, 0_u8..7)
            .prop_map(|(minute, hour, day)| Trigger::Cron(Cron::parse(&format!("{minute} {hour} * * {day}")).unwrap())),
        (1_u8..30).prop_map(|step| Trigger::Cron(Cron::parse(&format!("*/{step} * * * *")).unwrap())),
    ];
    let time = || (0_i8..24, prop::sample::select(vec![0_i8, 15, 30, 45]));
    let windows = (prop::sample::subsequence(WEEK.to_vec(), 1..=7), time(), time())
        .prop_filter("not empty", |(_, from, to)| from != to)
        .prop_map(|(days, from, to)| window(&days, from, to));
    let freezes = prop::collection::vec(
        (0_i32..800, 1_i32..20).prop_map(|(day, days)| {
            let from = date(2026, 1, 1).checked_add(day.days()).unwrap();
            let to = from.checked_add(days.days()).unwrap();
            Freeze { from: from.at(0, 0, 0, 0), to: to.at(0, 0, 0, 0), ..year_end() }
        }),
        0..3,
    );
    (trigger, zones, prop::option::of(windows), 0_u64..2 * DAY, freezes).prop_map(
        |(trigger, name, window, jitter, freezes)| Schedule {
            before_expiry: None,
            trigger,
            timezone: zone(name),
            window,
            jitter: Duration::from_secs(jitter),
            freezes,
        },
    )
}

/// Seconds from 2026-01-01 on, for two years.
fn instants() -> impl Strategy<Value = Timestamp> {
    (0_i64..2 * 365 * 86_400).prop_map(|seconds| Timestamp::from_second(1_767_225_600 + seconds).unwrap())
}

proptest! {
    #[test]
    fn due_is_later_open_and_always_the_same(schedule in schedules(), name in "[a-z/]{1,12}", since in instants()) {
        let due = next_due(&schedule, &name, since).unwrap();
        prop_assert!(due > since);
        prop_assert!(is_open(&schedule, due), "{due}");
        prop_assert_eq!(next_due(&schedule, &name, since), Some(due));
        for freeze in &schedule.freezes {
            let wall = freeze.timezone.to_datetime(due);
            prop_assert!(!(freeze.from..freeze.to).contains(&wall), "{wall} is in {freeze:?}");
        }
        // Away from clock changes, where a window may be moved, the wall clock itself must be within it.
        let wall = schedule.timezone.to_datetime(due);
        let quiet = schedule.timezone.to_offset(due - 24.hours()) == schedule.timezone.to_offset(due + 24.hours());
        if let Some(window) = schedule.window.filter(|_| quiet) {
            prop_assert!(window.contains(wall), "{wall} is not in {window:?}");
        }
    }

    #[test]
    fn jitter_delays_by_less_than_itself(schedule in schedules(), name in "[a-z/]{1,12}", since in instants()) {
        let plain = Schedule { jitter: Duration::ZERO, ..schedule.clone() };
        let (due, earliest) = (next_due(&schedule, &name, since).unwrap(), next_due(&plain, &name, since).unwrap());
        let most = SignedDuration::try_from(schedule.jitter).unwrap();
        let delay = due.duration_since(earliest);
        prop_assert!(!delay.is_negative() && (delay < most || delay.is_zero()), "{delay:?} of {most:?}");
    }

    /// What the proof of `max_age` builds on.
    #[test]
    fn the_wait_is_bounded(schedule in schedules(), name in "[a-z/]{1,12}", since in instants()) {
        let schedule = Schedule { freezes: Vec::new(), ..schedule };
        let interval = match &schedule.trigger {
            Trigger::Every(every) => *every,
            Trigger::Cron(cron) => Duration::from_secs(cron.longest_gap_minutes() * 60),
            Trigger::Manual => unreachable!("not among the generated"),
        };
        let closed = schedule.window.as_ref().map_or(0, |window| u64::from(window.longest_closed_minutes()) * 60);
        let clocks_set_back = Duration::from_secs(3_600);
        let most = interval + Duration::from_secs(closed) + schedule.jitter + clocks_set_back;
        let due = next_due(&schedule, &name, since).unwrap();
        prop_assert!(due.duration_since(since) <= SignedDuration::try_from(most).unwrap(), "{due}, at most {most:?}");
    }

    #[test]
    fn openings_agree_with_the_question(schedule in schedules(), from in instants()) {
        let open = next_open(&schedule, from).unwrap();
        prop_assert!(open >= from && is_open(&schedule, open));
        prop_assert_eq!(next_open(&schedule, open), Some(open));
        // Nothing before it is open: halves of what lies between, down to a minute.
        let mut gap = open.duration_since(from);
        while gap.as_secs() > 60 {
            gap /= 2;
            prop_assert!(!is_open(&schedule, open - gap), "{} before {open}", gap);
        }
    }
}

#[test]
fn a_credential_that_ends_by_itself_is_due_before_it_does() {
    let schedule = Schedule { before_expiry: Some(Duration::from_secs(10 * DAY)), ..every(90 * DAY) };
    let since = at("2026-01-01T00:00:00Z");
    let due =
        |schedule: &Schedule, end: Option<&str>| next_due_of(schedule, "key", since, end.map(at)).unwrap().to_string();
    let usual = "2026-04-01T00:00:00Z";
    assert_eq!(due(&schedule, None), usual);
    assert_eq!(due(&schedule, Some("2026-06-01T00:00:00Z")), usual, "the schedule comes first");
    assert_eq!(due(&schedule, Some("2026-03-01T00:00:00Z")), "2026-02-19T00:00:00Z");
    assert_eq!(due(&every(90 * DAY), Some("2026-03-01T00:00:00Z")), usual, "no head start is wanted");
    // One that lives no longer than the head start, or is over already.
    assert_eq!(due(&schedule, Some("2026-01-09T00:00:00Z")), "2026-01-05T00:00:00Z");
    assert_eq!(due(&schedule, Some("2025-12-01T00:00:00Z")), usual);
    // In its window, or late.
    let nightly = Schedule { window: Some(window(&WEEK, (2, 0), (3, 0))), ..schedule.clone() };
    assert_eq!(due(&nightly, Some("2026-03-01T00:00:00Z")), "2026-02-19T02:00:00Z");
    assert_eq!(next_due_of(&Schedule { trigger: Trigger::Manual, ..schedule }, "key", since, Some(since)), None);
}
