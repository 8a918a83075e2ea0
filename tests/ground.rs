//! Where the accounts live that are rotated and killed over: a real Postgres, or doubles of SQL Server.

use std::path::PathBuf;
use std::sync::OnceLock;

use keywheel_sqlserver_double::{
    Encryption, Options, PasswordPolicy, Reply, ServerOptions, SqlServer, TlsIdentity, Value,
};
use keywheel_testkit::Certificates;

use crate::house::{House, server};

/// The kinds of target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ground {
    Postgres,
    /// Logins of one server.
    SqlServer,
    /// Users of a contained database.
    Contained,
    /// Logins of three replicas.
    Group,
}

/// The database of contained users.
const CONTAINED: &str = "shop";

impl Ground {
    /// The policy's lines about rotator, target and admin. For Postgres by way of `port`, where it is not the server's own.
    pub fn lines(self, port: Option<u16>) -> String {
        let (head, admin) = match self {
            Ground::Postgres => {
                let port = port.unwrap_or_else(|| server().port());
                (format!("rotator: postgres\ntarget: {{ host: 127.0.0.1, port: {port}, tls: disable }}"), "pg/admin")
            }
            Ground::SqlServer => (sqlserver(&format!("port: {}", replicas()[0].port())), "sql/admin"),
            Ground::Contained => {
                let port = replicas()[0].port();
                let more = format!("port: {port}, database: {CONTAINED}, account: contained-user, lockout_budget: 100");
                (sqlserver(&more), "sql/admin")
            }
            Ground::Group => {
                let all: Vec<String> =
                    replicas().iter().map(|replica| format!("\"localhost:{}\"", replica.port())).collect();
                (sqlserver(&format!("port: {}, replicas: [{}]", replicas()[0].port(), all.join(", "))), "sql/admin")
            }
        };
        format!("{head}\nadmin: {{ secret: {admin} }}")
    }

    /// Puts the admin's credential into the store.
    pub fn admit(self, house: &House) {
        if self != Ground::Postgres {
            house.put("sql/admin", "sa", &Options::default().sa_password);
        }
    }

    /// Makes an account; without a password, one that lets nobody in.
    pub async fn create(self, name: &str, password: Option<&str>) {
        match self {
            Ground::Postgres => {
                let password = password.map(|password| format!("PASSWORD '{password}'")).unwrap_or_default();
                server().sql(&format!("CREATE ROLE \"{name}\" LOGIN {password}")).await;
            }
            Ground::SqlServer | Ground::Group => {
                let disable =
                    if password.is_none() { format!("; ALTER LOGIN [{name}] DISABLE") } else { String::new() };
                let password = password.unwrap_or("Nobodys-password-1");
                self.run(&format!("CREATE LOGIN [{name}] WITH PASSWORD = N'{password}'{disable}"));
            }
            Ground::Contained => {
                let shut = if password.is_none() { format!("; REVOKE CONNECT FROM [{name}]") } else { String::new() };
                let password = password.unwrap_or("Nobodys-password-1");
                self.run(&format!("USE {CONTAINED}; CREATE USER [{name}] WITH PASSWORD = N'{password}'{shut}"));
            }
        }
    }

    /// Whether the target lets this login in, for each replica.
    pub async fn accepts(self, name: &str, password: &str) -> Vec<bool> {
        match self {
            Ground::Postgres => vec![server().accepts(name, password).await],
            Ground::SqlServer | Ground::Group => {
                self.servers().iter().map(|server| server.accepts(name, password, None)).collect()
            }
            Ground::Contained => {
                self.servers().iter().map(|server| server.accepts(name, password, Some(CONTAINED))).collect()
            }
        }
    }

    /// Whether the account lets anybody in at all, for each replica.
    pub async fn is_open(self, name: &str) -> Vec<bool> {
        match self {
            Ground::Postgres => {
                let query =
                    format!("SELECT rolpassword IS NOT NULL AND rolcanlogin FROM pg_authid WHERE rolname = '{name}'");
                let rows = server().sql(&query).await;
                vec![rows.iter().flatten().flatten().any(|open| open == "t" || open == "true")]
            }
            Ground::SqlServer | Ground::Group => {
                self.counts(&format!("SELECT COUNT(*) FROM sys.sql_logins WHERE name = N'{name}' AND is_disabled = 0"))
            }
            Ground::Contained => self.counts(&format!(
                "SELECT COUNT(*) FROM {CONTAINED}.sys.database_principals AS u JOIN {CONTAINED}.sys.database_permissions AS p \
                 ON p.grantee_principal_id = u.principal_id WHERE u.name = N'{name}' AND p.permission_name = N'CONNECT' \
                 AND p.state = N'G'"
            )),
        }
    }

    /// How many servers have the accounts.
    pub fn replicas(self) -> usize {
        self.servers().len().max(1)
    }

    /// The doubles on which the accounts are.
    pub fn servers(self) -> &'static [SqlServer] {
        match self {
            Ground::Postgres => &[],
            Ground::SqlServer | Ground::Contained => &replicas()[..1],
            Ground::Group => replicas(),
        }
    }

    fn run(self, sql: &str) {
        for server in self.servers() {
            server.execute(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        }
    }

    /// Whether the count is more than none, for each replica.
    fn counts(self, sql: &str) -> Vec<bool> {
        let count = |server: &SqlServer| {
            let replies = server.execute(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
            replies.iter().any(|reply| matches!(reply, Reply::Row(row) if row != &[Value::Int(0)]))
        };
        self.servers().iter().map(count).collect()
    }
}

fn sqlserver(more: &str) -> String {
    let authority = authority().display();
    format!("rotator: sqlserver\ntarget: {{ host: localhost, {more}, ca_file: {authority} }}")
}

/// What all doubles of this binary have in common, and the three of them. They end with the process.
struct Doubles {
    authority: PathBuf,
    replicas: Vec<SqlServer>,
    _folder: tempfile::TempDir,
}

fn doubles() -> &'static Doubles {
    static DOUBLES: OnceLock<Doubles> = OnceLock::new();
    DOUBLES.get_or_init(|| {
        let certificates = Certificates::for_names(&["localhost", "127.0.0.1"]);
        // Not among the temporary files: what a static keeps is never dropped.
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the build's folder is writable");
        let authority = folder.path().join("authority.pem");
        std::fs::write(&authority, &certificates.authority).expect("the folder is writable");
        let replica = |server_name: &str| {
            let tls =
                TlsIdentity { certificate_pem: certificates.certificate.clone(), key_pem: certificates.key.clone() };
            let instance = Options {
                server_name: server_name.to_owned(),
                contained_authentication: true,
                // A server that remembers passwords refuses to go back to one, and one that locks accounts out does so to an
                // application that tries without a pause: both are a person's business.
                password_policy: PasswordPolicy { history: 0, lockout_threshold: 0, ..PasswordPolicy::default() },
                ..Options::default()
            };
            let options = ServerOptions { instance, tls: Some(tls), encryption: Encryption::Offer, port: 0 };
            let server = SqlServer::start_with(options).expect("a free port");
            server.execute(&format!("CREATE DATABASE {CONTAINED} CONTAINMENT = PARTIAL")).expect("it is new");
            server
        };
        Doubles { authority, replicas: ["SQL1", "SQL2", "SQL3"].map(replica).into(), _folder: folder }
    })
}

fn replicas() -> &'static [SqlServer] {
    &doubles().replicas
}

/// The authority that clients of the doubles must trust.
pub fn authority() -> &'static std::path::Path {
    &doubles().authority
}
