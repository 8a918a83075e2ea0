//! API keys: SIGKILL at each point, and lines that break. The provider is the example service, a real one over HTTP: it makes the
//! keys itself, or keeps what the engine makes.

mod crash;
mod issued;
mod lines;
mod slots;
mod upgrade;

use keywheel::secrets::{Label, Stored};
use keywheel_keyservice::{KeyService, Options};
use serde_json::Value;

use crate::crash::{End, bring_to, ended};
use crate::house::House;
use crate::plugins::{plugged, slots_in_python};

/// Who makes a key, and how it takes the place of the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// The provider makes it, beside the one before.
    Issued,
    /// The same, and the one before is refused for a while before it is deleted.
    DisabledFirst,
    /// The engine makes it, and it is put in the place of the one before: a token.
    InPlace,
    /// The engine makes it, and two slots take turns: a secret that webhooks are signed with.
    Alternating,
    /// The same with a token.
    AlternatingToken,
    /// The same by a plugin.
    Plugged,
}

impl Key {
    fn is_issued(self) -> bool {
        match self {
            Key::Issued | Key::DisabledFirst => true,
            Key::InPlace | Key::Alternating | Key::AlternatingToken | Key::Plugged => false,
        }
    }

    fn alternates(self) -> bool {
        match self {
            Key::Alternating | Key::AlternatingToken | Key::Plugged => true,
            Key::Issued | Key::DisabledFirst | Key::InPlace => false,
        }
    }
}

/// One kind of rotation, and whether it succeeds.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    pub key: Key,
    pub end: End,
}

impl Kind {
    pub fn done(key: Key) -> Self {
        Kind { key, end: End::Done }
    }

    pub fn rolled_back(key: Key) -> Self {
        Kind { key, end: End::RolledBack }
    }
}

/// A user's only key, known to the store as `CURRENT`, in a fresh house.
pub struct Case {
    pub service: KeyService,
    pub house: House,
    kind: Kind,
    name: String,
    /// The value of the key that there was at first.
    first: String,
}

impl Case {
    pub async fn new(kind: Kind, name: &str) -> Self {
        let service = KeyService::start(issued::options()).await.expect("a free port");
        let house = House::new();
        let plugin = if kind.key == Key::Plugged { plugged(&slots_in_python(), &service) } else { String::new() };
        house.settings(&format!("providers: [provider.yaml]\ndeadlines: {{ step: 3s, lease: 10s }}\n{plugin}"));
        let declaration = include_str!("../../examples/keyservice/provider.yaml");
        std::fs::write(house.path("provider.yaml"), declaration).expect("the folder is writable");
        let (lines, first) = if kind.key.is_issued() {
            issued::arrange(kind, &service, &house, name).await
        } else {
            slots::arrange(kind, &service, &house, name).await
        };
        // A kill costs a try, and what is to succeed meets two.
        let attempts = if kind.end == End::Done { 3 } else { 2 };
        let text = format!(
            "version: 1\npolicy: {name}\n{lines}\nadmin: {{ secret: keys/admin }}\nsecret: {{ name: {name} }}\n\
             schedule: {{ manual: true }}\non_failure: {{ attempts: {attempts}, backoff: 1s..2s, then: roll-back }}\n"
        );
        std::fs::write(house.path("policies").join(format!("{name}.yaml")), text).expect("the folder is writable");
        Case { service, house, kind, name: name.to_owned(), first }
    }

    /// The same, with an order to rotate that waits for the daemon.
    async fn ordered(kind: Kind, name: &str) -> Self {
        let case = Case::new(kind, name).await;
        case.house.run(&["rotate", name, "--detach"]);
        case
    }

    async fn held(&self, label: Label) -> Option<Stored> {
        self.house.versions(&self.name).await.into_iter().find(|stored| stored.label == Some(label))
    }

    /// Whether an application could use this value now.
    async fn accepts(&self, value: &str) -> bool {
        match self.kind.key {
            Key::Alternating => slots::takes_webhook(self, value).await,
            Key::Issued | Key::DisabledFirst | Key::InPlace | Key::AlternatingToken | Key::Plugged => {
                self.service.accepts(value).await
            }
        }
    }

    /// S1, S2, S3 and how many there may be, at this moment, seen from outside.
    async fn check(&self, when: &str) {
        if self.kind.key.is_issued() {
            issued::check(self, when).await;
        } else {
            slots::check(self, when).await;
        }
    }

    /// How it must be at the end: one key, which is `CURRENT`, and nothing else in the store.
    async fn check_end(&self, when: &str) {
        self.check(when).await;
        let held = self.house.versions(&self.name).await;
        assert_eq!(held.len(), 1, "{when}: the store holds CURRENT alone");
        let value = if self.kind.key.is_issued() {
            issued::check_end(self, when, &held[0]).await
        } else {
            slots::check_end(self, when, &held[0]).await
        };
        let changed = value != self.first;
        assert_eq!(changed, self.kind.end == End::Done, "{when}");
        assert_eq!(self.accepts(&self.first).await, !changed, "{when}: the first key");
        let values = [value, self.first.clone(), Options::default().admin_token];
        self.house.search(&values.into(), "");
    }

    /// Lets a daemon turn it until it has ended, over all doubts and pauses.
    async fn settle(&self) {
        let mut daemon = self.house.daemon("keywheel=info", None);
        let seen = daemon.until(&["done", "rolled back", "parked"]);
        daemon.stop();
        assert!(ended(&self.house, &self.name).await, "{seen:#?}");
    }

    /// Lets a daemon without faults bring it to its end, and checks that it got there alone.
    async fn recover(&self, when: &str) {
        if !ended(&self.house, &self.name).await {
            bring_to(&self.house, self.kind.end, when);
        }
        self.check_end(when).await;
    }
}

/// What the service answers to its admin.
async fn answer(method: reqwest::Method, url: String, body: &Value) -> reqwest::Response {
    let request = reqwest::Client::new().request(method, url).bearer_auth(Options::default().admin_token).json(body);
    request.send().await.expect("the service answers")
}

fn field(stored: &Stored, name: &str) -> String {
    stored.bundle.get(name).expect("the bundle has it").expose(str::to_owned)
}
