//! The service as its callers see it, over real connections, and its database afterwards.
#![expect(clippy::unwrap_used, reason = "tests")]

mod faults;
mod keys;
mod pages;
mod program;
mod slots;

use keywheel_keyservice::{KeyService, Options};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

/// A running service and a client of it.
struct Caller {
    service: KeyService,
    client: reqwest::Client,
    token: String,
}

impl Caller {
    async fn new() -> Self {
        Caller::with(Options::default()).await
    }

    async fn with(options: Options) -> Self {
        let token = options.admin_token.clone();
        Caller { service: KeyService::start(options).await.unwrap(), client: reqwest::Client::new(), token }
    }

    /// An administrator's request, not yet sent.
    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.service.url())).bearer_auth(&self.token)
    }

    async fn call(&self, method: Method, path: &str) -> (StatusCode, Value) {
        answer(self.request(method, path)).await
    }

    fn creation(&self, name: &str) -> RequestBuilder {
        self.request(Method::POST, "/v1/users/ann/keys").json(&json!({ "name": name }))
    }

    /// The id and the value of a new key of Ann's.
    async fn create(&self, name: &str) -> (String, String) {
        let (status, key) = answer(self.creation(name)).await;
        assert_eq!(status, StatusCode::CREATED, "{key}");
        (text(&key, "id"), text(&key, "key"))
    }

    async fn whoami(&self, key: &str) -> (StatusCode, Value) {
        answer(self.client.get(format!("{}/v1/whoami", self.service.url())).bearer_auth(key)).await
    }

    /// The names of Ann's keys in the database.
    async fn names(&self) -> Vec<String> {
        self.service.keys("ann").await.into_iter().map(|key| key.name).collect()
    }
}

/// The status and the body; null if there is none.
async fn answer(request: RequestBuilder) -> (StatusCode, Value) {
    let response = request.send().await.unwrap();
    let status = response.status();
    let body = response.text().await.unwrap();
    (status, if body.is_empty() { Value::Null } else { serde_json::from_str(&body).unwrap() })
}

fn text(value: &Value, member: &str) -> String {
    value[member].as_str().unwrap_or_else(|| panic!("{member} in {value}")).to_owned()
}

#[track_caller]
fn assert_refused((status, body): &(StatusCode, Value), expected: u16, code: &str) {
    assert_eq!((status.as_u16(), body["error"]["code"].as_str()), (expected, Some(code)), "{body}");
    assert!(body["error"]["message"].is_string(), "{body}");
}
