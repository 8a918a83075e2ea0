//! The targets of the demonstration: a real Postgres, a double of SQL Server, and the example service that issues API keys.

use std::path::PathBuf;
use std::process::Stdio;

use keywheel::sdk::{Bundle, Secret};
use keywheel_keyservice::KeyService;
use keywheel_sqlserver_double::{Encryption, Options, ServerOptions, SqlServer, TlsIdentity};
use keywheel_testkit::{Certificates, PostgresServer};
use tiberius::{AuthMethod, Client, EncryptionLevel};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio_util::compat::TokioAsyncWriteCompatExt;

/// How the example service is declared as a provider.
pub const DECLARATION: &str = include_str!("../keyservice/provider.yaml");

/// What the demonstration rotates: the secret, the target's kind, and the accounts behind it, or whose key it is.
pub const SECRETS: [(&str, Kind, &[&str]); 5] = [
    ("shop/orders", Kind::Postgres, &["orders"]),
    ("shop/billing", Kind::Postgres, &["billing_a", "billing_b"]),
    ("shop/search", Kind::Postgres, &["search_a", "search_b"]),
    ("shop/stock", Kind::SqlServer, &["stock_a", "stock_b"]),
    ("shop/mail", Kind::KeyService, &["mail"]),
];

/// Which target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Postgres,
    SqlServer,
    KeyService,
}

/// All of them, running. They end when this is dropped.
pub struct Targets {
    postgres: PostgresServer,
    sqlserver: SqlServer,
    keyservice: KeyService,
    /// The authority that signed the double's certificate.
    authority: PathBuf,
    _folder: tempfile::TempDir,
}

impl Targets {
    pub async fn start() -> Self {
        let postgres = PostgresServer::start().expect("Postgres server binaries are installed");
        let certificates = Certificates::for_names(&["localhost"]);
        let folder = tempfile::tempdir().expect("a temporary folder");
        let authority = folder.path().join("authority.pem");
        std::fs::write(&authority, &certificates.authority).expect("the folder is writable");
        let tls = TlsIdentity { certificate_pem: certificates.certificate, key_pem: certificates.key };
        let options = ServerOptions { tls: Some(tls), encryption: Encryption::Require, ..ServerOptions::default() };
        let sqlserver = SqlServer::start_with(options).expect("a free port");
        let keyservice = KeyService::start(keywheel_keyservice::Options::default()).await.expect("a free port");
        Targets { postgres, sqlserver, keyservice, authority, _folder: folder }
    }

    /// A policy's lines about rotator, target and admin.
    pub fn lines(&self, kind: Kind) -> String {
        match kind {
            Kind::Postgres => format!(
                "rotator: postgres\ntarget: {{ host: 127.0.0.1, port: {}, database: postgres, tls: disable }}\n\
                 admin: {{ secret: pg/admin }}\n",
                self.postgres.port()
            ),
            Kind::SqlServer => format!(
                "rotator: sqlserver\ntarget: {{ host: localhost, port: {}, ca_file: {} }}\nadmin: {{ secret: sql/admin }}\n",
                self.sqlserver.port(),
                self.authority.display()
            ),
            Kind::KeyService => format!(
                "rotator: keyservice\ntarget: {{ url: \"{}\", user: mail }}\nadmin: {{ secret: keys/admin }}\n",
                self.keyservice.url()
            ),
        }
    }

    /// The admins' credentials: secret, user, password.
    pub fn admins(&self) -> [(&'static str, String, String); 3] {
        let (user, password) = self.postgres.superuser();
        [
            ("pg/admin", user.to_owned(), password.to_owned()),
            ("sql/admin", "sa".to_owned(), Options::default().sa_password),
            ("keys/admin", "admin".to_owned(), keywheel_keyservice::Options::default().admin_token),
        ]
    }

    /// Makes the accounts, of which only the first lets anybody in, or the first key; and gives the credential.
    pub async fn create(&self, kind: Kind, accounts: &[&str], password: &str) -> Bundle {
        for (number, account) in accounts.iter().enumerate() {
            let first = number == 0;
            match kind {
                Kind::Postgres => {
                    let password = if first { format!("PASSWORD '{password}'") } else { String::new() };
                    self.postgres.sql(&format!("CREATE ROLE {account} LOGIN {password}")).await;
                }
                Kind::SqlServer => {
                    let disable = if first { String::new() } else { format!("; ALTER LOGIN {account} DISABLE") };
                    let password = if first { password } else { "Nobodys first password 1" };
                    let sql = format!("CREATE LOGIN {account} WITH PASSWORD = N'{password}'{disable}");
                    self.sqlserver.execute(&sql).expect("the account is new");
                }
                Kind::KeyService => return self.create_key(account).await,
            }
        }
        Bundle::login(accounts[0], Secret::new(password.to_owned()))
    }

    /// Makes a key by hand, as whoever wants to rotate it later has done.
    async fn create_key(&self, user: &str) -> Bundle {
        let made = reqwest::Client::new()
            .post(format!("{}/v1/users/{user}/keys", self.keyservice.url()))
            .bearer_auth(keywheel_keyservice::Options::default().admin_token)
            .json(&serde_json::json!({ "name": "made by hand" }))
            .send()
            .await
            .expect("the service answers");
        let made: serde_json::Value = made.json().await.expect("it answers JSON");
        let field = |name: &str| Secret::new(made[name].as_str().expect("a text").to_owned());
        Bundle::new().with("key_id", field("id")).with("key", field("key"))
    }

    /// Whether a credential works, tried over the network as an application does.
    pub async fn accepts(&self, kind: Kind, credential: &Bundle) -> bool {
        let login = || {
            let password = credential.password().expect("a login has a password").expose(str::to_owned);
            (credential.username().expect("a login has a user name"), password)
        };
        match kind {
            Kind::Postgres => {
                let (user, password) = login();
                self.postgres.accepts(&user, &password).await
            }
            Kind::SqlServer => {
                let mut options = tiberius::Config::new();
                let (user, password) = login();
                options.host("localhost");
                options.port(self.sqlserver.port());
                options.encryption(EncryptionLevel::Required);
                options.trust_cert_ca(self.authority.display());
                options.authentication(AuthMethod::sql_server(user, password));
                let stream =
                    TcpStream::connect(("127.0.0.1", self.sqlserver.port())).await.expect("the double listens");
                Client::connect(options, stream.compat_write()).await.is_ok()
            }
            Kind::KeyService => {
                let key = credential.get("key").expect("the credential is a key").expose(str::to_owned);
                curl(&self.keyservice.url(), &key).await
            }
        }
    }
}

/// Calls the service with a program that others wrote. The key comes in on its standard input, where no list of processes shows it.
async fn curl(url: &str, key: &str) -> bool {
    let mut child = Command::new("curl")
        .args(["--silent", "--output", "/dev/null", "--write-out", "%{http_code}", "--config", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("curl is installed");
    let call = format!("url = \"{url}/v1/whoami\"\nheader = \"Authorization: Bearer {key}\"\n");
    child.stdin.take().expect("piped").write_all(call.as_bytes()).await.expect("curl reads");
    let status = child.wait_with_output().await.expect("curl ends").stdout;
    assert!(status == b"200" || status == b"401", "an answer that is no answer: {status:?}");
    status == b"200"
}
