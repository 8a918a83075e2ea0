//! Where the accounts live that are rotated and killed over: a real Postgres, doubles of SQL Server, and real ones where
//! somebody names them.

mod doubles;

use std::sync::OnceLock;

use keywheel_sqlserver_double::{Options, Reply, SqlServer, Value};
use keywheel_testkit::LiveSqlServer;

use crate::house::{House, server};

use doubles::{CONTAINED, replicas};
pub use doubles::{authority, double, lines};

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
    /// Logins of the real server with this number.
    Live(usize),
    /// Users of that one's contained database.
    LiveContained(usize),
}

/// The real servers of SQL Server that the environment names.
pub fn live() -> &'static [LiveSqlServer] {
    static LIVE: OnceLock<Vec<LiveSqlServer>> = OnceLock::new();
    LIVE.get_or_init(LiveSqlServer::named)
}

impl Ground {
    /// The policy's lines about rotator, target and admin. For Postgres by way of `port`, where it is not the server's own.
    pub fn lines(self, port: Option<u16>) -> String {
        match self {
            Ground::Postgres => {
                let port = port.unwrap_or_else(|| server().port());
                format!(
                    "rotator: postgres\ntarget: {{ host: 127.0.0.1, port: {port}, tls: disable }}\n\
                     admin: {{ secret: pg/admin }}"
                )
            }
            Ground::SqlServer => lines(&format!("port: {}", replicas()[0].port())),
            Ground::Contained => {
                let port = replicas()[0].port();
                lines(&format!("port: {port}, database: {CONTAINED}, account: contained-user, lockout_budget: 100"))
            }
            Ground::Group => {
                let all: Vec<String> =
                    replicas().iter().map(|replica| format!("\"localhost:{}\"", replica.port())).collect();
                lines(&format!("port: {}, replicas: [{}]", replicas()[0].port(), all.join(", ")))
            }
            Ground::Live(number) | Ground::LiveContained(number) => {
                let mut settings = live()[number].settings();
                settings.insert("lockout_budget".to_owned(), 100.into());
                if let Some(database) = self.database() {
                    settings.insert("database".to_owned(), database.into());
                    settings.insert("account".to_owned(), "contained-user".into());
                }
                let target = serde_json::Value::from(settings);
                format!("rotator: sqlserver\ntarget: {target}\nadmin: {{ secret: sql/admin }}")
            }
        }
    }

    /// Puts the admin's credential into the store.
    pub fn admit(self, house: &House) {
        match self {
            Ground::Postgres => {}
            Ground::SqlServer | Ground::Contained | Ground::Group => {
                house.put("sql/admin", "sa", &Options::default().sa_password);
            }
            Ground::Live(number) | Ground::LiveContained(number) => {
                let (user, password) = live()[number].admin();
                house.put("sql/admin", user, password);
            }
        }
    }

