//! `keywheel provider test` against a listener that nobody may call, and against the example service.

use std::net::TcpListener;

use keywheel_keyservice::{KeyService, Options};
use serde_json::json;

use crate::house::House;

const SECRETS: [&str; 2] = ["canary-key-of-the-application", "canary-nobody-has-this"];

fn house(url: &str) -> House {
    let house = House::new();
    house.settings("providers: [provider.yaml]\n");
    let declaration = include_str!("../../examples/keyservice/provider.yaml");
    std::fs::write(house.path("provider.yaml"), declaration).expect("the folder is writable");
    let text = format!(
        "version: 1\npolicy: mail-key\nrotator: keyservice\ntarget: {{ url: \"{url}\", user: mail }}\n\
         admin: {{ secret: keys/admin }}\nstrategy: overlapping\nsecret: {{ name: mail/key }}\nschedule: {{ manual: true }}\n"
    );
    std::fs::write(house.path("policies/mail-key.yaml"), text).expect("the folder is writable");
    house
}

#[test]
fn a_dry_run_sends_nothing() {
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a free port");
    nobody.set_nonblocking(true).expect("a listener can be asked without waiting");
    let url = format!("http://{}", nobody.local_addr().expect("it is bound"));
    let house = house(&url);
    house.put("keys/admin", "admin", SECRETS[1]);
    house.put_fields("mail/key", &json!({ "key_id": "key_1", "key": SECRETS[0] }));
    let shown = house.run(&["provider", "test", "keyservice", "--policy", "mail-key", "--dry-run"]);
    assert!(shown.contains(&format!("POST {url}/v1/users/mail/keys")), "{shown}");
    assert!(shown.contains("authorization: Bearer •••"), "{shown}");
    let asked = nobody.accept().map(drop).expect_err("nobody has connected");
    assert_eq!(asked.kind(), std::io::ErrorKind::WouldBlock);
    house.search(&SECRETS.map(str::to_owned).into(), &shown);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_test_asks_and_changes_nothing() {
    let service = KeyService::start(Options::default()).await.expect("a free port");
    let made: serde_json::Value = reqwest::Client::new()
        .post(format!("{}/v1/users/mail/keys", service.url()))
        .bearer_auth(Options::default().admin_token)
        .json(&json!({ "name": "made by hand" }))
        .send()
        .await
        .expect("the service answers")
        .json()
        .await
        .expect("JSON");
    let house = house(&service.url());
    house.put("keys/admin", "admin", &Options::default().admin_token);
    house.put_fields("mail/key", &json!({ "key_id": made["id"], "key": made["key"] }));
    let test = || {
        let arguments = ["provider", "test", "keyservice", "--policy", "mail-key"];
        let output = house.keywheel(&arguments).output().expect("it runs");
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.code(), out.into_owned(), err.into_owned())
    };
    let (code, out, err) = test();
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(out.contains("the live key is accepted"), "{out}");
    assert!(err.contains("nothing is created, changed or deleted"), "{err}");
    let keys = service.keys("mail").await;
    assert_eq!(keys.len(), 1, "no key was made, and none deleted: {keys:?}");

    house.put("keys/admin", "admin", SECRETS[1]);
    let (code, out, err) = test();
    assert_eq!(code, Some(7), "a rotation would fail: {out}{err}");
    assert!(out.contains("cannot list the keys") && !out.contains(SECRETS[1]), "{out}");
}

/// Where the engine makes the value there is nothing to list: what is asked is whether the live one is accepted, and what can be
/// told without asking is whether the policy makes such values.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_engine_makes_can_be_tested_before_it_is_put() {
    const SECRET: &str = "canary0OfTheApplication000000000";
    let service = KeyService::start(Options::default()).await.expect("a free port");
    let url = format!("{}/v1/users/shop", service.url());
    let put = reqwest::Client::new()
        .put(format!("{url}/slots/orders_a"))
        .bearer_auth(Options::default().admin_token)
        .json(&json!({ "value": SECRET }));
    assert_eq!(put.send().await.expect("the service answers").status(), 204);
    let house = House::new();
    house.put_fields("keys/admin", &json!({ "token": Options::default().admin_token }));
    house.put("shop/hooks", "orders_a", SECRET);
    let policy = |generate: &str| {
        let text = format!(
            "version: 1\npolicy: shop-hooks\nrotator: webhook-signing\n\
             target: {{ url: \"{url}/slots\", verify_url: \"{url}/webhook\" }}\nadmin: {{ secret: keys/admin }}\n\
             strategy: {{ alternating: {{ users: [orders_a, orders_b] }} }}\nsecret: {{ name: shop/hooks }}\n\
             schedule: {{ manual: true }}\n{generate}\n"
        );
        std::fs::write(house.path("policies/shop-hooks.yaml"), text).expect("the folder is writable");
    };
    let test = |more: &[&str]| {
        let arguments = [&["provider", "test", "webhook-signing", "--policy", "shop-hooks"], more].concat();
        let output = house.keywheel(&arguments).output().expect("it runs");
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        house.search(&[SECRET.to_owned(), Options::default().admin_token].into(), &out);
        (output.status.code(), out)
    };
    policy("generate: { length: 64, charset: alphanumeric }");
    let (code, out) = test(&["--dry-run"]);
    assert_eq!(code, Some(0), "{out}");
    for part in [&format!("PUT {url}/slots/"), &format!("POST {url}/webhook"), "webhook-signature: v1,•••"] {
        assert!(out.contains(part), "{part} is in {out}");
    }
    let (code, out) = test(&[]);
    assert_eq!(code, Some(0), "{out}");
    assert!(out.contains("the live key is accepted"), "{out}");
    // What a policy makes that says nothing of it is not base64.
    policy("");
    let (code, out) = test(&[]);
    assert_eq!(code, Some(7), "{out}");
    assert!(out.contains("makes no secret of a webhook") && out.contains("charset: alphanumeric"), "{out}");
    assert_eq!(service.slots("shop").await, [("orders_a".to_owned(), SECRET.to_owned())]);
}
