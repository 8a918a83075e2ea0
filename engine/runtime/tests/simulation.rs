//! Crashes and troubles at random, in memory and by the thousand: at every point that the engine passes, the invariants are
//! checked; in the end each rotation is done or rolled back. A failing seed is printed and replays.
#![cfg(feature = "failpoints")]
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod world;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use keywheel_core::{Progress, Shape};
use keywheel_runtime::failpoint::{Hook, PointedRotator, PointedSecrets, PointedState};
use keywheel_runtime::{Clock, Engine, Limits, Order, Registry, Stop};
use keywheel_sdk::{Bundle, Secret};
use keywheel_secrets::memory::MemoryStore;
use keywheel_secrets::{Label, SecretStore, Selector};
use keywheel_state::memory::MemoryState;
use keywheel_state::{History, StateStore};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use world::{Bank, SetClock, Trouble};

const SECRET: &str = "app/db";

/// A small generator of numbers, so that a seed is all that a failure needs.
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// Checks the invariants at each point, and crashes at the chosen one.
struct Watch {
    bank: Arc<Bank>,
    secrets: Arc<dyn SecretStore>,
    shape: Shape,
    passed: AtomicU64,
    crash_at: AtomicU64,
    crashed: Notify,
    points: Mutex<BTreeSet<String>>,
}

#[async_trait]
impl Hook for Watch {
    async fn pass(&self, point: &str) {
        self.check(point).await;
        self.points.lock().unwrap().insert(point.to_owned());
        if self.passed.fetch_add(1, Ordering::SeqCst) == self.crash_at.load(Ordering::SeqCst) {
            self.crashed.notify_one();
            std::future::pending::<()>().await;
        }
    }
}

impl Watch {
    /// S1, S2 and S3 at this instant.
    async fn check(&self, point: &str) {
        let mut held = Vec::new();
        for info in self.secrets.versions(SECRET).await.unwrap() {
            held.push(self.secrets.read(SECRET, Selector::Version(&info.version)).await.unwrap().unwrap());
        }
        let accounts = self.bank.accounts.lock().unwrap().clone();
        for (user, password) in accounts.iter().filter_map(|(u, p)| p.as_ref().map(|p| (u, p))) {
            let known = held.iter().any(|stored| {
                stored.bundle.username().unwrap() == *user
                    && stored.bundle.password().unwrap().expose(|held| held == password)
            });
            assert!(known, "S1 at {point}: the target accepts a credential of `{user}` that the store does not hold");
        }
        let accepted =
            |label| held.iter().any(|stored| stored.label == Some(label) && self.bank.accepts(&stored.bundle));
        let served = match self.shape {
            Shape::InPlace => accepted(Label::Current) || accepted(Label::Pending),
            Shape::Alternating | Shape::Overlapping => accepted(Label::Current),
        };
        assert!(served, "S2 at {point}: the target refuses CURRENT");
        if held.iter().any(|stored| stored.label == Some(Label::Pending)) && self.shape == Shape::Alternating {
            assert!(accepted(Label::Current), "S3 at {point}: CURRENT was revoked before a successor was promoted");
        }
    }
}

struct Outcome {
    ended: Progress,
    points: BTreeSet<String>,
    crashes: u32,
}

