//! A real PostgreSQL server for one test: started in a temporary folder, gone when dropped.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, mpsc};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row};

use crate::Certificates;
use crate::postgres_binaries;

/// The account that owns the server.
const SUPERUSER: &str = "postgres";
/// Its password. Known to all: the server listens on loopback only, for the length of a test.
const SUPERUSER_PASSWORD: &str = "superuser-of-a-throwaway-server";
/// How long the server may take to start on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(60);
/// Makes the cluster, says so, waits for `go`, and runs the server. As soon as the test process is gone, however it went, it
/// ends the server and removes the folder: the process' end of the pipe on standard input closes even when it is killed.
/// `$1` is the folder, `$2` that of the server's programs, the rest goes to `initdb`.
const KEEPER: &str = r#"trap '' INT TERM HUP PIPE; dir=$1; bin=$2; shift 2
if "$bin/initdb" -D "$dir/data" "$@" >/dev/null; then echo made; else echo failed; fi
if read -r go; then
    "$bin/postgres" -D "$dir/data" >&2 & server=$!
    cat >/dev/null
    kill -QUIT "$server" 2>/dev/null; wait "$server"
fi
cd /; rm -rf "$dir""#;

/// What kind of server.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// Write through to the disk, as a real server does. Off makes tests faster; benchmarks turn it on.
    pub fsync: bool,
    /// Offer TLS with a fresh certificate for [`Self::tls_names`].
    pub tls: bool,
    /// Names and addresses in the certificate.
    pub tls_names: Vec<String>,
    pub max_connections: u16,
    /// Lines put before the usual `pg_hba.conf`, such as `host all anybody 127.0.0.1/32 trust`.
    pub hba: Vec<String>,
    /// Further lines for `postgresql.conf`.
    pub settings: Vec<String>,
    /// Load `pg_stat_statements`, which must be installed, and create it in the database `postgres`.
    pub stat_statements: bool,
    /// Start as a read-only standby (that never receives anything).
    pub standby: bool,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        PostgresOptions {
            fsync: false,
            tls: false,
            tls_names: ["localhost", "127.0.0.1"].map(str::to_owned).to_vec(),
            max_connections: 100,
            hba: Vec::new(),
            settings: Vec::new(),
            stat_statements: false,
            standby: false,
        }
    }
}

/// Why no server could be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(
        "no PostgreSQL server is installed: install one (Debian: `apt-get install postgresql`, Fedora: `dnf install \
         postgresql-server`), or put `pg_config` of one on PATH"
    )]
    NotInstalled,
    #[error("running as root, and neither a `postgres` nor a `nobody` account is there to run the server")]
    NoUser,
    #[error("a file of the throwaway server could not be written")]
    Io(#[from] std::io::Error),
    #[error("`initdb` failed: {0}")]
    Initdb(String),
    #[error("the server did not start:\n{0}")]
    Start(String),
}

/// A running server on a free port of 127.0.0.1. Every connection needs a password (SCRAM-SHA-256), and every statement is
/// logged. Dropping it stops the server and removes all its files; so does the end of the process, even by `kill -9`.
pub struct PostgresServer {
    port: u16,
    version: u32,
    socket_dir: PathBuf,
    authority: Option<PathBuf>,
    log: Arc<Log>,
    markers: AtomicU64,
    keeper: Child,
    /// Closing it is the order to stop.
    stop: Option<ChildStdin>,
}

/// The server's log so far: written by the reading thread, read by tests.
#[derive(Default)]
struct Log {
    text: Mutex<String>,
    grown: Condvar,
}

impl PostgresServer {
    /// Starts one with the usual options.
    pub fn start() -> Result<Self, StartError> {
        Self::start_with(&PostgresOptions::default())
    }

