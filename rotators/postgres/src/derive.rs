//! Fields made from the others: `dsn`, `host`, `port`, `database`.

use keywheel_sdk::{Bundle, Secret, Target};
use zeroize::Zeroizing;

use crate::settings::Settings;

/// The names that [`derive_field`] knows.
pub(crate) const FIELDS: [&str; 4] = ["dsn", "host", "port", "database"];

/// `None` for other fields, and where the target's settings are wrong or the bundle has no login.
pub(crate) fn derive_field(target: &Target, bundle: &Bundle, field: &str) -> Option<Secret> {
    let settings = Settings::read(&target.settings).ok()?;
    match field {
        "dsn" => dsn(&settings, bundle),
        "host" => Some(Secret::new(settings.host)),
        "port" => Some(Secret::new(settings.port.to_string())),
        "database" => Some(Secret::new(settings.database)),
        _ => None,
    }
}

/// A connection URI (PostgreSQL documentation, "Connection URIs"). Everything but the plainest characters is escaped, so any
/// client reads it the same way.
fn dsn(settings: &Settings, bundle: &Bundle) -> Option<Secret> {
    let user = bundle.username().ok()?;
    let password = bundle.password().ok()?.expose(escaped);
    let is_v6 = settings.host.contains(':');
    let host = if is_v6 { format!("[{}]", settings.host) } else { escaped(&settings.host).to_string() };
    let uri = Zeroizing::new(format!(
        "postgresql://{}:{}@{host}:{}/{}?sslmode={}",
        *escaped(&user),
        *password,
        settings.port,
        *escaped(&settings.database),
        settings.tls.word(),
    ));
    Some(Secret::new(uri.to_string()))
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

    fn field(settings: serde_json::Value, name: &str) -> Option<String> {
        let target = Target {
            settings: settings.as_object().unwrap().clone(),
            strategy: Strategy::InPlace { user: "orders".to_owned() },
            admin: Admin::Own,
            generates: None,
        };
        let bundle = Bundle::login("or/ders", Secret::new("p@ß:w%rd".to_owned()));
        derive_field(&target, &bundle, name).map(|secret| secret.expose(str::to_owned))
    }

    #[test]
    fn a_dsn_survives_any_password() {
        assert_eq!(
            field(json!({ "host": "pg1.internal", "database": "orders" }), "dsn").unwrap(),
            "postgresql://or%2Fders:p%40%C3%9F%3Aw%25rd@pg1.internal:5432/orders?sslmode=verify-full"
        );
        assert_eq!(
            field(json!({ "host": "::1", "port": 6432, "tls": "disable" }), "dsn").unwrap(),
            "postgresql://or%2Fders:p%40%C3%9F%3Aw%25rd@[::1]:6432/postgres?sslmode=disable"
        );
    }

    #[test]
    fn other_fields_come_from_the_settings() {
        let settings = || json!({ "host": "pg1.internal" });
        assert_eq!(field(settings(), "host").unwrap(), "pg1.internal");
        assert_eq!(field(settings(), "port").unwrap(), "5432");
        assert_eq!(field(settings(), "database").unwrap(), "postgres");
        assert!(field(settings(), "colour").is_none());
        assert!(field(json!({}), "dsn").is_none());
    }
}
