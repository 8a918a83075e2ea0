//! SIGKILL at each journal write, store write and target effect: the daemon as a real process, a real Postgres, named points.
//!
//! A first run without kills records which points a rotation passes; then each is killed at, in turn, from outside view
//! checked, restarted and watched to its end. So a new write or effect is covered without being listed here.

mod lines;
mod points;

use std::collections::BTreeMap;

use keywheel::secrets::Label;
use keywheel::state::{StateStore, sqlite::SqliteState};

use crate::house::{House, message_of, server};

/// The two ways in which a rotation ends here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Done,
    RolledBack,
}

/// One kind of rotation: its shape, and whether it succeeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scenario {
    pub alternating: bool,
    pub end: End,
}

/// A rotation of fresh roles in a fresh house.
pub struct Case {
    pub house: House,
    pub scenario: Scenario,
    pub name: String,
}

impl Case {
    /// Roles with a password, known to the store as `CURRENT`, and an order to rotate that waits for the daemon.
    pub async fn new(scenario: Scenario, name: &str, port: u16) -> Self {
        let case = Case { house: House::new(), scenario, name: name.to_owned() };
        let [first, second] = case.roles();
        let password = format!("first-password-of-{name}");
        let mut sql = format!("CREATE ROLE \"{first}\" LOGIN PASSWORD '{password}';");
        if scenario.alternating {
            sql.push_str(&format!("CREATE ROLE \"{second}\" LOGIN;"));
        }
        server().sql(&sql).await;
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
        case.house.policy(name, port, &strategy, &more);
        case.house.put(name, &first, &password);
        case.house.run(&["rotate", name, "--detach"]);
        case
    }

    pub fn roles(&self) -> [String; 2] {
        [format!("{}_a", self.name), format!("{}_b", self.name)]
    }

    /// S1 and S2 as they are at this moment, seen from outside.
    pub async fn check(&self, when: &str) {
        let held = self.house.versions(&self.name).await;
        let mut served = BTreeMap::new();
        let mut known = BTreeMap::new();
        for stored in &held {
            let user = stored.bundle.username().expect("a login");
            let password = stored.bundle.password().expect("a login").duplicate();
            let accepted = server().accepts(&user, &password.expose(str::to_owned)).await;
            if accepted {
                known.insert(user, true);
            }
            if let Some(label) = stored.label {
                served.insert(label, accepted);
            }
        }
        for role in self.roles() {
            let quoted = role.replace('\'', "''");
            let rows = server()
                .sql(&format!(
                    "SELECT rolpassword IS NOT NULL AND rolcanlogin FROM pg_authid WHERE rolname = '{quoted}'"
                ))
                .await;
            if rows.iter().flatten().flatten().any(|accepts| accepts == "t" || accepts == "true") {
                assert!(
                    known.contains_key(&role),
                    "S1 {when}: `{role}` accepts a password that the store does not hold"
                );
            }
        }
        let accepted = |label| served.get(&label).copied().unwrap_or(false);
        if self.scenario.alternating {
            assert!(accepted(Label::Current), "S2 {when}: CURRENT is refused");
        } else {
            assert!(accepted(Label::Current) || accepted(Label::Pending), "S2 {when}: CURRENT and PENDING are refused");
        }
        // S3: as long as nothing new is CURRENT, the old one is accepted (in place: or its successor is staged and applied).
        if held.iter().any(|stored| stored.label == Some(Label::Pending)) && self.scenario.alternating {
            assert!(accepted(Label::Current), "S3 {when}: revoked before a successor was promoted");
        }
    }

    /// How it must be at the end: the store holds `CURRENT` alone, the target accepts it and nothing else.
    pub async fn check_end(&self, when: &str) {
        self.check(when).await;
        let held = self.house.versions(&self.name).await;
        assert_eq!(held.len(), 1, "{when}: the store holds CURRENT alone");
        let username = held[0].bundle.username().expect("a login");
        let [first, second] = self.roles();
        let changed = self.scenario.end == End::Done;
        let expected = if self.scenario.alternating && changed { &second } else { &first };
        assert_eq!(username, *expected, "{when}");
        let first_password = format!("first-password-of-{}", self.name);
        assert_eq!(server().accepts(&first, &first_password).await, !changed, "{when}: the first password");
        let idle = if self.scenario.alternating && changed { &first } else { &second };
        let rows = server().sql(&format!("SELECT rolpassword FROM pg_authid WHERE rolname = '{idle}'")).await;
        assert!(rows.iter().flatten().flatten().next().is_none(), "{when}: the idle role has no password");
    }

    /// Whether nothing is under way.
    pub async fn ended(&self) -> bool {
        let state = SqliteState::open(&self.house.path("state.db")).await.expect("the state opens");
        state.open_of(&self.name).await.expect("the state is readable").is_none()
    }

    /// Lets a daemon without faults bring it to its end, and checks that it got there alone.
    pub async fn recover(&self, when: &str) {
        if self.ended().await {
            // Killed after its last write: nothing was left to do.
            return self.check_end(when).await;
        }
        let mut daemon = self.house.daemon("keywheel=info", None);
        let seen = daemon.until(&["done", "rolled back", "parked", "in doubt"]);
        let last = message_of(seen.last().expect("the one found")).to_owned();
        daemon.stop();
        let expected = match self.scenario.end {
            End::Done => "done",
            End::RolledBack => "rolled back",
        };
        assert!(last.starts_with(expected), "{when}: ended as `{last}`: {seen:#?}");
        self.check_end(when).await;
    }
}
