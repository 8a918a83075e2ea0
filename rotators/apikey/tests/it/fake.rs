//! A service that issues keys, and lies or breaks when told to.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keywheel_apikey::{ApiKeyRotator, Provider};
use keywheel_sdk::{Admin, Bundle, Call, PASSWORD, Secret, Strategy, Target};
use serde_json::{Map, Value, json};

pub const DECLARATION: &str = include_str!("../keyservice.yaml");
pub const ADMIN: &str = "admin-canary-5f2c";
/// What an admin that is an OAuth client is given.
pub const TOKEN: &str = "token-canary-81aa";

/// A key of the service.
#[derive(Clone)]
pub struct Key {
    pub id: String,
    pub value: String,
    pub name: Option<String>,
    pub disabled: bool,
    /// When it was last used; `None`: that is not told.
    pub used: Option<Value>,
}

/// What happens to the next request of a name.
pub enum Fault {
    /// This answer, and nothing done.
    Instead(u16, &'static [(&'static str, String)], String),
    /// It is done, then this answer.
    After(u16, String),
    /// It is done, then the connection breaks.
    CutAfter,
}

#[derive(Default)]
pub struct Scene {
    pub keys: Vec<Key>,
    /// Names and passwords of accounts.
    pub accounts: Vec<(String, String)>,
    pub limit: Option<usize>,
    pub faults: HashMap<&'static str, VecDeque<Fault>>,
    /// `verify` refuses this often before it knows a key.
    pub lag: usize,
    /// When new keys end; `None`: that is not told.
    pub ends: Option<Value>,
    /// `verify` looks at nothing.
    pub accepts_any: bool,
    /// Names of requests with the admin's or the key's credential, as they came.
    pub log: Vec<String>,
    pub idempotency: Vec<String>,
    pub bodies: Vec<Value>,
    pub queries: Vec<String>,
    /// What came with signed requests.
    pub session_tokens: Vec<String>,
    /// How `list` goes on: `cursor` (unless given), `link`, `page` or `stuck`.
    pub paging: &'static str,
    made: usize,
}

/// A running service with a rotator for it.
pub struct Fake {
    scene: Arc<Mutex<Scene>>,
    pub url: String,
    pub rotator: ApiKeyRotator,
}

impl Fake {
    pub async fn start() -> Self {
        Self::with(DECLARATION).await
    }

    pub async fn with(declaration: &str) -> Self {
        let scene = Arc::new(Mutex::new(Scene::default()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/base", listener.local_addr().unwrap());
        let router = Router::new().fallback(serve).with_state(Arc::clone(&scene));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let provider = Provider::parse("test.yaml", declaration).map_err(|mistakes| format!("{mistakes:?}")).unwrap();
        Fake { scene, url, rotator: ApiKeyRotator::new(provider) }
    }

    pub fn scene(&self) -> MutexGuard<'_, Scene> {
        self.scene.lock().unwrap()
    }

    pub fn fault(&self, name: &'static str, fault: Fault) {
        self.scene().faults.entry(name).or_default().push_back(fault);
    }

    /// A key that is there from the beginning.
    pub fn has(&self, id: &str, name: Option<&str>) -> Bundle {
        let value = format!("canary-{id}");
        let (id, name) = (id.to_owned(), name.map(str::to_owned));
        self.scene().keys.push(Key { id: id.clone(), value: value.clone(), name, disabled: false, used: None });
        Bundle::new().with("key_id", Secret::new(id)).with("key", Secret::new(value))
    }

    pub fn ids(&self) -> Vec<String> {
        self.scene().keys.iter().map(|key| key.id.clone()).collect()
    }

    pub fn count(&self, name: &str) -> usize {
        self.scene().log.iter().filter(|line| *line == name).count()
    }

    pub fn target(&self, more: Value) -> Target {
        let mut settings: Map<String, Value> =
            json!({ "url": self.url, "user": "a/b?c#d" }).as_object().unwrap().clone();
        settings.extend(more.as_object().unwrap().clone());
        let admin = Bundle::new().with(PASSWORD, Secret::new(ADMIN.to_owned()));
        Target { settings, strategy: Strategy::Overlapping, admin: Admin::Credential(admin), generates: None }
    }
}

pub fn call(target: &Target) -> Call<'_> {
    Call { target, rotation: "r-1", fence: 1, until: Instant::now() + Duration::from_secs(20) }
}

