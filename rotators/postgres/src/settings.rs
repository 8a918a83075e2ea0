//! The policy's `target:` map, made into a type. The one place where its values are checked.

use std::net::IpAddr;
use std::path::PathBuf;

use keywheel_sdk::settings::wrong;
use keywheel_sdk::{RotatorError, Setting, Settings as _};
use serde_json::{Map, Value};

/// How the line to the server is protected. Meanings as in libpq's `sslmode`
/// (PostgreSQL documentation, "SSL Support", "Client Verification of Server Certificates").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Tls {
    /// Plain text.
    Disable,
    /// Encrypted, but anybody may be at the other end.
    Require,
    /// The certificate is signed by a trusted authority, for whatever name. The driver trusts the system's authorities
    /// beside `ca_file`, so whoever owns any public certificate may be at the other end.
    VerifyCa,
    /// The certificate is signed by a trusted authority for this host.
    VerifyFull,
}

impl Tls {
    /// The word in policies, which is also libpq's.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Tls::Disable => "disable",
            Tls::Require => "require",
            Tls::VerifyCa => "verify-ca",
            Tls::VerifyFull => "verify-full",
        }
    }
}

/// What a policy may write, before anybody asked whether it fits together.
#[derive(keywheel_sdk::Settings)]
struct Given {
    /// host name, address, or folder of the Unix socket
    #[setting(names_target)]
    host: String,
    /// port, 5432 unless given
    #[setting(names_target, min = 1, default = 5432)]
    port: u16,
    /// database to log in to, `postgres` unless given
    #[setting(names_target, default = "postgres")]
    database: String,
    /// how the line is protected, `verify-full` unless given; less needs loopback or `insecure: true`
    #[setting(
        choice = [
            "disable" => Tls::Disable,
            "require" => Tls::Require,
            "verify-ca" => Tls::VerifyCa,
            "verify-full" => Tls::VerifyFull,
        ],
        default = Tls::VerifyFull
    )]
    tls: Tls,
    /// PEM file of authorities to trust beside the system's
    ca_file: Option<PathBuf>,
    /// accept an unverified line beyond loopback
    #[setting(default = false)]
    insecure: bool,
    /// most admin sessions at one time, 4 unless given
    #[setting(min = 1, max = 100, default = 4)]
    max_connections: u32,
}

/// Where the server is and how to speak to it. Two equal settings may share connections.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Settings {
    /// A name, an address, or the folder of a Unix socket (begins with `/`).
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Where sessions are opened: the admin's too, since the fence's locks are per database.
    pub(crate) database: String,
    pub(crate) tls: Tls,
    /// Authorities trusted beside the system's.
    pub(crate) ca_file: Option<PathBuf>,
    /// Most admin sessions open at one time.
    pub(crate) max_connections: u32,
}

impl Settings {
    /// What a policy may write, for its schema and messages.
    pub(crate) fn schema() -> Vec<Setting> {
        Given::schema()
    }

    /// Reads and checks the map. The error names the setting and what to write instead.
    pub(crate) fn read(map: &Map<String, Value>) -> Result<Self, RotatorError> {
        let Given { host, port, database, tls, ca_file, insecure, max_connections } = Given::read(map)?;
        let settings = Settings { host, port, database, tls, ca_file, max_connections };
        settings.check_line(insecure)?;
        Ok(settings)
    }

