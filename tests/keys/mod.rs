//! API keys of a provider that makes them: SIGKILL at each point, and lines that break. The provider is the example service, a
//! real one over HTTP.

mod crash;
mod lines;

use keywheel::core::Step;
use keywheel::secrets::{Label, Stored};
use keywheel::state::{StateStore, sqlite::SqliteState};
use keywheel_keyservice::{Effect, Fault, KeyService, Options, Route};
use serde_json::{Value, json};

use crate::crash::{End, began, bring_to, ended};
use crate::house::House;

/// How many keys a user may have: the live one, and one beside it.
const QUOTA: usize = 2;

/// A user's only key, known to the store as `CURRENT`, in a fresh house.
pub struct Case {
    pub service: KeyService,
    pub house: House,
    end: End,
    name: String,
    first: String,
}

impl Case {
    pub async fn new(end: End, name: &str) -> Self {
        let options = Options { quota: QUOTA, page: 1, ..Options::default() };
        let service = KeyService::start(options).await.expect("a free port");
        match end {
            End::Done => {}
            // What it makes is seen to work once, and then never more.
            End::RolledBack => {
                let refused = Effect::Answer { status: 401, retry_after: None };
                service.faults().arm(Fault::at(Route::WhoAmI, refused).skip(1).times(usize::MAX));
            }
        }
        let house = House::new();
        house.settings("providers: [provider.yaml]\ndeadlines: { step: 3s, lease: 10s }\n");
        let declaration = include_str!("../../examples/keyservice/provider.yaml");
        std::fs::write(house.path("provider.yaml"), declaration).expect("the folder is writable");
        house.put("keys/admin", "admin", &Options::default().admin_token);
        let disable = if name.starts_with("disabled") { ", disable_first: 1s" } else { "" };
        // A kill costs a try, and what is to succeed meets two.
        let attempts = if end == End::Done { 3 } else { 2 };
        let text = format!(
            "version: 1\npolicy: {name}\nrotator: keyservice\ntarget: {{ url: \"{}\", user: {name} }}\n\
             admin: {{ secret: keys/admin }}\nstrategy: overlapping\nsecret: {{ name: {name} }}\n\
             schedule: {{ manual: true }}\nrevoke: {{ after: 0s{disable} }}\n\
             on_failure: {{ attempts: {attempts}, backoff: 1s..2s, then: roll-back }}\n",
            service.url()
        );
        std::fs::write(house.path("policies").join(format!("{name}.yaml")), text).expect("the folder is writable");
        let made = create(&service, name).await;
        house.put_fields(name, &json!({ "key_id": made["id"], "key": made["key"] }));
        let first = made["key"].as_str().expect("a text").to_owned();
        Case { service, house, end, name: name.to_owned(), first }
    }

    /// The same, with an order to rotate that waits for the daemon.
    async fn ordered(end: End, name: &str) -> Self {
        let case = Case::new(end, name).await;
        case.house.run(&["rotate", name, "--detach"]);
        case
    }

    async fn held(&self, label: Label) -> Option<Stored> {
        self.house.versions(&self.name).await.into_iter().find(|stored| stored.label == Some(label))
    }

    /// S1, S2, S3 and the quota at this moment, seen from outside.
    async fn check(&self, when: &str) {
        let held: Vec<String> =
            self.house.versions(&self.name).await.iter().map(|stored| field(stored, "key_id")).collect();
        let state = SqliteState::open(&self.house.path("state.db")).await.expect("the state opens");
        let open = state.open_of(&self.name).await.expect("the state is readable");
        let tag = open.map(|open| format!("keywheel:{}", open.fixed.id));
        for key in self.service.keys(&self.name).await {
            let known = held.contains(&key.id) || tag.as_ref() == Some(&key.name);
            assert!(known, "S1 {when}: key {} is held by nobody, and no rotation under way knows its tag", key.id);
        }
        let current = self.held(Label::Current).await.expect("there is a CURRENT");
        assert!(self.service.accepts(&field(&current, "key")).await, "S2 {when}: CURRENT is refused");
        if !began(&self.house, Step::Revoke).await {
            assert!(self.service.accepts(&self.first).await, "S3 {when}: the first key is refused");
        }
        assert!(self.service.most_keys(&self.name) <= QUOTA, "{when}: more keys than the quota");
    }

    /// How it must be at the end: one key, which is `CURRENT`, and nothing else in the store.
    async fn check_end(&self, when: &str) {
        self.check(when).await;
        let held = self.house.versions(&self.name).await;
        assert_eq!(held.len(), 1, "{when}: the store holds CURRENT alone");
        let keys = self.service.keys(&self.name).await;
        assert_eq!(keys.len(), 1, "{when}: no orphan, and no previous key: {keys:?}");
        assert_eq!(keys[0].id, field(&held[0], "key_id"), "{when}: the one key is CURRENT");
        let changed = field(&held[0], "key") != self.first;
        assert_eq!(changed, self.end == End::Done, "{when}");
        assert_eq!(self.service.accepts(&self.first).await, !changed, "{when}: the first key");
        let values = [field(&held[0], "key"), self.first.clone(), Options::default().admin_token];
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
            bring_to(&self.house, self.end, when);
        }
        self.check_end(when).await;
    }
}

/// A key made by hand.
async fn create(service: &KeyService, user: &str) -> Value {
    let request = reqwest::Client::new()
        .post(format!("{}/v1/users/{user}/keys", service.url()))
        .bearer_auth(Options::default().admin_token)
        .json(&json!({ "name": "made by hand" }));
    let answer = request.send().await.expect("the service answers");
    assert_eq!(answer.status(), 201);
    answer.json().await.expect("JSON")
}

fn field(stored: &Stored, name: &str) -> String {
    stored.bundle.get(name).expect("the bundle has it").expose(str::to_owned)
}
