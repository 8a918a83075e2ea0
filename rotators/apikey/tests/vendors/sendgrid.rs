//! SendGrid, as <https://www.twilio.com/docs/sendgrid/api-reference/api-keys> and the vendor's OpenAPI document have it:
//! <https://github.com/twilio/sendgrid-oai/blob/main/spec/json/tsg_api_keys_v3.json>.

use serde_json::{Value, json};

use crate::asked::{Asked, Odd, text, texts};
use crate::case::{Case, Reply};
use crate::documents;
use crate::shelf::{Key, Shelf};

const CASE: Case = Case {
    provider: "sendgrid",
    settings: |url| json!({ "url": url, "scopes": ["mail.send", "alerts.read"] }),
    admin: &[("api_key", "SG.canaryadmin.canary-of-the-admin")],
    wrong_admin: "SG.canaryother.canary-of-a-stranger",
    field: "api_key",
    tag: |rotation| format!("keywheel:{rotation}"),
    exclusive: false,
    disables: false,
    full: "status-403",
    limit: 100,
    page: 100,
    make,
    name,
    answer,
};

contract!(CASE, 29);

#[tokio::test]
async fn documented_answers() {
    let created = json!({ "api_key": "SG.xxxxxxxx.yyyyyyyy", "api_key_id": "xxxxxxxx", "name": documents::tag(),
        "scopes": ["mail.send", "alerts.create", "alerts.read"] });
    let list = json!({ "result": [{ "name": documents::tag(), "api_key_id": "xxxxxxxx" },
        { "name": "API Key Name 2", "api_key_id": "another-apikey-id" }] });
    documents::made(&CASE, 201, &created, &list, ("xxxxxxxx", "SG.xxxxxxxx.yyyyyyyy"), 2).await;
}

fn make(shelf: &mut Shelf, name: &str) -> Key {
    let id = |n| format!("qfTQ6KG0QBiwWdJ0-{n:05}");
    shelf.make(name, json!(["mail.send"]), id, |n| format!("SG.{n:022}.canary{n:037}"))
}

fn name(asked: &Asked) -> Option<&'static str> {
    match (asked.method.as_str(), asked.path.as_str()) {
        ("POST", "/v3/api_keys") => Some("create"),
        ("GET", "/v3/api_keys") => Some("list"),
        ("GET", "/v3/scopes") => Some("verify"),
        ("DELETE", path) if path.starts_with("/v3/api_keys/") => Some("delete"),
        _ => None,
    }
}

fn answer(shelf: &mut Shelf, name: &'static str, asked: &Asked) -> Result<Reply, Odd> {
    let token = asked.bearer().ok_or("no `Authorization: Bearer`")?;
    if name == "verify" {
        asked.is_bare()?;
        return Ok(match shelf.accepted(token) {
            Some(key) => Reply::json(200, &json!({ "scopes": key.more })),
            None => error(401, "authorization required"),
        });
    }
    if token != shelf.admin("api_key") {
        return Ok(error(401, "authorization required"));
    }
    match name {
        "create" => {
            let body = asked.json(&["name"], &["scopes"])?;
            let scopes = body.get("scopes").ok_or("without `scopes` the key may do everything")?;
            texts(scopes, "scopes")?;
            if shelf.is_full() {
                return Ok(error(403, "maximum number of API keys reached"));
            }
            let (id, value) = (|n| format!("qfTQ6KG0QBiwWdJ0-{n:05}"), |n| format!("SG.{n:022}.canary{n:037}"));
            let key = shelf.make(text(&body["name"], "name")?, scopes.clone(), id, value);
            let shown = json!({ "api_key": key.secret, "api_key_id": key.id, "name": key.name, "scopes": key.more });
            Ok(Reply::json(201, &shown))
        }
        "list" => {
            asked.has_no_body()?;
            asked.only_parameters(&["limit"])?;
            let show = |key: &Key| json!({ "name": key.name, "api_key_id": key.id });
            Ok(Reply::json(200, &json!({ "result": shelf.keys.iter().map(show).collect::<Vec<_>>() })))
        }
        _ => {
            asked.is_bare()?;
            let id = asked.route().1.pop().unwrap_or_default();
            Ok(shelf.delete(&id).map_or_else(|| error(404, "unable to find API Key"), |_| Reply::empty(204)))
        }
    }
}

fn error(status: u16, message: &str) -> Reply {
    Reply::json(status, &json!({ "errors": [{ "field": Value::Null, "message": message }] }))
}
