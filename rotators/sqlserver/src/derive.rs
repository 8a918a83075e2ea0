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

fn trusts(settings: &Settings) -> bool {
    !settings.is_verified()
}

/// As go-mssqldb, SQLAlchemy and others read it; everything but the plainest characters is escaped.
fn url(settings: &Settings, bundle: &Bundle) -> Option<Secret> {
    let (user, password) = (bundle.username().ok()?, bundle.password().ok()?.expose(escaped));
    let host = &settings.listener.host;
    let host = if host.contains(':') { format!("[{host}]") } else { escaped(host).to_string() };
    let url = Zeroizing::new(format!(
        "sqlserver://{}:{}@{host}:{}?database={}&encrypt={}&TrustServerCertificate={}",
        *escaped(&user),
        *password,
        settings.listener.port,
        *escaped(&settings.database),
        encrypt(settings),
        trusts(settings),
    ));
    Some(Secret::new(url.to_string()))
}

/// An ADO.NET connection string (Microsoft.Data.SqlClient, "Connection string syntax").
fn ado(settings: &Settings, bundle: &Bundle) -> Option<Secret> {
    let quoted = |text: &str| Zeroizing::new(format!("\"{}\"", text.replace('"', "\"\"")));
    let (user, password) = (bundle.username().ok()?, bundle.password().ok()?.expose(quoted));
    let text = Zeroizing::new(format!(
        "Server=tcp:{},{};Database={};User ID={};Password={};Encrypt={};TrustServerCertificate={}",
        settings.listener.host,
        settings.listener.port,
        *quoted(&settings.database),
        *quoted(&user),
        *password,
        encrypt(settings),
        trusts(settings),
    ));
    Some(Secret::new(text.to_string()))
}

/// A JDBC URL (Microsoft JDBC Driver, "Building the connection URL": values in braces, `}` doubled).
fn jdbc(settings: &Settings, bundle: &Bundle) -> Option<Secret> {
    let braced = |text: &str| Zeroizing::new(format!("{{{}}}", text.replace('}', "}}")));
    let (user, password) = (bundle.username().ok()?, bundle.password().ok()?.expose(braced));
    let text = Zeroizing::new(format!(
        "jdbc:sqlserver://;serverName={};portNumber={};databaseName={};user={};password={};encrypt={};trustServerCertificate={}",
        *braced(&settings.listener.host),
        settings.listener.port,
        *braced(&settings.database),
        *braced(&user),
        *password,
        encrypt(settings),
        trusts(settings),
    ));
    Some(Secret::new(text.to_string()))
}

/// Percent-encodes all but the unreserved characters of RFC 3986.
fn escaped(text: &str) -> Zeroizing<String> {
    let mut out = Zeroizing::new(String::with_capacity(text.len() * 3));
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
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
