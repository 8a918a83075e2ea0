//! Microsoft Graph and the login of Microsoft Entra ID on one address. As
//! <https://learn.microsoft.com/graph/api/application-addpassword>,
//! <https://learn.microsoft.com/graph/api/application-removepassword> and
//! <https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow> have them. What is answered to the
//! removal of a secret that is not there, clients of others' have seen:
//! <https://github.com/hashicorp/vault-plugin-secrets-azure/blob/main/client.go>.

use serde_json::{Value, json};

use crate::asked::{Asked, Odd, has_fields, text};
use crate::case::{Case, Reply};
use crate::documents;
use crate::shelf::{Key, Shelf};

const TENANT: &str = "72f988bf-86f1-41af-91ab-2d7cd011db47";
const APPLICATION: &str = "acc848e9-e8ec-4feb-a521-8d58b5482e09";
const CLIENT: &str = "65415bb1-9267-4313-bbf5-ae259732ee12";
/// What the login gives the admin to show to Graph.
const TOKEN: &str = "eyJ0.canary-of-the-admins-token";

const CASE: Case = Case {
    provider: "azure-application",
    settings: |url| {
        json!({ "url": url, "login_url": url, "tenant": TENANT, "application": APPLICATION, "client_id": CLIENT,
            "lifetime": "90d" })
    },
    admin: &[
        ("client_id", "11111111-9267-4313-bbf5-ae259732ee12"),
        ("client_secret", "canary~of~the~admin~000000000000"),
    ],
    wrong_admin: "canary~of~a~stranger~00000000000",
    field: "client_secret",
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

contract!(CASE, 29);

#[tokio::test]
async fn documented_answers() {
    let created = json!({ "customKeyIdentifier": null, "endDateTime": "2099-09-09T19:50:29.3086381Z",
        "keyId": "f0b0b335-1d71-4883-8f98-567911bfdca6", "startDateTime": "2019-09-09T19:50:29.3086381Z",
        "secretText": "[6gyXA5S20@MN+WRXAJ]I-TO7g1:h2P8", "hint": "[6g", "displayName": documents::tag() });
    let list = json!({ "@odata.context": "https://graph.microsoft.com/v1.0/$metadata#applications(passwordCredentials)/$entity",
        "passwordCredentials": [
            { "customKeyIdentifier": null, "displayName": null, "endDateTime": "2099-09-09T19:50:29Z", "hint": "abc",
              "keyId": "a1b0b335-1d71-4883-8f98-567911bfdca6", "secretText": null, "startDateTime": "2019-09-09T19:50:29Z" },
            { "customKeyIdentifier": null, "displayName": documents::tag(), "endDateTime": "2099-09-09T19:50:29Z",
              "hint": "[6g", "keyId": "f0b0b335-1d71-4883-8f98-567911bfdca6", "secretText": null,
              "startDateTime": "2019-09-09T19:50:29Z" }] });
    let key = ("f0b0b335-1d71-4883-8f98-567911bfdca6", "[6gyXA5S20@MN+WRXAJ]I-TO7g1:h2P8");
    documents::made(&CASE, 200, &created, &list, key, 2).await;
}

fn make(shelf: &mut Shelf, name: &str) -> Key {
    let id = |n| format!("f0b0b335-1d71-4883-8f98-{n:012}");
    shelf.make(name, Shelf::nothing(), id, |n| format!("{n:03}8Q~canary+/&={n:022}"))
}

fn name(asked: &Asked) -> Option<&'static str> {
    let (method, path) = asked.route();
    let path: Vec<_> = path.iter().map(String::as_str).collect();
    match (method, path.as_slice()) {
        // The admin's own login and the proof of a secret differ in who logs in.
        ("POST", [_, "oauth2", "v2.0", "token"]) if String::from_utf8_lossy(&asked.body).contains(CLIENT) => {
            Some("verify")
        }
        ("POST", [_, "oauth2", "v2.0", "token"]) => Some("token"),
        ("POST", ["v1.0", "applications", _, "addPassword"]) => Some("create"),
        ("GET", ["v1.0", "applications", _]) => Some("list"),
        ("POST", ["v1.0", "applications", _, "removePassword"]) => Some("delete"),
        _ => None,
    }
}

