//! SIGKILL at each journal write, store write and target effect: the daemon as a real process, a real Postgres, doubles of SQL
//! Server, named points.
//!
//! A first run without kills records which points a rotation passes; then each is killed at, in turn, from outside view
//! checked, restarted and watched to its end. So a new write or effect is covered without being listed here.

mod ends;
mod lines;
mod live;
pub mod points;
mod replicas;

use std::collections::BTreeMap;

use keywheel::core::{Event, Step};
use keywheel::secrets::Label;
use keywheel::state::{History, StateStore, sqlite::SqliteState};

use crate::ground::Ground;
use crate::house::{House, message_of};

/// The two ways in which a rotation ends here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Done,
    RolledBack,
}

/// One kind of rotation: its target, its shape, and whether it succeeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scenario {
    pub ground: Ground,
    pub alternating: bool,
    pub end: End,
}

/// A rotation of fresh accounts in a fresh house.
pub struct Case {
    pub house: House,
    pub scenario: Scenario,
    pub name: String,
}

impl Case {
    /// Accounts with a password, known to the store as `CURRENT`, and an order to rotate that waits for the daemon. A Postgres
    /// is reached by way of `port`, if it is given.
    pub async fn new(scenario: Scenario, name: &str, port: Option<u16>) -> Self {
        let case = Case { house: House::new(), scenario, name: name.to_owned() };
        let [first, second] = case.accounts();
        let password = case.first_password();
        scenario.ground.admit(&case.house);
        scenario.ground.create(&first, Some(&password)).await;
        if scenario.alternating {
            scenario.ground.create(&second, None).await;
        }
        let strategy = if scenario.alternating {
            format!("{{ alternating: {{ users: [{first}, {second}], grant_parity: require }} }}")
        } else {
            format!("{{ in_place: {{ user: {first}, accept_gap: true }} }}")
        };
        let verify = match scenario.end {
            End::Done => "verify: [login, { sql: SELECT 1 }]",
            End::RolledBack => "verify: [login, { sql: SELECT 1/0 }]",
        };
        let revoke = if scenario.alternating { "revoke: { after: 0s }" } else { "" };
        let more = format!(
            "schedule: {{ manual: true }}\n{revoke}\n{verify}\n\
             on_failure: {{ attempts: 3, backoff: 1s..2s, then: roll-back }}"
        );
        case.house.policy_for(name, &scenario.ground.lines(port), &strategy, &more);
        case.house.put(name, &first, &password);
        case.house.run(&["rotate", name, "--detach"]);
        case
    }

    pub fn accounts(&self) -> [String; 2] {
        [format!("{}_a", self.name), format!("{}_b", self.name)]
    }

    fn first_password(&self) -> String {
        format!("First-password-of-{}", self.name)
    }

    /// S1, S2 and S3 as they are at this moment, seen from outside: on each replica, where there are several.
    pub async fn check(&self, when: &str) {
        let ground = self.scenario.ground;
        let held = self.house.versions(&self.name).await;
        let mut served = BTreeMap::new();
        let mut known: BTreeMap<String, Vec<bool>> = BTreeMap::new();
        for stored in &held {
            let user = stored.bundle.username().expect("a login");
            let password = stored.bundle.password().expect("a login").expose(str::to_owned);
            let accepted = ground.accepts(&user, &password).await;
            let of_user = known.entry(user).or_insert_with(|| vec![false; accepted.len()]);
            of_user.iter_mut().zip(&accepted).for_each(|(any, this)| *any |= this);
            if let Some(label) = stored.label {
                served.insert(label, accepted);
            }
        }
        for account in self.accounts() {
            for (replica, open) in ground.is_open(&account).await.into_iter().enumerate() {
                let holds = known.get(&account).is_some_and(|known| known[replica]);
                assert!(!open || holds, "S1 {when}: `{account}` accepts a password that the store does not hold");
            }
        }
        let accepted = |label, replica: usize| served.get(&label).is_some_and(|served: &Vec<bool>| served[replica]);
        for replica in 0..ground.replicas() {
            let (current, pending) = (accepted(Label::Current, replica), accepted(Label::Pending, replica));
            if self.scenario.alternating {
                assert!(current, "S2 {when}: CURRENT is refused");
            } else {
                assert!(current || pending, "S2 {when}: CURRENT and PENDING are refused");
            }
        }
        // S3: what the first password opens goes with revoke (in place: with apply), and with nothing before it.
        let ends_with = if self.scenario.alternating { Step::Revoke } else { Step::Apply };
        if !began(&self.house, ends_with).await {
            let first = ground.accepts(&self.accounts()[0], &self.first_password()).await;
            assert!(first.iter().all(|accepted| *accepted), "S3 {when}: the first password is refused: {first:?}");
        }
    }

