//! Personal access tokens of a GitLab user, as <https://docs.gitlab.com/api/user_tokens/> and
//! <https://docs.gitlab.com/api/personal_access_tokens/> have them.

use serde_json::json;

use crate::asked::{Asked, Odd};
use crate::case::{Case, Reply};
use crate::documents;
use crate::gitlab::{self, Caller};
use crate::shelf::Shelf;

const CASE: Case = Case {
    provider: "gitlab-user",
    settings: |url| json!({ "url": url, "user": 42, "scopes": ["api"], "lifetime": "90d" }),
    admin: &[("token", "glpat-canary-of-the-admin")],
    wrong_admin: "glpat-canary-of-a-stranger",
    field: "token",
    tag: |rotation| format!("keywheel:{rotation}"),
    exclusive: false,
    disables: false,
    full: "status-400",
    limit: 1000,
    page: 100,
    make: gitlab::make,
    name,
    answer,
};

contract!(CASE, 30);

#[tokio::test]
async fn revoked_tokens_are_over() {
    gitlab::revoked_are_over(&CASE).await;
}

#[tokio::test]
async fn documented_answers() {
    let created = json!({ "id": 3, "name": documents::tag(), "revoked": false, "created_at": "2020-10-14T11:58:53.526Z",
        "description": "Test Token description", "scopes": ["api"], "user_id": 42, "last_used_ips": [], "active": true,
        "expires_at": "2099-12-31", "token": "glpat-ab1" });
    let list = json!([
        { "id": 4, "name": "Test Token", "revoked": false, "created_at": "2020-07-23T14:31:47.729Z", "scopes": ["api"],
          "user_id": 42, "last_used_at": "2021-10-06T17:58:37.550Z", "active": true, "expires_at": null },
        { "id": 3, "name": documents::tag(), "revoked": false, "created_at": "2020-10-14T11:58:53.526Z", "scopes": ["api"],
          "user_id": 42, "last_used_at": null, "active": true, "expires_at": "2099-12-31" }]);
    documents::made(&CASE, 201, &created, &list, ("3", "glpat-ab1"), 2).await;
}

fn name(asked: &Asked) -> Option<&'static str> {
    let (method, path) = asked.route();
    let path: Vec<_> = path.iter().map(String::as_str).collect();
    match (method, path.as_slice()) {
        ("POST", ["api", "v4", "users", _, "personal_access_tokens"]) => Some("create"),
        ("GET", ["api", "v4", "personal_access_tokens"]) => Some("list"),
        ("GET", ["api", "v4", "personal_access_tokens", "self"]) => Some("verify"),
        ("DELETE", ["api", "v4", "personal_access_tokens", _]) => Some("delete"),
        _ => None,
    }
}

fn answer(shelf: &mut Shelf, name: &'static str, asked: &Asked) -> Result<Reply, Odd> {
    let caller = match gitlab::caller(shelf, asked)? {
        Ok(caller) => caller,
        Err(refused) => return Ok(refused),
    };
    if name == "verify" {
        return gitlab::myself(asked, &caller);
    }
    if let Caller::Token(_) = caller {
        return Ok(gitlab::error(403, "403 Forbidden"));
    }
    match name {
        "create" if asked.route().1[3] != "42" => Ok(gitlab::error(404, "404 User Not Found")),
        "create" => gitlab::create(shelf, asked, &[]),
        "list" if asked.parameter("user_id") != Some("42") => Err("a list of tokens of others, too".to_owned()),
        "list" => gitlab::list(shelf, asked, &["user_id"]),
        _ => gitlab::revoke(shelf, asked, "404 Not Found"),
    }
}
