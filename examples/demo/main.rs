//! The whole path: a real, throwaway Postgres, a double of SQL Server and a service that issues API keys; accounts and a key
//! rotated from YAML policies, applications that keep using `CURRENT`, and the engine killed in the middle. Run by `./x demo`.

#![expect(clippy::print_stdout, reason = "a demonstration talks to people")]

mod targets;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use comfy_table::{Cell, Table};
use keywheel::sdk::{Bundle, Secret};
use keywheel::secrets::{Keyring, Label, LocalStore, SecretStore, Selector};
use targets::{DECLARATION, Kind, SECRETS, Targets};

/// Rotations of each secret, the one that is killed included.
const ROUNDS: usize = 5;
/// Grace periods that are waited for at the end; one usually does.
const MOST_WAITS: usize = 30;

/// What the application saw of one secret.
#[derive(Default)]
struct Seen {
    uses: u64,
    refused: u64,
    /// The longest time in which `CURRENT` was refused.
    gap: Duration,
    /// What was `CURRENT`, the newest last.
    credentials: Vec<Bundle>,
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads start");
    runtime.block_on(demo());
}

async fn demo() {
    let started = Instant::now();
    println!(
        "Starting a throwaway Postgres, a double of SQL Server (not Microsoft's: it is part of this repository), and a service \
         that issues API keys …"
    );
    let targets = Arc::new(Targets::start().await);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let home = folder.path();
    furnish(home, &targets).await;

    println!("\nThe policies:\n");
    for file in ["shop-orders.yaml", "shop-billing.yaml", "shop-search.yaml", "shop-stock.yaml", "shop-mail.yaml"] {
        let text = std::fs::read_to_string(home.join("policies").join(file)).expect("it was just written");
        println!("── policies/{file}\n{text}");
    }
    keywheel(home, &["validate"]);

    println!(
        "── Applications use CURRENT every few milliseconds, from now on: four log in, and curl calls with the key.\n"
    );
    let stop = Arc::new(AtomicBool::new(false));
    let applications: BTreeMap<&str, _> = SECRETS
        .iter()
        .map(|(secret, kind, _)| {
            let (targets, home, stop) = (Arc::clone(&targets), home.to_owned(), Arc::clone(&stop));
            (*secret, tokio::spawn(async move { use_all_the_time(&targets, *kind, &home, secret, &stop).await }))
        })
        .collect();

    let orders: Vec<&str> = SECRETS.iter().map(|(secret, ..)| *secret).collect();
    let rotate = [&["rotate"], &orders[..]].concat();
    println!("── Round 1: keywheel rotate {}", orders.join(" "));
    keywheel(home, &rotate);
    for round in 2..ROUNDS {
        wait_out_the_grace_period().await;
        println!("── Round {round}: the same, quietly (what was waiting to be revoked first: keywheel run --once)");
        quietly(home, &["run", "--once"]);
        quietly(home, &rotate);
    }
    wait_out_the_grace_period().await;
    quietly(home, &["run", "--once"]);
    println!(
        "── Round {ROUNDS}: the same, and SIGKILL when a target has the new password, before keywheel knows of it"
    );
    kill_in_the_middle(home, &rotate);
    println!("── The engine is dead. What it left:");
    keywheel(home, &["status"]);
    println!("── Started again: keywheel run --once");
    keywheel(home, &["run", "--once"]);
    until_all_have_ended(home).await;
    keywheel(home, &["status"]);

    stop.store(true, Ordering::SeqCst);
    let mut table = Table::new();
    table.load_style(comfy_table::presets::UTF8_FULL_CONDENSED);
    table.set_header([
        "secret",
        "accounts, or whose key",
        "rotations",
        "logins or calls",
        "refused",
        "gap for readers",
        "old ones refused",
    ]);
    for (secret, application) in applications {
        let seen = application.await.expect("the application runs");
        table.add_row(row(&targets, home, secret, &seen).await);
    }
    println!("{table}");
    println!("Took {:.0} s. Nothing is left behind.", started.elapsed().as_secs_f32());
}

