//! Grafana, as <https://grafana.com/docs/grafana/latest/developers/http_api/serviceaccount/> has it, and for the statuses of
//! errors as <https://github.com/grafana/grafana/blob/main/pkg/services/serviceaccounts/api/token.go> does.

use serde_json::{Value, json};

use crate::asked::{Asked, Odd, text};
use crate::case::{Case, Reply};
use crate::documents;
use crate::shelf::{Key, Shelf};

const CASE: Case = Case {
    provider: "grafana",
    settings: |url| json!({ "url": format!("{url}/grafana"), "service_account": 2, "lifetime": "90d" }),
    admin: &[("token", "glsa_canaryOfTheAdmin000000000000_0a0a0a0a")],
    wrong_admin: "glsa_canaryOfAStranger00000000000_0b0b0b0b",
    field: "token",
    tag: |rotation| format!("keywheel:{rotation}"),
    exclusive: false,
    disables: false,
    full: "status-400",
    limit: 1000,
    page: 1000,
    make,
    name,
    answer,
};

contract!(CASE, 30);

#[tokio::test]
async fn documented_answers() {
    let created =
        json!({ "id": 7, "name": documents::tag(), "key": "eyJrIjoiVjFxTHZ6dGdPSjg5Um92MjN1RlhjMkNqYkZUbm9jYkwi" });
    let list = json!([
        { "id": 1, "name": "grafana", "role": "Viewer", "created": "2022-03-23T10:31:02Z", "expiration": null,
          "secondsUntilExpiration": 0, "hasExpired": false },
        { "lastUsedAt": "2022-03-24T10:31:02Z", "id": 7, "name": documents::tag(), "role": "Viewer", "created": "2022-03-23T10:31:02Z",
          "expiration": "2022-03-30T10:31:02Z", "secondsUntilExpiration": 604_800.5, "hasExpired": false }]);
    documents::made(&CASE, 200, &created, &list, ("7", "eyJrIjoiVjFxTHZ6dGdPSjg5Um92MjN1RlhjMkNqYkZUbm9jYkwi"), 2)
        .await;
}

fn make(shelf: &mut Shelf, name: &str) -> Key {
    shelf.make(name, Shelf::nothing(), |n| n.to_string(), |n| format!("glsa_canary{n:026}_{n:08x}"))
}

fn name(asked: &Asked) -> Option<&'static str> {
    let (method, path) = asked.route();
    let path: Vec<_> = path.iter().map(String::as_str).collect();
    match (method, path.as_slice()) {
        ("POST", ["grafana", "api", "serviceaccounts", _, "tokens"]) => Some("create"),
        ("GET", ["grafana", "api", "serviceaccounts", _, "tokens"]) => Some("list"),
        ("GET", ["grafana", "api", "search"]) => Some("verify"),
        ("DELETE", ["grafana", "api", "serviceaccounts", _, "tokens", _]) => Some("delete"),
        _ => None,
    }
}

fn answer(shelf: &mut Shelf, name: &'static str, asked: &Asked) -> Result<Reply, Odd> {
    let token = asked.bearer().ok_or("no `Authorization: Bearer`")?;
    if token != shelf.admin("token") && shelf.accepted(token).is_none() {
        return Ok(error(401, "Invalid API key"));
    }
    if name == "verify" {
        asked.has_no_body()?;
        asked.only_parameters(&["limit", "query", "type", "tag", "page"])?;
        return Ok(Reply::json(200, &json!([])));
    }
    if token != shelf.admin("token") {
        return Ok(error(403, "You'll need additional permissions to perform this action."));
    }
    let path = asked.route().1;
    match path[3].parse::<u64>() {
        Err(_) => return Ok(error(400, "Service Account ID is invalid")),
        Ok(2) => {}
        Ok(_) => return Ok(error(404, "Failed to retrieve service account")),
    }
    match name {
        "create" => {
            let body = asked.json(&["name"], &["secondsToLive"])?;
            let name = text(&body["name"], "name")?;
            let seconds = body.get("secondsToLive").and_then(Value::as_u64).ok_or("`secondsToLive` is no number")?;
            if seconds != 90 * 24 * 3600 {
                return Err(format!("a lifetime of {seconds} seconds"));
            }
            if shelf.keys.iter().any(|key| key.name == name) {
                return Ok(error(409, "service account token with given name already exists in the organization"));
            }
            if shelf.is_full() {
                return Ok(error(400, "Bad request data"));
            }
            let key = make(shelf, name);
            Ok(Reply::json(200, &json!({ "id": number(&key.id), "name": key.name, "key": key.secret })))
        }
        "list" => {
            asked.is_bare()?;
            let show = |key: &Key| {
                json!({ "id": number(&key.id), "name": key.name, "created": "2026-03-23T10:31:02Z", "lastUsedAt": key.used.map(|used| used.to_string()),
                    "expiration": null, "secondsUntilExpiration": 0, "hasExpired": false, "isRevoked": false })
            };
            Ok(Reply::json(200, &shelf.keys.iter().map(show).collect()))
        }
        _ => {
            asked.is_bare()?;
            Ok(match shelf.delete(&path[5]) {
                Some(_) => Reply::json(200, &json!({ "message": "Service account token deleted" })),
                None => error(404, "Failed to delete service account token"),
            })
        }
    }
}

fn number(id: &str) -> Value {
    json!(id.parse::<u64>().unwrap())
}

fn error(status: u16, message: &str) -> Reply {
    Reply::json(status, &json!({ "message": message }))
}
