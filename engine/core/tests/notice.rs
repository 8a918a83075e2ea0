//! What people hear of, and how often.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use jiff::Timestamp;
use keywheel_core::notice::{Subject, of_age, of_event, of_open};
use keywheel_core::{
    After, Cause, Event, Failure, Hold, NewRotation, NoticeKind, Progress, Retry, Rotation, RotationId, Shape, State,
    Step, Why, transition,
};

const DAY: Duration = Duration::from_secs(86_400);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn id() -> RotationId {
    "01900000-0000-7000-8000-000000000001".parse().unwrap()
}

fn fixed() -> NewRotation {
    NewRotation {
        id: id(),
        secret: "prod/orders".to_owned(),
        policy: "orders".to_owned(),
        digest: String::new(),
        shape: Shape::InPlace,
        target: String::new(),
        cause: Cause::Schedule { due: at(0) },
        replaces: None,
    }
}

fn rotation(state: State) -> Rotation {
    Rotation { fixed: fixed(), state, seq: 7, created_at: at(0), updated_at: at(0) }
}

/// The notices of a rotation whose events are these, each a second after the other.
fn told(events: &[Event]) -> Vec<(NoticeKind, String)> {
    let subject = Subject { rotation: id(), secret: "prod/orders", policy: "orders" };
    let mut state = State::initial();
    let mut notices = Vec::new();
    for (event, seq) in events.iter().zip(1u32..) {
        let after = transition(&state, event, at(i64::from(seq))).unwrap();
        notices.extend(of_event(subject, &state, event, &after, u64::from(seq), at(i64::from(seq))));
        state = after;
    }
    let mut ids: Vec<_> = notices.iter().map(|notice| notice.id.clone()).collect();
    ids.dedup();
    assert_eq!(ids.len(), notices.len(), "each has an id of its own");
    notices.into_iter().map(|notice| (notice.kind, notice.message)).collect()
}

fn began(step: Step, attempt: u32) -> Event {
    Event::Began { step, attempt }
}

fn succeeded(step: Step) -> Event {
    Event::Succeeded { step, settled: false, note: None, hold: None }
}

fn failed(step: Step, then: After) -> Event {
    let failure = Failure::new("refused", "the target is away", Retry::Now);
    Event::Failed { step, settled: false, failure, then }
}

#[test]
fn an_end_is_told() {
    let steps = [Step::Generate, Step::Stage, Step::Apply, Step::Verify, Step::Promote, Step::Revoke];
    let events: Vec<_> = steps.iter().zip(1..).flat_map(|(step, n)| [began(*step, n), succeeded(*step)]).collect();
    assert_eq!(told(&events), [(NoticeKind::Succeeded, "rotated; the previous credential is refused".to_owned())]);
}

#[test]
fn a_way_back_is_told_once_it_is_over_and_says_why() {
    let back = [
        began(Step::Generate, 1),
        failed(Step::Generate, After::RollBack),
        began(Step::Discard, 2),
        succeeded(Step::Discard),
    ];
    assert_eq!(told(&back[..3]), []);
    let [(NoticeKind::RolledBack, message)] = &told(&back)[..] else { panic!("{:?}", told(&back)) };
    assert!(message.contains("generate: the target is away"), "{message}");
}

#[test]
fn of_many_failures_ever_fewer_are_told() {
    let again = || failed(Step::Generate, After::Again { hold: Some(Hold { until: at(60), why: Why::Backoff }) });
    let events: Vec<_> = (1..=20).flat_map(|n| [began(Step::Generate, n), again()]).collect();
    let times: Vec<_> = told(&events).into_iter().map(|(_, message)| message[..15].to_owned()).collect();
    assert_eq!(times, ["failed 2 times:", "failed 4 times:", "failed 8 times:", "failed 16 times"]);
    let parked = [began(Step::Generate, 1), failed(Step::Generate, After::Park)];
    assert_eq!(told(&parked), [(NoticeKind::Parked, "the target is away".to_owned())]);
}

#[test]
fn what_stands_still_is_told_of_ever_more_rarely() {
    let ids = |state: State, hours: std::ops::Range<i64>| {
        let rotation = Rotation { fixed: NewRotation { shape: Shape::Alternating, ..fixed() }, ..rotation(state) };
        let mut ids: Vec<_> =
            hours.filter_map(|hour| of_open(&rotation, at(hour * 3600), at(0))).map(|notice| notice.id).collect();
        ids.dedup();
        ids.into_iter().map(|id| id.rsplit('/').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let standing = |progress| State { progress, ..State::initial() };
    let attempting = standing(Progress::Attempting { step: Step::Apply });
    assert_eq!(ids(attempting, 0..40), ["1", "2", "4", "8", "16", "32"]);
    let until = at(10 * 3600);
    let waiting = |why| standing(Progress::Ready { step: Step::Revoke, hold: Some(Hold { until, why }) });
    assert_eq!(ids(waiting(Why::Grace), 0..13), ["1", "2"], "from the end of the wait");
    assert_eq!(ids(State::initial(), 0..3), ["1", "2"]);
    let parked = standing(Progress::Parked { step: Step::Apply, reason: "locked".to_owned() });
    assert_eq!(ids(parked, 0..73), ["2027-01-16", "2027-01-17", "2027-01-18"], "daily, and all at once");
    assert_eq!(ids(standing(Progress::Done), 0..99), [""; 0]);
}

#[test]
fn what_is_only_just_seen_is_not_told_of_yet() {
    let attempting = State { progress: Progress::Attempting { step: Step::Revoke }, ..State::initial() };
    let long_after = |seen: i64| of_open(&rotation(attempting.clone()), at(1_000_000 + seen), at(1_000_000));
    assert_eq!(long_after(3599), None, "a program that was off has to take it up first");
    let notice = long_after(3600).unwrap();
    assert!(notice.message.contains("in doubt since 2027-01-15T08:00:00Z"), "{}", notice.message);
}

#[test]
fn where_applications_may_be_refused_it_is_told_sooner() {
    let ids = |step| {
        let rotation = rotation(State { progress: Progress::Attempting { step }, ..State::initial() });
        let minutes = (0..61).filter_map(|minute| of_open(&rotation, at(minute * 60), at(0)));
        let mut ids: Vec<_> = minutes.map(|notice| notice.id.rsplit('/').next().unwrap().to_owned()).collect();
        ids.dedup();
        ids
    };
    assert_eq!(ids(Step::Apply), ["1", "2", "4", "8"], "after 5, 10, 20, 40 minutes");
    assert_eq!(ids(Step::Generate), ["1"], "nobody is refused before");
}

#[test]
fn what_is_too_old_is_told_of_each_day() {
    let of = |seconds| of_age(("s", "p", "v1"), at(0), DAY, at(seconds));
    assert_eq!(of(86_400), None, "not before it is over");
    let ids: Vec<_> = [86_401, 2 * 86_400 - 1, 2 * 86_400, 3 * 86_400].map(|s| of(s).unwrap().id).into();
    let days = [16, 17, 17, 18].map(|day| format!("overdue/s/v1/2027-01-{day}"));
    assert_eq!(ids, days, "of all secrets at the same moment, so that it is one message");
}
