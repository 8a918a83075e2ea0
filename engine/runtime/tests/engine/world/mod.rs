//! A world in memory for the engine's tests: a target, a secret store, a journal, and a clock that is set.

mod apps;
mod bank;
mod clock;
mod hooks;
mod policy;

use std::sync::Arc;
use std::time::Duration;

use keywheel_core::{Event, Rotation, State, Step};
use keywheel_policies::Policy;
use keywheel_runtime::failpoint::{Hook, PointedConsumers, PointedRotator, PointedSecrets, PointedState};
use keywheel_runtime::{Clock, Engine, Limits, Order, Redacted, Registry, RunError, Stop};
use keywheel_sdk::{Bundle, Secret};
use keywheel_secrets::memory::MemoryStore;
use keywheel_secrets::{Label, SecretStore, Selector};
use keywheel_state::memory::MemoryState;
use keywheel_state::{Claim, History, StateStore};
use tokio_util::sync::CancellationToken;

pub use apps::Apps;
pub use bank::{Bank, Trouble};
pub use clock::SetClock;
pub use hooks::{Gate, Open};
pub use policy::{alternating, in_place, overlapping};

pub const SECRET: &str = "app/db";

/// How long a lease lasts here.
pub const LEASE: Duration = Duration::from_secs(30);

/// One secret at one target, seen from one process.
pub struct World {
    pub bank: Arc<Bank>,
    pub apps: Arc<Apps>,
    pub clock: Arc<SetClock>,
    pub secrets: Arc<dyn SecretStore>,
    pub state: MemoryState,
    pub limits: Limits,
}

/// `Now`, by nobody in particular.
pub fn now() -> Order {
    Order::Now { by: "test".into(), reason: None }
}

pub fn roll_back() -> Order {
    Order::RollBack { by: "test".into() }
}

pub fn login(username: &str, password: &str) -> Bundle {
    Bundle::login(username, Secret::new(password.to_owned()))
}

impl World {
    /// The target accepts these; the first is `CURRENT`.
    pub async fn new(accounts: &[(&str, Option<&str>)]) -> Self {
        World::at(Bank::open(accounts), accounts).await
    }

    /// A provider's keys, of which the live one was made by hand.
    pub async fn overlapping() -> Self {
        let accounts = [("key-by-hand", Some("first"))];
        World::at(Bank::provider(&accounts), &accounts).await
    }

    async fn at(bank: Arc<Bank>, accounts: &[(&str, Option<&str>)]) -> Self {
        let world = World {
            bank,
            apps: Arc::default(),
            clock: SetClock::new(),
            secrets: Arc::new(MemoryStore::new()),
            state: MemoryState::new(),
            limits: Limits { rotations: 1, per_target: 1, step: Duration::from_secs(10), lease: LEASE },
        };
        let (user, password) = accounts[0];
        world.put("by-hand", &login(user, password.expect("CURRENT has one")), None).await;
        world
    }

    /// One account, `app`.
    pub async fn in_place() -> Self {
        World::new(&[("app", Some("first"))]).await
    }

    /// Two accounts, of which `app_a` is live.
    pub async fn alternating() -> Self {
        World::new(&[("app_a", Some("first"))]).await
    }

    /// The same world, seen from another process.
    pub fn another_process(&self) -> Self {
        World {
            bank: Arc::clone(&self.bank),
            apps: Arc::clone(&self.apps),
            clock: Arc::clone(&self.clock),
            secrets: Arc::clone(&self.secrets),
            state: self.state.another_holder(),
            limits: self.limits,
        }
    }

    /// The engine of this process.
    pub fn engine(&self, hook: Arc<dyn Hook>) -> Engine {
        Engine {
            state: Arc::new(PointedState(Arc::new(self.state.clone()), Arc::clone(&hook))),
            secrets: Arc::new(PointedSecrets(Arc::clone(&self.secrets), Arc::clone(&hook))),
            consumers: Arc::new(PointedConsumers(Arc::clone(&self.apps) as _, Arc::clone(&hook))),
            rotators: Registry::new()
                .with(Arc::new(Redacted::new(Arc::new(PointedRotator(Arc::clone(&self.bank) as _, hook))))),
            clock: Arc::clone(&self.clock) as _,
            environment: Arc::new(|name| (name == "ADMIN").then(|| "admin".to_owned())),
            limits: self.limits,
            observer: None,
        }
    }

    /// One turn by this process.
    pub async fn turn(&self, policy: &Policy, order: Order) -> Result<Option<Stop>, RunError> {
        let stopping = CancellationToken::new();
        let turned = self.engine(Arc::new(Open)).turn(policy, &order, 0, &stopping).await?;
        Ok(turned.map(|(_, stop)| stop))
    }

    /// One turn that must get somewhere.
    pub async fn stop_of(&self, policy: &Policy, order: Order) -> Stop {
        self.turn(policy, order).await.expect("nobody else is at work").expect("a rotation is under way")
    }

    /// Turns until the rotation ends or is parked, over all pauses.
    pub async fn to_the_end(&self, policy: &Policy, first: Order) -> Stop {
        let mut stop = self.stop_of(policy, first).await;
        for _ in 0..100 {
            match stop {
                Stop::Held(hold) => self.clock.advance_to(hold.until),
                Stop::InDoubt { until, .. } => self.clock.advance_to(until),
                Stop::Done | Stop::RolledBack { .. } | Stop::Parked { .. } | Stop::Stopping => return stop,
            }
            stop = self.stop_of(policy, Order::GoOn).await;
        }
        panic!("no end after 100 turns");
    }