pub fn id(key: &Bundle) -> String {
    key.get("key_id").unwrap().expose(str::to_owned)
}

async fn serve(State(scene): State<Arc<Mutex<Scene>>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap();
    let form = || url::form_urlencoded::parse(&body).map(|(name, value)| (name.into(), value.into())).collect();
    let signed = crate::aws::is_signed(&head, &body, ADMIN, "eu-1", "keys");
    let body: Value = serde_json::from_slice(&body).unwrap_or_else(|_| Value::Object(form()));
    let header = |name: &str| head.headers.get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
    assert!(header("user-agent").starts_with("keywheel/"));
    let path = head.uri.path().to_owned();
    let keys = "/base/v1/users/a%2Fb%3Fc%23d/keys";
    let name = match (head.method.as_str(), path.as_str()) {
        ("GET", "/base/v1/whoami") => "verify",
        ("POST", "/base/token") => "token",
        ("GET", "/base/v1/accounts") => "accounts",
        ("PUT", path) if path.starts_with("/base/v1/accounts/") => "put",
        ("DELETE", path) if path.starts_with("/base/v1/accounts/") => "drop",
        (_, "/base/xml") => "xml",
        ("POST", path) if path == keys => "create",
        ("GET", path) if path == keys => "list",
        ("POST", path) if path.ends_with("/disable") && path.starts_with(keys) => "disable",
        ("GET", path) if path.ends_with("/usage") && path.starts_with(keys) => "last_used",
        ("DELETE", path) if path.starts_with(keys) => "delete",
        _ => "elsewhere",
    };
    let mut scene = scene.lock().unwrap();
    scene.log.push(name.to_owned());
    scene.queries.extend(head.uri.query().map(str::to_owned));
    let authorization = header("authorization");
    assert!(name != "xml" || signed, "the signature is wrong");
    let fault = scene.faults.get_mut(name).and_then(VecDeque::pop_front);
    if let Some(Fault::Instead(status, headers, body)) = fault {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, value);
        }
        return response.body(Body::from(body)).unwrap();
    }
    scene.session_tokens.extend(signed.then(|| header("x-amz-security-token")));
    let admin = signed
        || [format!("Bearer {ADMIN}"), format!("Bearer {TOKEN}")].contains(&authorization)
        || (header("x-api-key"), header("x-app-key")) == (ADMIN.to_owned(), "app-canary".to_owned());
    if !["verify", "token"].contains(&name) && !admin {
        return answer(401, &json!({ "error": format!("unknown token {authorization}") }));
    }
    let at = path.trim_end_matches("/disable").trim_end_matches("/usage").rsplit('/').next().unwrap().to_owned();
    let response = match name {
        "verify" => {
            let value = authorization.trim_start_matches("Bearer ");
            let account = authorization.strip_prefix("Basic ").map(|pair| STANDARD.decode(pair).unwrap());
            let account = account.and_then(|pair| {
                let pair = String::from_utf8(pair).unwrap();
                pair.split_once(':').map(|(name, password)| (name.to_owned(), password.to_owned()))
            });
            let account = account.is_some_and(|account| scene.accounts.contains(&account));
            let known =
                account || scene.accepts_any || scene.keys.iter().any(|key| key.value == value && !key.disabled);
            let lagging = known && scene.lag > 0;
            if lagging {
                scene.lag -= 1;
            }
            answer(if known && !lagging { 200 } else { 401 }, &json!({ "user": "me" }))
        }
        "accounts" => {
            answer(200, &scene.accounts.iter().map(|(name, _)| json!({ "name": name })).collect::<Vec<_>>().into())
        }
        "put" => {
            let password = body["password"].as_str().unwrap().to_owned();
            if password.starts_with("weak") {
                return answer(422, &json!({ "error": "too weak" }));
            }
            scene.accounts.retain(|(name, _)| *name != at);
            scene.accounts.push((at, password));
            answer(204, &Value::Null)
        }
        "drop" => {
            let before = scene.accounts.len();
            scene.accounts.retain(|(name, _)| *name != at);
            answer(if scene.accounts.len() < before { 204 } else { 404 }, &Value::Null)
        }
        "token" => token(&body, &authorization),
        "create" => {
            scene.idempotency.push(header("idempotency-key"));
            scene.bodies.push(body.clone());
            if scene.limit.is_some_and(|limit| scene.keys.len() >= limit) {
                return answer(409, &json!({ "error": "limit reached" }));
            }
            scene.made += 1;
            let (id, value) = (format!("new{}", scene.made), format!("canary-new-{}", scene.made));
            let name = body["name"].as_str().map(str::to_owned);
            scene.keys.push(Key { id: id.clone(), value: value.clone(), name, disabled: false, used: None });
            let mut made = json!({ "id": id, "key": value });
            made.as_object_mut().unwrap().extend(scene.ends.clone().map(|ends| ("ends".to_owned(), ends)));
            answer(201, &made)
        }
        "last_used" => match scene.keys.iter().find(|key| key.id == at) {
            None => answer(404, &json!({ "error": "no such key" })),
            Some(key) => answer(200, &told(key)),
        },
        "list" => list(&scene, &head.uri.to_string()),
        "disable" | "delete" => match scene.keys.iter().position(|key| key.id == at) {
            None => answer(404, &json!({ "error": "no such key" })),
            Some(index) if name == "disable" => {
                scene.keys[index].disabled = true;
                answer(204, &Value::Null)
            }
            Some(index) => {
                scene.keys.remove(index);
                answer(204, &Value::Null)
            }
        },
        _ => answer(404, &json!({ "error": "no such page" })),
    };
    match fault {
        None | Some(Fault::Instead(..)) => response,
        Some(Fault::After(status, body)) => Response::builder().status(status).body(Body::from(body)).unwrap(),
        // Ends the connection's task without a word, and without the noise of a panic.
        Some(Fault::CutAfter) => {
            drop(scene);
            std::panic::resume_unwind(Box::new(()))
        }
    }
}

