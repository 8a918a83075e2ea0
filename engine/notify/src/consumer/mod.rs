//! Consumers: programs that are run, files that are written and addresses that are told once there is another version.

mod exec;
mod file;
mod hook;

use jiff::Timestamp;
use keywheel_core::RotationId;
use keywheel_policies::{ConsumerKind, ConsumerSpec};
use keywheel_sdk::Bundle;
use zeroize::Zeroizing;

use crate::Credentials;

/// What a consumer is told.
#[derive(Clone, Copy)]
pub struct Version<'a> {
    /// When: `after-promote` or `before-revoke`.
    pub moment: &'a str,
    pub rotation: RotationId,
    pub secret: &'a str,
    pub policy: &'a str,
    /// The version that is `CURRENT`.
    pub version: &'a str,
    /// Its fields.
    pub fields: &'a Bundle,
}

/// Has a consumer do its part. May be repeated: all of it is done again.
///
/// # Errors
/// Why it did not, or may not have. What a program said is part of it, and may hold values of `version`: mask it.
pub async fn consume(
    spec: &ConsumerSpec,
    version: &Version<'_>,
    credentials: &dyn Credentials,
    now: Timestamp,
) -> Result<(), String> {
    match &spec.does {
        ConsumerKind::Exec(exec) => exec::run(exec, version).await,
        ConsumerKind::File(file) => file::write(file, version).await,
        ConsumerKind::Webhook(webhook) => hook::post(webhook, version, credentials, now).await,
    }
}

/// All fields as one JSON object.
fn json(fields: &Bundle) -> Zeroizing<String> {
    // Room for all of it, however it is escaped, so that growing leaves no copies behind.
    let room =
        fields.fields().map(|(name, value)| name.len() + value.expose(|value| 6 * value.len()) + 8).sum::<usize>();
    let mut text = Zeroizing::new(String::with_capacity(room + 2));
    text.push('{');
    for (name, value) in fields.fields() {
        if text.len() > 1 {
            text.push_str(", ");
        }
        text.push_str(&serde_json::Value::from(name).to_string());
        text.push_str(": ");
        let value = value.expose(|value| serde_json::to_string(value).map(Zeroizing::new));
        text.push_str(&value.expect("a text is JSON"));
    }
    text.push('}');
    text
}
