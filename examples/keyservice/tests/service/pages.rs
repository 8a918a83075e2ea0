//! Going through the keys page by page.

use keywheel_keyservice::Options;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{Caller, answer, assert_refused, text};

async fn five() -> Caller {
    let caller = Caller::with(Options { quota: 5, page: 2, ..Options::default() }).await;
    for name in ["e", "a", "d", "b", "c"] {
        caller.create(name).await;
    }
    caller
}

fn names(page: &Value) -> Vec<String> {
    page["keys"].as_array().unwrap().iter().map(|key| text(key, "name")).collect()
}

#[tokio::test]
async fn a_cursor_leads_to_the_next_page() {
    let caller = five().await;
    let get = |query: Value| answer(caller.request(Method::GET, "/v1/users/ann/keys").query(&query));
    let (_, first) = get(json!({})).await;
    assert_eq!(names(&first), ["e", "a"]);

    // The last key of a page may go before the next is asked for.
    let id = text(&first["keys"][1], "id");
    caller.call(Method::DELETE, &format!("/v1/users/ann/keys/{id}")).await;
    let (_, second) = get(json!({ "cursor": first["next_cursor"], "limit": 1 })).await;
    assert_eq!(names(&second), ["d"]);
    let (_, third) = get(json!({ "cursor": second["next_cursor"] })).await;
    assert_eq!((names(&third), &third["next_cursor"]), (vec!["b".to_owned(), "c".to_owned()], &Value::Null));

    for key in third["keys"].as_array().unwrap() {
        let members: Vec<_> = key.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(members.len(), 7, "{members:?}");
        assert!(!members.contains(&"key"));
    }
    for query in [json!({ "limit": 0 }), json!({ "limit": 1001 }), json!({ "limit": "x" }), json!({ "cursor": "7" })] {
        assert_refused(&get(query).await, 400, "invalid_request");
    }
}

#[tokio::test]
async fn a_link_leads_to_the_next_page() {
    let caller = five().await;
    let mut url = format!("{}/v1/users/ann/keys", caller.service.url());
    let mut pages = Vec::new();
    loop {
        let response = caller.client.get(&url).bearer_auth(&caller.token).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let link = response.headers().get("link").map(|link| link.to_str().unwrap().to_owned());
        pages.push(names(&serde_json::from_str(&response.text().await.unwrap()).unwrap()));
        let Some(link) = link else { break };
        link.strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap().clone_into(&mut url);
    }
    assert_eq!(pages, [vec!["e", "a"], vec!["d", "b"], vec!["c"]]);
}
