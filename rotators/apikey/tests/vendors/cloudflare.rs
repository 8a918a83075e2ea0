//! Cloudflare: tokens of an account and of a user, which differ in their addresses only. As
//! <https://developers.cloudflare.com/api/resources/accounts/subresources/tokens/> and
//! <https://developers.cloudflare.com/api/resources/user/subresources/tokens/> have them.

use keywheel_sdk::{Answer, Rotator};
use serde_json::{Value, json};

use crate::asked::{Asked, Odd, has_fields, text};
use crate::case::{Case, Reply};
use crate::documents;
use crate::double::{Double, Fault};
use crate::shelf::{Key, Shelf};

const ACCOUNT: Case = Case {
    provider: "cloudflare-account",
    settings: |url| {
        let mut settings = (USER.settings)(url);
        settings["account"] = json!("eb78d65290b24279ba6f44721b3ea3c4");
        settings
    },
    ..USER
};

const USER: Case = Case {
    provider: "cloudflare-user",
    settings: |url| {
        json!({ "url": format!("{url}/client/v4"), "lifetime": "90d", "policies": [{
            "effect": "allow",
            "resources": { "com.cloudflare.api.account.zone.22b1de5f1c0e4b3ea97bb1e963b06a43": "*" },
            "permission_groups": [{ "id": "c8fed203ed3043cba015a93ad1616f1f" }],
        }] })
    },
    admin: &[("token", "canaryOfTheAdmin000000000000000000000000")],
    wrong_admin: "canaryOfAStranger00000000000000000000000",
    field: "token",
    tag: |rotation| format!("keywheel:{rotation}"),
    exclusive: false,
    disables: false,
    full: "status-400",
    limit: 1000,
    page: 50,
    make,
    name,
    answer,
};

mod account {
    contract!(super::ACCOUNT, 30);
}

mod user {
    contract!(super::USER, 30);
}

#[tokio::test]
async fn documented_answers() {
    let token = json!({ "id": "ed17574386854bf78a67040be0a770b0", "name": documents::tag(), "status": "active",
        "issued_on": "2018-07-01T05:20:00Z", "modified_on": "2018-07-02T05:20:00Z", "not_before": "2018-07-01T05:20:00Z",
        "expires_on": "2099-01-01T00:00:00Z", "last_used_on": "2020-01-02T12:34:00Z",
        "policies": [{ "id": "f267e341f3dd4697bd3b9f71dd96247f", "effect": "allow" }] });
    let mut created = token.clone();
    created["value"] = json!("8M7wS6hCpXVc-DoRnPPY_UCWPgy8aea4Wy6kCe5T");
    let mut other = token.clone();
    other["id"] = json!("ffffffffffffffffffffffffffffffff");
    other["name"] = json!("readonly token");
    let page = |tokens: Vec<Value>| {
        let count = tokens.len();
        json!({ "errors": [], "messages": [], "success": true, "result": tokens,
            "result_info": { "page": 1, "per_page": 50, "count": count, "total_count": 2 } })
    };
    let pages = [page(vec![token, other]), page(Vec::new())];
    let created = json!({ "errors": [], "messages": [], "success": true, "result": created });
    let key = ("ed17574386854bf78a67040be0a770b0", "8M7wS6hCpXVc-DoRnPPY_UCWPgy8aea4Wy6kCe5T");
    documents::made_over_pages(&USER, 200, &created, &pages, key, 2).await;
}

/// As <https://developers.cloudflare.com/api/resources/user/subresources/tokens/methods/verify> has it.
#[tokio::test]
async fn a_token_that_is_not_active_is_refused() {
    for case in [&ACCOUNT, &USER] {
        let double = Double::start(case).await;
        let key = double.has("made by hand");
        let id = key.get("key_id").unwrap().expose(str::to_owned);
        for (status, accepted) in [("active", true), ("disabled", false), ("expired", false), ("revoked", false)] {
            let body =
                json!({ "success": true, "errors": [], "messages": [], "result": { "id": id, "status": status } });
            double.fault("verify", Fault::Instead(200, &[("content-type", "application/json")], body.to_string()));
            let answer = double.rotator.probe(&double.call(), &key, &[]).await;
            assert_eq!(matches!(answer, Answer::Yes), accepted, "{status}: {answer:?}");
            assert_eq!(matches!(answer, Answer::No { .. }), !accepted, "{status}: {answer:?}");
        }
        for (status, body) in [(200, "{\"success\": true, \"result\": null}"), (401, "<html>")] {
            double.fault("verify", Fault::Instead(status, &[], body.to_owned()));
            let answer = double.rotator.probe(&double.call(), &key, &[]).await;
            assert!(matches!(answer, Answer::Unknown(_)), "{body}: {answer:?}");
        }
    }
}