fn answer(shelf: &mut Shelf, name: &'static str, asked: &Asked) -> Result<Reply, Odd> {
    if name == "token" || name == "verify" {
        return login(shelf, asked);
    }
    let token = asked.bearer().ok_or("no `Authorization: Bearer`")?;
    if token != TOKEN {
        return Ok(error(401, "InvalidAuthenticationToken", "Access token is empty."));
    }
    let path = asked.route().1;
    if path[2] != APPLICATION {
        return Ok(error(404, "Request_ResourceNotFound", "Resource does not exist."));
    }
    match name {
        "create" => {
            let body = asked.json(&["passwordCredential"], &[])?;
            let credential = body["passwordCredential"].as_object().ok_or("`passwordCredential` is no object")?;
            has_fields(credential, &["displayName", "endDateTime"], &["startDateTime"])?;
            let end = text(&credential["endDateTime"], "endDateTime")?;
            if end.len() != "2014-01-01T00:00:00Z".len() || !end.ends_with('Z') {
                return Err(format!("`{end}` is no time in UTC"));
            }
            if shelf.is_full() {
                return Ok(error(400, "Request_BadRequest", "The application has too many credentials."));
            }
            let key = make(shelf, text(&credential["displayName"], "displayName")?);
            let mut shown = show(&key);
            shown["secretText"] = json!(key.secret);
            Ok(Reply::json(200, &shown))
        }
        "list" => {
            asked.has_no_body()?;
            asked.only_parameters(&["$select"])?;
            if asked.parameter("$select") != Some("passwordCredentials") {
                return Err("the whole application was asked for".to_owned());
            }
            let shown: Vec<_> = shelf.keys.iter().map(show).collect();
            Ok(Reply::json(200, &json!({ "passwordCredentials": shown })))
        }
        _ => {
            let body = asked.json(&["keyId"], &[])?;
            let id = text(&body["keyId"], "keyId")?;
            let absent = || {
                let message = format!("No password credential found with keyId {id}.");
                error(400, "Request_BadRequest", &message)
            };
            Ok(shelf.delete(id).map_or_else(absent, |_| Reply::empty(204)))
        }
    }
}

/// The client credentials grant. Graph's application cannot be told from any other here.
fn login(shelf: &mut Shelf, asked: &Asked) -> Result<Reply, Odd> {
    let form = asked.form()?;
    let mut names: Vec<_> = form.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    if names != ["client_id", "client_secret", "grant_type", "scope"] {
        return Err(format!("a login with {names:?}"));
    }
    let field = |name: &str| form.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str());
    if asked.route().1[0] != TENANT {
        return Ok(refusal(400, "invalid_request", 90002, "Tenant not found."));
    }
    if field("grant_type") != "client_credentials" || field("scope") != "https://graph.microsoft.com/.default" {
        return Ok(refusal(
            400,
            "invalid_scope",
            70011,
            "The provided request must include a 'scope' input parameter.",
        ));
    }
    let secret = field("client_secret");
    let known = match field("client_id") {
        CLIENT => shelf.accepted(secret).is_some(),
        client if client == shelf.admin("client_id") => secret == shelf.admin("client_secret"),
        _ => return Ok(refusal(400, "unauthorized_client", 700_016, "Application was not found in the directory.")),
    };
    if !known {
        let message = "Invalid client secret provided.";
        return Ok(refusal(401, "invalid_client", 7_000_215, message));
    }
    let token = if field("client_id") == CLIENT { "eyJ0.canary-of-a-proof" } else { TOKEN };
    shelf.secrets.push((TOKEN.to_owned(), "token of the admin's".to_owned()));
    Ok(Reply::json(
        200,
        &json!({ "token_type": "Bearer", "expires_in": 3599, "ext_expires_in": 3599, "access_token": token }),
    ))
}

fn show(key: &Key) -> Value {
    json!({ "customKeyIdentifier": null, "displayName": key.name, "endDateTime": "2099-01-01T00:00:00Z", "hint": "abc",
        "keyId": key.id, "secretText": null, "startDateTime": "2026-01-01T00:00:00Z" })
}

fn error(status: u16, code: &str, message: &str) -> Reply {
    let inner = json!({ "date": "2026-11-24T10:00:00", "request-id": "00000000-0000-0000-0000-000000000000" });
    Reply::json(status, &json!({ "error": { "code": code, "message": message, "innerError": inner } }))
}

fn refusal(status: u16, error: &str, code: u64, message: &str) -> Reply {
    let body = json!({ "error": error, "error_description": format!("AADSTS{code}: {message}"), "error_codes": [code],
        "timestamp": "2026-11-24 10:00:00Z", "trace_id": "0", "correlation_id": "0" });
    Reply::json(status, &body)
}
