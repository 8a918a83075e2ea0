//! The example service as a provider's double.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use keywheel_apikey::{ApiKeyRotator, Provider};
use keywheel_keyservice::{Effect, Fault, KeyService, Options, Route, Struck};
use keywheel_sdk::{Bundle, PASSWORD, Rotator, Secret};
use keywheel_testkit::exam::{KeyDouble, KeyOwner, Line, ProviderSubject};
use serde_json::{Map, Value, json};

pub const DECLARATION: &str = include_str!("../../../../examples/keyservice/provider.yaml");

/// The rotator of a declaration.
pub fn rotator(declaration: &str) -> ApiKeyRotator {
    let provider = Provider::parse("provider.yaml", declaration);
    ApiKeyRotator::new(provider.map_err(|mistakes| format!("{mistakes:?}")).unwrap())
}

/// Room for the live key and one beside it, and each on a page of its own.
pub fn options() -> Options {
    Options { quota: 2, page: 1, ..Options::default() }
}

/// A rotator with a service of its own.
pub async fn subject(name: &str, rotator: impl Rotator + 'static) -> ProviderSubject<Service> {
    subject_at(name, rotator, options()).await
}

/// The same with another service than the usual one.
pub async fn subject_at(name: &str, rotator: impl Rotator + 'static, options: Options) -> ProviderSubject<Service> {
    let admin = Bundle::new().with(PASSWORD, Secret::new(options.admin_token.clone()));
    let service = Service {
        service: Arc::new(KeyService::start(options.clone()).await.unwrap()),
        admin: options.admin_token,
        owners: AtomicU64::new(0),
    };
    ProviderSubject::new(name, rotator, admin, service)
}

/// A service where each stage has an owner of its own.
pub struct Service {
    service: Arc<KeyService>,
    admin: String,
    owners: AtomicU64,
}

impl Service {
    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.service.port()
    }

    fn owner(&self) -> String {
        format!("owner-{}", self.owners.load(Ordering::SeqCst))
    }
}

#[async_trait]
impl KeyDouble for Service {
    async fn owner(&self) -> KeyOwner {
        self.service.faults().disarm();
        self.owners.fetch_add(1, Ordering::SeqCst);
        let (url, owner) = (self.service.url(), self.owner());
        let made = reqwest::Client::new()
            .post(format!("{url}/v1/users/{owner}/keys"))
            .bearer_auth(&self.admin)
            .json(&json!({ "name": "by hand" }))
            .send()
            .await
            .unwrap();
        let key: Value = made.json().await.unwrap();
        let field = |name: &str| Secret::new(key[name].as_str().unwrap().to_owned());
        while !self.service.accepts(key["key"].as_str().unwrap()).await {
            tokio::task::yield_now().await;
        }
        let settings: Map<String, Value> = Map::from_iter([("url".into(), url.into()), ("user".into(), owner.into())]);
        let wire = Wire { service: Arc::clone(&self.service), struck: Mutex::default() };
        KeyOwner {
            settings: settings.clone(),
            current: Bundle::new().with("key_id", field("id")).with("key", field("key")),
            line: Some((settings, Box::new(wire))),
        }
    }

    async fn accepts(&self, key: &Bundle) -> bool {
        let value = key.get("key").unwrap().expose(str::to_owned);
        self.service.accepts(&value).await
    }

    async fn keys(&self) -> usize {
        self.service.keys(&self.owner()).await.len()
    }
}

/// Breaks at whatever makes or ends a key.
struct Wire {
    service: Arc<KeyService>,
    struck: Mutex<Vec<Struck>>,
}

impl Wire {
    fn arm(&self, effect: Effect) {
        let fault = Fault::at(Route::Create, effect).or_at(Route::Disable).or_at(Route::Delete);
        self.struck.lock().unwrap().push(self.service.faults().arm(fault));
    }
}

impl Line for Wire {
    fn lose_next_acknowledgement(&self) {
        self.arm(Effect::ExecuteThenCut);
    }
    fn cut_before_next_change(&self) {
        self.arm(Effect::CutBefore);
    }
    fn stall_next_change(&self) {
        self.arm(Effect::Stall);
    }
    fn stall_after_next_change(&self) {
        self.arm(Effect::ExecuteThenStall);
    }
    fn strikes(&self) -> u64 {
        self.struck.lock().unwrap().iter().map(Struck::count).sum()
    }
}
