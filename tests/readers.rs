//! An application that logs in all the time, across many rotations: on Postgres, and on the double of SQL Server with a client
//! that others wrote (pymssql, over FreeTDS).

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use keywheel::core::Progress;
use keywheel::policies::Catalogue;
use keywheel::runtime::{Engine, Limits, NoConsumers, Order, Registry, Stop, SystemClock};
use keywheel::sdk::Bundle;
use keywheel::secrets::{Label, SecretStore, Selector};
use keywheel::state::sqlite::SqliteState;
use keywheel_testkit::python_with;
use tokio_util::sync::CancellationToken;

use crate::ground::{Ground, authority};
use crate::house::{House, say, server};
use crate::keys;

/// What an application needs between reading `CURRENT` and using it.
const GRACE: Duration = Duration::from_millis(300);
const ROTATIONS: usize = 200;
/// In place the gap is looked at, not counted.
const ROTATIONS_IN_PLACE: usize = 25;

/// Whoever uses a credential.
trait Client: Send + 'static {
    fn gets_in(&mut self, credential: &Bundle) -> bool;
}

fn login(credential: &Bundle) -> (String, String) {
    let password = credential.password().expect("a login").expose(str::to_owned);
    (credential.username().expect("a login"), password)
}

/// What the application saw.
#[derive(Debug, Default)]
struct Seen {
    logins: usize,
    failed: usize,
    /// Of those that failed: while the call was on its way, `CURRENT` became another value.
    overtaken: usize,
    /// Of those that failed: it was held up between reading `CURRENT` and the answer for longer than the grace, so that the engine owes
    /// it nothing. None on a machine that has time.
    held_up: usize,
    /// The most failures in a row: after the first of them it read `CURRENT` again.
    in_a_row: usize,
    /// The longest time in which `CURRENT` was refused.
    gap: Duration,
}

/// The driver of the Postgres rotator.
struct Sqlx(tokio::runtime::Handle);

impl Client for Sqlx {
    fn gets_in(&mut self, credential: &Bundle) -> bool {
        let (user, password) = login(credential);
        self.0.block_on(server().accepts(&user, &password))
    }
}

/// A program that others wrote. The key comes in on its standard input, where no list of processes shows it.
struct Curl(String);