    /// Starts one. Blocks for about two seconds.
    pub fn start_with(options: &PostgresOptions) -> Result<Self, StartError> {
        let binaries = postgres_binaries::find().ok_or(StartError::NotInstalled)?;
        let owner = match rustix::process::geteuid().is_root() {
            true => Some(postgres_binaries::unprivileged().ok_or(StartError::NoUser)?),
            false => None,
        };
        let folder = tempfile::Builder::new().prefix("keywheel-pg-").tempdir()?;
        give(folder.path(), owner)?;
        let password_file = folder.path().join("superuser-password");
        std::fs::write(&password_file, SUPERUSER_PASSWORD)?;
        give(&password_file, owner)?;

        let mut command = as_owner(Command::new("sh"), owner);
        command.args(["-c", KEEPER, "keeper"]).arg(folder.path()).arg(&binaries);
        command.args(["-U", SUPERUSER, "-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "--no-sync"]);
        command.arg("--pwfile").arg(&password_file).current_dir(folder.path());
        let mut keeper = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        // From here on the keeper removes the folder.
        let folder = folder.keep();
        let log = Arc::new(Log::default());
        let ready = follow(keeper.stderr.take().expect("stderr is piped"), Arc::clone(&log));
        let mut server = PostgresServer {
            port: free_port()?,
            version: 0,
            socket_dir: folder.clone(),
            authority: None,
            log,
            markers: AtomicU64::new(0),
            stop: keeper.stdin.take(),
            keeper,
        };
        if !server.cluster_is_made()? {
            server.shut_down();
            return Err(StartError::Initdb(server.log.read()));
        }
        let data = folder.join("data");
        server.version = read_version(&data)?;
        if options.tls {
            server.authority = Some(write_certificates(&folder, &data, &options.tls_names, owner)?);
        }
        write_settings(&data, &folder, server.port, options, owner)?;
        server.stop.as_mut().expect("taken by `shut_down` only").write_all(b"go\n")?;
        if ready.recv_timeout(START_LIMIT).is_err() {
            server.shut_down();
            return Err(StartError::Start(server.log.read()));
        }
        if options.stat_statements {
            server.run_blocking("CREATE EXTENSION pg_stat_statements")?;
        }
        Ok(server)
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The major version, such as 15.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The folder of the Unix socket.
    pub fn socket_dir(&self) -> &Path {
        &self.socket_dir
    }

    /// The file with the authority that signed the server's certificate, where TLS is on.
    pub fn authority(&self) -> Option<&Path> {
        self.authority.as_deref()
    }

    /// The superuser's name and password.
    pub fn superuser(&self) -> (&'static str, &'static str) {
        (SUPERUSER, SUPERUSER_PASSWORD)
    }

    /// `postgres://…` for the superuser.
    pub fn superuser_url(&self) -> String {
        format!("postgres://{SUPERUSER}:{SUPERUSER_PASSWORD}@127.0.0.1:{}/postgres?sslmode=disable", self.port)
    }

    /// Where and as whom to connect, without TLS and without the environment's opinion.
    pub fn connect_options(&self, user: &str, password: &str, database: &str) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(self.port)
            .username(user)
            .password(password)
            .database(database)
            .ssl_mode(PgSslMode::Disable)
            .disable_statement_logging()
    }

    /// A new session.
    pub async fn connect(&self, user: &str, password: &str) -> Result<PgConnection, sqlx::Error> {
        self.connect_options(user, password, "postgres").connect().await
    }

    /// Whether these let somebody in, asked by logging in.
    ///
    /// # Panics
    /// If the answer is neither yes nor a refusal of the credential.
    pub async fn accepts(&self, user: &str, password: &str) -> bool {
        match self.connect(user, password).await {
            Ok(session) => {
                session.close().await.ok();
                true
            }
            Err(sqlx::Error::Database(error)) if error.code().is_some_and(|code| code.starts_with("28")) => false,
            Err(error) => panic!("the server gave no answer: {error}"),
        }
    }

    /// Runs statements as the superuser and gives each row's columns as text.
    ///
    /// # Panics
    /// If the server refuses them: in a test that is a mistake of the test.
    pub async fn sql(&self, statements: &str) -> Vec<Vec<Option<String>>> {
        self.sql_in("postgres", statements).await
    }

    /// As [`Self::sql`], in another database.
    pub async fn sql_in(&self, database: &str, statements: &str) -> Vec<Vec<Option<String>>> {
        let options = self.connect_options(SUPERUSER, SUPERUSER_PASSWORD, database);
        let mut session = options.connect().await.expect("the superuser can log in");
        let rows = sqlx::raw_sql(AssertSqlSafe(statements)).fetch_all(&mut session).await;
        let rows = rows.unwrap_or_else(|error| panic!("{error} in: {statements}"));
        session.close().await.ok();
        rows.iter().map(columns).collect()
    }

    /// Everything that the server has logged until now.
    pub async fn log(&self) -> String {
        // The pipe may lag behind, so ask for a marker and wait until it has come through.
        let marker = format!("end-of-log-{}", self.markers.fetch_add(1, Ordering::Relaxed));
        self.sql(&format!("SELECT '{marker}'")).await;
        self.log.read_until(&marker)
    }

    /// Waits for the keeper's word on `initdb`.
    fn cluster_is_made(&mut self) -> std::io::Result<bool> {
        let mut word = String::new();
        BufReader::new(self.keeper.stdout.take().expect("stdout is piped, and read once")).read_line(&mut word)?;
        Ok(word.trim() == "made")
    }

    fn run_blocking(&self, statement: &'static str) -> Result<(), StartError> {
        let options = self.connect_options(SUPERUSER, SUPERUSER_PASSWORD, "postgres");
        // The caller may or may not be inside a runtime, so this has one of its own on a thread of its own.
        let work = std::thread::spawn(move || -> Result<(), String> {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.map_err(|error| error.to_string())?.block_on(async {
                let mut session = options.connect().await.map_err(|error| error.to_string())?;
                sqlx::raw_sql(statement).execute(&mut session).await.map_err(|error| error.to_string())?;
                session.close().await.map_err(|error| error.to_string())
            })
        });
        work.join().expect("the thread returns its errors").map_err(StartError::Start)
    }

    fn shut_down(&mut self) {
        drop(self.stop.take());
        // Fails only if it was waited for before.
        self.keeper.wait().ok();
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        self.shut_down();
    }
}

impl Log {
    fn read(&self) -> String {
        self.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn read_until(&self, marker: &str) -> String {
        let text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        let text = self.grown.wait_while(text, |text| !text.contains(marker)).unwrap_or_else(PoisonError::into_inner);
        text.clone()
    }
}

/// Collects the log on a thread. The channel speaks once the server takes connections, and hangs up if it ends.
fn follow(stderr: impl std::io::Read + Send + 'static, log: Arc<Log>) -> mpsc::Receiver<()> {
    let (ready, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut lines = BufReader::new(stderr);
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            let text = String::from_utf8_lossy(&line).into_owned();
            log.text.lock().unwrap_or_else(PoisonError::into_inner).push_str(&text);
            log.grown.notify_all();
            // Also `… to accept read-only connections`.
            if text.contains("database system is ready to accept") {
                ready.send(()).ok();
            }
            line.clear();
        }
    });
    receiver
}

fn read_version(data: &Path) -> Result<u32, StartError> {
    let version = std::fs::read_to_string(data.join("PG_VERSION"))?;
    version.trim().parse().map_err(|_| StartError::Initdb(format!("unexpected version `{}`", version.trim())))
}

fn write_settings(
    data: &Path,
    folder: &Path,
    port: u16,
    options: &PostgresOptions,
    owner: Option<(u32, u32)>,
) -> Result<(), StartError> {
    let mut settings = format!(
        "\nlisten_addresses = '127.0.0.1'\nport = {port}\nunix_socket_directories = '{}'\nmax_connections = {}\n\
         fsync = {}\nlog_statement = all\nlog_connections = on\nlogging_collector = off\nlog_destination = stderr\n\
         password_encryption = 'scram-sha-256'\nssl = {}\n",
        folder.display(),
        options.max_connections,
        on_off(options.fsync),
        on_off(options.tls),
    );
    if options.stat_statements {
        settings.push_str("shared_preload_libraries = 'pg_stat_statements'\n");
    }
    for line in &options.settings {
        settings.push_str(line);
        settings.push('\n');
    }
    std::fs::OpenOptions::new().append(true).open(data.join("postgresql.conf"))?.write_all(settings.as_bytes())?;

    let mut access = options.hba.join("\n");
    access.push_str("\nlocal all all scram-sha-256\nhost all all 127.0.0.1/32 scram-sha-256\n");
    std::fs::write(data.join("pg_hba.conf"), access)?;
    if options.standby {
        let signal = data.join("standby.signal");
        std::fs::write(&signal, "")?;
        give(&signal, owner)?;
    }
    Ok(())
}

fn write_certificates(
    folder: &Path,
    data: &Path,
    names: &[String],
    owner: Option<(u32, u32)>,
) -> Result<PathBuf, StartError> {
    let certificates = Certificates::for_names(names);
    for (name, text) in [("server.crt", &certificates.certificate), ("server.key", &certificates.key)] {
        let path = data.join(name);
        std::fs::write(&path, text)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        give(&path, owner)?;
    }
    let authority = folder.join("authority.pem");
    std::fs::write(&authority, &certificates.authority)?;
    Ok(authority)
}

fn columns(row: &PgRow) -> Vec<Option<String>> {
    (0..row.len())
        .map(|index| row.try_get_unchecked::<Option<String>, _>(index).expect("simple queries answer in text"))
        .collect()
}

/// A port that was free a moment ago.
fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

fn on_off(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

fn give(path: &Path, owner: Option<(u32, u32)>) -> std::io::Result<()> {
    match owner {
        Some((user, group)) => std::os::unix::fs::chown(path, Some(user), Some(group)),
        None => Ok(()),
    }
}

fn as_owner(mut command: Command, owner: Option<(u32, u32)>) -> Command {
    if let Some((user, group)) = owner {
        command.uid(user).gid(group);
    }
    command.process_group(0);
    command
}
