//! A thousand roles of one Postgres, due at once: rotations per second of one daemon, beside the floor measured in the same run.
//!
//! The floor is what no engine can avoid: per role one `ALTER ROLE … PASSWORD` commit over a pooled admin connection (its SCRAM
//! verifier computed on our side, by the library that the rotator uses) and one login with the new password, by the same
//! driver and at the same concurrency. Postgres writes through to the disk (`fsync = on`), the journal and the secret store too
//! (`synchronous = FULL`).
//!
//! Where all processors are busy (the `cpu` lines tell, on Linux), both rates are what is left of them: then the ratio is that
//! of the processor times, and other programs at work on the machine make it worse than it is.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::{digest, hmac, pbkdf2, rand};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use keywheel_testkit::{PostgresOptions, PostgresServer};
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, Connection};
use tokio::sync::Semaphore;

const ROLES: usize = 1_000;
const CONCURRENCY: usize = 16;
const ADMIN_CONNECTIONS: u32 = 8;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads start");
    runtime.block_on(bench());
}

async fn bench() {
    // Tests log each statement, to search it; a server at work does not.
    let quiet = ["log_statement = none", "log_connections = off"].map(str::to_owned);
    let options = PostgresOptions { fsync: true, settings: quiet.into(), ..PostgresOptions::default() };
    let server = Arc::new(PostgresServer::start_with(&options).expect("Postgres server binaries are installed"));
    let folder = tempfile::tempdir().expect("a temporary folder");
    furnish(folder.path(), &server).await;
    println!(
        "{ROLES} roles in place on one Postgres {}, concurrency {CONCURRENCY}, {ADMIN_CONNECTIONS} admin connections, \
         durable commits everywhere, {} cores",
        server.version(),
        std::thread::available_parallelism().map_or(0, usize::from)
    );
    let mut meter = Meter::start(&server).await;
    let before = floor(&server).await;
    meter.read("floor").await;
    let daemon = daemon(folder.path(), &server).await;
    meter.read("engine").await;
    let after = floor(&server).await;
    meter.read("floor").await;
    let floor = (before + after) / 2.0;
    let rate = ROLES as f64 / daemon.elapsed.as_secs_f64();
    println!("floor   {before:>8.0} /s before, {after:.0} /s after: ALTER ROLE commit + SCRAM login, no engine");
    println!("engine  {rate:>8.0} rotations/s, start and stop of the daemon included");
    println!("ratio   {:>8.2} of the floor", rate / floor);
    println!(
        "journal {:>8.0} commits/s for {:.0} writes/s ({:.1} writes a commit)",
        daemon.commits / daemon.elapsed.as_secs_f64(),
        daemon.writes / daemon.elapsed.as_secs_f64(),
        daemon.writes / daemon.commits
    );
    println!("memory  {:>8} MiB at the peak", daemon.peak_kib / 1024);
    println!("server  {:>8} connections at the most", daemon.connections);
}

/// Processor time used by this process, by its children that ended, and by the server with its sessions that ended. Linux only;
/// elsewhere it reads zero.
struct Meter {
    server: String,
    last: [f64; 3],
}

impl Meter {
    async fn start(server: &PostgresServer) -> Meter {
        let rows = server.sql("SELECT split_part(pg_read_file('postmaster.pid'), chr(10), 1)").await;
        let server = rows[0][0].clone().expect("the server's process");
        Meter { last: Self::times(&server), server }
    }

    /// Milliseconds since each process began.
    fn times(server: &str) -> [f64; 3] {
        // Fields 14 to 17 of proc_pid_stat(5), behind the name in brackets: its own time, then that of children it has waited
        // for. In hundredths of a second, whatever the kernel's own clock.
        let spent = |pid: &str, fields: std::ops::Range<usize>| -> f64 {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let rest = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
            rest.split(' ').skip(fields.start).take(fields.len()).filter_map(|n| n.parse::<f64>().ok()).sum::<f64>()
                * 10.0
        };
        [spent("self", 11..13), spent("self", 13..15), spent(server, 11..15)]
    }

    /// Prints what was used since it was read last.
    async fn read(&mut self, of: &str) {
        // A session's time is the server's once that has seen it end, of which nothing tells.
        #[expect(clippy::disallowed_methods, reason = "sessions that were just closed end within this time")]
        tokio::time::sleep(Duration::from_millis(500)).await;
        let now = Self::times(&self.server);
        let [own, children, server] = [0, 1, 2].map(|n| (now[n] - self.last[n]) / ROLES as f64);
        println!(
            "cpu     {:>8.2} ms a role: {of} (client {:.2}, server {server:.2})",
            own + children + server,
            own + children
        );
        self.last = now;
    }
}