    /// A person puts a value, under the lease as the command line does. False if it is refused.
    pub async fn try_put(&self, version: &str, value: &Bundle, replaces: Option<&str>) -> bool {
        let person = self.state.another_holder();
        let Claim::Granted(lease) = person.claim(SECRET, LEASE, self.clock.now()).await.expect("in memory") else {
            return false;
        };
        let put = self.secrets.put(SECRET, version, value, replaces, self.clock.now(), lease.fence).await;
        person.release(&lease).await.expect("in memory");
        put.is_ok()
    }

    pub async fn put(&self, version: &str, value: &Bundle, replaces: Option<&str>) {
        assert!(self.try_put(version, value, replaces).await, "the put is refused");
    }

    /// Moves `CURRENT` to another value although a version is `PENDING`, as only somebody who goes behind the engine's back
    /// can. The target is left as it is.
    pub async fn move_current(&self, value: &Bundle) {
        let labels = self.secrets.labels(SECRET).await.expect("in memory");
        let pending = labels.pending.expect("a candidate is staged");
        let staged = self.held(Selector::Version(&pending)).await.expect("it is held");
        let person = self.state.another_holder();
        let Claim::Granted(lease) = person.claim(SECRET, LEASE, self.clock.now()).await.expect("in memory") else {
            panic!("somebody is at work");
        };
        let at = self.clock.now();
        self.secrets.discard(SECRET, &pending, lease.fence).await.expect("in memory");
        let put = self.secrets.put(SECRET, "moved", value, labels.current.as_deref(), at, lease.fence);
        put.await.expect("nothing is PENDING");
        self.secrets.stage(SECRET, &pending, &staged, at, lease.fence).await.expect("it was there before");
        person.release(&lease).await.expect("in memory");
    }

    /// A person puts the same value again, by a clock that says this.
    pub async fn promoted_at(&self, at: jiff::Timestamp) {
        let current = self.current().await;
        let replaces = self.secrets.labels(SECRET).await.expect("in memory").current;
        let put = self.secrets.put(SECRET, "ahead", &current, replaces.as_deref(), at, u64::MAX);
        put.await.expect("nothing is PENDING");
    }

    /// A person lets go of the previous version.
    pub async fn drop_previous(&self) {
        let Some(previous) = self.secrets.labels(SECRET).await.expect("in memory").previous else { return };
        let person = self.state.another_holder();
        let Claim::Granted(lease) = person.claim(SECRET, LEASE, self.clock.now()).await.expect("in memory") else {
            panic!("somebody is at work");
        };
        self.secrets.discard(SECRET, &previous, lease.fence).await.expect("it is not CURRENT");
        person.release(&lease).await.expect("in memory");
    }

    pub async fn held(&self, which: Selector<'_>) -> Option<Bundle> {
        self.secrets.read(SECRET, which).await.expect("in memory").map(|stored| stored.bundle)
    }

    pub async fn current(&self) -> Bundle {
        self.held(Selector::Label(Label::Current)).await.expect("there is a CURRENT")
    }

    /// Whether the target accepts `CURRENT`.
    pub async fn serves(&self) -> bool {
        self.bank.accepts(&self.current().await)
    }

    /// The accounts whose password the store does not hold. While a rotation is under way, what a provider made for it is not
    /// lost: its tag is known.
    pub async fn lost(&self) -> Vec<String> {
        let mut lost = self.bank.working();
        for info in self.secrets.versions(SECRET).await.expect("in memory") {
            let held = self.held(Selector::Version(&info.version)).await.expect("it is listed");
            if self.bank.accepts(&held) {
                lost.remove(&held.username().expect("test bundles have one"));
            }
        }
        if let Some(open) = self.state.open_of(SECRET).await.expect("in memory") {
            for made in self.bank.made_for(&open.fixed.id.to_string()) {
                lost.remove(&made);
            }
        }
        lost.into_iter().collect()
    }

    /// All is in order: the target accepts `CURRENT` and nothing else, and the store holds nothing else.
    pub async fn assert_one_credential(&self) {
        assert!(self.serves().await, "the target refuses CURRENT");
        assert_eq!(self.bank.working().len(), 1, "accounts with a password");
        assert_eq!(self.secrets.versions(SECRET).await.expect("in memory").len(), 1, "the store holds CURRENT only");
    }

    /// Rotations, newest first.
    pub async fn rotations(&self) -> Vec<Rotation> {
        self.state.history(&History { secret: None, limit: 100 }).await.expect("in memory")
    }

    pub async fn latest(&self) -> Rotation {
        self.rotations().await.into_iter().next().expect("there is a rotation")
    }

    pub async fn standing(&self) -> State {
        self.latest().await.state
    }

    /// The newest rotation's failures: the step, whether it was found by looking, the failure's code.
    pub async fn failures(&self) -> Vec<(Step, bool, String)> {
        let events = self.state.events(self.latest().await.fixed.id).await.expect("in memory");
        events
            .into_iter()
            .filter_map(|recorded| match recorded.event {
                Event::Failed { step, settled, failure, .. } => Some((step, settled, failure.code)),
                Event::Began { .. }
                | Event::Succeeded { .. }
                | Event::Waited { .. }
                | Event::Resumed { .. }
                | Event::RollBackOrdered { .. } => None,
            })
            .collect()
    }
}
