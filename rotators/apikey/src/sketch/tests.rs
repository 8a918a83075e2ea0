//! Sketches against the requests that are sent, and what they show where something is missing.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use keywheel_sdk::{Admin, Bundle, Call, Secret, Strategy, Target};
use serde_json::json;

use super::*;
use crate::ApiKeyRotator;
use crate::access::Access;

/// Each kind of place that a value can stand in.
const DECLARATION: &str = r#"
version: 1
provider: places
about: All places.
base_url: "https://${target.host}/base/"
settings:
  host: { required: true, names_target: true, help: where }
  user: { required: true, names_target: true, help: whose }
  plan: { default: "free & easy", help: which }
  scopes: { kind: texts, default: [read, write], help: what for }
  rank: { kind: integer, default: 3, help: which place }
auth: { basic: { username: "${admin.username}", password: "${admin.password}" } }
headers: { Accept: application/json, X-Plan: "${target.plan}" }
fields: [key_id, key]
tag: "keywheel:${rotation}"
requests:
  create:
    method: POST
    path: "/u/${target.user}/keys"
    headers: { accept: text/json }
    json: { name: "${tag}", rank: "${target.rank}", scopes: "${target.scopes}", more: [null, "for ${target.user}"] }
    expect: [201]
    idempotency_key: Idempotency-Key
    extract: { key_id: "$.id", key: "$.key" }
  list:
    method: GET
    path: "/u/${target.user}/keys"
    query: { "of user": "${target.user}", tag: "${tag}" }
    expect: [200]
    items: "$.keys[*]"
    each: { key_id: "$.id", tag: "$.name" }
    next: { page: page, first: 1 }
  verify:
    method: POST
    path: /token
    form: { id: "${key.key_id}", secret: "${key.key}", plan: "${target.plan}" }
    headers: { content-type: application/x-www-form-urlencoded;charset=utf-8 }
    expect: [200]
    refused: [401]
  disable:
    method: PATCH
    path: "/keys/${key.key_id}"
    auth: { header: { name: X-Admin, value: "Key ${admin.token}" } }
    json: { state: "off" }
    expect: [200]
    gone: [404]
  delete:
    base_url: "https://keys.${target.host}"
    method: DELETE
    path: "/keys/${key.key_id}"
    query: { rank: "${target.rank}" }
    auth: { headers: { X-Admin: "${admin.token}", X-Plan: "${target.plan}" } }
    expect: [204]
    gone: [404]
"#;

fn provider() -> Provider {
    Provider::parse("places.yaml", DECLARATION).map_err(|mistakes| format!("{mistakes:?}")).unwrap()
}

fn settings() -> Map<String, Value> {
    json!({ "host": "api.example.com", "user": "a/b?c&d e" }).as_object().unwrap().clone()
}

fn header<'a>(sketch: &'a Sketch, name: &str) -> Option<&'a str> {
    sketch.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
}

fn sketch<'a>(sketches: &'a [Sketch], request: &str) -> &'a Sketch {
    sketches.iter().find(|sketch| sketch.request == request).unwrap()
}

/// The placeholders filled in, it is the request that is sent: so what it shows is what happens.
#[tokio::test]
async fn a_sketch_is_the_request_but_for_its_values() {
    let admin = ["username", "password", "token"]
        .into_iter()
        .fold(Bundle::new(), |bundle, name| bundle.with(name, Secret::new(format!("{name}-canary"))));
    let key =
        Bundle::new().with("key_id", Secret::new("id-7".to_owned())).with("key", Secret::new("key-canary".to_owned()));
    let target = Target {
        settings: settings(),
        strategy: Strategy::Overlapping,
        admin: Admin::Credential(admin),
        generates: None,
    };
    let call = Call { target: &target, rotation: "r-1", fence: 1, until: Instant::now() + Duration::from_secs(5) };
    let rotator = ApiKeyRotator::new(provider());
    let access = Access::of(&rotator, &call).unwrap();
    let known = Known { target: &target.settings, admin: Held::Assumed };
    let sketches = rotator.provider.dry_run(&known).unwrap();
    assert_eq!(sketches.len(), 5);
    for (request, sketch) in rotator.provider.requests().zip(&sketches) {
        let sent = access.request(request, Some(&key)).await.unwrap().request;
        let fill = |text: &str| text.replace("${rotation}", "r-1").replace("${key.key_id}", "id-7");
        // What `list` and `create` add to their request themselves.
        let url = fill(&sketch.url).replace("&page=1", "");
        assert_eq!(url, sent.url().as_str(), "{}", request.name);
        assert_eq!(sketch.method, sent.method().as_str());
        let made: Vec<_> = sketch.headers.iter().filter(|(name, _)| name != "idempotency-key").collect();
        assert_eq!(made.len(), sent.headers().len(), "{}: {made:?}", request.name);
        for (name, value) in made {
            let real = sent.headers()[name].to_str().unwrap();
            let secret = value.contains(SECRET);
            assert_eq!(secret, name == "authorization" || name == "x-admin", "{name}");
            assert!(secret || fill(value) == real, "{name}: {value}, but {real}");
        }
        let body = sent.body().map(|body| String::from_utf8(body.as_bytes().unwrap().to_vec()).unwrap());
        let shown = sketch.body.as_deref().map(|body| fill(body).replace(SECRET, "key-canary"));
        assert_eq!(shown, body, "{}", request.name);
        assert!(!format!("{sketch:?}").contains("canary"), "S6: {sketch:?}");
    }
}