/// Roles, policies for them, and a `CURRENT` for each: the policy's interval is over before it began.
async fn furnish(home: &Path, server: &PostgresServer) {
    std::fs::create_dir(home.join("policies")).expect("a new folder");
    keywheel::secrets::MasterKey::generate_file(&home.join("master.key")).expect("a new key");
    let settings = format!(
        "version: 1\nstate: {{ sqlite: state.db }}\n\
         secrets: {{ local: {{ path: secrets.db, master_key: {{ file: master.key }} }} }}\npolicies: [policies]\n\
         limits: {{ rotations: {CONCURRENCY}, per_target: {CONCURRENCY} }}\n"
    );
    std::fs::write(home.join("keywheel.yaml"), settings).expect("a writable folder");
    let each: Vec<String> = (0..ROLES).map(|n| format!("  - {{ n: \"{n}\" }}\n")).collect();
    let policy = format!(
        "version: 1\npolicy: role-${{n}}\nrotator: postgres\n\
         target: {{ host: 127.0.0.1, port: {}, database: postgres, tls: disable, max_connections: {ADMIN_CONNECTIONS} }}\n\
         admin: {{ secret: pg/admin }}\nstrategy: {{ in_place: {{ user: \"role_${{n}}\", accept_gap: true }} }}\n\
         secret: {{ name: \"role/${{n}}\", fields: [username, password] }}\nadopt: rotate\nschedule: {{ every: 30d }}\n\
         for_each:\n{}",
        server.port(),
        each.concat()
    );
    std::fs::write(home.join("policies/roles.yaml"), policy).expect("a writable folder");
    let (user, password) = server.superuser();
    let mut child = Command::new(env!("CARGO_BIN_EXE_keywheel"))
        .current_dir(home)
        .args(["secret", "put", "pg/admin"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("keywheel runs");
    let value = serde_json::json!({ "username": user, "password": password }).to_string();
    child.stdin.take().expect("piped").write_all(value.as_bytes()).expect("keywheel reads the value");
    assert!(child.wait().expect("it ends").success());
    let create: String = (0..ROLES).map(|n| format!("CREATE ROLE role_{n} LOGIN PASSWORD 'first';")).collect();
    server.sql(&create).await;
}

/// Changes and logins per second without any engine.
async fn floor(server: &Arc<PostgresServer>) -> f64 {
    let (user, password) = server.superuser();
    let pool = PgPoolOptions::new()
        .min_connections(ADMIN_CONNECTIONS)
        .max_connections(ADMIN_CONNECTIONS)
        .connect_with(server.connect_options(user, password, "postgres"))
        .await
        .expect("the admin connects");
    let places = Arc::new(Semaphore::new(CONCURRENCY));
    let began = Instant::now();
    let mut roles = tokio::task::JoinSet::new();
    for n in 0..ROLES {
        let place = Arc::clone(&places).acquire_owned().await.expect("never closed");
        let (pool, server) = (pool.clone(), Arc::clone(server));
        roles.spawn(async move {
            let password = format!("a-password-of-forty-characters-for-role-{n}");
            let statement = format!("ALTER ROLE role_{n} PASSWORD '{}'", verifier(&password));
            sqlx::query(AssertSqlSafe(statement)).persistent(false).execute(&pool).await.expect("altered");
            let login = server.connect(&format!("role_{n}"), &password).await.expect("logged in");
            login.close().await.expect("closed");
            drop(place);
        });
    }
    while let Some(done) = roles.join_next().await {
        done.expect("no panic");
    }
    let rate = ROLES as f64 / began.elapsed().as_secs_f64();
    pool.close().await;
    rate
}

/// What `ALTER ROLE` takes in place of a password of plain characters.
fn verifier(password: &str) -> String {
    let rounds = std::num::NonZeroU32::new(4096).expect("not zero");
    let (mut salt, mut salted) = ([0; 16], [0; 32]);
    rand::fill(&mut salt).expect("random bytes");
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, &salt, password.as_bytes(), &mut salted);
    let key = hmac::Key::new(hmac::HMAC_SHA256, &salted);
    let stored = digest::digest(&digest::SHA256, hmac::sign(&key, b"Client Key").as_ref());
    let server = hmac::sign(&key, b"Server Key");
    let [salt, stored, server] = [&salt, stored.as_ref(), server.as_ref()].map(|bytes| BASE64.encode(bytes));
    format!("SCRAM-SHA-256${rounds}:{salt}${stored}:{server}")
}

struct Daemon {
    elapsed: Duration,
    commits: f64,
    writes: f64,
    peak_kib: u64,
    connections: i64,
}

/// One daemon, from its start to its end, while its memory and connections are watched.
async fn daemon(home: &Path, server: &PostgresServer) -> Daemon {
    let began = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_keywheel"))
        .current_dir(home)
        .args(["--log", "keywheel=info", "--log-format", "json", "run", "--once"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the daemon starts");
    let pid = child.id();
    let log = BufReader::new(child.stderr.take().expect("piped"));
    let reading = std::thread::spawn(move || {
        let (mut last, mut ended) = (serde_json::Value::Null, Instant::now());
        for line in log.lines().map_while(Result::ok) {
            last = serde_json::from_str(&line).unwrap_or_default();
            ended = Instant::now();
        }
        (last, ended)
    });
    let (user, password) = server.superuser();
    let mut watcher = server.connect(user, password).await.expect("the watcher connects");
    let (mut peak_kib, mut connections) = (0, 0);
    while !reading.is_finished() {
        peak_kib = peak_memory(pid).unwrap_or(peak_kib);
        let count: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()",
        )
        .fetch_one(&mut watcher)
        .await
        .expect("the server answers");
        connections = connections.max(count);
        #[expect(clippy::disallowed_methods, reason = "the pace at which the benchmark looks")]
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let (last, ended) = reading.join().expect("no panic");
    assert!(child.wait().expect("it ends").success(), "the daemon failed: {last}");
    let accepted: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM pg_authid WHERE rolname LIKE 'role\\_%' AND rolpassword LIKE 'SCRAM-SHA-256$%'",
    )
    .fetch_one(&mut watcher)
    .await
    .expect("the server answers");
    assert_eq!(accepted, ROLES as i64);
    let field =
        |name: &str| last["fields"][name].as_f64().unwrap_or_else(|| panic!("`{name}` in the last line: {last}"));
    Daemon {
        elapsed: ended - began,
        commits: field("journal_commits"),
        writes: field("journal_writes"),
        peak_kib,
        connections,
    }
}

/// The most memory that a process ever had, in KiB (Linux).
fn peak_memory(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.trim().strip_suffix(" kB")?.trim().parse().ok()
}
