//! The policy's `target:` map, made into a type. The one place where its values are checked.

use std::path::PathBuf;

use keywheel_sdk::{Retry, RotatorError, Setting, SettingKind};
use serde_json::{Map, Value};

use crate::budget::Limits;

/// What kind of account is rotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// A login of the instance.
    Login,
    /// A user with a password inside one database (a contained database, or Azure SQL). It travels with the database.
    ContainedUser,
}

/// How the line is encrypted. There is no lesser one: with TDS's login-only encryption a statement that sets a password
/// would travel in clear ([MS-TDS] 2.2.6.5, PRELOGIN ENCRYPTION).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Encryption {
    /// TLS inside TDS 7.4, for the whole session.
    Required,
    /// TDS 8.0: TLS before anything else (SQL Server 2022 and later, Azure SQL).
    Strict,
}

/// Whose certificates are believed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Trust {
    /// The system's authorities.
    System,
    /// The system's, and those of this PEM file.
    File(PathBuf),
    /// Anybody's: `trust_server_certificate` with `insecure: true`.
    Anybody,
}

/// Where an instance answers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Where the servers are and how to speak to them. Two equal settings may share connections.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Settings {
    /// Where applications log in.
    pub(crate) listener: Address,
    /// Where accounts are changed: each instance of the group by its own address, or the listener alone.
    pub(crate) instances: Vec<Address>,
    /// Where applications work, `master` unless given. Contained users live there.
    pub(crate) database: String,
    pub(crate) kind: Kind,
    pub(crate) encryption: Encryption,
    pub(crate) trust: Trust,
    /// The name that the certificate must have instead of the host.
    pub(crate) certificate_name: Option<String>,
    /// Most admin sessions open at one time, for each instance.
    pub(crate) max_connections: u32,
    /// How many failed logins an account may have.
    pub(crate) limits: Limits,
}

const LOWEST_PORT: i64 = 1;
const HIGHEST_PORT: i64 = 65_535;
const DEFAULT_PORT: u16 = 1433;
/// How far below the server's own threshold we stay, at least.
const LOCKOUT_MARGIN: i64 = 2;

impl Settings {
    /// What a policy may write, for its schema and messages.
    pub(crate) fn schema() -> Vec<Setting> {
        let words = |words: &[&str]| SettingKind::Choice(words.iter().map(|word| (*word).to_owned()).collect());
        let number = |min, max| SettingKind::Integer { min, max };
        vec![
            setting(
                "host",
                SettingKind::Text,
                true,
                "where applications log in: a server, or an availability group's listener",
            ),
            setting("port", number(LOWEST_PORT, HIGHEST_PORT), false, "port of `host`, 1433 unless given"),
            setting("database", SettingKind::Text, false, "database that applications use, `master` unless given"),
            setting(
                "account",
                words(&["login", "contained-user"]),
                false,
                "what is rotated: a `login` of the server (unless given), or a `contained-user` of `database`",
            ),
            setting(
                "replicas",
                SettingKind::Texts,
                false,
                "every instance of the availability group as host or host:port, since logins live in each: all are changed and verified",
            ),
            setting(
                "encryption",
                words(&["required", "strict"]),
                false,
                "`required` (TLS inside TDS, unless given) or `strict` (TDS 8.0)",
            ),
            setting("ca_file", SettingKind::Text, false, "PEM file of authorities to trust beside the system's"),
            setting(
                "certificate_name",
                SettingKind::Text,
                false,
                "name in the server's certificate, where it is not the host",
            ),
            setting(
                "trust_server_certificate",
                SettingKind::Boolean,
                false,
                "accept any certificate; needs `insecure: true` beside it",
            ),
            setting("insecure", SettingKind::Boolean, false, "accept that somebody else may be at the other end"),
            setting(
                "max_connections",
                number(1, 100),
                false,
                "most admin sessions at one time and instance, 4 unless given",
            ),
            setting(
                "lockout_budget",
                number(1, 100),
                false,
                "failed logins in a row that probes of one account may cost, 2 unless given",
            ),
            setting(
                "lockout_threshold",
                number(3, 1000),
                false,
                "the server's account lock-out threshold, where it has one: the budget must stay two below it, and where the server has counted as many by itself no login is tried",
            ),
        ]
    }

