//! The declarations of values that the engine makes, against an address that does what they ask of one and nothing else: how
//! such an address is to be written can be read here, and what it is sent in `golden/`. The exam is sat in `tests/exam`.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keywheel_apikey::{ApiKeyRotator, Held, Known, shipped};
use keywheel_sdk::{Admin, Answer, Bundle, Call, Check, GrantParity, Rotator, Secret, Severity, Strategy, Target};
use serde_json::json;

use crate::asked::{Asked, Odd, text};
use crate::case::Reply;
use crate::double::ROTATION;
use crate::life::{HOW, compare};
use crate::record::Record;

const TOKEN: &str = "canary-of-the-admin";
const FIRST: &str = "canary0OfTheFirst0Value000000001";
const SECOND: &str = "canary0OfTheSecond0Value00000002";

#[derive(Default)]
struct Inside {
    slots: Vec<(String, String)>,
    record: Record,
    odd: Vec<Odd>,
}

/// A running address with the shipped rotator that is to talk to it.
struct Address {
    inside: Arc<Mutex<Inside>>,
    rotator: ApiKeyRotator,
    target: Target,
}

impl Address {
    async fn start(provider: &str, verify: &str, strategy: Strategy) -> Self {
        let inside = Arc::new(Mutex::new(Inside::default()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(serve).with_state(Arc::clone(&inside));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let shipped = shipped().iter().find(|shipped| shipped.name == provider).unwrap();
        let settings = json!({ "url": format!("{url}/values"), "verify_url": format!("{url}{verify}") });
        let target = Target {
            settings: settings.as_object().unwrap().clone(),
            strategy,
            admin: Admin::Credential(Bundle::new().with("token", Secret::new(TOKEN.to_owned()))),
            generates: None,
        };
        Address { inside, rotator: ApiKeyRotator::new(shipped.provider()), target }
    }

    fn call(&self) -> Call<'_> {
        Call { target: &self.target, rotation: ROTATION, fence: 1, until: Instant::now() + Duration::from_secs(20) }
    }

    fn heading(&self, heading: &str) {
        self.inside.lock().unwrap().record.heading(heading);
    }

    fn has(&self, name: &str, value: &str) -> Bundle {
        self.inside.lock().unwrap().slots.push((name.to_owned(), value.to_owned()));
        login(name, value)
    }

    fn slots(&self) -> Vec<(String, String)> {
        self.inside.lock().unwrap().slots.clone()
    }

    /// What was sent, without secrets and without what differs each time.
    fn record(&self) -> String {
        let inside = self.inside.lock().unwrap();
        assert!(inside.odd.is_empty(), "{:#?}", inside.odd);
        let secrets = [(TOKEN, "admin's token"), (FIRST, "first value"), (SECOND, "second value")];
        let secrets: Vec<_> =
            secrets.into_iter().map(|(secret, whose)| (secret.to_owned(), whose.to_owned())).collect();
        let shown = inside.record.show(&secrets);
        let line = |line: &str| match line.split_once(": ") {
            Some((name @ ("webhook-id" | "webhook-timestamp"), _)) => format!("{name}: <another one each time>\n"),
            Some((name @ "webhook-signature", _)) => format!("{name}: v1,<of id, timestamp and body>\n"),
            _ => format!("{line}\n"),
        };
        shown.lines().map(line).collect()
    }

    /// From the first look to the end of the value before, and the way back of another one.
    async fn whole_life(&self, [live, next]: [&str; 2]) {
        let rotator = &self.rotator;
        let (current, candidate) = (self.has(live, FIRST), login(next, SECOND));
        self.heading("preflight: is the live one accepted?");
        let findings = rotator.preflight(&self.call(), Some(&current)).await.unwrap();
        assert!(findings.iter().all(|finding| finding.severity == Severity::Fine), "{findings:?}");
        self.heading("apply and verify: the second value is put, and accepted");
        rotator.apply(&self.call(), &candidate, Some(&current)).await.unwrap();
        rotator.verify(&self.call(), &candidate, Some(&current), &[Check::Login]).await.unwrap();
        self.heading("rolled back: as it was");
        rotator.restore(&self.call(), &candidate, Some(&current)).await.unwrap();
        assert_eq!(self.slots(), [(live.to_owned(), FIRST.to_owned())]);
        self.heading("another try");
        rotator.apply(&self.call(), &candidate, Some(&current)).await.unwrap();
        self.heading("revoke: the first value ends, and again");
        for _ in 0..2 {
            rotator.revoke(&self.call(), &current, &candidate, HOW).await.unwrap();
        }
        assert_eq!(self.slots(), [(next.to_owned(), SECOND.to_owned())]);
        assert!(matches!(rotator.probe(&self.call(), &current, &[]).await, Answer::No { .. }));
    }
}

fn login(name: &str, value: &str) -> Bundle {
    Bundle::login(name, Secret::new(value.to_owned()))
}

fn in_place() -> Strategy {
    Strategy::InPlace { user: "app".to_owned() }
}

fn alternating() -> Strategy {
    let users = ["app_a".to_owned(), "app_b".to_owned()];
    Strategy::Alternating { users, grant_parity: GrantParity::Ignore, create_missing: true }
}

async fn serve(State(inside): State<Arc<Mutex<Inside>>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap().to_vec();
    let query = url::form_urlencoded::parse(head.uri.query().unwrap_or("").as_bytes()).into_owned().collect();
    let path = head.uri.path().to_owned();
    let asked = Asked { method: head.method, path, query, headers: head.headers, body };
    let mut inside = inside.lock().unwrap();
    let (name, reply) = match inside.answer(&asked) {
        Ok(answered) => answered,
        Err(why) => {
            inside.odd.push(format!("{} {}: {why}", asked.method, asked.path));
            ("odd", Reply::empty(418))
        }
    };
    inside.record.add(name, &asked, reply.status);
    Response::builder().status(reply.status).body(Body::from(reply.body)).unwrap()
}

impl Inside {
    fn answer(&mut self, asked: &Asked) -> Result<(&'static str, Reply), Odd> {
        let (method, route) = asked.route();
        let segments: Vec<&str> = route.iter().map(String::as_str).collect();
        let status = match (method, segments.as_slice()) {
            ("GET", ["whoami"]) => {
                asked.is_bare()?;
                let value = asked.bearer().ok_or("no `Authorization: Bearer`")?;
                return Ok(("verify", self.known(|known| known == value)));
            }
            ("POST", ["hook"]) => {
                asked.json(&["type", "data"], &[])?;
                let signature = Signature::of(asked)?;
                return Ok(("verify", self.known(|known| signature.is_of(known))));
            }
            (_, ["values", ..]) if asked.bearer() != Some(TOKEN) => 401,
            ("PUT", ["values", name]) => {
                let body = asked.json(&["value"], &[])?;
                let value = text(&body["value"], "value")?.to_owned();
                self.slots.retain(|(known, _)| known != name);
                self.slots.push(((*name).to_owned(), value));
                return Ok(("put", Reply::empty(204)));
            }
            ("DELETE", ["values", name]) => {
                asked.is_bare()?;
                let before = self.slots.len();
                self.slots.retain(|(known, _)| known != name);
                if self.slots.len() < before { 204 } else { 404 }
            }
            _ => return Err("no such address".to_owned()),
        };
        Ok(("delete", Reply::empty(status)))
    }