    /// How it must be at the end: the store holds `CURRENT` alone, the target accepts it and nothing else.
    pub async fn check_end(&self, when: &str) {
        self.check(when).await;
        let ground = self.scenario.ground;
        let held = self.house.versions(&self.name).await;
        assert_eq!(held.len(), 1, "{when}: the store holds CURRENT alone");
        let username = held[0].bundle.username().expect("a login");
        let password = held[0].bundle.password().expect("a login").expose(str::to_owned);
        let everywhere = ground.accepts(&username, &password).await;
        assert!(everywhere.iter().all(|accepted| *accepted), "{when}: CURRENT works everywhere: {everywhere:?}");
        let [first, second] = self.accounts();
        let changed = self.scenario.end == End::Done;
        let expected = if self.scenario.alternating && changed { &second } else { &first };
        assert_eq!(username, *expected, "{when}");
        let first_accepted = ground.accepts(&first, &self.first_password()).await;
        assert!(first_accepted.iter().all(|accepted| *accepted != changed), "{when}: the first password");
        let idle = if self.scenario.alternating && changed { &first } else { &second };
        assert!(!ground.is_open(idle).await.contains(&true), "{when}: the idle account lets nobody in");
    }

    /// Removes the accounts of a case that is over.
    async fn remove(&self) {
        let [first, second] = self.accounts();
        self.scenario.ground.remove(&first).await;
        if self.scenario.alternating {
            self.scenario.ground.remove(&second).await;
        }
    }

    /// Lets a daemon without faults bring it to its end, and checks that it got there alone. The accounts are gone then.
    pub async fn recover(&self, when: &str) {
        if ended(&self.house, &self.name).await {
            // Killed after its last write: nothing was left to do.
            self.check_end(when).await;
            return self.remove().await;
        }
        bring_to(&self.house, self.scenario.end, when);
        self.check_end(when).await;
        self.remove().await;
    }
}

/// Lets a daemon without faults bring what is under way to this end.
pub fn bring_to(house: &House, end: End, when: &str) {
    let mut daemon = house.daemon("keywheel=info", None);
    let seen = daemon.until(&["done", "rolled back", "parked", "in doubt"]);
    let last = message_of(seen.last().expect("the one found")).to_owned();
    daemon.stop();
    let expected = match end {
        End::Done => "done",
        End::RolledBack => "rolled back",
    };
    assert!(last.starts_with(expected), "{when}: ended as `{last}`: {seen:#?}");
}

/// Whether nothing is under way.
pub async fn ended(house: &House, secret: &str) -> bool {
    let state = SqliteState::open(&house.path("state.db")).await.expect("the state opens");
    state.open_of(secret).await.expect("the state is readable").is_none()
}

/// Whether a rotation of this house has come to a step.
pub async fn began(house: &House, wanted: Step) -> bool {
    let state = SqliteState::open(&house.path("state.db")).await.expect("the state opens");
    let rotations = state.history(&History { secret: None, limit: 9 }).await.expect("the state is readable");
    for rotation in rotations {
        let events = state.events(rotation.fixed.id).await.expect("the journal is readable");
        if events.iter().any(|event| matches!(event.event, Event::Began { step, .. } if step == wanted)) {
            return true;
        }
    }
    false
}