#[test]
fn secrets_are_marks_and_what_nobody_knows_is_a_placeholder() {
    let settings = settings();
    let sketches = provider().dry_run(&Known { target: &settings, admin: Held::Assumed }).unwrap();
    let list = sketch(&sketches, "list");
    assert_eq!(
        list.url,
        "https://api.example.com/base/u/a%2Fb%3Fc%26d%20e/keys\
         ?of+user=a%2Fb%3Fc%26d+e&tag=keywheel%3A${rotation}&page=1"
    );
    assert_eq!(header(list, "authorization"), Some("Basic base64(•••:•••)"));
    let create = sketch(&sketches, "create");
    assert_eq!(header(create, "idempotency-key"), Some("${rotation}-${random}"));
    assert_eq!(header(create, "accept"), Some("text/json"));
    let body: Value = serde_json::from_str(create.body.as_deref().unwrap()).unwrap();
    assert_eq!(
        body,
        json!({ "name": "keywheel:${rotation}", "rank": 3, "scopes": ["read", "write"], "more": [null, "for a/b?c&d e"] })
    );
    let verify = sketch(&sketches, "verify");
    assert_eq!(verify.body.as_deref(), Some("id=${key.key_id}&secret=•••&plan=free+%26+easy"));
    assert_eq!(header(verify, "authorization"), None, "the admin's credential is not in `verify`");
    assert_eq!(sketch(&sketches, "delete").url, "https://keys.api.example.com/keys/${key.key_id}?rank=3");
}

#[test]
fn what_is_missing_is_told() {
    let (empty, fields) = (Map::new(), ["username".to_owned(), "password".to_owned()]);
    let sketches = provider().dry_run(&Known { target: &empty, admin: Held::Fields(&fields) }).unwrap();
    let list = sketch(&sketches, "list");
    assert!(list.url.starts_with("https://${target.host}/base/u/${target.user}/keys?"), "{}", list.url);
    assert_eq!(header(list, "authorization"), Some("Basic base64(•••:•••)"));
    assert_eq!(header(list, "x-plan"), Some("free & easy"), "a default is a value");
    assert_eq!(header(sketch(&sketches, "disable"), "x-admin"), Some("Key (missing: admin.token)"));
    let sketches = provider().dry_run(&Known { target: &empty, admin: Held::Fields(&[]) }).unwrap();
    let basic = "Basic base64((missing: admin.username):(missing: admin.password))";
    assert_eq!(header(&sketches[0], "authorization"), Some(basic));
}