/// Settings, a key, policies, accounts, and what the store must know at first.
async fn furnish(home: &Path, targets: &Targets) {
    std::fs::create_dir(home.join("policies")).expect("a new folder");
    keywheel::secrets::MasterKey::generate_file(&home.join("master.key")).expect("a new key");
    write(
        home,
        "keywheel.yaml",
        "version: 1\nstate: { sqlite: state.db }\n\
         secrets: { local: { path: secrets.db, master_key: { file: master.key } } }\npolicies: [policies]\n\
         providers: [keyservice.yaml]\ndeadlines: { step: 5s, lease: 10s }\n",
    );
    write(home, "keyservice.yaml", DECLARATION);
    let postgres = targets.lines(Kind::Postgres);
    write(
        home,
        "policies/shop-orders.yaml",
        &format!(
            "version: 1\npolicy: shop-orders\n{postgres}strategy: {{ in_place: {{ user: orders, accept_gap: true }} }}\n\
             secret: {{ name: shop/orders, fields: [username, password, dsn] }}\nschedule: {{ every: 30d }}\n"
        ),
    );
    for (name, kind) in [("billing", Kind::Postgres), ("search", Kind::Postgres), ("stock", Kind::SqlServer)] {
        let lines = targets.lines(kind);
        write(
            home,
            &format!("policies/shop-{name}.yaml"),
            &format!(
                "version: 1\npolicy: shop-{name}\n{lines}\
                 strategy: {{ alternating: {{ users: [{name}_a, {name}_b], grant_parity: require }} }}\n\
                 secret: {{ name: shop/{name}, fields: [username, password, dsn] }}\nschedule: {{ every: 30d }}\n\
                 verify: [ login, {{ sql: SELECT 1 }} ]\nrevoke: {{ after: 1s }}\n"
            ),
        );
    }
    let lines = targets.lines(Kind::KeyService);
    write(
        home,
        "policies/shop-mail.yaml",
        &format!(
            "version: 1\npolicy: shop-mail\n{lines}strategy: overlapping\nsecret: {{ name: shop/mail }}\n\
             schedule: {{ every: 30d }}\nrevoke: {{ after: 1s }}\n"
        ),
    );
    for (secret, user, password) in targets.admins() {
        put(home, secret, &Bundle::login(&user, Secret::new(password)));
    }
    for (secret, kind, accounts) in SECRETS {
        // Without the account's name, which the Windows password policy refuses in a password.
        let password = format!("The first of {} passwords", 1 + ROUNDS);
        put(home, secret, &targets.create(kind, accounts, &password).await);
    }
}

fn write(home: &Path, file: &str, text: &str) {
    std::fs::write(home.join(file), text).expect("the temporary folder is writable");
}

/// The binary that was built beside this example.
fn binary() -> PathBuf {
    let here = std::env::current_exe().expect("this program has a path");
    let folder = here.parent().and_then(Path::parent).expect("examples stand in a folder of the target folder");
    folder.join("keywheel")
}

fn keywheel(home: &Path, arguments: &[&str]) {
    let status = Command::new(binary()).current_dir(home).args(arguments).status().expect("keywheel runs");
    assert!(status.success(), "keywheel {arguments:?}: {status}");
    println!();
}

fn put(home: &Path, secret: &str, credential: &Bundle) {
    let mut child = Command::new(binary())
        .current_dir(home)
        .args(["secret", "put", secret])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("keywheel runs");
    let fields = credential.fields().map(|(name, value)| (name.to_owned(), value.expose(str::to_owned).into()));
    let value = serde_json::Value::Object(fields.collect()).to_string();
    child.stdin.take().expect("piped").write_all(value.as_bytes()).expect("keywheel reads the value");
    assert!(child.wait().expect("it ends").success(), "keywheel secret put {secret}");
}

