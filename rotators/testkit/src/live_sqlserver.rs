//! Real servers of Microsoft SQL Server, where somebody names one.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use tiberius::{AuthMethod, Client, EncryptionLevel, Row};
use tokio::net::TcpStream;
use tokio_util::compat::{Compat, TokioAsyncWriteCompatExt};
use url::Url;

/// The environment variable that names them, with commas between.
pub const VARIABLE: &str = "KEYWHEEL_TEST_MSSQL";

/// One real server, reached as somebody who may make logins there.
///
/// Its address: `sqlserver://user:password@host:port?ca_file=…`, or `?insecure=true` to accept any certificate. Further,
/// `&encryption=strict` for TDS 8.0, and `&database=…` for the tests' contained users.
pub struct LiveSqlServer {
    user: String,
    password: String,
    host: String,
    port: u16,
    ca_file: Option<String>,
    strict: bool,
    database: Option<String>,
}

impl LiveSqlServer {
    /// All that the environment names; none where it names none.
    ///
    /// # Panics
    /// If an address is not of that form.
    pub fn named() -> Vec<LiveSqlServer> {
        #[expect(clippy::disallowed_methods, reason = "whoever runs the tests says which servers there are")]
        let addresses = std::env::var(VARIABLE).unwrap_or_default();
        addresses.split(',').map(str::trim).filter(|address| !address.is_empty()).map(Self::parse).collect()
    }

    fn parse(address: &str) -> Self {
        Self::read(address)
            .unwrap_or_else(|| panic!("{VARIABLE}: an address is `sqlserver://user:password@host:port?ca_file=…`"))
    }

    fn read(address: &str) -> Option<Self> {
        let url = Url::parse(address).ok()?;
        let query: BTreeMap<_, _> = url.query_pairs().into_owned().collect();
        let insecure = query.get("insecure").is_some_and(|insecure| insecure == "true");
        let ca_file = query.get("ca_file").cloned();
        (insecure || ca_file.is_some()).then_some(())?;
        Some(LiveSqlServer {
            user: percent_decoded(url.username()),
            password: percent_decoded(url.password()?),
            host: url.host_str()?.trim_matches(['[', ']']).to_owned(),
            port: url.port().unwrap_or(1433),
            ca_file,
            strict: query.get("encryption").is_some_and(|encryption| encryption == "strict"),
            database: query.get("database").cloned(),
        })
    }

    /// Where it is, for messages.
    pub fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Who may make logins, with the password.
    pub fn admin(&self) -> (&str, &str) {
        (&self.user, &self.password)
    }

    /// A policy's `target:` for it.
    pub fn settings(&self) -> Map<String, Value> {
        let mut settings = json!({ "host": self.host, "port": self.port });
        match &self.ca_file {
            Some(file) => settings["ca_file"] = json!(file),
            None => {
                settings["trust_server_certificate"] = json!(true);
                settings["insecure"] = json!(true);
            }
        }
        if self.strict {
            settings["encryption"] = json!("strict");
        }
        settings.as_object().expect("made as one").clone()
    }

    /// The database of its address.
    pub fn database(&self) -> Option<&str> {
        self.database.as_deref()
    }

    /// The database in which contained users can be made.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn contained_database(&self) -> Result<&str, String> {
        let name = self.database.as_deref().ok_or("its address names no `database=…` for contained users")?;
        if self.is_azure().await {
            return Ok(name);
        }
        let asked = format!(
            "SELECT CONVERT(int, c.value_in_use) AS allowed, CONVERT(int, d.containment) AS contained \
             FROM sys.configurations AS c CROSS JOIN sys.databases AS d \
             WHERE c.name = N'contained database authentication' AND d.name = N'{}'",
            name.replace('\'', "''")
        );
        let rows = self.sql(&asked).await;
        let number = |column| rows.first().and_then(|row| row.get::<i32, _>(column)).unwrap_or(0);
        match (number("allowed"), number("contained")) {
            (0, _) => Err("`contained database authentication` is off there, or the database is missing".to_owned()),
            (_, 0) => Err(format!("its database `{name}` is not contained")),
            _ => Ok(name),
        }
    }

    /// Whether it is Azure SQL Database, where logins have no options.
    pub async fn is_azure(&self) -> bool {
        self.about().await.contains("Azure")
    }

    /// Version and edition, in the server's own words.
    pub async fn about(&self) -> String {
        let rows = self.sql("SELECT CONVERT(nvarchar(300), @@VERSION) AS about").await;
        rows.first().and_then(|row| row.get::<&str, _>(0)).unwrap_or("unknown").lines().next().unwrap_or("").to_owned()
    }

    /// Runs a batch as the admin.
    ///
    /// # Panics
    /// If the server refuses it.
    pub async fn sql(&self, batch: &str) -> Vec<Row> {
        self.sql_in(None, batch).await
    }

    /// The same in a database.
    ///
    /// # Panics
    /// If the server refuses it.
    pub async fn sql_in(&self, database: Option<&str>, batch: &str) -> Vec<Row> {
        let mut line = self.connect(&self.user, &self.password, database).await.expect("the admin logs in");
        let results = line.simple_query(batch).await.unwrap_or_else(|error| panic!("{batch}: {error}")).into_results();
        let results = results.await.unwrap_or_else(|error| panic!("{batch}: {error}"));
        results.into_iter().flatten().collect()
    }

    /// Whether it lets this login in, or this user of a database. A refusal counts as a failed login there.
    ///
    /// # Panics
    /// If the answer is neither.
    pub async fn accepts(&self, user: &str, password: &str, database: Option<&str>) -> bool {
        match self.connect(user, password, database).await {
            Ok(_) => true,
            Err(error) if matches!(error.code(), Some(916 | 4060 | 18456 | 18470)) => false,
            Err(error) => panic!("{user} at {}: {error}", self.address()),
        }
    }

    async fn connect(
        &self,
        user: &str,
        password: &str,
        database: Option<&str>,
    ) -> Result<Client<Compat<TcpStream>>, tiberius::error::Error> {
        let mut options = tiberius::Config::new();
        options.host(&self.host);
        options.port(self.port);
        options.authentication(AuthMethod::sql_server(user, password));
        options.encryption(if self.strict { EncryptionLevel::Strict } else { EncryptionLevel::Required });
        if let Some(database) = database {
            options.database(database);
        }
        match &self.ca_file {
            Some(file) => options.trust_cert_ca(file),
            None => options.trust_cert(),
        }
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        stream.set_nodelay(true)?;
        Client::connect(options, stream.compat_write()).await
    }
}

/// Passwords in addresses are percent-encoded (RFC 3986).
fn percent_decoded(text: &str) -> String {
    let pair = format!("x={}", text.replace('+', "%2B"));
    url::form_urlencoded::parse(pair.as_bytes()).next().map(|(_, value)| value.into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let server = LiveSqlServer::parse("sqlserver://sa:p%40ss+%2C%3A@db.internal:1434?ca_file=/etc/ca.pem");
        assert_eq!((server.admin(), server.address()), (("sa", "p@ss+,:"), "db.internal:1434".to_owned()));
        assert_eq!(server.settings()["ca_file"], "/etc/ca.pem");
        let server = LiveSqlServer::parse("sqlserver://sa:x@[::1]?insecure=true&encryption=strict&database=shop");
        assert_eq!(
            (server.settings()["encryption"].as_str(), server.database.as_deref()),
            (Some("strict"), Some("shop"))
        );
        assert_eq!(server.address(), "::1:1433");
        assert_eq!(server.settings()["insecure"], true);
    }
}
