//! The double of SQL Server, in a process of its own: this program once more. What SQL Server 2025 spends on a login is mostly
//! its password hash, PBKDF2 with 100,000 rounds, for which the double takes as long; before it was one round of SHA-512
//! (documentation "sys.sql_logins").

use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use keywheel_sqlserver_double::{
    Encryption, Options, PasswordPolicy, ServerOptions, SqlServer as Double, TlsIdentity, Version,
};
use keywheel_testkit::Certificates;
use tiberius::{AuthMethod, Client, EncryptionLevel};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio_util::compat::{Compat, TokioAsyncWriteCompatExt};

use crate::{ADMIN_CONNECTIONS, Target};

/// The word on the command line with which this program is the double. What it should be comes in on standard input.
pub const SERVE: &str = "serve-sqlserver";

const FIRST: &str = "First-password-1";

type Line = Client<Compat<TcpStream>>;

/// The real server's, for which [`Options`] has fewer.
const HASH_ROUNDS: u32 = 100_000;

pub struct SqlServer {
    version: Version,
    double: Child,
    port: u16,
    authority: PathBuf,
    /// For questions about the server.
    watcher: Mutex<Line>,
    _folder: tempfile::TempDir,
}

/// Is the double until standard input ends.
pub fn serve() {
    let mut input = BufReader::new(std::io::stdin());
    let mut order = String::new();
    input.read_line(&mut order).expect("standard input is there");
    let order: (String, String, bool) =
        serde_json::from_str(&order).expect("a certificate, a key, and whether it is 2025");
    let tls = TlsIdentity { certificate_pem: order.0, key_pem: order.1 };
    let version = if order.2 { Version::V2025 } else { Version::V2022 };
    // The floor gives each account the same password twice, which a server that remembers them would refuse.
    let password_policy = PasswordPolicy { history: 0, ..PasswordPolicy::default() };
    let instance = Options { version, password_policy, hash_rounds: HASH_ROUNDS, ..Options::default() };
    let options = ServerOptions { instance, tls: Some(tls), encryption: Encryption::Require, port: 0 };
    let server = Double::start_with(options).expect("a free port");
    println!("{}", server.port());
    let _ = input.read_to_end(&mut Vec::new());
}

impl SqlServer {
    pub async fn start(version: Version) -> Self {
        let certificates = Certificates::for_names(&["localhost"]);
        let folder = tempfile::tempdir().expect("a temporary folder");
        let authority = folder.path().join("authority.pem");
        std::fs::write(&authority, &certificates.authority).expect("the folder is writable");
        let mut double = Command::new(std::env::current_exe().expect("this program has a path"))
            .arg(SERVE)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program runs");
        let order = serde_json::json!([certificates.certificate, certificates.key, version == Version::V2025]);
        writeln!(double.stdin.as_mut().expect("piped"), "{order}").expect("the double reads");
        let mut port = String::new();
        BufReader::new(double.stdout.take().expect("piped")).read_line(&mut port).expect("the double says its port");
        let port = port.trim().parse().expect("a port");
        let mut watcher = connect(&authority, port, "sa", Options::default().sa_password).await;
        for n in 0..accounts(version) {
            let create = format!("CREATE LOGIN role_{n} WITH PASSWORD = N'{FIRST}'");
            watcher.simple_query(create).await.expect("created").into_results().await.expect("created");
        }
        SqlServer { version, double, port, authority, watcher: Mutex::new(watcher), _folder: folder }
    }

    async fn count(&self, sql: &str) -> usize {
        let mut line = self.watcher.lock().await;
        let row = line.simple_query(sql).await.expect("asked").into_row().await.expect("answered").expect("a row");
        row.get::<i32, _>(0).and_then(|count| usize::try_from(count).ok()).expect("a count")
    }
}

/// Those of 2025 take a hundred times as long.
fn accounts(version: Version) -> usize {
    if version == Version::V2025 { 200 } else { 1_000 }
}

async fn connect(authority: &std::path::Path, port: u16, user: &str, password: String) -> Line {
    let mut options = tiberius::Config::new();
    options.host("localhost");
    options.port(port);
    options.encryption(EncryptionLevel::Required);
    options.trust_cert_ca(authority.display());
    options.authentication(AuthMethod::sql_server(user, password));
    let stream = TcpStream::connect(("127.0.0.1", port)).await.expect("the double listens");
    stream.set_nodelay(true).expect("a socket");
    Client::connect(options, stream.compat_write()).await.expect("logged in")
}

impl Target for SqlServer {
    type Admins = Vec<Mutex<Line>>;

    fn about(&self) -> String {
        let version = if self.version == Version::V2025 { 2025 } else { 2022 };
        format!("the double of SQL Server {version} (not Microsoft's, without a disk, one hash at a time)")
    }

    fn accounts(&self) -> usize {
        accounts(self.version)
    }

    fn process(&self) -> u32 {
        self.double.id()
    }

    fn lines(&self) -> String {
        format!(
            "rotator: sqlserver\ntarget: {{ host: localhost, port: {}, ca_file: {}, max_connections: {ADMIN_CONNECTIONS} }}",
            self.port,
            self.authority.display()
        )
    }

    fn admin(&self) -> (String, String) {
        ("sa".to_owned(), Options::default().sa_password)
    }

    async fn admins(&self) -> Vec<Mutex<Line>> {
        let mut admins = Vec::new();
        for _ in 0..ADMIN_CONNECTIONS {
            let admin = connect(&self.authority, self.port, "sa", Options::default().sa_password).await;
            admins.push(Mutex::new(admin));
        }
        admins
    }

    async fn change_and_log_in(&self, admins: &Vec<Mutex<Line>>, number: usize) {
        let password = format!("A-password-of-forty-characters-1-{number}");
        let statement = format!("ALTER LOGIN [role_{number}] WITH PASSWORD = N'{password}'");
        {
            let mut admin = admins[number % admins.len()].lock().await;
            admin.simple_query(statement).await.expect("altered").into_results().await.expect("altered");
        }
        let login = connect(&self.authority, self.port, &format!("role_{number}"), password).await;
        login.close().await.expect("closed");
    }

    async fn connections(&self) -> usize {
        self.count("SELECT COUNT(*) FROM sys.dm_exec_sessions WHERE is_user_process = 1 AND session_id <> @@SPID").await
    }

    async fn rotated(&self) -> usize {
        // The floor has been here before: what the engine changed has another password than the floor's.
        self.count(
            "SELECT COUNT(*) FROM sys.sql_logins WHERE name LIKE N'role[_]%' AND PWDCOMPARE(N'A-password-of-forty-characters-1-' \
             + SUBSTRING(name, 6, 10), password_hash) = 0",
        )
        .await
    }
}

impl Drop for SqlServer {
    fn drop(&mut self) {
        let _ = self.double.kill();
        let _ = self.double.wait();
    }
}
