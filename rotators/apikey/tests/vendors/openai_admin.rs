//! Admin API keys of OpenAI, as its reference has them:
//! <https://developers.openai.com/api/reference/resources/organization/subresources/admin_api_keys>.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::asked::{Asked, Odd, text};
use crate::case::{Case, Reply};
use crate::shelf::{Key, Shelf};
use crate::{documents, openai};

const CASE: Case = Case {
    provider: "openai-admin",
    settings: |url| json!({ "url": format!("{url}/v1") }),
    admin: &[("api_key", "sk-admin-0-canary-of-the-admin")],
    wrong_admin: "sk-admin-0-canary-of-a-stranger",
    field: "api_key",
    tag: |rotation| format!("keywheel:{rotation}"),
    exclusive: false,
    disables: false,
    full: "status-400",
    limit: 1000,
    page: 100,
    make,
    name,
    answer,
};

contract!(CASE, 30);

/// The reference's own answers, with our tag for a name.
#[tokio::test]
async fn documented_answers() {
    let owner = json!({ "type": "user", "object": "organization.user", "id": "user_123", "name": "John Doe",
        "created_at": 1_711_471_533, "role": "owner" });
    let key = |id: &str, name: &str| {
        json!({ "object": "organization.admin_api_key", "id": id, "name": name, "redacted_value": "sk-admin...xyz",
            "created_at": 1_711_471_533, "last_used_at": 1_711_471_534, "owner": owner })
    };
    let mut created = key("key_xyz", &documents::tag());
    created["value"] = json!("sk-admin-1234abcd");
    let list = json!({ "object": "list", "data": [key("key_abc", "Main Admin Key"), key("key_xyz", &documents::tag())],
        "first_id": "key_abc", "last_id": null, "has_more": false });
    documents::made(&CASE, 200, &created, &list, ("key_xyz", "sk-admin-1234abcd"), 2).await;
}

fn make(shelf: &mut Shelf, name: &str) -> Key {
    shelf.make(name, Shelf::nothing(), |n| format!("key_{n:04}"), |n| format!("sk-admin-{n}-canary-{n:08x}"))
}

fn name(asked: &Asked) -> Option<&'static str> {
    let (method, path) = asked.route();
    let path: Vec<_> = path.iter().map(String::as_str).collect();
    match (method, path.as_slice()) {
        ("POST", ["v1", "organization", "admin_api_keys"]) => Some("create"),
        ("GET", ["v1", "organization", "admin_api_keys"]) if asked.parameter("limit") == Some("1") => Some("verify"),
        ("GET", ["v1", "organization", "admin_api_keys"]) => Some("list"),
        ("DELETE", ["v1", "organization", "admin_api_keys", _]) => Some("delete"),
        _ => None,
    }
}

fn answer(shelf: &mut Shelf, name: &'static str, asked: &Asked) -> Result<Reply, Odd> {
    let token = asked.bearer().ok_or("no `Authorization: Bearer`")?;
    if token != shelf.admin("api_key") && shelf.accepted(token).is_none() {
        return Ok(openai::wrong(token));
    }
    match name {
        "create" => {
            let body = asked.json(&["name"], &["expires_in_seconds"])?;
            if shelf.is_full() {
                return Ok(openai::error(400, "Too many admin API keys.", Value::Null));
            }
            let key = make(shelf, text(&body["name"], "name")?);
            let mut shown = show(&key);
            shown["value"] = json!(key.secret);
            Ok(Reply::json(200, &shown))
        }
        "list" | "verify" => openai::list(shelf, asked, show),
        _ => openai::delete(shelf, asked, "organization.admin_api_key.deleted"),
    }
}

fn show(key: &Key) -> Value {
    json!({ "object": "organization.admin_api_key", "id": key.id, "name": key.name, "redacted_value": "sk-admin...",
        "created_at": 1_711_471_533, "last_used_at": key.used.map(Timestamp::as_second), "owner": { "type": "user", "id": "user_123" } })
}
