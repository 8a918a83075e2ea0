//! Heartbeats: who is asked and when, what is told, and that they stay out of rotations' way.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Time;
use keywheel_core::heartbeat::{Heard, ONCE_MORE};
use keywheel_core::{Cause, NoticeKind, Progress};
use keywheel_policies::{AdminSource, Heartbeat, OnDrift, Policy, Weekday, Window};
use keywheel_runtime::failpoint::Hook;
use keywheel_runtime::{Beat, Clock, Schedule, Stop, Until};
use keywheel_state::{Claim, Outbox, StateStore};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::world::{Gate, LEASE, Open, SECRET, Trouble, World, alternating, in_place, login, now};

const SOON: Duration = Duration::from_secs(10);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

fn hourly(policy: Policy, on_drift: OnDrift) -> Policy {
    Policy { heartbeat: Some(Heartbeat { every: HOUR, on_drift }), ..policy }
}

/// With an admin, and a window from two to five in the morning.
fn rotating(policy: Policy) -> Policy {
    let mut policy = hourly(policy, OnDrift::Rotate);
    policy.admin = AdminSource::Env { name: "ADMIN".into(), username: Some("admin".into()) };
    let days = vec![Weekday::Sunday, Weekday::Monday, Weekday::Tuesday, Weekday::Wednesday, Weekday::Thursday];
    policy.schedule.window = Some(Window { days, from: Time::constant(2, 0, 0, 0), to: Time::constant(5, 0, 0, 0) });
    policy
}

/// A scheduler that runs until it is told to stop.
struct Daemon {
    stopping: CancellationToken,
    run: JoinHandle<()>,
}

impl Daemon {
    async fn start(world: &World, policies: &[Policy]) -> Self {
        Daemon::hooked(world, policies, Arc::new(Open)).await
    }

    async fn hooked(world: &World, policies: &[Policy], hook: Arc<dyn Hook>) -> Self {
        let stopping = CancellationToken::new();
        let policies = policies.iter().cloned().map(Arc::new).collect();
        let schedule = Schedule::new(Arc::new(world.engine(hook)), policies, stopping.clone());
        let run = tokio::spawn(async move { schedule.run(Until::Stopped).await.unwrap() });
        rest().await;
        Daemon { stopping, run }
    }

    async fn stop(self) {
        self.stopping.cancel();
        tokio::time::timeout(SOON, self.run).await.expect("it stops").unwrap();
    }
}

/// Until nothing moves: all is in memory and on one thread, where whoever yields goes to the end of the queue.
async fn rest() {
    for _ in 0..2_000 {
        tokio::task::yield_now().await;
    }
}

async fn pass(world: &World, by: Duration) {
    world.clock.advance(by);
    rest().await;
}

async fn pass_to(world: &World, to: &str) {
    world.clock.advance_to(to.parse::<Timestamp>().unwrap());
    rest().await;
}

async fn told(world: &World) -> Vec<(NoticeKind, String)> {
    let notices = world.state.notices(0, 100).await.unwrap();
    notices.into_iter().map(|numbered| (numbered.notice.kind, numbered.notice.id)).collect()
}

fn drift(day: u32) -> (NoticeKind, String) {
    (NoticeKind::Drift, format!("drift/{SECRET}/by-hand/2026-03-{day:02}"))
}

/// Somebody sets another password at the target.
fn changes_by_hand(world: &World, account: &str) {
    world.bank.set(&login(account, "changed"), true);
}

#[tokio::test]
async fn a_yes_writes_nothing_and_is_asked_for_again() {
    let world = World::in_place().await;
    let daemon = Daemon::start(&world, &[hourly(in_place(), OnDrift::Alert)]).await;
    for times in 1..=3 {
        pass(&world, HOUR).await;
        assert_eq!(world.bank.count("probe"), times);
    }
    daemon.stop().await;
    assert_eq!(world.bank.calls().len(), 3, "nothing else is called");
    assert_eq!(world.state.last_notice().await.unwrap(), 0);
    assert!(world.rotations().await.is_empty());
    let free = world.state.another_holder().claim(SECRET, LEASE, world.clock.now()).await.unwrap();
    assert!(matches!(free, Claim::Granted(_)), "the lease was given back");
}

#[tokio::test]
async fn without_a_heartbeat_or_a_daemon_nobody_is_asked() {
    let world = World::in_place().await;
    let daemon = Daemon::start(&world, &[in_place()]).await;
    pass(&world, HOUR).await;
    daemon.stop().await;
    let policies = vec![Arc::new(hourly(in_place(), OnDrift::Alert))];
    let once = Schedule::new(Arc::new(world.engine(Arc::new(Open))), policies, CancellationToken::new());
    once.run(Until::Idle).await.unwrap();
    assert!(world.bank.calls().is_empty());
}

