//! API keys of Datadog, as <https://docs.datadoghq.com/api/latest/key-management/> has them, and as Datadog's own clients have
//! recorded its answers:
//! <https://github.com/DataDog/datadog-api-client-rust/tree/master/tests/scenarios/cassettes/v2/key_management>.

use serde_json::{Value, json};

use crate::asked::{Asked, Odd};
use crate::case::{Case, Reply};
use crate::shelf::{Key, Shelf};
use crate::{datadog, documents};

const CASE: Case = Case {
    provider: "datadog-api-key",
    settings: |url| json!({ "url": url }),
    admin: &[
        ("api_key", "canary0000000000000000000000a0a0"),
        ("application_key", "canary1111111111111111111111111111111111"),
    ],
    wrong_admin: "canary99999999999999999999999999",
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

contract!(CASE, 29);

#[tokio::test]
async fn documented_answers() {
    let created = json!({ "data": { "type": "api_keys", "id": "f625994a-4ee7-4967-b08c-7067d1f1cdac",
        "attributes": { "created_at": "2022-05-12T09:52:00.698721+00:00", "key": "0123456789abcdef0123456789abcdef",
            "last4": "cdef", "modified_at": "2022-05-12T09:52:00.698721+00:00", "name": documents::tag() },
        "relationships": { "leak_information": { "data": null } } } });
    let mut listed = created["data"].clone();
    listed["attributes"].as_object_mut().unwrap().remove("key");
    let mut other = listed.clone();
    other["id"] = json!("fdcdec64-ca51-4208-a259-0405192c6447");
    other["attributes"]["name"] = json!("by hand");
    let list = json!({ "data": [listed, other], "meta": { "max_allowed": 50, "page": { "total_filtered_count": 2 } } });
    let empty = json!({ "data": [], "meta": { "max_allowed": 50, "page": { "total_filtered_count": 2 } } });
    let key = ("f625994a-4ee7-4967-b08c-7067d1f1cdac", "0123456789abcdef0123456789abcdef");
    documents::made_over_pages(&CASE, 201, &created, &[list, empty], key, 2).await;
}

fn make(shelf: &mut Shelf, name: &str) -> Key {
    let id = |n| format!("f625994a-4ee7-4967-b08c-{n:012}");
    shelf.make(name, Shelf::nothing(), id, |n| format!("{n:08x}canary{n:018x}"))
}

fn name(asked: &Asked) -> Option<&'static str> {
    match (asked.method.as_str(), asked.path.as_str()) {
        ("POST", "/api/v2/api_keys") => Some("create"),
        ("GET", "/api/v2/api_keys") => Some("list"),
        ("GET", "/api/v1/validate") => Some("verify"),
        ("DELETE", path) if path.starts_with("/api/v2/api_keys/") => Some("delete"),
        _ => None,
    }
}

fn answer(shelf: &mut Shelf, name: &'static str, asked: &Asked) -> Result<Reply, Odd> {
    let api_key = asked.header("dd-api-key").ok_or("no `DD-API-KEY`")?;
    let is_one = api_key == shelf.admin("api_key") || shelf.accepted(api_key).is_some();
    if name == "verify" {
        asked.is_bare()?;
        return Ok(if is_one { Reply::json(200, &json!({ "valid": true })) } else { datadog::error(403, "Forbidden") });
    }
    let application_key = asked.header("dd-application-key").ok_or("no `DD-APPLICATION-KEY`")?;
    if !is_one || application_key != shelf.admin("application_key") {
        return Ok(datadog::error(403, "Forbidden"));
    }
    match name {
        "create" => {
            let name = datadog::name(asked, "api_keys", &["category", "remote_config_read_enabled"])?;
            if shelf.is_full() {
                return Ok(datadog::error(400, "Maximum number of API keys reached"));
            }
            let key = make(shelf, &name);
            let mut shown = show(&key);
            shown["attributes"]["key"] = json!(key.secret);
            Ok(Reply::json(201, &json!({ "data": shown })))
        }
        "list" => datadog::list(shelf, asked, show),
        _ => datadog::delete(shelf, asked, "API key not found"),
    }
}

fn show(key: &Key) -> Value {
    json!({ "type": "api_keys", "id": key.id,
        "attributes": { "name": key.name, "created_at": "2022-05-12T09:52:00.698721+00:00", "last4": "xxxx" } })
}
