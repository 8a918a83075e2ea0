//! Crashes, lost answers, stopped workers and busy people at random, by the thousand: at every point that the engine passes
//! the invariants are checked; in the end each rotation is done or rolled back. A failing seed is printed and replays.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use keywheel_core::{Progress, Shape, Step, decide};
use keywheel_policies::Policy;
use keywheel_runtime::failpoint::Hook;
use keywheel_runtime::{Clock, Engine, Order, RunError, Stop};
use keywheel_secrets::faulty::{FaultyStore, When as StoreFails};
use keywheel_secrets::{Label, Selector};
use keywheel_state::StateStore;
use keywheel_state::faulty::{FaultyState, When as StateFails};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::world::{LEASE, SECRET, Trouble, World, alternating, in_place, login, now, overlapping, roll_back};

/// A small generator of numbers, so that a seed is all that a failure needs.
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// Checks the invariants at each point, and crashes or stops the worker at the chosen one.
struct Watch {
    /// A process of its own, which only looks.
    world: World,
    shape: Shape,
    grace: Duration,
    /// Somebody broke the successor by hand: the target refuses `CURRENT`, and that is not the engine's doing.
    broken: AtomicBool,
    /// A worker goes on that was stopped past its lease.
    late: AtomicBool,
    /// From here on the previous credential may be refused.
    revoking: AtomicBool,
    passed: AtomicU64,
    crash_at: AtomicU64,
    crashed: Notify,
    stall_at: AtomicU64,
    stalled: Notify,
    go: Notify,
    points: Mutex<BTreeSet<String>>,
}

#[async_trait]
impl Hook for Watch {
    async fn pass(&self, point: &str) {
        self.check(point).await;
        self.points.lock().unwrap().insert(point.to_owned());
        let passed = self.passed.fetch_add(1, Ordering::SeqCst);
        if passed == self.crash_at.load(Ordering::SeqCst) {
            self.crashed.notify_one();
            std::future::pending::<()>().await;
        }
        // Between an intent and its effect, or before a write that its store can refuse. What is on its way to a target is
        // the rotator's to keep off.
        let stoppable = (point.starts_with("journal/") && point.ends_with("/after"))
            || (point.starts_with("store/") && point.ends_with("/before"));
        if stoppable && passed >= self.stall_at.load(Ordering::SeqCst) {
            self.stall_at.store(u64::MAX, Ordering::SeqCst);
            self.stalled.notify_one();
            self.go.notified().await;
        }
    }
}

impl Watch {
    /// S1, S2 and S3 at this instant, and what promotion and revocation demand.
    async fn check(&self, point: &str) {
        let (world, bank) = (&self.world, &self.world.bank);
        let lost = world.lost().await;
        assert!(lost.is_empty(), "S1 at {point}: the store does not hold what the target accepts of {lost:?}");
        let pending = world.held(Selector::Label(Label::Pending)).await;
        let serves = world.serves().await;
        if !self.broken.load(Ordering::SeqCst) {
            let served = match self.shape {
                Shape::InPlace => serves || pending.as_ref().is_some_and(|pending| bank.accepts(pending)),
                Shape::Alternating | Shape::Overlapping => serves,
            };
            assert!(served, "S2 at {point}: the target refuses CURRENT");
        }
        let Some(open) = world.state.open_of(SECRET).await.unwrap() else { return };
        if self.shape != Shape::InPlace && open.state.promoted_at.is_some() && !self.revoking.load(Ordering::SeqCst) {
            let replaced = open.fixed.replaces.expect("there was a CURRENT from the start");
            let replaced = world.held(Selector::Version(&replaced)).await.expect("it is not revoked yet");
            assert!(bank.accepts(&replaced), "S3 at {point}: the previous credential ended before it was revoked");
        }
        match point {
            // What comes late is refused by the store.
            "store/promote/before" if !self.late.load(Ordering::SeqCst) => {
                let pending = pending.expect("what is promoted is PENDING");
                assert!(bank.has_verified(&pending), "promoted, but never seen to work");
            }
            "target/revoke/before" => {
                let promoted = open.state.promoted_at.expect("revoke comes after promote");
                let over = decide::later(promoted, self.grace);
                assert!(world.clock.now() >= over, "revoked within the grace period");
                assert!(serves, "revoked although the target refuses CURRENT");
                self.revoking.store(true, Ordering::SeqCst);
            }
            _ => {}
        }
    }
}