#[tokio::test]
async fn drift_is_told_once_a_day_while_it_lasts() {
    let world = World::in_place().await;
    let policies = [hourly(in_place(), OnDrift::Alert)];
    let daemon = Daemon::start(&world, &policies).await;
    changes_by_hand(&world, "app");
    pass(&world, HOUR).await;
    assert_eq!((world.bank.count("probe"), told(&world).await), (1, Vec::new()), "one no is not believed");
    pass(&world, ONCE_MORE).await;
    assert_eq!((world.bank.count("probe"), told(&world).await), (2, vec![drift(1)]));
    for times in 3..=12 {
        pass(&world, HOUR).await;
        assert_eq!(world.bank.count("probe"), times, "a drift that is known costs one look an hour");
    }
    assert_eq!(told(&world).await, [drift(1)]);
    daemon.stop().await;
    // What was told is known after a new start, too.
    let daemon = Daemon::start(&world, &policies).await;
    pass(&world, HOUR).await;
    pass(&world, ONCE_MORE).await;
    assert_eq!((world.bank.count("probe"), told(&world).await), (14, vec![drift(1)]));
    pass_to(&world, "2026-03-02T00:30:00Z").await;
    assert_eq!(told(&world).await, [drift(1), drift(2)]);
    world.bank.set(&login("app", "first"), true);
    for _ in 0..48 {
        pass(&world, HOUR).await;
    }
    assert_eq!(told(&world).await.len(), 2, "it is over");
    assert!(world.rotations().await.is_empty());
    daemon.stop().await;
}

#[tokio::test]
async fn a_person_who_puts_what_they_set_is_in_time() {
    let world = World::in_place().await;
    let daemon = Daemon::start(&world, &[hourly(in_place(), OnDrift::Alert)]).await;
    changes_by_hand(&world, "app");
    pass(&world, HOUR).await;
    assert!(world.try_put("theirs", &login("app", "changed"), Some("by-hand")).await, "the lease is free meanwhile");
    pass(&world, ONCE_MORE).await;
    assert_eq!((world.bank.count("probe"), told(&world).await), (2, Vec::new()));
    daemon.stop().await;
}

#[tokio::test]
async fn nobody_is_asked_while_a_rotation_is_open() {
    let world = World::alternating().await;
    let mut policy = hourly(alternating(), OnDrift::Alert);
    policy.revoke.after = 5 * HOUR;
    assert!(matches!(world.turn(&policy, now()).await.unwrap(), Some(Stop::Held(_))));
    let before = world.bank.count("probe");
    let daemon = Daemon::start(&world, &[policy]).await;
    for _ in 0..4 {
        pass(&world, HOUR).await;
    }
    assert_eq!(world.bank.count("probe"), before);
    // Here it ends.
    pass(&world, HOUR).await;
    world.assert_one_credential().await;
    let before = world.bank.count("probe");
    pass(&world, 2 * HOUR).await;
    assert_eq!(world.bank.count("probe"), before + 1);
    daemon.stop().await;
}

#[tokio::test]
async fn nobody_is_asked_while_another_process_has_the_lease() {
    let world = World::in_place().await;
    let daemon = Daemon::start(&world, &[hourly(in_place(), OnDrift::Alert)]).await;
    let person = world.state.another_holder();
    let Claim::Granted(lease) = person.claim(SECRET, 9 * HOUR, world.clock.now()).await.unwrap() else {
        panic!("it is free");
    };
    for _ in 0..3 {
        pass(&world, HOUR).await;
    }
    assert!(world.bank.calls().is_empty());
    person.release(&lease).await.unwrap();
    pass(&world, HOUR).await;
    assert_eq!(world.bank.calls(), ["probe app"]);
    daemon.stop().await;
}

#[tokio::test]
async fn a_rotation_that_is_due_waits_for_its_own_heartbeat_and_no_longer() {
    let mut world = World::in_place().await;
    (world.limits.rotations, world.limits.per_target) = (2, 2);
    let gate = Gate::at("target/probe/before");
    let daemon = Daemon::hooked(&world, &[hourly(in_place(), OnDrift::Alert)], Arc::clone(&gate) as _).await;
    pass(&world, HOUR).await;
    tokio::time::timeout(SOON, gate.stopped.notified()).await.expect("it is asked");
    pass(&world, 30 * 24 * HOUR).await;
    assert!(world.rotations().await.is_empty());
    gate.go.notify_one();
    rest().await;
    assert_eq!(world.bank.calls()[0], "probe app");
    assert_eq!(world.latest().await.state.progress, Progress::Done, "without another process's pause");
    world.assert_one_credential().await;
    daemon.stop().await;
}

#[tokio::test]
async fn no_answer_is_no_drift_and_silence_is_told() {
    let world = World::in_place().await;
    let daemon = Daemon::start(&world, &[rotating(in_place())]).await;
    world.bank.plan("probe", 0..5, Trouble::Refused);
    for _ in 0..3 {
        pass(&world, HOUR).await;
    }
    assert_eq!((world.bank.count("probe"), told(&world).await), (3, Vec::new()));
    pass(&world, HOUR).await;
    let silence = (NoticeKind::Failed, format!("heartbeat/{SECRET}/by-hand/2026-03-01/4"));
    assert_eq!(told(&world).await, [silence]);
    pass(&world, HOUR).await;
    pass(&world, HOUR).await;
    assert_eq!((world.bank.count("probe"), told(&world).await.len()), (6, 1));
    assert!(world.rotations().await.is_empty());
    daemon.stop().await;
}

