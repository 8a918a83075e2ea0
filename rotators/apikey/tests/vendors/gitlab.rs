//! GitLab: what tokens of projects and of users have in common. As <https://docs.gitlab.com/api/rest/> and
//! <https://docs.gitlab.com/api/personal_access_tokens/> have it.

use keywheel_sdk::Rotator;
use serde_json::{Value, json};

use crate::asked::{Asked, Odd, text, texts};
use crate::case::{Case, Reply};
use crate::double::{Double, Fault};
use crate::shelf::{Key, Shelf};

/// Whoever sends a token that GitLab knows, and which one it is.
pub enum Caller {
    Admin,
    Token(Key),
}

/// The token that is sent. An answer instead if GitLab refuses it.
pub fn caller(shelf: &mut Shelf, asked: &Asked) -> Result<Result<Caller, Reply>, Odd> {
    let token = asked.header("private-token").ok_or("no `PRIVATE-TOKEN`")?;
    if token == shelf.admin[0].1 {
        return Ok(Ok(Caller::Admin));
    }
    let refused = || Reply::json(401, &json!({ "message": "401 Unauthorized" }));
    Ok(shelf.accepted(token).map(Caller::Token).ok_or_else(refused))
}

pub fn make(shelf: &mut Shelf, name: &str) -> Key {
    shelf.make(name, json!(["api"]), |n| (40 + n).to_string(), |n| format!("glpat-canary{n:014}"))
}

/// Makes the token that a body asks for.
pub fn create(shelf: &mut Shelf, asked: &Asked, optional: &[&str]) -> Result<Reply, Odd> {
    let optional: Vec<_> = ["description", "expires_at"].iter().chain(optional).copied().collect();
    let body = asked.json(&["name", "scopes"], &optional)?;
    texts(&body["scopes"], "scopes")?;
    let day = body.get("expires_at").ok_or("without `expires_at` an instance gives its longest lifetime")?;
    is_day(text(day, "expires_at")?)?;
    if body.get("access_level").is_some_and(|level| ![10, 15, 20, 30, 40, 50].iter().any(|known| level == known)) {
        return Ok(error(400, "access_level does not have a valid value"));
    }
    if shelf.is_full() {
        return Ok(error(400, "400 Bad request"));
    }
    let key = make(shelf, text(&body["name"], "name")?);
    let mut shown = show(&key);
    shown["token"] = json!(key.secret);
    shown["expires_at"] = day.clone();
    Ok(Reply::json(201, &shown))
}

/// A page of the tokens, with the addresses of the others in `Link`. Revoked ones are left out only if `state` says so.
pub fn list(shelf: &Shelf, asked: &Asked, known: &[&str]) -> Result<Reply, Odd> {
    asked.has_no_body()?;
    let known: Vec<_> = ["state", "per_page", "page"].iter().chain(known).copied().collect();
    asked.only_parameters(&known)?;
    let number = |name, default| asked.parameter(name).map_or(Ok(default), str::parse::<usize>);
    let (size, page) = (number("per_page", 20), number("page", 1));
    let (size, page) = (size.map_err(|_| "no number")?.min(100), page.map_err(|_| "no number")?);
    let active = asked.parameter("state") == Some("active");
    let keys: Vec<_> = shelf.keys.iter().filter(|key| !active || !key.revoked).collect();
    let shown: Vec<_> = keys.iter().skip(size * (page - 1)).take(size).map(|key| show(key)).collect();
    let mut reply = Reply::json(200, &json!(shown));
    let link = |page: usize, rel: &str| {
        let host = asked.header("host").unwrap_or_default();
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(asked.query.iter().filter(|(name, _)| name != "page"));
        let query = query.append_pair("page", &page.to_string()).finish();
        format!("<http://{host}{}?{query}>; rel=\"{rel}\"", asked.path)
    };
    let mut links = vec![link(1, "first"), link(keys.len().div_ceil(size).max(1), "last")];
    if size * page < keys.len() {
        links.insert(0, link(page + 1, "next"));
    }
    reply.headers.push(("link".to_owned(), links.join(", ")));
    Ok(reply)
}

/// One that does not know `state` lists them still.
pub async fn revoked_are_over(case: &'static Case) {
    let double = Double::start(case).await;
    let live = double.has("made by hand");
    for _ in 0..2 {
        double.has(&double.tag());
    }
    double.shelf().keys[1].revoked = true;
    let shown: Vec<_> = double.shelf().keys.iter().map(show).collect();
    let header = ("content-type", "application/json");
    double.fault("list", Fault::Instead(200, Vec::leak(vec![header]), json!(shown).to_string()));
    double.rotator.sweep(&double.call(), &[], &[&live]).await.unwrap();
    assert_eq!(double.count("delete"), 1, "of two with the rotation's tag one was over");
    double.was_asked_rightly();
}

/// A revoked token stays in the list, and is refused; revoking it again is fine as long as it is there.
pub fn revoke(shelf: &mut Shelf, asked: &Asked, absent: &str) -> Result<Reply, Odd> {
    asked.is_bare()?;
    let id = asked.route().1.pop().unwrap_or_default();
    Ok(match shelf.keys.iter_mut().find(|key| key.id == id) {
        None => error(404, absent),
        Some(key) => {
            key.revoked = true;
            Reply::empty(204)
        }
    })
}

/// What the token that is sent is told of itself.
pub fn myself(asked: &Asked, caller: &Caller) -> Result<Reply, Odd> {
    asked.is_bare()?;
    Ok(match caller {
        Caller::Admin => Reply::json(200, &json!({ "id": 1, "name": "admin", "active": true, "revoked": false })),
        Caller::Token(key) => Reply::json(200, &show(key)),
    })
}

fn show(key: &Key) -> Value {
    let id = key.id.parse::<u64>().unwrap();
    json!({ "id": id, "name": key.name, "revoked": key.revoked, "active": !key.revoked, "user_id": 166,
        "created_at": "2026-01-20T22:11:48.151Z", "last_used_at": key.used.map(|used| used.to_string()), "scopes": key.more, "expires_at": "2099-01-31" })
}

fn is_day(text: &str) -> Result<(), Odd> {
    let digits = |part: &str, length| part.len() == length && part.bytes().all(|b| b.is_ascii_digit());
    match text.split('-').collect::<Vec<_>>().as_slice() {
        [year, month, day] if digits(year, 4) && digits(month, 2) && digits(day, 2) => Ok(()),
        _ => Err(format!("`{text}` is no day")),
    }
}

pub fn error(status: u16, message: &str) -> Reply {
    Reply::json(status, &json!({ "message": message }))
}