struct Outcome {
    ended: Progress,
    points: BTreeSet<String>,
    crashes: u32,
    stalls: u32,
    puts: u32,
}

/// One rotation with all that this seed lets happen to it.
struct Simulation {
    chance: Seeded,
    policy: Policy,
    world: World,
    watch: Arc<Watch>,
    order: Order,
    looks: u32,
    crashes: u32,
    stalls: u32,
    puts: u32,
}

impl Simulation {
    async fn new(seed: u64) -> Self {
        let mut chance = Seeded(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(1));
        let (mut policy, world, shape) = match chance.below(3) {
            0 => (alternating(), World::alternating().await, Shape::Alternating),
            1 => (in_place(), World::in_place().await, Shape::InPlace),
            _ => (overlapping(), World::overlapping().await, Shape::Overlapping),
        };
        if chance.below(3) == 0 {
            policy.revoke.after = Duration::from_secs(3600);
        }
        {
            let mut troubles = world.bank.troubles.lock().unwrap();
            for _ in 0..chance.below(4) {
                let kinds = [
                    Trouble::Refused,
                    Trouble::BadValue,
                    Trouble::LostAnswer,
                    Trouble::LostRequest,
                    Trouble::LostBadValue,
                    Trouble::Refused,
                ];
                let kind = kinds[usize::try_from(chance.below(6)).unwrap()];
                troubles.insert(chance.below(10), kind);
            }
            if chance.below(3) == 0 {
                // A target that is out of order for a while, so that tries run out.
                let from = chance.below(3);
                troubles.extend((from..from + 3 + chance.below(6)).map(|call| (call, Trouble::Refused)));
            }
        }
        if chance.below(8) == 0 {
            world.bank.plan("apply", [0], Trouble::Lie);
        }
        let watch = Arc::new(Watch {
            world: world.another_process(),
            shape,
            grace: policy.revoke.after,
            broken: AtomicBool::new(false),
            late: AtomicBool::new(false),
            revoking: AtomicBool::new(false),
            passed: AtomicU64::new(0),
            crash_at: AtomicU64::new(u64::MAX),
            crashed: Notify::new(),
            stall_at: AtomicU64::new(u64::MAX),
            stalled: Notify::new(),
            go: Notify::new(),
            points: Mutex::new(BTreeSet::new()),
        });
        Simulation { chance, policy, world, watch, order: now(), looks: 0, crashes: 0, stalls: 0, puts: 0 }
    }

    /// An engine whose stores lie now and then.
    fn engine(&mut self, faults: bool) -> Engine {
        let mut engine = self.world.engine(Arc::clone(&self.watch) as _);
        let (state, secrets) = (FaultyState::new(engine.state), FaultyStore::new(engine.secrets));
        let chance = &mut self.chance;
        if faults {
            for _ in 0..chance.below(3) {
                let when = if chance.below(2) == 0 { StateFails::Before } else { StateFails::After };
                state.fail(1 + chance.below(14), when);
            }
            for _ in 0..chance.below(4) {
                let when = if chance.below(2) == 0 { StoreFails::Before } else { StoreFails::After };
                secrets.fail(1 + chance.below(20), when);
            }
        }
        engine.state = Arc::new(state);
        engine.secrets = Arc::new(secrets);
        engine
    }

