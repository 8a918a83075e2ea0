//! Fields made from the others: `dsn`, `ado`, `jdbc`, `host`, `port`, `database`.

use keywheel_sdk::{Bundle, Secret, Target};
use zeroize::Zeroizing;

use crate::settings::{Encryption, Settings};

/// The names that [`derive_field`] knows.
pub(crate) const FIELDS: [&str; 6] = ["dsn", "ado", "jdbc", "host", "port", "database"];

/// `None` for other fields, and where the target's settings are wrong or the bundle has no login.
pub(crate) fn derive_field(target: &Target, bundle: &Bundle, field: &str) -> Option<Secret> {
    let settings = Settings::read(&target.settings).ok()?;
    match field {
        "dsn" => url(&settings, bundle),
        "ado" => ado(&settings, bundle),
        "jdbc" => jdbc(&settings, bundle),
        "host" => Some(Secret::new(settings.listener.host)),
        "port" => Some(Secret::new(settings.listener.port.to_string())),
        "database" => Some(Secret::new(settings.database)),
        _ => None,
    }
}

fn encrypt(settings: &Settings) -> &'static str {
    match settings.encryption {
        Encryption::Required => "true",
        Encryption::Strict => "strict",
    }
}

fn trusts(settings: &Settings) -> &'static str {
    if settings.is_verified() { "false" } else { "true" }
}

/// The parts in one buffer of the right length: one that grows leaves copies of a password behind.
fn joined(parts: &[&str]) -> Secret {
    Secret::new(parts.concat())
}

/// As go-mssqldb, SQLAlchemy and others read it; everything but the plainest characters is escaped.
fn url(settings: &Settings, bundle: &Bundle) -> Option<Secret> {
    let (user, password) = (bundle.username().ok()?, bundle.password().ok()?.expose(escaped));
    let host = &settings.listener.host;
    let host = if host.contains(':') { format!("[{host}]") } else { escaped(host).to_string() };
    Some(joined(&[
        "sqlserver://",
        &escaped(&user),
        ":",
        &password,
        "@",
        &host,
        ":",
        &settings.listener.port.to_string(),
        "?database=",
        &escaped(&settings.database),
        "&encrypt=",
        encrypt(settings),
        "&TrustServerCertificate=",
        trusts(settings),
    ]))
}

/// An ADO.NET connection string (Microsoft.Data.SqlClient, "Connection string syntax").
fn ado(settings: &Settings, bundle: &Bundle) -> Option<Secret> {
    let quoted = |text: &str| within('"', text, '"');
    let (user, password) = (bundle.username().ok()?, bundle.password().ok()?.expose(quoted));
    Some(joined(&[
        "Server=tcp:",
        &settings.listener.host,
        ",",
        &settings.listener.port.to_string(),
        ";Database=",
        &quoted(&settings.database),
        ";User ID=",
        &quoted(&user),
        ";Password=",
        &password,
        ";Encrypt=",
        encrypt(settings),
        ";TrustServerCertificate=",
        trusts(settings),
    ]))
}

/// A JDBC URL (Microsoft JDBC Driver, "Building the connection URL": values in braces, `}` doubled).
fn jdbc(settings: &Settings, bundle: &Bundle) -> Option<Secret> {
    let braced = |text: &str| within('{', text, '}');
    let (user, password) = (bundle.username().ok()?, bundle.password().ok()?.expose(braced));
    Some(joined(&[
        "jdbc:sqlserver://;serverName=",
        &braced(&settings.listener.host),
        ";portNumber=",
        &settings.listener.port.to_string(),
        ";databaseName=",
        &braced(&settings.database),
        ";user=",
        &braced(&user),
        ";password=",
        &password,
        ";encrypt=",
        encrypt(settings),
        ";trustServerCertificate=",
        trusts(settings),
    ]))
}

/// Between two marks, the second one doubled inside. Written into one buffer that is long enough, so that no copy of a
/// password is left behind.
fn within(open: char, text: &str, close: char) -> Zeroizing<String> {
    let mut out = Zeroizing::new(String::with_capacity(text.len() * 2 + 2));
    out.push(open);
    for c in text.chars() {
        out.push(c);
        if c == close {
            out.push(c);
        }
    }
    out.push(close);
    out
}

/// Percent-encodes all but the unreserved characters of RFC 3986.
fn escaped(text: &str) -> Zeroizing<String> {
    let mut out = Zeroizing::new(String::with_capacity(text.len() * 3));
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            for half in [byte >> 4, byte & 0x0f] {
                out.push(char::from(b"0123456789ABCDEF"[usize::from(half)]));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use keywheel_sdk::{Admin, Strategy};
    use serde_json::json;

    use super::*;

    fn field(name: &str) -> Option<String> {
        let settings = json!({ "host": "sql1.internal", "database": "orders", "encryption": "strict" });
        let target = Target {
            settings: settings.as_object().unwrap().clone(),
            strategy: Strategy::InPlace { user: "app".to_owned() },
            admin: Admin::Own,
            generates: None,
        };
        let bundle = Bundle::login("app", Secret::new("p@;\"}ß".to_owned()));
        derive_field(&target, &bundle, name).map(|secret| secret.expose(str::to_owned))
    }

    #[test]
    fn connection_strings_survive_any_password() {
        assert_eq!(
            field("dsn").unwrap(),
            "sqlserver://app:p%40%3B%22%7D%C3%9F@sql1.internal:1433?database=orders&encrypt=strict&TrustServerCertificate=false"
        );
        assert_eq!(
            field("ado").unwrap(),
            "Server=tcp:sql1.internal,1433;Database=\"orders\";User ID=\"app\";Password=\"p@;\"\"}ß\";Encrypt=strict;TrustServerCertificate=false"
        );
        assert_eq!(
            field("jdbc").unwrap(),
            "jdbc:sqlserver://;serverName={sql1.internal};portNumber=1433;databaseName={orders};user={app};password={p@;\"}}ß};encrypt=strict;trustServerCertificate=false"
        );
        assert_eq!(field("port").unwrap(), "1433");
        assert!(field("colour").is_none());
    }
}
