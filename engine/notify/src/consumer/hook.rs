//! A signed message without the secret: who gets it reads the new version from the store.

use jiff::Timestamp;
use keywheel_policies::Webhook;
use serde_json::json;

use super::Version;
use crate::Credentials;
use crate::channel::post_signed;

pub(super) async fn post(
    webhook: &Webhook,
    version: &Version<'_>,
    credentials: &dyn Credentials,
    now: Timestamp,
) -> Result<(), String> {
    let body = json!({
        "type": format!("keywheel.{}", version.moment),
        "timestamp": now,
        "data": {
            "secret": version.secret,
            "version": version.version,
            "policy": version.policy,
            "rotation": version.rotation,
        },
    });
    // A repeated one is the same to its receiver.
    let id = format!("{}-{}", version.rotation, version.moment);
    post_signed(webhook, credentials, id, body.to_string(), now).await.map(|_| ()).map_err(|error| error.to_string())
}