    /// Reads and checks the map. The error names the setting and what to write instead.
    pub(crate) fn read(map: &Map<String, Value>) -> Result<Self, RotatorError> {
        if let Some(unknown) = map.keys().find(|key| !Self::schema().iter().any(|known| known.name == **key)) {
            return Err(wrong(format!("`target.{unknown}` is not a setting of this rotator")));
        }
        let host = text(map, "host")?.ok_or_else(|| wrong("`target.host` is missing".to_owned()))?;
        let port = integer(map, "port", LOWEST_PORT, HIGHEST_PORT)?.map_or(DEFAULT_PORT, port);
        let listener = Address { host, port };
        let kind = match choice(map, "account", &["login", "contained-user"])? {
            Some("contained-user") => Kind::ContainedUser,
            _ => Kind::Login,
        };
        let replicas = replicas(map)?;
        Ok(Settings {
            database: database(map, kind, !replicas.is_empty())?,
            kind,
            encryption: match choice(map, "encryption", &["required", "strict"])? {
                Some("strict") => Encryption::Strict,
                _ => Encryption::Required,
            },
            trust: trust(map)?,
            certificate_name: text(map, "certificate_name")?,
            max_connections: small(integer(map, "max_connections", 1, 100)?.unwrap_or(4)),
            limits: limits(map)?,
            instances: if replicas.is_empty() { vec![listener.clone()] } else { replicas },
            listener,
        })
    }

    /// Whether the right server is at the other end.
    pub(crate) fn is_verified(&self) -> bool {
        self.trust != Trust::Anybody
    }

    /// Whether several instances are changed together.
    pub(crate) fn is_group(&self) -> bool {
        self.instances.len() > 1 || self.instances.first() != Some(&self.listener)
    }
}

fn database(map: &Map<String, Value>, kind: Kind, group: bool) -> Result<String, RotatorError> {
    let database = text(map, "database")?;
    match kind {
        Kind::Login => Ok(database.unwrap_or_else(|| "master".to_owned())),
        Kind::ContainedUser if group => Err(wrong(
            "contained users travel with their database, so name the listener in `target.host` and leave `replicas` out"
                .to_owned(),
        )),
        Kind::ContainedUser => {
            database.ok_or_else(|| wrong("`account: contained-user` needs `target.database`, where it lives".to_owned()))
        }
    }
}

fn replicas(map: &Map<String, Value>) -> Result<Vec<Address>, RotatorError> {
    let Some(value) = map.get("replicas") else { return Ok(Vec::new()) };
    let wrong_form = || wrong("`target.replicas` must be a list of `host` or `host:port`".to_owned());
    let mut replicas = Vec::new();
    for value in value.as_array().ok_or_else(wrong_form)? {
        let address = address(value.as_str().ok_or_else(wrong_form)?).ok_or_else(wrong_form)?;
        if replicas.contains(&address) {
            return Err(wrong(format!("`target.replicas` names `{address}` twice")));
        }
        replicas.push(address);
    }
    if replicas.is_empty() { Err(wrong_form()) } else { Ok(replicas) }
}

/// `host`, `host:port`, `::1`, `[::1]:1433`.
fn address(text: &str) -> Option<Address> {
    if text.parse::<std::net::Ipv6Addr>().is_ok() {
        return Some(Address { host: text.to_owned(), port: DEFAULT_PORT });
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().ok().filter(|port| *port != 0)?),
        None => (text, DEFAULT_PORT),
    };
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let plain = !host.is_empty() && !host.contains(char::is_whitespace) && !host.contains('\0');
    plain.then(|| Address { host: host.to_owned(), port })
}

fn trust(map: &Map<String, Value>) -> Result<Trust, RotatorError> {
    let file = text(map, "ca_file")?;
    if boolean(map, "trust_server_certificate")?.unwrap_or(false) {
        if !boolean(map, "insecure")?.unwrap_or(false) {
            return Err(wrong(
                "`trust_server_certificate` lets anybody be the server: give a `ca_file`, or accept the risk with \
                 `insecure: true`"
                    .to_owned(),
            ));
        }
        return match file {
            Some(_) => {
                Err(wrong("`ca_file` means nothing beside `trust_server_certificate`: leave one out".to_owned()))
            }
            None => Ok(Trust::Anybody),
        };
    }
    Ok(file.map_or(Trust::System, |file| Trust::File(PathBuf::from(file))))
}

