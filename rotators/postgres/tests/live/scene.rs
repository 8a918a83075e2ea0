//! The shared server, and fresh accounts on it.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use keywheel_postgres::PostgresRotator;
use keywheel_sdk::{Admin, Bundle, Call, GrantParity, Secret, Strategy, Target};
use keywheel_testkit::{PostgresOptions, PostgresServer};
use serde_json::{Map, Value, json};

/// Planted as candidate in all tests that search for leaks.
pub const CANARY: &str = "canary-7fQ2xV9-never-to-be-seen";

/// The server of this test binary. It ends with the process.
pub fn server() -> &'static PostgresServer {
    static SERVER: OnceLock<PostgresServer> = OnceLock::new();
    SERVER.get_or_init(|| {
        let options = PostgresOptions {
            stat_statements: true,
            hba: ["host all trusting 127.0.0.1/32 trust", "host all barred 127.0.0.1/32 reject"]
                .map(str::to_owned)
                .to_vec(),
            ..PostgresOptions::default()
        };
        PostgresServer::start_with(&options).unwrap()
    })
}

/// A name that no other test has.
pub fn fresh(prefix: &str) -> String {
    static NUMBER: AtomicU64 = AtomicU64::new(1);
    format!("{prefix}_{}", NUMBER.fetch_add(1, Ordering::Relaxed))
}

pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

pub fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

pub fn login(name: &str, password: &str) -> Bundle {
    Bundle::login(name, secret(password))
}

/// Makes a role that may log in.
pub async fn create_role(name: &str, password: &str) {
    server().sql(&format!("CREATE ROLE {} LOGIN PASSWORD '{password}'", quoted(name))).await;
}

/// The superuser as admin.
pub fn superuser() -> Bundle {
    let (name, password) = server().superuser();
    login(name, password)
}

/// A fresh admin that is no superuser and may change `accounts`.
pub async fn role_admin(accounts: &[&str]) -> Bundle {
    let (name, password) = (fresh("rotator"), "rotators-own-password");
    server().sql(&format!("CREATE ROLE {name} LOGIN CREATEROLE PASSWORD '{password}'")).await;
    if server().version() >= 16 {
        for account in accounts {
            // As `preflight` advises: it may change the role, and has none of the role's own rights.
            let grant = format!("GRANT {} TO {name} WITH ADMIN OPTION, INHERIT FALSE, SET FALSE", quoted(account));
            server().sql(&grant).await;
        }
    }
    login(&name, password)
}

pub fn settings(port: u16) -> Map<String, Value> {
    json!({ "host": "127.0.0.1", "port": port, "tls": "disable" }).as_object().unwrap().clone()
}

pub fn target(strategy: Strategy, admin: Admin) -> Target {
    Target { settings: settings(server().port()), strategy, admin, generates: None }
}

pub fn in_place(user: &str) -> Strategy {
    Strategy::InPlace { user: user.to_owned() }
}

pub fn alternating(first: &str, second: &str, grant_parity: GrantParity) -> Strategy {
    Strategy::Alternating { users: [first.to_owned(), second.to_owned()], grant_parity, create_missing: false }
}

pub fn call(target: &Target) -> Call<'_> {
    Call { target, rotation: "rotation-1", fence: 1, until: Instant::now() + Duration::from_secs(30) }
}

/// Two roles with the same (no) rights: the first one live with `first-password`, the second one idle.
pub struct Pair {
    pub target: Target,
    pub current: Bundle,
    pub candidate: Bundle,
    pub rotator: PostgresRotator,
}

impl Pair {
    pub async fn new(grant_parity: GrantParity) -> Self {
        let (first, second) = (fresh("orders_a"), fresh("orders_b"));
        create_role(&first, "first-password").await;
        create_role(&second, "idle-password").await;
        Pair {
            target: target(alternating(&first, &second, grant_parity), Admin::Credential(superuser())),
            current: login(&first, "first-password"),
            candidate: login(&second, CANARY),
            rotator: PostgresRotator::new(),
        }
    }

    pub fn call(&self) -> Call<'_> {
        call(&self.target)
    }

    pub fn live(&self) -> String {
        self.current.username().unwrap()
    }

    pub fn idle(&self) -> String {
        self.candidate.username().unwrap()
    }
}

/// Whether the server lets these in, asked without the rotator.
pub async fn accepts(credential: &Bundle) -> bool {
    let password = credential.password().unwrap().expose(str::to_owned);
    server().accepts(&credential.username().unwrap(), &password).await
}