/// As `keywheel`, without showing what it says.
fn quietly(home: &Path, arguments: &[&str]) {
    let output = Command::new(binary()).current_dir(home).args(arguments).output().expect("keywheel runs");
    assert!(output.status.success(), "keywheel {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// What `keywheel` answers programs.
fn json(home: &Path, arguments: &[&str]) -> serde_json::Value {
    let output = Command::new(binary())
        .current_dir(home)
        .args(["--output", "json"])
        .args(arguments)
        .output()
        .expect("keywheel runs");
    serde_json::from_slice(&output.stdout).expect("the answer is JSON")
}

/// All policies but the one in place let the previous credential live for a second.
#[expect(clippy::disallowed_methods, reason = "people watch: waiting is part of the show")]
async fn wait_out_the_grace_period() {
    tokio::time::sleep(Duration::from_millis(1200)).await;
}

/// Goes on until nothing is under way. Where the creation of a key was cut, the provider may still be at it, so that the end of
/// its time is waited for: some seconds more than a grace period.
async fn until_all_have_ended(home: &Path) {
    for _ in 0..MOST_WAITS {
        wait_out_the_grace_period().await;
        quietly(home, &["run", "--once"]);
        let status = json(home, &["status"]);
        if status.as_array().is_some_and(|secrets| secrets.iter().all(|secret| secret["open"].is_null())) {
            return;
        }
    }
    panic!("a rotation is under way after {MOST_WAITS} waits");
}

/// Rotates with a failpoint: SIGKILL hits the engine after the first change was committed, before that is known to it.
fn kill_in_the_middle(home: &Path, rotate: &[&str]) {
    let status = Command::new(binary())
        .current_dir(home)
        .args(rotate)
        .env("FAILPOINTS", "target/apply/after=return")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("keywheel runs");
    assert!(!status.success(), "it was killed");
    println!("   {status}\n");
}

#[expect(clippy::disallowed_methods, reason = "the application's own pace")]
/// Reads `CURRENT` and uses it, as an application does that keeps no connection.
async fn use_all_the_time(targets: &Targets, kind: Kind, home: &Path, secret: &str, stop: &AtomicBool) -> Seen {
    let keyring = Keyring::load(&home.join("master.key")).expect("the key is there");
    let store = LocalStore::open(&home.join("secrets.db"), keyring).await.expect("the store opens");
    let mut seen = Seen::default();
    let mut refused_since: Option<Instant> = None;
    while !stop.load(Ordering::SeqCst) {
        let current = store.read(secret, Selector::Label(Label::Current)).await.expect("the store is readable");
        let bundle = current.expect("the secret has a CURRENT").bundle;
        let began = Instant::now();
        let accepted = targets.accepts(kind, &bundle).await;
        seen.uses += 1;
        if accepted {
            if let Some(since) = refused_since.take() {
                seen.gap = seen.gap.max(since.elapsed());
            }
        } else {
            seen.refused += 1;
            refused_since.get_or_insert(began);
        }
        if seen.credentials.last().is_none_or(|last| !last.same_as(&bundle)) {
            seen.credentials.push(bundle);
        }
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    seen
}

async fn row(targets: &Targets, home: &Path, secret: &str, seen: &Seen) -> Vec<Cell> {
    let (_, kind, accounts) =
        SECRETS.iter().find(|(name, ..)| *name == secret).expect("the table has a row for each secret");
    let mut refused = 0;
    let old = &seen.credentials[..seen.credentials.len().saturating_sub(1)];
    for bundle in old {
        refused += usize::from(!targets.accepts(*kind, bundle).await);
    }
    let history = json(home, &["history", secret]);
    let rotations = history["rotations"].as_array().or(history.as_array()).map_or(0, Vec::len);
    let gap = if seen.gap.is_zero() { "none".to_owned() } else { format!("{} ms", seen.gap.as_millis()) };
    vec![
        Cell::new(secret),
        Cell::new(accounts.join(", ")),
        Cell::new(rotations),
        Cell::new(seen.uses),
        Cell::new(seen.refused),
        Cell::new(gap),
        Cell::new(format!("{refused} of {}", old.len())),
    ]
}