/// RFC 6749, sections 4.4 and 5.
fn token(form: &Value, authorization: &str) -> Response {
    let client = match authorization.strip_prefix("Basic ") {
        None => (form["client_id"].as_str().unwrap_or_default().to_owned(), form["client_secret"].clone()),
        Some(pair) => {
            let pair = String::from_utf8(STANDARD.decode(pair).unwrap()).unwrap();
            let (id, secret) = pair.split_once(':').unwrap();
            let decoded = |text: &str| url::form_urlencoded::parse(text.as_bytes()).next().unwrap().0.into_owned();
            (decoded(id), json!(decoded(secret)))
        }
    };
    let right = form["grant_type"] == "client_credentials" && form["scope"] == "keys:write all";
    if !right || !client.0.starts_with("client") || client.1 != ADMIN {
        return answer(401, &json!({ "error": "invalid_client", "sent": client.1 }));
    }
    answer(200, &json!({ "access_token": TOKEN, "token_type": "Bearer", "expires_in": 3600 }))
}

/// Two keys a page.
fn list(scene: &Scene, uri: &str) -> Response {
    let parameter = |name: &str| {
        let url = url::Url::parse(&format!("http://fake{uri}")).unwrap();
        url.query_pairs().find(|(key, _)| key == name).and_then(|(_, value)| value.parse::<usize>().ok())
    };
    let from = match scene.paging {
        "page" => (parameter("page").unwrap() - 1) * 2,
        "stuck" => 0,
        _ => parameter("cursor").unwrap_or(0),
    };
    let page: Vec<Value> = scene.keys.iter().skip(from).take(2).map(told).collect();
    let more = from + 2 < scene.keys.len();
    let mut body = json!({ "keys": page });
    match scene.paging {
        "link" if more => {
            // An address may hold commas.
            let next = format!(
                "<?cursor=0,1>; rel=\"first\", <{}?fields=id,name&cursor={}>; rel=\"next\"",
                uri.split('?').next().unwrap(),
                from + 2
            );
            return Response::builder().header("link", next).body(Body::from(body.to_string())).unwrap();
        }
        "link" | "page" => {}
        "stuck" => body["next_cursor"] = json!("again"),
        _ if more => body["next_cursor"] = json!((from + 2).to_string()),
        _ => {}
    }
    answer(200, &body)
}

/// What may be known of a key.
fn told(key: &Key) -> Value {
    let mut told = json!({ "id": key.id, "name": key.name });
    told.as_object_mut().unwrap().extend(key.used.clone().map(|used| ("used".to_owned(), used)));
    told
}

fn answer(status: u16, body: &Value) -> Response {
    let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
    Response::builder().status(status).body(body).unwrap()
}