impl Client for Curl {
    fn gets_in(&mut self, credential: &Bundle) -> bool {
        let mut child = Command::new("curl")
            .args(["--silent", "--output", "/dev/null", "--write-out", "%{http_code}", "--config", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("curl is installed");
        let key = credential.get("key").expect("a key").expose(str::to_owned);
        let call = format!("url = \"{}/v1/whoami\"\nheader = \"Authorization: Bearer {key}\"\n", self.0);
        child.stdin.take().expect("piped").write_all(call.as_bytes()).expect("curl reads");
        let status = child.wait_with_output().expect("curl ends").stdout;
        assert!(status == b"200" || status == b"401", "an answer that is no answer: {status:?}");
        status == b"200"
    }
}

/// A Python program that logs in with what it is told.
struct Pymssql {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
    _settings: tempfile::TempDir,
}

const PROGRAM: &str = r#"
import json, sys, pymssql
for line in sys.stdin:
    login = json.loads(line)
    try:
        pymssql.connect(server="127.0.0.1", port=sys.argv[1], user=login["user"], password=login["password"], login_timeout=10).close()
        print("in", flush=True)
    except pymssql.Error as error:
        print("refused", repr(error.args), flush=True)
"#;

impl Pymssql {
    /// `None` where there is no Python with that module.
    fn start(port: u16) -> Option<Self> {
        let python = python_with("pymssql")?;
        let settings = tempfile::tempdir().expect("a temporary folder");
        let file = settings.path().join("freetds.conf");
        let text = format!("[global]\ntds version = 7.4\nencryption = require\nca file = {}\n", authority().display());
        std::fs::write(&file, text).expect("the folder is writable");
        let mut child = Command::new(python)
            .args(["-c", PROGRAM, &port.to_string()])
            .env("FREETDSCONF", &file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python runs");
        let (questions, answers) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        Some(Pymssql { child, questions, answers: BufReader::new(answers), _settings: settings })
    }
}

/// Says that pymssql is absent, which is a failure where it has to be there.
fn not_run(what: &str) {
    #[expect(clippy::disallowed_methods, reason = "whoever runs the tests says which clients must be there")]
    let required = std::env::var("KEYWHEEL_TEST_CLIENTS").unwrap_or_default();
    assert!(!required.split_whitespace().any(|name| name == "pymssql"), "pymssql is required, and absent");
    say(&format!("not run: {what} (no Python with that module; KEYWHEEL_TEST_PYTHON names one)"));
}

impl Client for Pymssql {
    fn gets_in(&mut self, credential: &Bundle) -> bool {
        let (user, password) = login(credential);
        let question = serde_json::json!({ "user": user, "password": password });
        writeln!(self.questions, "{question}").expect("Python listens");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("Python answers");
        assert!(answer == "in\n" || answer.contains("18456"), "an answer that is no answer: {answer:?}");
        answer == "in\n"
    }
}

impl Drop for Pymssql {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Rotates so many times under an application that reads `CURRENT` and logs in with it, without a pause.
async fn rotate_under(house: &House, policy: &str, rotations: usize, grace: Duration, mut client: impl Client) -> Seen {
    let rotators = rotators(house);
    let store: Arc<dyn SecretStore> = Arc::new(house.store().await);
    let over = Arc::new(AtomicBool::new(false));
    let (told, mut worked) = tokio::sync::watch::channel(0);
    let application = {
        let (store, over, secret) = (Arc::clone(&store), Arc::clone(&over), policy.to_owned());
        let runtime = tokio::runtime::Handle::current();
        std::thread::spawn(move || log_in_all_the_time(&runtime, store.as_ref(), &secret, &mut client, &told, &over))
    };
    let engine = Engine {
        state: Arc::new(SqliteState::open(&house.path("state.db")).await.expect("the state opens")),
        secrets: Arc::clone(&store),
        rotators: rotators.clone(),
        consumers: Arc::new(NoConsumers),
        clock: Arc::new(SystemClock),
        environment: Arc::new(|_| None),
        limits: Limits { rotations: 1, per_target: 1, step: Duration::from_secs(20), lease: Duration::from_secs(60) },
        observer: None,
    };
    let mut policy = load(house, policy, &rotators);
    policy.revoke.after = grace;
    let stopping = CancellationToken::new();
    let order = Order::Now { by: "test".into(), reason: None };
    let mut done = 0;
    while done < rotations {
        let (rotation, stop) = engine.turn(&policy, &order, 0, &stopping).await.expect("turned").expect("something");
        match stop {
            Stop::Done => {
                assert_eq!(rotation.state.progress, Progress::Done);
                done += 1;
                // It goes on logging in: with the new value before the next rotation begins, at least twice.
                let so_far = *worked.borrow();
                worked.wait_for(|now| *now >= so_far + 2).await.expect("the application runs");
            }
            Stop::Held(hold) => engine.clock.sleep_until(hold.until).await,
            Stop::RolledBack { .. } | Stop::InDoubt { .. } | Stop::Parked { .. } | Stop::Stopping => {
                panic!("rotation {done}: {stop:?}")
            }
        }
    }
    over.store(true, Ordering::SeqCst);
    tokio::task::spawn_blocking(move || application.join().expect("the application runs")).await.expect("it ends")
}

/// Those of the program, and of the provider that the house declares.
fn rotators(house: &House) -> Registry {
    let built_in = Registry::new()
        .with(Arc::new(keywheel::postgres::PostgresRotator::new()))
        .with(Arc::new(keywheel::sqlserver::SqlServerRotator::new()));
    match std::fs::read_to_string(house.path("provider.yaml")) {
        Ok(text) => {
            let provider = keywheel::apikey::Provider::parse("provider.yaml", &text).expect("a good declaration");
            built_in.with(Arc::new(keywheel::apikey::ApiKeyRotator::new(provider)))
        }
        Err(_) => built_in,
    }
}

/// A policy as the engine reads it.
fn load(house: &House, name: &str, rotators: &Registry) -> keywheel::policies::Policy {
    let catalogue = Catalogue { rotators: rotators.specs(), ..Catalogue::default() };
    let loaded = keywheel::policies::load(&[house.path("policies").join(format!("{name}.yaml"))], &catalogue);
    assert!(loaded.problems.is_empty(), "{}", loaded.problems.render(false));
    loaded.policies.into_iter().next().expect("the file holds a policy")
}

fn log_in_all_the_time(
    runtime: &tokio::runtime::Handle,
    store: &dyn SecretStore,
    secret: &str,
    client: &mut impl Client,
    worked: &tokio::sync::watch::Sender<usize>,
    stop: &AtomicBool,
) -> Seen {
    let mut seen = Seen::default();
    let mut refused_since: Option<Instant> = None;
    let mut in_a_row = 0;
    while !stop.load(Ordering::SeqCst) {
        let read = || runtime.block_on(store.read(secret, Selector::Label(Label::Current)));
        let began = Instant::now();
        let current = read().expect("readable").expect("present");
        seen.logins += 1;
        if client.gets_in(&current.bundle) {
            seen.gap = refused_since.take().map_or(seen.gap, |since| seen.gap.max(since.elapsed()));
            worked.send_modify(|worked| *worked += 1);
            in_a_row = 0;
        } else {
            seen.failed += 1;
            seen.held_up += usize::from(began.elapsed() > GRACE);
            in_a_row += 1;
            seen.in_a_row = seen.in_a_row.max(in_a_row);
            seen.overtaken += usize::from(read().expect("readable").expect("present").version != current.version);
            refused_since.get_or_insert(began);
        }
    }
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_failed_login_in_200_rotations() {
    let house = House::new();
    server().sql("CREATE ROLE always_a LOGIN PASSWORD 'first'; CREATE ROLE always_b LOGIN").await;
    let strategy = "{ alternating: { users: [always_a, always_b], grant_parity: require } }";
    house.policy("always", server().port(), strategy, "schedule: { manual: true }");
    house.put("always", "always_a", "first");
    let seen = rotate_under(&house, "always", ROTATIONS, GRACE, Sqlx(tokio::runtime::Handle::current())).await;
    say(&format!("postgres: {ROTATIONS} rotations, {} logins, {} failed", seen.logins, seen.failed));
    assert_eq!(
        seen.failed, seen.held_up,
        "failed logins of {}, and those held up for longer than the grace",
        seen.logins
    );
    assert!(seen.logins >= 2 * ROTATIONS, "it logged in all the time: {}", seen.logins);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_refused_call_of_curl_in_200_rotations_of_a_key() {
    let case = keys::Case::new(keys::Kind::done(keys::Key::Issued), "called").await;
    let seen = rotate_under(&case.house, "called", ROTATIONS, GRACE, Curl(case.service.url())).await;
    say(&format!("keys: {ROTATIONS} rotations, {} calls of curl, {} refused", seen.logins, seen.failed));
    assert_eq!(
        seen.failed, seen.held_up,
        "refused calls of {}, and those held up for longer than the grace",
        seen.logins
    );
    assert!(seen.logins >= 2 * ROTATIONS, "it called all the time: {}", seen.logins);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_grace_curl_is_refused_no_key_that_is_current() {
    let case = keys::Case::new(keys::Kind::done(keys::Key::Issued), "hurried").await;
    let seen = rotate_under(&case.house, "hurried", ROTATIONS, Duration::ZERO, Curl(case.service.url())).await;
    say(&format!(
        "keys: {ROTATIONS} rotations without grace, {} calls of curl, {} refused, all of them of keys that were replaced meanwhile: {}",
        seen.logins, seen.failed, seen.overtaken
    ));
    assert_eq!(seen.failed, seen.overtaken, "refused calls of {}", seen.logins);
    assert!(seen.in_a_row <= 1, "who reads CURRENT again gets in: {seen:?}");
    assert!(seen.logins - seen.failed >= 2 * ROTATIONS, "it called all the time: {}", seen.logins);
}

/// A house with one policy for accounts of the double, the first of them live.
async fn sqlserver_house(name: &str, strategy: &str, accounts: &[&str]) -> House {
    let (house, ground) = (House::new(), Ground::SqlServer);
    ground.admit(&house);
    for (index, account) in accounts.iter().enumerate() {
        ground.create(account, (index == 0).then_some("First-password-1")).await;
    }
    house.policy_for(name, &ground.lines(None), strategy, "schedule: { manual: true }");
    house.put(name, accounts[0], "First-password-1");
    house
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_failed_login_of_pymssql_in_200_rotations_of_sqlserver() {
    let Some(client) = Pymssql::start(Ground::SqlServer.servers()[0].port()) else {
        return not_run("200 rotations under pymssql");
    };
    let strategy = "{ alternating: { users: [steady_a, steady_b], grant_parity: require } }";
    let house = sqlserver_house("steady", strategy, &["steady_a", "steady_b"]).await;
    let seen = rotate_under(&house, "steady", ROTATIONS, GRACE, client).await;
    say(&format!("sqlserver: {ROTATIONS} rotations, {} logins of pymssql, {} failed", seen.logins, seen.failed));
    assert_eq!(
        seen.failed, seen.held_up,
        "failed logins of {}, and those held up for longer than the grace",
        seen.logins
    );
    assert!(seen.logins >= 2 * ROTATIONS, "it logged in all the time: {}", seen.logins);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gap_of_sqlserver_in_place_is_measured() {
    let Some(client) = Pymssql::start(Ground::SqlServer.servers()[0].port()) else {
        return not_run("the gap in place under pymssql");
    };
    let house = sqlserver_house("gapped", "{ in_place: { user: gapped, accept_gap: true } }", &["gapped"]).await;
    let seen = rotate_under(&house, "gapped", ROTATIONS_IN_PLACE, GRACE, client).await;
    say(&format!(
        "sqlserver in place: {ROTATIONS_IN_PLACE} rotations, {} logins of pymssql, {} failed, longest gap {} ms",
        seen.logins,
        seen.failed,
        seen.gap.as_millis()
    ));
    assert!(seen.logins - seen.failed >= 2 * ROTATIONS_IN_PLACE, "it got in after each rotation: {seen:?}");
}