fn limits(map: &Map<String, Value>) -> Result<Limits, RotatorError> {
    let threshold = integer(map, "lockout_threshold", 3, 1000)?;
    let most = threshold.map_or(100, |threshold| threshold - LOCKOUT_MARGIN);
    let budget = integer(map, "lockout_budget", 1, 100)?.unwrap_or(2.min(most));
    if budget > most {
        return Err(wrong(format!(
            "`lockout_budget: {budget}` is too near the server's threshold: with `lockout_threshold: {}` the most is {most}",
            most + LOCKOUT_MARGIN
        )));
    }
    Ok(Limits { ours: small(budget), all: threshold.map(|threshold| small(threshold - LOCKOUT_MARGIN)) })
}

fn port(number: i64) -> u16 {
    u16::try_from(number).expect("checked against 65535")
}

fn small(number: i64) -> u32 {
    u32::try_from(number).expect("checked against 1000")
}

fn setting(name: &str, kind: SettingKind, required: bool, help: &str) -> Setting {
    let names_target = matches!(name, "host" | "port" | "database" | "account" | "replicas");
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

fn choice<'m>(map: &'m Map<String, Value>, name: &str, words: &[&str]) -> Result<Option<&'m str>, RotatorError> {
    match map.get(name).map(Value::as_str) {
        None => Ok(None),
        Some(Some(word)) if words.contains(&word) => Ok(Some(word)),
        Some(_) => Err(wrong(format!("`target.{name}` must be one of {}", words.join(", ")))),
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
        let settings = read(json!({ "host": "sql1.internal" })).unwrap();
        let listener = Address { host: "sql1.internal".to_owned(), port: 1433 };
        assert_eq!(settings.instances, [listener]);
        assert_eq!(
            (settings.kind, settings.encryption, &settings.trust),
            (Kind::Login, Encryption::Required, &Trust::System)
        );
        assert_eq!((settings.database.as_str(), settings.max_connections, settings.limits.ours), ("master", 4, 2));
        assert!(settings.is_verified() && !settings.is_group());
    }

    #[test]
    fn replicas_are_what_is_changed() {
        let replicas = json!(["sql1.internal", "sql2.internal:14330", "::1", "[::1]:1500"]);
        let settings = read(json!({ "host": "listener", "replicas": replicas })).unwrap();
        let shown: Vec<_> = settings.instances.iter().map(|address| (address.host.as_str(), address.port)).collect();
        assert_eq!(shown, [("sql1.internal", 1433), ("sql2.internal", 14330), ("::1", 1433), ("::1", 1500)]);
        assert!(settings.is_group());
    }

    #[test]
    fn the_budget_stays_two_below_the_threshold() {
        let budget = |map: Value| read(map).map(|settings| settings.limits.ours);
        assert_eq!(budget(json!({ "host": "h", "lockout_threshold": 3 })), Ok(1));
        assert_eq!(budget(json!({ "host": "h", "lockout_threshold": 10, "lockout_budget": 8 })), Ok(8));
        assert!(budget(json!({ "host": "h", "lockout_threshold": 3, "lockout_budget": 2 })).is_err());
    }

    #[test]
    fn mistakes_are_named() {
        for (settings, part) in [
            (json!({}), "`target.host` is missing"),
            (json!({ "host": "h", "port": 0 }), "`target.port` must be a whole number from 1 to 65535"),
            (json!({ "host": "h", "encryption": "off" }), "`target.encryption` must be one of required, strict"),
            (json!({ "host": "h", "tls": "disable" }), "`target.tls` is not a setting"),
            (json!({ "host": "h", "trust_server_certificate": true }), "lets anybody be the server"),
            (json!({ "host": "h", "account": "contained-user" }), "needs `target.database`"),
            (
                json!({ "host": "h", "account": "contained-user", "database": "d", "replicas": ["a", "b"] }),
                "travel with",
            ),
            (json!({ "host": "h", "replicas": [] }), "must be a list"),
            (json!({ "host": "h", "replicas": ["a", "a:1433"] }), "names `a:1433` twice"),
            (json!({ "host": "h", "replicas": ["a:0"] }), "must be a list"),
        ] {
            let message = read(settings.clone()).unwrap_err();
            assert!(message.contains(part), "{settings}: {message}");
        }
    }
}