    /// Whether the line stays on this machine.
    pub(crate) fn is_local(&self) -> bool {
        self.is_socket()
            || self.host == "localhost"
            || self.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// Whether the right server is at the other end. For `verify-ca` any certificate would do that the system trusts for
    /// any host, `ca_file` or not: the driver adds that file to the system's authorities, it does not replace them
    /// (sqlx-core, `net/tls/tls_rustls.rs`).
    pub(crate) fn is_verified(&self) -> bool {
        match self.tls {
            Tls::Disable | Tls::Require | Tls::VerifyCa => false,
            Tls::VerifyFull => true,
        }
    }

    fn is_socket(&self) -> bool {
        self.host.starts_with('/')
    }

    fn check_line(&self, insecure: bool) -> Result<(), RotatorError> {
        if self.is_socket() && self.tls != Tls::Disable {
            return Err(wrong("a Unix socket has no TLS: write `tls: disable`"));
        }
        if self.is_verified() || insecure || self.is_local() {
            return Ok(());
        }
        Err(wrong(format!(
            "`tls: {}` does not prove that `{}` is the right server: use `verify-full`, or accept the risk with \
             `insecure: true`",
            self.tls.word(),
            self.host,
        )))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use serde_json::json;

    use super::*;

    fn read(value: Value) -> Result<Settings, String> {
        Settings::read(value.as_object().unwrap()).map_err(|error| error.message)
    }

    #[test]
    fn defaults_are_the_safe_ones() {
        let settings = read(json!({ "host": "pg1.internal" })).unwrap();
        assert_eq!(
            (settings.port, settings.database.as_str(), settings.tls, settings.max_connections),
            (5432, "postgres", Tls::VerifyFull, 4)
        );
    }

    #[test]
    fn each_word_of_tls_is_read_as_what_it_says() {
        let words = ["disable", "require", "verify-ca", "verify-full"].map(str::to_owned).to_vec();
        let schema = Settings::schema();
        let tls = schema.iter().find(|setting| setting.name == "tls").unwrap();
        assert_eq!(tls.kind, keywheel_sdk::SettingKind::Choice(words.clone()));
        for word in words {
            assert_eq!(read(json!({ "host": "127.0.0.1", "tls": word })).unwrap().tls.word(), word);
        }
    }

    #[test]
    fn the_schema_is_what_policies_were_written_for() {
        let schema: Vec<_> = Settings::schema()
            .into_iter()
            .map(|setting| (setting.name, setting.required, setting.names_target))
            .collect();
        let expected = [
            ("host", true, true),
            ("port", false, true),
            ("database", false, true),
            ("tls", false, false),
            ("ca_file", false, false),
            ("insecure", false, false),
            ("max_connections", false, false),
        ];
        assert_eq!(schema, expected.map(|(name, required, names)| (name.to_owned(), required, names)));
    }

    #[test]
    fn unverified_lines_need_loopback_or_a_loud_word() {
        for (settings, accepted) in [
            (json!({ "host": "127.0.0.1", "tls": "disable" }), true),
            (json!({ "host": "::1", "tls": "require" }), true),
            (json!({ "host": "localhost", "tls": "disable" }), true),
            (json!({ "host": "/run/postgresql", "tls": "disable" }), true),
            (json!({ "host": "/run/postgresql" }), false),
            (json!({ "host": "pg1.internal", "tls": "disable" }), false),
            (json!({ "host": "10.0.0.7", "tls": "require" }), false),
            (json!({ "host": "localhost.example.com", "tls": "disable" }), false),
            (json!({ "host": "pg1.internal", "tls": "verify-ca" }), false),
            (json!({ "host": "pg1.internal", "tls": "verify-ca", "ca_file": "own.pem" }), false),
            (json!({ "host": "pg1.internal", "tls": "verify-ca", "ca_file": "own.pem", "insecure": true }), true),
            (json!({ "host": "127.0.0.1", "tls": "verify-ca", "ca_file": "own.pem" }), true),
            (json!({ "host": "pg1.internal", "tls": "verify-full", "ca_file": "own.pem" }), true),
            (json!({ "host": "pg1.internal", "tls": "disable", "insecure": true }), true),
        ] {
            assert_eq!(read(settings.clone()).is_ok(), accepted, "{settings}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (settings, part) in [
            (json!({}), "`target.host` is missing"),
            (json!({ "host": 5 }), "`target.host` must be a text"),
            (json!({ "host": "h", "port": 0 }), "`target.port` must be a whole number from 1 to 65535"),
            (json!({ "host": "h", "tls": "maybe" }), "`target.tls` must be one of"),
            (json!({ "host": "h", "tls": 5 }), "`target.tls` must be a text"),
            (
                json!({ "host": "h", "max_connections": 101 }),
                "`target.max_connections` must be a whole number from 1 to 100",
            ),
            (json!({ "host": "h", "ca_file": "" }), "`target.ca_file` must be a text that is not empty"),
            (json!({ "host": "h", "databse": "x" }), "`target.databse` is not a setting"),
            (json!({ "host": "h", "insecure": "yes" }), "`target.insecure` must be true or false"),
        ] {
            let message = read(settings.clone()).unwrap_err();
            assert!(message.contains(part), "{settings}: {message}");
        }
    }
}