/// As <https://github.com/cloudflare/terraform-provider-cloudflare/pull/7023> has it: such a token stays in the list. One that has
/// only expired can be given more time.
#[tokio::test]
async fn a_revoked_token_is_left_where_it_is_and_an_expired_one_is_deleted() {
    for case in [&ACCOUNT, &USER] {
        let double = Double::start(case).await;
        let live = double.has("made by hand");
        for name in [double.tag(), double.tag(), double.tag(), double.earlier()] {
            double.has(&name);
        }
        double.shelf().keys[1].revoked = true;
        double.shelf().keys[2].more = json!({ "status": "expired" });
        let findings = double.rotator.preflight(&double.call(), Some(&live)).await.unwrap();
        assert_eq!(findings[0].what, "the admin sees 4 keys, 3 of them made by rotations");
        double.rotator.sweep(&double.call(), &[], &[&live]).await.unwrap();
        assert_eq!(double.count("delete"), 2, "of three with the rotation's tag one had ended");
        let left: Vec<_> = double.shelf().keys.iter().map(|key| key.revoked).collect();
        assert_eq!(left, [false, true, false]);
        double.was_asked_rightly();
    }
}

fn make(shelf: &mut Shelf, name: &str) -> Key {
    shelf.make(name, Shelf::nothing(), |n| format!("ed17574386854bf78a67040b{n:08x}"), |n| format!("canary-{n:033}"))
}

/// The part of the path after `tokens`.
fn rest(asked: &Asked) -> Option<&str> {
    let rest = asked.path.strip_prefix("/client/v4")?;
    let account = "/accounts/eb78d65290b24279ba6f44721b3ea3c4/tokens";
    rest.strip_prefix("/user/tokens").or_else(|| rest.strip_prefix(account))
}

fn name(asked: &Asked) -> Option<&'static str> {
    match (asked.method.as_str(), rest(asked)?) {
        ("POST", "") => Some("create"),
        ("GET", "") => Some("list"),
        ("GET", "/verify") => Some("verify"),
        ("DELETE", path) if path.starts_with('/') => Some("delete"),
        _ => None,
    }
}

fn answer(shelf: &mut Shelf, name: &'static str, asked: &Asked) -> Result<Reply, Odd> {
    let token = asked.bearer().ok_or("no `Authorization: Bearer`")?;
    if name == "verify" {
        asked.is_bare()?;
        return Ok(match shelf.accepted(token) {
            Some(key) => fine(&json!({ "id": key.id, "status": "active", "expires_on": "2099-01-01T00:00:00Z" })),
            None => error(401, 1000, "Invalid API Token"),
        });
    }
    if token != shelf.admin("token") {
        let known = shelf.accepted(token).is_some();
        return Ok(if known {
            error(403, 9109, "Unauthorized to access requested resource")
        } else {
            error(401, 1000, "Invalid API Token")
        });
    }
    match name {
        "create" => {
            let body = asked.json(&["name", "policies"], &["expires_on", "not_before", "condition"])?;
            for policy in body["policies"].as_array().ok_or("`policies` is no list")? {
                let policy = policy.as_object().ok_or("a policy is no object")?;
                has_fields(policy, &["effect", "resources", "permission_groups"], &["id"])?;
            }
            let expires = text(body.get("expires_on").ok_or("no `expires_on`")?, "expires_on")?;
            if expires.len() != "2020-01-01T00:00:00Z".len() || !expires.ends_with('Z') {
                return Err(format!("`{expires}` is no time as Cloudflare writes it"));
            }
            if shelf.is_full() {
                return Ok(error(400, 1008, "You have reached the maximum number of tokens"));
            }
            let key = make(shelf, text(&body["name"], "name")?);
            let mut shown = show(&key);
            shown["value"] = json!(key.secret);
            Ok(fine(&shown))
        }
        "list" => {
            asked.has_no_body()?;
            asked.only_parameters(&["page", "per_page", "direction"])?;
            let number = |name, default| asked.parameter(name).map_or(Ok(default), str::parse::<usize>);
            let (size, page) = (number("per_page", 20), number("page", 1));
            let (size, page) = (size.map_err(|_| "no number")?, page.map_err(|_| "no number")?);
            if !(5..=50).contains(&size) || page == 0 {
                return Ok(error(400, 1001, "Invalid page or per_page"));
            }
            let shown: Vec<_> = shelf.keys.iter().skip(size * (page - 1)).take(size).map(show).collect();
            let info = json!({ "page": page, "per_page": size, "count": shown.len(), "total_count": shelf.keys.len() });
            let body = json!({ "success": true, "errors": [], "messages": [], "result": shown, "result_info": info });
            Ok(Reply::json(200, &body))
        }
        _ => {
            asked.is_bare()?;
            let id = asked.route().1.pop().unwrap_or_default();
            Ok(match shelf.delete(&id) {
                Some(_) => fine(&json!({ "id": id })),
                None => error(404, 1003, "Token not found"),
            })
        }
    }
}

fn show(key: &Key) -> Value {
    let status = if key.revoked { "revoked" } else { key.more["status"].as_str().unwrap_or("active") };
    json!({ "id": key.id, "name": key.name, "status": status, "issued_on": "2026-07-01T05:20:00Z",
        "expires_on": "2099-02-01T00:00:00Z", "last_used_on": key.used.map(|used| used.to_string()) })
}

fn fine(result: &Value) -> Reply {
    Reply::json(200, &json!({ "success": true, "errors": [], "messages": [], "result": result }))
}

fn error(status: u16, code: u32, message: &str) -> Reply {
    let errors = json!([{ "code": code, "message": message }]);
    Reply::json(status, &json!({ "success": false, "errors": errors, "messages": [], "result": null }))
}
