//! PostgreSQL, real and throwaway. The floor's verifiers are computed on our side, by the library that the rotator uses.

use aws_lc_rs::{digest, hmac, pbkdf2, rand};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use keywheel_testkit::{PostgresOptions, PostgresServer};
use sqlx::postgres::{PgConnection, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection};
use tokio::sync::Mutex;

use crate::{ADMIN_CONNECTIONS, Target};

const ACCOUNTS: usize = 1_000;

pub struct Postgres {
    server: PostgresServer,
    process: u32,
    /// For questions about the server.
    watcher: Mutex<PgConnection>,
}

impl Postgres {
    pub async fn start() -> Self {
        // Tests log each statement, to search it; a server at work does not.
        let quiet = ["log_statement = none", "log_connections = off"].map(str::to_owned);
        let options = PostgresOptions { fsync: true, settings: quiet.into(), ..PostgresOptions::default() };
        let server = PostgresServer::start_with(&options).expect("Postgres server binaries are installed");
        let create: String = (0..ACCOUNTS).map(|n| format!("CREATE ROLE role_{n} LOGIN PASSWORD 'first';")).collect();
        server.sql(&create).await;
        let rows = server.sql("SELECT split_part(pg_read_file('postmaster.pid'), chr(10), 1)").await;
        let process = rows[0][0].as_ref().expect("the server's process").parse().expect("a number");
        let (user, password) = server.superuser();
        let watcher = server.connect(user, password).await.expect("the watcher connects");
        Postgres { watcher: Mutex::new(watcher), server, process }
    }

    async fn count(&self, sql: &'static str) -> usize {
        let count: i64 =
            sqlx::query_scalar(sql).fetch_one(&mut *self.watcher.lock().await).await.expect("the server answers");
        usize::try_from(count).expect("a count")
    }
}

impl Target for Postgres {
    type Admins = PgPool;

    fn about(&self) -> String {
        format!("one Postgres {}", self.server.version())
    }

    fn accounts(&self) -> usize {
        ACCOUNTS
    }

    fn process(&self) -> u32 {
        self.process
    }

    fn lines(&self) -> String {
        format!(
            "rotator: postgres\ntarget: {{ host: 127.0.0.1, port: {}, database: postgres, tls: disable, \
             max_connections: {ADMIN_CONNECTIONS} }}",
            self.server.port()
        )
    }

    fn admin(&self) -> (String, String) {
        let (user, password) = self.server.superuser();
        (user.to_owned(), password.to_owned())
    }

    async fn admins(&self) -> PgPool {
        let (user, password) = self.server.superuser();
        PgPoolOptions::new()
            .min_connections(ADMIN_CONNECTIONS)
            .max_connections(ADMIN_CONNECTIONS)
            .connect_with(self.server.connect_options(user, password, "postgres"))
            .await
            .expect("the admin connects")
    }

    async fn change_and_log_in(&self, admins: &PgPool, number: usize) {
        let password = format!("a-password-of-forty-characters-for-role-{number}");
        let statement = format!("ALTER ROLE role_{number} PASSWORD '{}'", verifier(&password));
        sqlx::query(AssertSqlSafe(statement)).persistent(false).execute(admins).await.expect("altered");
        let login = self.server.connect(&format!("role_{number}"), &password).await.expect("logged in");
        login.close().await.expect("closed");
    }

    async fn connections(&self) -> usize {
        self.count(
            "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()",
        )
        .await
    }

    async fn rotated(&self) -> usize {
        self.count(
            "SELECT count(*) FROM pg_authid WHERE rolname LIKE 'role\\_%' AND rolpassword LIKE 'SCRAM-SHA-256$%'",
        )
        .await
    }
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
