//! The policy's `target:` map, made into a type. The one place where its values are checked.

use std::net::IpAddr;
use std::path::PathBuf;

use keywheel_sdk::{Retry, RotatorError, Setting, SettingKind};
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
    const ALL: [Tls; 4] = [Tls::Disable, Tls::Require, Tls::VerifyCa, Tls::VerifyFull];

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
        let words = Tls::ALL.iter().map(|tls| tls.word().to_owned()).collect();
        vec![
            setting("host", SettingKind::Text, true, "host name, address, or folder of the Unix socket"),
            setting("port", SettingKind::Integer { min: 1, max: 65535 }, false, "port, 5432 unless given"),
            setting("database", SettingKind::Text, false, "database to log in to, `postgres` unless given"),
            setting(
                "tls",
                SettingKind::Choice(words),
                false,
                "how the line is protected, `verify-full` unless given; less needs loopback or `insecure: true`",
            ),
            setting("ca_file", SettingKind::Text, false, "PEM file of authorities to trust beside the system's"),
            setting("insecure", SettingKind::Boolean, false, "accept an unverified line beyond loopback"),
            setting(
                "max_connections",
                SettingKind::Integer { min: 1, max: 100 },
                false,
                "most admin sessions at one time, 4 unless given",
            ),
        ]
    }

    /// Reads and checks the map. The error names the setting and what to write instead.
    pub(crate) fn read(map: &Map<String, Value>) -> Result<Self, RotatorError> {
        if let Some(unknown) = map.keys().find(|key| !Self::schema().iter().any(|known| known.name == **key)) {
            return Err(wrong(format!("`target.{unknown}` is not a setting of this rotator")));
        }
        let host = text(map, "host")?.ok_or_else(|| wrong("`target.host` is missing".to_owned()))?;
        let port = integer(map, "port", 1, 65535)?.unwrap_or(5432);
        let tls = match text(map, "tls")? {
            None => Tls::VerifyFull,
            Some(word) => Tls::ALL.into_iter().find(|tls| tls.word() == word).ok_or_else(|| {
                wrong("`target.tls` must be one of disable, require, verify-ca, verify-full".to_owned())
            })?,
        };
        let settings = Settings {
            port: u16::try_from(port).expect("checked against 65535"),
            database: text(map, "database")?.unwrap_or_else(|| "postgres".to_owned()),
            tls,
            ca_file: text(map, "ca_file")?.map(PathBuf::from),
            max_connections: u32::try_from(integer(map, "max_connections", 1, 100)?.unwrap_or(4))
                .expect("checked against 100"),
            host,
        };
        settings.check_line(boolean(map, "insecure")?.unwrap_or(false))?;
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
            return Err(wrong("a Unix socket has no TLS: write `tls: disable`".to_owned()));
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

fn setting(name: &str, kind: SettingKind, required: bool, help: &str) -> Setting {
    let names_target = matches!(name, "host" | "port" | "database");
    Setting { name: name.to_owned(), kind, required, help: help.to_owned(), names_target }
}

fn wrong(message: String) -> RotatorError {
    RotatorError::not_done(Retry::Never, "settings", message)
}

fn text(map: &Map<String, Value>, name: &str) -> Result<Option<String>, RotatorError> {
    match map.get(name) {
        None => Ok(None),
        Some(Value::String(text)) if !text.is_empty() && !text.contains('\0') => Ok(Some(text.clone())),
        Some(_) => Err(wrong(format!("`target.{name}` must be a text that is not empty"))),
    }
}

fn boolean(map: &Map<String, Value>, name: &str) -> Result<Option<bool>, RotatorError> {
    match map.get(name) {
        None => Ok(None),
        Some(Value::Bool(value)) => Ok(Some(*value)),
        Some(_) => Err(wrong(format!("`target.{name}` must be true or false"))),
    }
}

fn integer(map: &Map<String, Value>, name: &str, min: i64, max: i64) -> Result<Option<i64>, RotatorError> {
    match map.get(name) {
        None => Ok(None),
        Some(value) => match value.as_i64() {
            Some(number) if (min..=max).contains(&number) => Ok(Some(number)),
            _ => Err(wrong(format!("`target.{name}` must be a whole number from {min} to {max}"))),
        },
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
            (json!({ "host": "h", "databse": "x" }), "`target.databse` is not a setting"),
            (json!({ "host": "h", "insecure": "yes" }), "`target.insecure` must be true or false"),
        ] {
            let message = read(settings.clone()).unwrap_err();
            assert!(message.contains(part), "{settings}: {message}");
        }
    }
}