/// One rotation with the crashes and troubles of this seed.
async fn simulate(seed: u64) -> Outcome {
    let mut chance = Seeded(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(1));
    let alternating = chance.below(2) == 0;
    let mut policy = if alternating { world::alternating() } else { world::in_place() };
    if chance.below(3) == 0 {
        policy.revoke.after = Duration::from_secs(3600);
    }
    let first = if alternating { "app_a" } else { "app" };
    let bank = Bank::open(&[(first, Some("first password"))]);
    let clock = SetClock::new();
    let secrets: Arc<dyn SecretStore> = Arc::new(MemoryStore::new());
    let current = Bundle::login(first, Secret::new("first password".into()));
    secrets.put(SECRET, "by-hand", &current, None, clock.now()).await.unwrap();
    for _ in 0..chance.below(4) {
        let trouble =
            [Trouble::Refused, Trouble::BadValue, Trouble::LostAnswer, Trouble::LostRequest][chance.below(4) as usize];
        bank.troubles.lock().unwrap().insert(chance.below(10), trouble);
    }
    if chance.below(3) == 0 {
        // A target that is out of order for a while, so that tries run out.
        let from = chance.below(3);
        bank.troubles.lock().unwrap().extend((from..from + 3 + chance.below(6)).map(|call| (call, Trouble::Refused)));
    }
    let watch = Arc::new(Watch {
        bank: Arc::clone(&bank),
        secrets: Arc::clone(&secrets),
        shape: if alternating { Shape::Alternating } else { Shape::InPlace },
        passed: AtomicU64::new(0),
        crash_at: AtomicU64::new(u64::MAX),
        crashed: Notify::new(),
        points: Mutex::new(BTreeSet::new()),
    });
    let mut state = MemoryState::new();
    let mut crashes_left = chance.below(4);
    let mut crashes = 0;
    let (mut order, mut looks) = (Order::Now { by: "test".into(), reason: None }, 0);
    for _ in 0..200 {
        if crashes_left > 0 {
            crashes_left -= 1;
            let at = watch.passed.load(Ordering::SeqCst) + chance.below(30);
            watch.crash_at.store(at, Ordering::SeqCst);
        }
        let engine = engine(&state, &secrets, &bank, &clock, &watch);
        let stopping = CancellationToken::new();
        let turned = tokio::select! {
            biased;
            () = watch.crashed.notified() => None,
            turned = engine.turn(&policy, &order, looks, &stopping) => Some(turned.unwrap()),
        };
        match turned {
            None => {
                // The process died: another one comes, after the lease of the dead has run out.
                crashes += 1;
                state = state.another_holder();
                clock.advance(Duration::from_secs(31));
                watch.crash_at.store(u64::MAX, Ordering::SeqCst);
                looks = 0;
            }
            Some(Some((_, Stop::Held(hold)))) => clock.advance_to(hold.until),
            Some(Some((_, Stop::InDoubt { until, .. }))) => {
                looks += 1;
                clock.advance_to(until);
            }
            Some(Some((_, Stop::Parked { step, reason }))) => panic!("parked at {step}: {reason}"),
            Some(Some((_, Stop::Stopping))) => unreachable!("nobody stopped it"),
            Some(Some((_, Stop::Done | Stop::RolledBack { .. })) | None) => {
                watch.check("the end").await;
                let points = watch.points.lock().unwrap().clone();
                let latest = state.history(&History { secret: None, limit: 10 }).await.unwrap();
                assert!(latest.len() <= 1, "one order, {} rotations", latest.len());
                let Some(latest) = latest.into_iter().next() else {
                    // It died before it was even created: the order is given again.
                    continue;
                };
                finally_one_credential(&bank, &secrets).await;
                return Outcome { ended: latest.state.progress, points, crashes };
            }
        }
        let created = state.open_of(SECRET).await.unwrap().is_some();
        let ended = !state.history(&History { secret: None, limit: 1 }).await.unwrap().is_empty();
        if created || ended {
            order = Order::GoOn;
        }
    }
    panic!("no end after 200 turns");
}

/// At the end the target accepts `CURRENT` and nothing else, and the store holds nothing else.
async fn finally_one_credential(bank: &Bank, secrets: &Arc<dyn SecretStore>) {
    let current = secrets.read(SECRET, Selector::Label(Label::Current)).await.unwrap().unwrap();
    assert!(bank.accepts(&current.bundle));
    assert_eq!(bank.accounts.lock().unwrap().values().flatten().count(), 1, "only one account has a password");
    assert_eq!(secrets.versions(SECRET).await.unwrap().len(), 1, "the store holds CURRENT only");
}

fn engine(
    state: &MemoryState,
    secrets: &Arc<dyn SecretStore>,
    bank: &Arc<Bank>,
    clock: &Arc<SetClock>,
    watch: &Arc<Watch>,
) -> Engine {
    let hook: Arc<dyn Hook> = Arc::clone(watch) as _;
    Engine {
        state: Arc::new(PointedState(Arc::new(state.clone()), Arc::clone(&hook))),
        secrets: Arc::new(PointedSecrets(Arc::clone(secrets), Arc::clone(&hook))),
        rotators: Registry::new().with(Arc::new(PointedRotator(Arc::clone(bank) as _, hook))),
        clock: Arc::clone(clock) as _,
        environment: Arc::new(|_| None),
        limits: Limits { rotations: 1, per_target: 1, step: Duration::from_secs(10), lease: Duration::from_secs(30) },
        observer: None,
    }
}

#[tokio::test]
async fn crashes_and_troubles_at_random_lose_nothing() {
    let seeds = 3_000;
    let (mut done, mut back, mut crashes, mut points) = (0, 0, 0, BTreeSet::new());
    for seed in 0..seeds {
        let run = std::panic::AssertUnwindSafe(simulate(seed));
        let outcome = match futures_util::FutureExt::catch_unwind(run).await {
            Ok(outcome) => outcome,
            Err(panic) => {
                eprintln!("seed {seed} fails");
                std::panic::resume_unwind(panic);
            }
        };
        match outcome.ended {
            Progress::Done => done += 1,
            Progress::RolledBack => back += 1,
            Progress::Ready { .. } | Progress::Attempting { .. } | Progress::Parked { .. } => {
                panic!("seed {seed} ended as {}", outcome.ended);
            }
        }
        crashes += outcome.crashes;
        points.extend(outcome.points);
    }
    println!("{seeds} seeds: {done} done, {back} rolled back, {crashes} crashes, {} kinds of points", points.len());
    assert!(done > seeds / 4 && back > seeds / 20, "both ends are reached: {done} and {back}");
    assert!(points.contains("target/restore/after") && points.contains("store/discard/after"));
}