    async fn run(mut self) -> Outcome {
        let (mut crashes, mut stalls) = (self.chance.below(4), self.chance.below(3));
        let (mut faults, mut hands) = (self.chance.below(8), self.chance.below(4));
        for _ in 0..300 {
            let passed = self.watch.passed.load(Ordering::SeqCst);
            let at = |left: &mut u64, chance: &mut Seeded| {
                let some = *left > 0;
                *left = left.saturating_sub(1);
                if some { passed + chance.below(30) } else { u64::MAX }
            };
            self.watch.crash_at.store(at(&mut crashes, &mut self.chance), Ordering::SeqCst);
            self.watch.stall_at.store(at(&mut stalls, &mut self.chance), Ordering::SeqCst);
            let turned = self.turn(faults > 0).await;
            faults = faults.saturating_sub(1);
            match turned {
                None => self.looks = 0,
                Some(Ok(Some(Stop::Held(hold)))) => self.world.clock.advance_to(hold.until),
                Some(Ok(Some(Stop::InDoubt { until, .. }))) => {
                    self.looks += 1;
                    self.world.clock.advance_to(until);
                }
                Some(Ok(Some(Stop::Parked { step, reason }))) => panic!("parked at {step}: {reason}"),
                Some(Ok(Some(Stop::Stopping))) => unreachable!("nobody stopped it"),
                Some(Ok(Some(Stop::Done | Stop::RolledBack { .. }) | None)) => {
                    self.watch.check("the end").await;
                    let rotations = self.world.rotations().await;
                    assert!(rotations.len() <= 1, "one order, {} rotations", rotations.len());
                    // Else it died before it was even created: the order is given again.
                    if let Some(latest) = rotations.into_iter().next() {
                        self.repair().await;
                        self.world.assert_one_credential().await;
                        let points = self.watch.points.lock().unwrap().clone();
                        let Simulation { crashes, stalls, puts, .. } = self;
                        return Outcome { ended: latest.state.progress, points, crashes, stalls, puts };
                    }
                }
                Some(Err(error)) => {
                    self.excuse(&error);
                    self.world.clock.advance(LEASE + Duration::from_secs(1));
                }
            }
            if !self.world.rotations().await.is_empty() {
                self.order = Order::GoOn;
            }
            self.repair().await;
            if hands > 0 {
                hands -= 1;
                self.hand().await;
            }
        }
        panic!("no end after 300 turns");
    }

    /// One turn: its answer, or `None` if the process died.
    async fn turn(&mut self, faults: bool) -> Option<Result<Option<Stop>, RunError>> {
        let (engine, policy, order, looks) = (self.engine(faults), self.policy.clone(), self.order.clone(), self.looks);
        let (watch, stopping) = (Arc::clone(&self.watch), CancellationToken::new());
        let work = engine.turn(&policy, &order, looks, &stopping);
        tokio::pin!(work);
        let turned = tokio::select! {
            biased;
            () = watch.crashed.notified() => None,
            () = watch.stalled.notified() => {
                watch.crash_at.store(u64::MAX, Ordering::SeqCst);
                self.stalls += 1;
                self.others_work().await;
                watch.late.store(true, Ordering::SeqCst);
                watch.go.notify_one();
                let turned = work.await;
                watch.late.store(false, Ordering::SeqCst);
                Some(turned)
            }
            turned = &mut work => Some(turned),
        };
        if turned.is_none() {
            // Another process comes, after the lease of the dead has run out.
            self.crashes += 1;
            self.world = self.world.another_process();
            self.world.clock.advance(LEASE + Duration::from_secs(1));
        }
        turned.map(|turned| turned.map(|turned| turned.map(|(_, stop)| stop)))
    }

    /// The worker sleeps past its lease; another process works meanwhile.
    async fn others_work(&mut self) {
        self.world.clock.advance(LEASE + Duration::from_secs(1));
        let other = self.world.another_process();
        let engine = other.engine(Arc::clone(&self.watch) as _);
        for _ in 0..self.chance.below(4) {
            let order = if self.chance.below(4) == 0 { roll_back() } else { Order::GoOn };
            let turned = engine.turn(&self.policy, &order, 0, &CancellationToken::new()).await;
            match turned {
                Ok(Some((_, Stop::Held(hold)))) => self.world.clock.advance_to(hold.until),
                Ok(Some((_, Stop::InDoubt { until, .. }))) => self.world.clock.advance_to(until),
                Ok(_) => {}
                Err(error) => assert!(order == roll_back(), "{error:?}"),
            }
        }
    }