    /// Where the accounts are users; `None` where they are logins.
    fn database(self) -> Option<&'static str> {
        match self {
            Ground::Postgres | Ground::SqlServer | Ground::Group | Ground::Live(_) => None,
            Ground::Contained => Some(CONTAINED),
            Ground::LiveContained(number) => live()[number].database(),
        }
    }

    /// Makes an account; without a password, one that lets nobody in.
    pub async fn create(self, name: &str, password: Option<&str>) {
        if self == Ground::Postgres {
            let password = password.map(|password| format!("PASSWORD '{password}'")).unwrap_or_default();
            server().sql(&format!("CREATE ROLE \"{name}\" LOGIN {password}")).await;
            return;
        }
        let (kind, shut) = match self.database() {
            Some(_) => ("USER", format!("REVOKE CONNECT FROM [{name}]")),
            None => ("LOGIN", format!("ALTER LOGIN [{name}] DISABLE")),
        };
        // A real server that remembers passwords would refuse to go back to one. Azure SQL Database has no such option.
        let remembers = if let Ground::Live(number) = self { !live()[number].is_azure().await } else { false };
        let options = if remembers { ", CHECK_POLICY = OFF" } else { "" };
        let first = password.unwrap_or("Nobodys-password-1");
        self.run(&format!("CREATE {kind} [{name}] WITH PASSWORD = N'{first}'{options}")).await;
        if password.is_none() {
            self.run(&shut).await;
        }
    }

    /// Removes an account, if it is one of SQL Server: in a double the time of many questions grows with how many there are,
    /// and in a real one nothing should stay.
    pub async fn remove(self, name: &str) {
        let drop = format!("DROP {} [{name}]", if self.database().is_some() { "USER" } else { "LOGIN" });
        for server in self.servers() {
            // One whose session is just ending cannot be dropped, and may stay.
            let _ = server.execute(&self.in_place(&drop));
        }
        if let Ground::Live(number) | Ground::LiveContained(number) = self {
            let patient = format!("BEGIN TRY {drop} END TRY BEGIN CATCH WAITFOR DELAY '00:00:02'; {drop} END CATCH");
            live()[number].sql_in(self.database(), &patient).await;
        }
    }

    /// Whether the target lets this login in, for each replica.
    pub async fn accepts(self, name: &str, password: &str) -> Vec<bool> {
        match self {
            Ground::Postgres => vec![server().accepts(name, password).await],
            Ground::SqlServer | Ground::Group | Ground::Contained => {
                self.servers().iter().map(|server| server.accepts(name, password, self.database())).collect()
            }
            Ground::Live(number) | Ground::LiveContained(number) => {
                vec![live()[number].accepts(name, password, self.database()).await]
            }
        }
    }

    /// Whether the account lets anybody in at all, for each replica.
    pub async fn is_open(self, name: &str) -> Vec<bool> {
        if self == Ground::Postgres {
            let query =
                format!("SELECT rolpassword IS NOT NULL AND rolcanlogin FROM pg_authid WHERE rolname = '{name}'");
            let rows = server().sql(&query).await;
            return vec![rows.iter().flatten().flatten().any(|open| open == "t" || open == "true")];
        }
        let query = match self.database() {
            None => format!("SELECT COUNT(*) FROM sys.sql_logins WHERE name = N'{name}' AND is_disabled = 0"),
            Some(_) => format!(
                "SELECT COUNT(*) FROM sys.database_principals AS u JOIN sys.database_permissions AS p \
                 ON p.grantee_principal_id = u.principal_id WHERE u.name = N'{name}' AND p.permission_name = N'CONNECT' \
                 AND p.state = N'G'"
            ),
        };
        self.counts(&query).await
    }

    /// Each message that a double has heard came encrypted.
    pub fn check_lines(self) {
        for server in self.servers() {
            assert!(server.heard().iter().all(|heard| heard.encrypted), "a statement travelled in clear");
            assert!(server.logins_heard().iter().all(|heard| heard.encrypted), "a login travelled in clear");
        }
    }

    /// How many servers have the accounts.
    pub fn replicas(self) -> usize {
        self.servers().len().max(1)
    }

    /// The doubles on which the accounts are.
    pub fn servers(self) -> &'static [SqlServer] {
        match self {
            Ground::Postgres | Ground::Live(_) | Ground::LiveContained(_) => &[],
            Ground::SqlServer | Ground::Contained => &replicas()[..1],
            Ground::Group => replicas(),
        }
    }

    async fn run(self, sql: &str) {
        if let Ground::Live(number) | Ground::LiveContained(number) = self {
            live()[number].sql_in(self.database(), sql).await;
        }
        for server in self.servers() {
            let batch = self.in_place(sql);
            server.execute(&batch).unwrap_or_else(|error| panic!("{batch}: {error}"));
        }
    }

    /// A batch for a double, where the accounts are.
    fn in_place(self, sql: &str) -> String {
        self.database().map_or_else(|| sql.to_owned(), |database| format!("USE {database}; {sql}"))
    }

    /// Whether the count is more than none, for each replica.
    async fn counts(self, sql: &str) -> Vec<bool> {
        if let Ground::Live(number) | Ground::LiveContained(number) = self {
            let rows = live()[number].sql_in(self.database(), sql).await;
            return vec![rows.first().and_then(|row| row.get::<i32, _>(0)).is_some_and(|count| count > 0)];
        }
        let batch = self.in_place(sql);
        let count = |server: &SqlServer| {
            let replies = server.execute(&batch).unwrap_or_else(|error| panic!("{batch}: {error}"));
            replies.iter().any(|reply| matches!(reply, Reply::Row(row) if row != &[Value::Int(0)]))
        };
        self.servers().iter().map(count).collect()
    }
}