#[tokio::test]
async fn a_target_that_never_answers_is_not_waited_for() {
    let mut world = World::in_place().await;
    world.limits.step = Duration::from_millis(50);
    world.bank.plan("probe", [0, 1], Trouble::Silence);
    let (engine, policy) = (world.engine(Arc::new(Open)), hourly(in_place(), OnDrift::Alert));
    let stopping = CancellationToken::new();
    let beat = tokio::time::timeout(SOON, engine.heartbeat(&policy, &stopping)).await.expect("it has a deadline");
    let heard = Heard::Unknown { why: "no answer in time".to_owned() };
    assert_eq!(beat.unwrap(), Beat::Asked { version: "by-hand".to_owned(), heard });
    stopping.cancel();
    assert_eq!(engine.heartbeat(&policy, &stopping).await.unwrap(), Beat::Stopped);
    let free = world.state.another_holder().claim(SECRET, LEASE, world.clock.now()).await.unwrap();
    assert!(matches!(free, Claim::Granted(_)), "the lease was given back");
}

#[tokio::test]
async fn a_rotator_that_panics_costs_a_heartbeat_and_not_the_daemon() {
    let world = World::in_place().await;
    let daemon = Daemon::start(&world, &[hourly(in_place(), OnDrift::Alert)]).await;
    world.bank.plan("probe", [0], Trouble::Panic);
    for times in 1..=3 {
        pass(&world, HOUR).await;
        assert_eq!(world.bank.count("probe"), times);
    }
    daemon.stop().await;
}

#[tokio::test]
async fn a_drift_begins_a_rotation_inside_the_window_only() {
    let world = World::in_place().await;
    let daemon = Daemon::start(&world, &[rotating(in_place())]).await;
    changes_by_hand(&world, "app");
    pass(&world, HOUR).await;
    pass(&world, ONCE_MORE).await;
    assert_eq!(told(&world).await, [drift(1)]);
    pass_to(&world, "2026-03-01T01:59:59Z").await;
    assert!(world.rotations().await.is_empty());
    pass_to(&world, "2026-03-01T02:00:00Z").await;
    let latest = world.latest().await;
    assert_eq!(latest.fixed.cause, Cause::Drift { version: "by-hand".to_owned() });
    assert_eq!((latest.fixed.replaces.as_deref(), latest.state.progress), (Some("by-hand"), Progress::Done));
    world.assert_one_credential().await;
    for _ in 0..24 {
        pass(&world, HOUR).await;
    }
    assert_eq!(world.rotations().await.len(), 1);
    assert!(world.serves().await);
    daemon.stop().await;
}

#[tokio::test]
async fn a_drift_begins_one_rotation_for_each_version() {
    let world = World::alternating().await;
    let mut policy = rotating(alternating());
    policy.on_failure.attempts = 1;
    let daemon = Daemon::start(&world, &[policy]).await;
    changes_by_hand(&world, "app_a");
    world.bank.plan("apply", [0], Trouble::RefusedForGood);
    for _ in 0..72 {
        pass(&world, HOUR).await;
        pass(&world, ONCE_MORE).await;
    }
    assert_eq!(world.rotations().await.len(), 1);
    assert_eq!(world.latest().await.state.progress, Progress::RolledBack);
    let drifts = told(&world).await.into_iter().filter(|(kind, _)| *kind == NoticeKind::Drift).count();
    assert!(drifts >= 3, "people hear of it each day: {drifts}");
    // Another value is another matter.
    assert!(world.try_put("theirs", &login("app_a", "wrong again"), Some("by-hand")).await);
    for _ in 0..24 {
        pass(&world, HOUR).await;
        pass(&world, ONCE_MORE).await;
    }
    assert_eq!(world.rotations().await.len(), 2);
    assert_eq!(world.latest().await.fixed.cause, Cause::Drift { version: "theirs".to_owned() });
    assert!(world.serves().await);
    daemon.stop().await;
}

#[tokio::test]
async fn many_secrets_are_not_asked_about_at_once() {
    let mut world = World::in_place().await;
    world.limits.rotations = 8;
    world.limits.per_target = 4;
    let (mut policies, value) = (Vec::new(), login("app", "first"));
    for number in 0..120 {
        let mut policy = hourly(in_place(), OnDrift::Alert);
        policy.name = format!("policy-{number}");
        policy.secret.name = format!("app/{number}");
        let put = world.secrets.put(&policy.secret.name, "v1", &value, None, world.clock.now(), 1);
        put.await.unwrap();
        policies.push(policy);
    }
    let daemon = Daemon::start(&world, &policies).await;
    let mut before = world.bank.count("probe");
    assert!(before <= 8, "at once: {before}");
    for _ in 0..60 {
        pass(&world, MINUTE).await;
        let asked = world.bank.count("probe");
        assert!(asked - before <= 10, "{} within a minute", asked - before);
        before = asked;
    }
    assert_eq!(before, 120, "each once within the hour");
    daemon.stop().await;
}