    /// Between two turns a person puts a value, orders the way back, or breaks the successor.
    async fn hand(&mut self) {
        let world = &self.world;
        let open = world.state.open_of(SECRET).await.unwrap();
        let promoted = open.as_ref().is_some_and(|open| open.state.promoted_at.is_some());
        match self.chance.below(3) {
            // Not while a promotion may have happened: nobody could tell then what the target still accepts.
            0 if !promoted && open.as_ref().is_none_or(|open| open.state.step() != Some(Step::Promote)) => {
                let labels = world.secrets.labels(SECRET).await.unwrap();
                let live = world.current().await.username().unwrap();
                let user = match (live.as_str(), self.chance.below(2)) {
                    ("app_a", 0) => "app_b",
                    ("app_b", 0) => "app_a",
                    (live, _) => live,
                };
                let value = login(user, &format!("by hand {}", self.puts));
                let version = format!("by-hand-{}", self.puts + 2);
                if world.try_put(&version, &value, labels.current.as_deref()).await {
                    assert!(labels.pending.is_none(), "a put over a candidate");
                    // A careful person: the account that is live no more loses its password.
                    world.bank.set(&login(&live, ""), false);
                    world.bank.set(&value, true);
                    world.drop_previous().await;
                    self.puts += 1;
                }
            }
            1 if open.is_some() && !promoted => self.order = roll_back(),
            2 if promoted && self.watch.shape != Shape::InPlace => {
                self.watch.broken.store(true, Ordering::SeqCst);
                world.bank.set(&world.current().await, false);
            }
            _ => {}
        }
    }

    /// What was broken by hand is mended after a turn.
    async fn repair(&mut self) {
        if self.watch.broken.swap(false, Ordering::SeqCst) {
            self.world.bank.set(&self.world.current().await, true);
        }
    }

    /// Whether this may come of what was done to it.
    fn excuse(&self, error: &RunError) {
        let text = error.to_string();
        let faulty = ["made to fail", "already", "at work", "under way", "lease"];
        let ordered = self.order == roll_back();
        assert!(ordered || faulty.iter().any(|known| text.contains(known)), "{error:?}");
    }
}

#[tokio::test]
async fn whatever_happens_nothing_is_lost() {
    let seeds = 3_000;
    let (mut done, mut back, mut crashes, mut stalls, mut puts) = (0, 0, 0, 0, 0);
    let mut points = BTreeSet::new();
    for seed in 0..seeds {
        let run = async { Simulation::new(seed).await.run().await };
        let outcome = AssertUnwindSafe(run).catch_unwind().await.unwrap_or_else(|panic| {
            eprintln!("seed {seed} fails");
            std::panic::resume_unwind(panic);
        });
        match outcome.ended {
            Progress::Done => done += 1,
            Progress::RolledBack => back += 1,
            Progress::Ready { .. } | Progress::Attempting { .. } | Progress::Parked { .. } => {
                panic!("seed {seed} ended as {}", outcome.ended);
            }
        }
        crashes += outcome.crashes;
        stalls += outcome.stalls;
        puts += outcome.puts;
        points.extend(outcome.points);
    }
    println!(
        "{seeds} seeds: {done} done, {back} rolled back, {crashes} crashes, {stalls} stops, {puts} puts, {} points",
        points.len()
    );
    assert!(done > seeds / 4 && back > seeds / 20, "both ends are reached: {done} and {back}");
    assert!(crashes > 500 && stalls > 500 && puts > 50, "{crashes} crashes, {stalls} stops, {puts} puts");
    for point in ["target/restore/after", "store/discard/after", "target/generate/after", "target/sweep/after"] {
        assert!(points.contains(point), "{point} was never passed");
    }
}
