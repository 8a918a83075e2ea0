//! Tokens of a GitLab project, as <https://docs.gitlab.com/api/project_access_tokens/> has them; which statuses errors have,
//! <https://gitlab.com/gitlab-org/gitlab/-/blob/master/lib/api/resource_access_tokens.rb> says.

use serde_json::json;

use crate::asked::{Asked, Odd};
use crate::case::{Case, Reply};
use crate::documents;
use crate::gitlab::{self, Caller};
use crate::shelf::Shelf;

const CASE: Case = Case {
    provider: "gitlab-project",
    settings: |url| json!({ "url": url, "project": "group/project", "scopes": ["api", "read_repository"], "access_level": 30, "lifetime": "90d" }),
    admin: &[("personal_token", "glpat-canary-of-the-admin")],
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
    let created = json!({ "scopes": ["api", "read_repository"], "active": true, "name": documents::tag(), "revoked": false,
        "created_at": "2021-01-21T19:35:37.921Z", "description": "Test Token description", "user_id": 166, "id": 58,
        "expires_at": "2099-01-31", "token": "D4y...Wzr", "access_level": 30 });
    let list = json!([
        { "user_id": 141, "scopes": ["api"], "name": "token", "expires_at": "2099-01-31", "id": 42, "active": true,
          "created_at": "2021-01-20T22:11:48.151Z", "last_used_at": null, "revoked": false, "access_level": 40 },
        { "user_id": 166, "scopes": ["api"], "name": documents::tag(), "expires_at": "2099-01-31", "id": 58, "active": true,
          "created_at": "2021-01-21T12:12:38.123Z", "last_used_at": "2021-02-13T10:34:57.178Z", "revoked": false,
          "access_level": 40 }]);
    documents::made(&CASE, 201, &created, &list, ("58", "D4y...Wzr"), 2).await;
}

fn name(asked: &Asked) -> Option<&'static str> {
    let (method, path) = asked.route();
    let path: Vec<_> = path.iter().map(String::as_str).collect();
    match (method, path.as_slice()) {
        ("POST", ["api", "v4", "projects", _, "access_tokens"]) => Some("create"),
        ("GET", ["api", "v4", "projects", _, "access_tokens"]) => Some("list"),
        ("GET", ["api", "v4", "personal_access_tokens", "self"]) => Some("verify"),
        ("DELETE", ["api", "v4", "projects", _, "access_tokens", _]) => Some("delete"),
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
    if asked.route().1[3] != "group/project" {
        return Ok(gitlab::error(404, "404 Project Not Found"));
    }
    if let Caller::Token(_) = caller {
        return Ok(gitlab::error(
            400,
            "400 Bad request - User does not have permission to create project access token",
        ));
    }
    match name {
        "create" => gitlab::create(shelf, asked, &["access_level"]),
        "list" => gitlab::list(shelf, asked, &[]),
        _ => gitlab::revoke(shelf, asked, "404 project Access Token Not Found"),
    }
}
