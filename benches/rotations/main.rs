//! Many accounts of one server, due at once: rotations per second of one daemon, beside the floor measured in the same run; on
//! PostgreSQL, and on the double of SQL Server 2025 and of 2022. `./x bench postgres` and `./x bench sqlserver` run one part.
//!
//! The floor is what no engine can avoid: per account one statement that changes its password, over a pooled admin
//! connection, and one login with the new password, by the rotator's own driver and at the same concurrency. The journal and
//! the secret store write through to the disk (`synchronous = FULL`), and so does PostgreSQL (`fsync = on`).
//!
//! Where all processors are busy (the `cpu` lines tell, on Linux), both rates are what is left of them: then the ratio is that
//! of the processor times, and other programs at work on the machine make it worse than it is.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

mod daemon;
mod meter;
mod postgres;
mod sqlserver;

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Semaphore;

use keywheel_sqlserver_double::Version;
use meter::Meter;

const CONCURRENCY: usize = 16;
const ADMIN_CONNECTIONS: u32 = 8;

/// A server with accounts called `role_0` and so on.
trait Target: Send + Sync + 'static {
    /// The admin connections of one floor. They are closed with it, so that their processor time is counted there.
    type Admins: Send + Sync + 'static;

    /// What it is, for people.
    fn about(&self) -> String;

    /// How many accounts there are.
    fn accounts(&self) -> usize;

    /// The process that serves.
    fn process(&self) -> u32;

    /// A policy's lines about rotator, target and admin (`admin`, in the secret store).
    fn lines(&self) -> String;

    /// The admin's name and password.
    fn admin(&self) -> (String, String);

    /// Opens them.
    fn admins(&self) -> impl Future<Output = Self::Admins> + Send;

    /// Gives the account another password, and logs in with it.
    fn change_and_log_in(&self, admins: &Self::Admins, number: usize) -> impl Future<Output = ()> + Send;

    /// How many clients are connected now, besides who asks.
    fn connections(&self) -> impl Future<Output = usize> + Send;

    /// How many accounts have been rotated by the engine.
    fn rotated(&self) -> impl Future<Output = usize> + Send;
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    if words.first().is_some_and(|word| word == sqlserver::SERVE) {
        return sqlserver::serve();
    }
    let wanted = |name: &str| words.is_empty() || words.iter().any(|word| word == name);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads start");
    runtime.block_on(async {
        if wanted("postgres") {
            measure(postgres::Postgres::start().await).await;
        }
        if wanted("sqlserver") {
            for version in [Version::V2025, Version::V2022] {
                measure(sqlserver::SqlServer::start(version).await).await;
            }
        }
    });
}

async fn measure(target: impl Target) {
    let target = Arc::new(target);
    let accounts = target.accounts();
    let folder = tempfile::tempdir().expect("a temporary folder");
    daemon::furnish(folder.path(), target.as_ref());
    println!(
        "{accounts} accounts in place on {}, concurrency {CONCURRENCY}, {ADMIN_CONNECTIONS} admin connections, \
         durable commits everywhere, {} cores",
        target.about(),
        std::thread::available_parallelism().map_or(0, usize::from)
    );
    let mut meter = Meter::start(target.process(), accounts);
    let before = floor(&target).await;
    meter.read("floor").await;
    let daemon = daemon::run(folder.path(), target.as_ref()).await;
    meter.read("engine").await;
    // Not before: to compare passwords costs the server as much as logins.
    assert_eq!(target.rotated().await, accounts);
    meter.read("looking at what was rotated").await;
    let after = floor(&target).await;
    meter.read("floor").await;
    let floor = (before + after) / 2.0;
    let rate = accounts as f64 / daemon.elapsed.as_secs_f64();
    println!("floor   {before:>8.0} /s before, {after:.0} /s after: one change of the password + one login, no engine");
    println!("engine  {rate:>8.0} rotations/s, start and stop of the daemon included");
    println!("ratio   {:>8.2} of the floor", rate / floor);
    println!(
        "journal {:>8.0} commits/s for {:.0} writes/s ({:.1} writes a commit)",
        daemon.commits / daemon.elapsed.as_secs_f64(),
        daemon.writes / daemon.elapsed.as_secs_f64(),
        daemon.writes / daemon.commits
    );
    println!("memory  {:>8} MiB at the peak", daemon.peak_kib / 1024);
    println!("server  {:>8} connections at the most\n", daemon.connections);
}

/// Changes and logins per second without any engine.
async fn floor<T: Target>(target: &Arc<T>) -> f64 {
    let places = Arc::new(Semaphore::new(CONCURRENCY));
    let admins = Arc::new(target.admins().await);
    let began = Instant::now();
    let mut accounts = tokio::task::JoinSet::new();
    for number in 0..target.accounts() {
        let place = Arc::clone(&places).acquire_owned().await.expect("never closed");
        let (target, admins) = (Arc::clone(target), Arc::clone(&admins));
        accounts.spawn(async move {
            target.change_and_log_in(&admins, number).await;
            drop(place);
        });
    }
    while let Some(done) = accounts.join_next().await {
        done.expect("no panic");
    }
    target.accounts() as f64 / began.elapsed().as_secs_f64()
}
