//! An application that logs in all the time, across many rotations.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use keywheel::core::Progress;
use keywheel::runtime::{Engine, Limits, Order, Registry, Stop, SystemClock};
use keywheel::secrets::{Label, SecretStore, Selector};
use keywheel::state::sqlite::SqliteState;
use tokio_util::sync::CancellationToken;

use crate::house::{House, say, server};

const ROTATIONS: usize = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_failed_login_in_200_rotations() {
    let house = House::new();
    let names = ["always_a", "always_b"];
    server().sql("CREATE ROLE always_a LOGIN PASSWORD 'first'; CREATE ROLE always_b LOGIN").await;
    let strategy = "{ alternating: { users: [always_a, always_b], grant_parity: require } }";
    house.policy("always", server().port(), strategy, "schedule: { manual: true }");
    house.put("always", names[0], "first");

    let store: Arc<dyn SecretStore> = Arc::new(house.store().await);
    let over = Arc::new(AtomicBool::new(false));
    let application = tokio::spawn(log_in_all_the_time(Arc::clone(&store), Arc::clone(&over)));

    let engine = Engine {
        state: Arc::new(SqliteState::open(&house.path("state.db")).await.expect("the state opens")),
        secrets: Arc::clone(&store),
        rotators: Registry::new().with(Arc::new(keywheel::postgres::PostgresRotator::new())),
        clock: Arc::new(SystemClock),
        environment: Arc::new(|_| None),
        limits: Limits { rotations: 1, per_target: 1, step: Duration::from_secs(20), lease: Duration::from_secs(60) },
        observer: None,
    };
    let mut policy = house.load("always");
    // What an application needs between reading CURRENT and logging in with it.
    policy.revoke.after = Duration::from_millis(50);
    let stopping = CancellationToken::new();
    let order = Order::Now { by: "test".into(), reason: None };
    let mut done = 0;
    while done < ROTATIONS {
        let (rotation, stop) = engine.turn(&policy, &order, 0, &stopping).await.expect("turned").expect("something");
        match stop {
            Stop::Done => {
                assert_eq!(rotation.state.progress, Progress::Done);
                done += 1;
            }
            Stop::Held(hold) => engine.clock.sleep_until(hold.until).await,
            Stop::RolledBack { .. } | Stop::InDoubt { .. } | Stop::Parked { .. } | Stop::Stopping => {
                panic!("rotation {done}: {stop:?}")
            }
        }
    }
    over.store(true, Ordering::SeqCst);
    let (logins, failed) = application.await.expect("the application runs");
    say(&format!("{ROTATIONS} rotations, {logins} logins, {failed} failed"));
    assert_eq!(failed, 0, "failed logins of {logins}");
    assert!(logins > ROTATIONS, "it logged in all the time: {logins}");
}

async fn log_in_all_the_time(store: Arc<dyn SecretStore>, stop: Arc<AtomicBool>) -> (usize, usize) {
    let (mut logins, mut failed) = (0, 0);
    while !stop.load(Ordering::SeqCst) {
        let current = store.read("always", Selector::Label(Label::Current)).await.expect("readable").expect("present");
        let user = current.bundle.username().expect("a login");
        let password = current.bundle.password().expect("a login").expose(str::to_owned);
        logins += 1;
        failed += usize::from(!server().accepts(&user, &password).await);
    }
    (logins, failed)
}
