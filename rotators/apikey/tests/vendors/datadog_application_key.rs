//! Application keys of a Datadog service account, as <https://docs.datadoghq.com/api/latest/service-accounts/> has them.

use serde_json::{Value, json};

use crate::asked::{Asked, Odd};
use crate::case::{Case, Reply};
use crate::shelf::{Key, Shelf};
use crate::{datadog, documents};

const ACCOUNT: &str = "00000000-0000-1234-0000-000000000000";

const CASE: Case = Case {
    provider: "datadog-application-key",
    settings: |url| json!({ "url": url, "service_account": ACCOUNT }),
    admin: &[
        ("api_key", "canary0000000000000000000000a0a0"),
        ("application_key", "canary1111111111111111111111111111111111"),
    ],
    wrong_admin: "canary99999999999999999999999999",
    field: "application_key",
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

contract!(CASE, 29);

#[tokio::test]
async fn documented_answers() {
    let created = json!({ "data": { "type": "application_keys", "id": "fdcdec64-ca51-4208-a259-0405192c6447",
        "attributes": { "name": documents::tag(), "created_at": "2023-10-03T19:27:33.054116+00:00", "last4": "cdef",
            "key": "0123456789abcdef0123456789abcdef01234567", "scopes": null },
        "relationships": { "owned_by": { "data": { "type": "users", "id": ACCOUNT } } } } });
    let listed = |id: &str, name: &str| {
        json!({ "type": "application_keys", "id": id, "relationships": { "leak_information": { "data": null } },
            "attributes": { "name": name, "created_at": "2023-10-03T19:27:33.054116+00:00", "last4": "xxxx", "scopes": null } })
    };
    let meta = json!({ "page": { "total_filtered_count": 2 }, "max_allowed_per_user": 1000 });
    let id = "fdcdec64-ca51-4208-a259-0405192c6447";
    let keys = [listed(id, &documents::tag()), listed("95f088d2-cd5f-4aaa-920d-95a87f5ebd3d", "by hand")];
    let pages = [json!({ "data": keys, "meta": meta }), json!({ "data": [], "meta": meta })];
    let key = (id, "0123456789abcdef0123456789abcdef01234567");
    documents::made_over_pages(&CASE, 201, &created, &pages, key, 2).await;
}

fn make(shelf: &mut Shelf, name: &str) -> Key {
    let id = |n| format!("fdcdec64-ca51-4208-a259-{n:012}");
    shelf.make(name, Shelf::nothing(), id, |n| format!("{n:010x}canary{n:024x}"))
}

fn name(asked: &Asked) -> Option<&'static str> {
    let (method, path) = asked.route();
    let path: Vec<_> = path.iter().map(String::as_str).collect();
    match (method, path.as_slice()) {
        ("POST", ["api", "v2", "service_accounts", ACCOUNT, "application_keys"]) => Some("create"),
        ("GET", ["api", "v2", "service_accounts", ACCOUNT, "application_keys"]) => Some("list"),
        ("GET", ["api", "v2", "validate_keys"]) => Some("verify"),
        ("DELETE", ["api", "v2", "service_accounts", ACCOUNT, "application_keys", _]) => Some("delete"),
        _ => None,
    }
}

fn answer(shelf: &mut Shelf, name: &'static str, asked: &Asked) -> Result<Reply, Odd> {
    let api_key = asked.header("dd-api-key").ok_or("no `DD-API-KEY`")?;
    let application_key = asked.header("dd-application-key").ok_or("no `DD-APPLICATION-KEY`")?;
    let is_admin = application_key == shelf.admin("application_key");
    if api_key != shelf.admin("api_key") || !is_admin && shelf.accepted(application_key).is_none() {
        return Ok(datadog::error(403, "Forbidden"));
    }
    if name == "verify" {
        asked.is_bare()?;
        return Ok(Reply::json(200, &json!({ "status": "ok" })));
    }
    if !is_admin {
        return Ok(datadog::error(403, "Forbidden"));
    }
    match name {
        "create" => {
            let name = datadog::name(asked, "application_keys", &["scopes"])?;
            if shelf.is_full() {
                return Ok(datadog::error(400, "Maximum number of application keys reached"));
            }
            let key = make(shelf, &name);
            let mut shown = show(&key);
            shown["attributes"]["key"] = json!(key.secret);
            Ok(Reply::json(201, &json!({ "data": shown })))
        }
        "list" => datadog::list(shelf, asked, show),
        _ => datadog::delete(shelf, asked, "Application key not found"),
    }
}

fn show(key: &Key) -> Value {
    json!({ "type": "application_keys", "id": key.id,
        "attributes": { "name": key.name, "created_at": "2023-10-03T19:27:33.054116+00:00", "last4": "xxxx", "scopes": null } })
}
