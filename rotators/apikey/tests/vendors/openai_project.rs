//! Keys of a service account in an OpenAI project, as its reference has them:
//! <https://developers.openai.com/api/reference/resources/admin/subresources/organization/subresources/projects>.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::asked::{Asked, Odd, text};
use crate::case::{Case, Reply};
use crate::shelf::{Key, Shelf};
use crate::{documents, openai};

const CASE: Case = Case {
    provider: "openai-project",
    settings: |url| json!({ "url": format!("{url}/v1"), "project": "proj_abc", "service_account": "svc_acct_abc" }),
    admin: &[("admin_key", "sk-admin-0-canary-of-the-admin")],
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

#[tokio::test]
async fn documented_answers() {
    let created = json!({ "object": "organization.project.service_account.api_key", "value": "sk-abcdefghijklmnop123",
        "name": documents::tag(), "created_at": 1_711_471_533, "id": "key_abc", "expires_at": null });
    let listed = |id: &str, name: &str| {
        let owner = json!({ "type": "service_account", "service_account": { "object": "organization.project.service_account",
            "id": "svc_acct_abc", "name": "Service Account", "role": "member", "created_at": 1_711_471_533 } });
        json!({ "object": "organization.project.api_key", "redacted_value": "sk-abc...def", "name": name,
            "created_at": 1_711_471_533, "last_used_at": 1_711_471_534, "id": id, "owner": owner })
    };
    let list = json!({ "object": "list", "data": [listed("key_abc", &documents::tag()), listed("key_xyz", "My API Key")],
        "first_id": "key_abc", "last_id": null, "has_more": false });
    documents::made(&CASE, 200, &created, &list, ("key_abc", "sk-abcdefghijklmnop123"), 2).await;
}

fn make(shelf: &mut Shelf, name: &str) -> Key {
    shelf.make(name, Shelf::nothing(), |n| format!("key_{n:04}"), |n| format!("sk-svcacct-{n}-canary-{n:08x}"))
}

fn name(asked: &Asked) -> Option<&'static str> {
    let (method, path) = asked.route();
    let path: Vec<_> = path.iter().map(String::as_str).collect();
    match (method, path.as_slice()) {
        ("POST", ["v1", "organization", "projects", "proj_abc", "service_accounts", "svc_acct_abc", "api_keys"]) => {
            Some("create")
        }
        ("GET", ["v1", "organization", "projects", "proj_abc", "api_keys"]) => Some("list"),
        ("GET", ["v1", "models"]) => Some("verify"),
        ("DELETE", ["v1", "organization", "projects", "proj_abc", "api_keys", _]) => Some("delete"),
        _ => None,
    }
}

fn answer(shelf: &mut Shelf, name: &'static str, asked: &Asked) -> Result<Reply, Odd> {
    let token = asked.bearer().ok_or("no `Authorization: Bearer`")?;
    if name == "verify" {
        asked.is_bare()?;
        // An admin key may not be used for models.
        return Ok(match shelf.accepted(token) {
            Some(_) => Reply::json(200, &json!({ "object": "list", "data": [] })),
            None => openai::wrong(token),
        });
    }
    if token != shelf.admin("admin_key") {
        return Ok(openai::wrong(token));
    }
    match name {
        "create" => {
            let body = asked.json(&["name"], &["expires_in_seconds", "scopes"])?;
            if shelf.is_full() {
                return Ok(openai::error(400, "Too many API keys.", Value::Null));
            }
            let key = make(shelf, text(&body["name"], "name")?);
            let shown = json!({ "object": "organization.project.service_account.api_key", "id": key.id, "name": key.name,
                "value": key.secret, "created_at": 1_711_471_533, "expires_at": null });
            Ok(Reply::json(200, &shown))
        }
        "list" => openai::list(shelf, asked, show),
        _ => openai::delete(shelf, asked, "organization.project.api_key.deleted"),
    }
}

fn show(key: &Key) -> Value {
    json!({ "object": "organization.project.api_key", "id": key.id, "name": key.name, "redacted_value": "sk-abc...def",
        "created_at": 1_711_471_533, "last_used_at": key.used.map(Timestamp::as_second), "owner": { "type": "service_account" } })
}