    fn known(&self, is_it: impl Fn(&str) -> bool) -> Reply {
        Reply::empty(if self.slots.iter().any(|(_, value)| is_it(value)) { 204 } else { 401 })
    }
}

/// What the three headers of a webhook say of its body.
struct Signature {
    signed: Vec<u8>,
    tag: Vec<u8>,
}

impl Signature {
    fn of(asked: &Asked) -> Result<Self, Odd> {
        let header = |name: &str| asked.header(name).ok_or_else(|| format!("no `{name}`"));
        let (id, timestamp) = (header("webhook-id")?, header("webhook-timestamp")?);
        if id.contains('.') || timestamp.parse::<u64>().is_err() {
            return Err(format!("`{id}` or `{timestamp}` is not of its form"));
        }
        let tag = header("webhook-signature")?.strip_prefix("v1,").and_then(|tag| STANDARD.decode(tag).ok());
        let signed = [id.as_bytes(), timestamp.as_bytes(), &asked.body].join(&b'.');
        Ok(Signature { signed, tag: tag.ok_or("no signature of the version 1")? })
    }

    fn is_of(&self, secret: &str) -> bool {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &STANDARD.decode(secret).unwrap_or_default());
        hmac::verify(&key, &self.signed, &self.tag).is_ok()
    }
}

#[tokio::test]
async fn a_token_and_its_requests() {
    let mut record = String::new();
    for (strategy, names, what) in
        [(in_place(), ["app", "app"], "in place"), (alternating(), ["app_a", "app_b"], "alternating")]
    {
        let address = Address::start("generic", "/whoami", strategy).await;
        address.whole_life(names).await;
        record.push_str(&format!("#### {what}\n\n{}", address.record()));
    }
    compare("generic", &record);
}

#[tokio::test]
async fn a_signing_secret_and_its_requests() {
    let address = Address::start("webhook-signing", "/hook", alternating()).await;
    address.whole_life(["app_a", "app_b"]).await;
    compare("webhook-signing", &address.record());
}

/// What would be sent can be seen without any of it being sent, and without secrets.
#[test]
fn a_dry_run_shows_the_whole_addresses() {
    let target = json!({ "url": "https://api.example.com/values/", "verify_url": "https://api.example.com/hook/" });
    let known = Known { target: target.as_object().unwrap(), admin: Held::Assumed };
    for (name, verify) in [("generic", "GET"), ("webhook-signing", "POST")] {
        let shipped = shipped().iter().find(|shipped| shipped.name == name).unwrap();
        let sketches = shipped.provider().dry_run(&known).unwrap();
        let lines: Vec<_> = sketches.iter().map(|sketch| format!("{} {}", sketch.method, sketch.url)).collect();
        let slot = "https://api.example.com/values/${key.username}";
        let expected =
            [format!("PUT {slot}"), format!("{verify} https://api.example.com/hook/"), format!("DELETE {slot}")];
        assert_eq!(lines, expected, "an address that is whole keeps its slash");
        let sent = &sketches[1].headers;
        let signed = sent.iter().find(|(name, _)| name == "webhook-signature").map(|(_, value)| value.as_str());
        assert_eq!(signed, (name == "webhook-signing").then_some("v1,•••"));
        assert!(sketches[1].note.is_some_and(|note| note.contains("wrong key")));
    }
}
