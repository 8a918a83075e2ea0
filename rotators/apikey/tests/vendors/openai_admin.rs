//! OpenAI, as its reference has it:
//! <https://developers.openai.com/api/reference/resources/organization/subresources/admin_api_keys>. Ids and values are made
//! up in the reference's form; errors are as <https://platform.openai.com/docs/guides/error-codes> says.

use serde_json::{Value, json};

use crate::asked::{Asked, Odd, text};
use crate::case::{Case, Reply};
use crate::shelf::{Key, Shelf};
use crate::{documents, life, trouble};

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

#[tokio::test]
async fn whole_life() {
    life::whole(&CASE).await;
}

#[tokio::test]
async fn trouble() {
    trouble::all(&CASE).await;
}

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
        let shown = format!("Incorrect API key provided: {token}.");
        return Ok(error(401, &shown, "invalid_request_error", json!("invalid_api_key")));
    }
    match name {
        "create" => {
            let body = asked.json(&["name"], &["expires_in_seconds"])?;
            if shelf.is_full() {
                return Ok(error(400, "Too many admin API keys.", "invalid_request_error", Value::Null));
            }
            let key = make(shelf, text(&body["name"], "name")?);
            let mut shown = show(&key);
            shown["value"] = json!(key.secret);
            Ok(Reply::json(200, &shown))
        }
        "list" | "verify" => {
            asked.has_no_body()?;
            asked.only_parameters(&["after", "limit", "order"])?;
            let limit: usize = asked.parameter("limit").unwrap_or("20").parse().map_err(|_| "no number")?;
            let after = asked.parameter("after").and_then(|id| shelf.keys.iter().position(|key| key.id == id));
            let from = after.map_or(0, |at| at + 1);
            let page: Vec<_> = shelf.keys.iter().skip(from).take(limit).collect();
            let (first, last) = (page.first().map(|key| &key.id), page.last().map(|key| &key.id));
            let more = from + page.len() < shelf.keys.len();
            Ok(Reply::json(
                200,
                &json!({ "object": "list", "data": page.iter().map(|key| show(key)).collect::<Vec<_>>(),
                    "first_id": first, "last_id": last, "has_more": more }),
            ))
        }
        _ => {
            asked.is_bare()?;
            let id = asked.route().1.pop().unwrap_or_default();
            Ok(match shelf.delete(&id) {
                Some(_) => Reply::json(
                    200,
                    &json!({ "id": id, "object": "organization.admin_api_key.deleted", "deleted": true }),
                ),
                None => error(404, "No such admin API key.", "invalid_request_error", Value::Null),
            })
        }
    }
}

fn show(key: &Key) -> Value {
    json!({ "object": "organization.admin_api_key", "id": key.id, "name": key.name, "redacted_value": "sk-admin...",
        "created_at": 1_711_471_533, "last_used_at": null, "owner": { "type": "user", "id": "user_123" } })
}

fn error(status: u16, message: &str, kind: &str, code: Value) -> Reply {
    let body = json!({ "error": { "message": message, "type": kind, "param": null, "code": code } });
    Reply::json(status, &body)
}