#[test]
fn tokens_and_signatures_are_shown_without_what_makes_them() {
    let basic = "auth: { basic: { username: \"${admin.username}\", password: \"${admin.password}\" } }";
    let token = DECLARATION.replace(
        basic,
        "auth: { oauth2: { token_url: \"https://login.${target.host}/token\", client_id: \"${admin.username}\", \
         client_secret: \"${admin.password}\", scope: \"keys of ${target.plan}\" } }",
    );
    let settings = settings();
    let known = Known { target: &settings, admin: Held::Assumed };
    let parse = |text: &str| Provider::parse("test.yaml", text).map_err(|mistakes| format!("{mistakes:?}")).unwrap();
    let sketches = parse(&token).dry_run(&known).unwrap();
    let names: Vec<_> = sketches.iter().map(|sketch| sketch.request).collect();
    assert_eq!(names, ["token", "create", "list", "verify", "disable", "delete"], "it is asked for once");
    let asked = &sketches[0];
    assert_eq!(asked.url, "https://login.api.example.com/token");
    let body = "grant_type=client_credentials&scope=keys+of+free+%26+easy&client_id=•••&client_secret=•••";
    assert_eq!(asked.body.as_deref(), Some(body));
    assert_eq!(header(&sketches[1], "authorization"), Some("Bearer ${token}"));
    let in_header = token.replace("scope: ", "basic: true, scope: ");
    let sketches = parse(&in_header).dry_run(&known).unwrap();
    assert_eq!(header(&sketches[0], "authorization"), Some("Basic base64(•••:•••)"));

    let signed = DECLARATION.replace(
        basic,
        "auth: { sigv4: { access_key_id: \"${admin.username}\", secret_access_key: \"${admin.password}\", \
         session_token: \"${admin.token}\", region: \"${target.plan}\", service: iam } }",
    );
    let fields = ["username".to_owned(), "token".to_owned()];
    let known = Known { target: &settings, admin: Held::Fields(&fields) };
    let sketches = parse(&signed).dry_run(&known).unwrap();
    let create = sketch(&sketches, "create");
    assert_eq!(header(create, "x-amz-security-token"), Some("•••"));
    let value = header(create, "authorization").unwrap();
    assert!(value.starts_with("AWS4-HMAC-SHA256 Credential=•••/${today}/free & easy/iam/aws4_request, "), "{value}");
    assert!(value.ends_with("Signature=(missing: admin.password)"), "{value}");
}

#[test]
fn how_long_a_key_lives_is_known_and_until_when_is_not() {
    let text = DECLARATION
        .replace("  rank: {", "  lifetime: { kind: duration, default: 30d, help: how long }\n  rank: {")
        .replace("requests:", "lifetime: \"${target.lifetime}\"\nrequests:")
        .replace("rank: \"${target.rank}\", s", "ttl: \"${expires.seconds}\", end: \"${expires.date}\", s");
    let provider = Provider::parse("test.yaml", &text).map_err(|mistakes| format!("{mistakes:?}")).unwrap();
    let settings = settings();
    let sketches = provider.dry_run(&Known { target: &settings, admin: Held::Assumed }).unwrap();
    let body: Value = serde_json::from_str(sketch(&sketches, "create").body.as_deref().unwrap()).unwrap();
    assert_eq!((&body["ttl"], &body["end"]), (&json!(2_592_000), &json!("${expires.date}")));
}

#[test]
fn only_a_verify_with_a_control_is_sent_twice() {
    let settings = settings();
    let known = Known { target: &settings, admin: Held::Assumed };
    let noted = |text: &str| {
        let provider = Provider::parse("test.yaml", text).map_err(|mistakes| format!("{mistakes:?}")).unwrap();
        let sketches = provider.dry_run(&known).unwrap();
        sketches.iter().filter(|sketch| sketch.note.is_some()).map(|sketch| sketch.request).collect::<Vec<_>>()
    };
    assert_eq!(noted(DECLARATION), ["verify"]);
    let without = "    negative_control: false\n    holds: \"$.id\"\n    refused: [401]";
    assert!(noted(&DECLARATION.replace("    refused: [401]", without)).is_empty());
}

#[test]
fn a_value_that_cannot_stand_there_is_refused_as_it_is_when_sent() {
    let mut settings = settings();
    settings.insert("user".to_owned(), json!(".."));
    let refused = provider().dry_run(&Known { target: &settings, admin: Held::Assumed }).unwrap_err();
    assert!(refused.contains("`target.user`"), "{refused}");
    settings.insert("host".to_owned(), json!("evil.com/"));
    assert!(provider().dry_run(&Known { target: &settings, admin: Held::Assumed }).is_err());
}

#[test]
fn each_shipped_declaration_can_be_drawn_without_a_policy() {
    let nothing = Map::new();
    for shipped in crate::shipped() {
        let provider = shipped.provider();
        let sketches = provider.dry_run(&Known { target: &nothing, admin: Held::Assumed });
        let sketches = sketches.unwrap_or_else(|why| panic!("{}: {why}", provider.name()));
        let drawn = sketches.iter().filter(|sketch| sketch.request != "token").count();
        assert_eq!(drawn, provider.requests().count(), "{}", provider.name());
    }
}
