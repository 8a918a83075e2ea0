//! The two targets of the demonstration: a real Postgres, and a double of SQL Server.

use std::path::PathBuf;

use keywheel_sqlserver_double::{Encryption, Options, ServerOptions, SqlServer, TlsIdentity};
use keywheel_testkit::{Certificates, PostgresServer};
use tiberius::{AuthMethod, Client, EncryptionLevel};
use tokio::net::TcpStream;
use tokio_util::compat::TokioAsyncWriteCompatExt;

/// What the demonstration rotates: the secret, the target's kind, and the accounts behind it.
pub const SECRETS: [(&str, Kind, &[&str]); 4] = [
    ("shop/orders", Kind::Postgres, &["orders"]),
    ("shop/billing", Kind::Postgres, &["billing_a", "billing_b"]),
    ("shop/search", Kind::Postgres, &["search_a", "search_b"]),
    ("shop/stock", Kind::SqlServer, &["stock_a", "stock_b"]),
];

/// Which target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Postgres,
    SqlServer,
}

/// Both, running. They end when this is dropped.
pub struct Targets {
    postgres: PostgresServer,
    sqlserver: SqlServer,
    /// The authority that signed the double's certificate.
    authority: PathBuf,
    _folder: tempfile::TempDir,
}

impl Targets {
    pub fn start() -> Self {
        let postgres = PostgresServer::start().expect("Postgres server binaries are installed");
        let certificates = Certificates::for_names(&["localhost"]);
        let folder = tempfile::tempdir().expect("a temporary folder");
        let authority = folder.path().join("authority.pem");
        std::fs::write(&authority, &certificates.authority).expect("the folder is writable");
        let tls = TlsIdentity { certificate_pem: certificates.certificate, key_pem: certificates.key };
        let options = ServerOptions { tls: Some(tls), encryption: Encryption::Require, ..ServerOptions::default() };
        let sqlserver = SqlServer::start_with(options).expect("a free port");
        Targets { postgres, sqlserver, authority, _folder: folder }
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
        }
    }

    /// The admins' credentials: secret, user, password.
    pub fn admins(&self) -> [(&'static str, String, String); 2] {
        let (user, password) = self.postgres.superuser();
        [
            ("pg/admin", user.to_owned(), password.to_owned()),
            ("sql/admin", "sa".to_owned(), Options::default().sa_password),
        ]
    }

    /// Makes an account; without a password, one that lets nobody in.
    pub async fn create(&self, kind: Kind, account: &str, password: Option<&str>) {
        match kind {
            Kind::Postgres => {
                let password = password.map(|password| format!("PASSWORD '{password}'")).unwrap_or_default();
                self.postgres.sql(&format!("CREATE ROLE {account} LOGIN {password}")).await;
            }
            Kind::SqlServer => {
                let disable =
                    if password.is_none() { format!("; ALTER LOGIN {account} DISABLE") } else { String::new() };
                let password = password.unwrap_or("Nobodys first password 1");
                let sql = format!("CREATE LOGIN {account} WITH PASSWORD = N'{password}'{disable}");
                self.sqlserver.execute(&sql).expect("the account is new");
            }
        }
    }

    /// Whether a login works, tried over the network as an application does.
    pub async fn accepts(&self, kind: Kind, user: &str, password: &str) -> bool {
        match kind {
            Kind::Postgres => self.postgres.accepts(user, password).await,
            Kind::SqlServer => {
                let mut options = tiberius::Config::new();
                options.host("localhost");
                options.port(self.sqlserver.port());
                options.encryption(EncryptionLevel::Required);
                options.trust_cert_ca(self.authority.display());
                options.authentication(AuthMethod::sql_server(user, password));
                let stream =
                    TcpStream::connect(("127.0.0.1", self.sqlserver.port())).await.expect("the double listens");
                Client::connect(options, stream.compat_write()).await.is_ok()
            }
        }
    }
}
