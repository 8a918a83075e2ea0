//! A vendor's double: a server that answers by the vendor's rules, records what it is asked, and breaks on order.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use keywheel_apikey::{ApiKeyRotator, shipped};
use keywheel_sdk::{Admin, Bundle, Call, Secret, Strategy, Target};
use serde_json::{Map, Value};

use crate::asked::Asked;
use crate::case::{Case, Reply};
use crate::record::Record;
use crate::shelf::{Key, Shelf};

/// The rotation that is under way in all tests, in the form of the engine's ids.
pub const ROTATION: &str = "0199c3c0-5c9e-7cc0-9d7c-2b1f6a4e8d11";
/// One before it.
pub const EARLIER: &str = "0199b111-75aa-7f21-8a30-c4d2a86d0b7e";

/// What makes, disables or deletes a key.
const CHANGES: [&str; 3] = ["create", "disable", "delete"];

/// What happens to the next request of a name instead of what should.
pub enum Fault {
    /// This answer, and nothing done.
    Instead(u16, &'static [(&'static str, &'static str)], String),
    /// The connection breaks, and nothing is done.
    CutBefore,
    /// It is done, then the connection breaks.
    CutAfter,
    /// Nothing is done, and nobody says so.
    Stall,
    /// It is done, and nobody says so.
    StallAfter,
}

/// What a request comes to.
enum Outcome {
    Answered(Reply),
    Cut,
    Stalled,
}

#[derive(Default)]
struct Inside {
    shelf: Shelf,
    /// Each with the requests of which it strikes the first.
    faults: VecDeque<(Vec<&'static str>, Fault)>,
    /// How often a connection broke or stalled.
    strikes: u64,
    record: Record,
    odd: Vec<String>,
}

/// A running double, and the shipped rotator that is to talk to it.
pub struct Double {
    case: &'static Case,
    inside: Arc<Mutex<Inside>>,
    pub rotator: ApiKeyRotator,
    target: Target,
}

impl Double {
    /// With an admin and no keys.
    pub async fn start(case: &'static Case) -> Self {
        let admin = case.admin.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let shelf = Shelf::of(admin.collect(), case.limit);
        let inside = Arc::new(Mutex::new(Inside { shelf, ..Inside::default() }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(serve).with_state((case, Arc::clone(&inside)));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let target = Target {
            settings: (case.settings)(&url).as_object().unwrap().clone(),
            strategy: Strategy::Overlapping,
            admin: Admin::Credential(bundle(case.admin)),
            generates: None,
        };
        Double { case, inside, rotator: shipped_rotator(case), target }
    }

    /// One call of the rotation that is under way.
    pub fn call(&self) -> Call<'_> {
        Call { target: &self.target, rotation: ROTATION, fence: 1, until: Instant::now() + Duration::from_secs(20) }
    }

    /// The same target, and an admin whom the vendor does not know.
    pub fn stranger(&self) -> Target {
        let wrong: Vec<_> = self.case.admin.iter().map(|(name, _)| (*name, self.case.wrong_admin)).collect();
        let Target { settings, strategy, .. } = &self.target;
        let admin = Admin::Credential(bundle(&wrong));
        Target { settings: settings.clone(), strategy: strategy.clone(), admin, generates: None }
    }

    pub fn shelf(&self) -> impl std::ops::DerefMut<Target = Shelf> + '_ {
        struct Guard<'a>(MutexGuard<'a, Inside>);
        impl std::ops::Deref for Guard<'_> {
            type Target = Shelf;
            fn deref(&self) -> &Shelf {
                &self.0.shelf
            }
        }
        impl std::ops::DerefMut for Guard<'_> {
            fn deref_mut(&mut self) -> &mut Shelf {
                &mut self.0.shelf
            }
        }
        Guard(self.inside.lock().unwrap())
    }

    /// A key that is there, made by an earlier rotation or by hand.
    pub fn has(&self, name: &str) -> Bundle {
        let key = (self.case.make)(&mut self.shelf(), name);
        self.bundle(&key)
    }

    /// What the secret store holds of a key.
    pub fn bundle(&self, key: &Key) -> Bundle {
        Bundle::new().with("key_id", Secret::new(key.id.clone())).with(self.case.field, Secret::new(key.secret.clone()))
    }

    /// A tag as an earlier rotation has left it.
    pub fn earlier(&self) -> String {
        (self.case.tag)(EARLIER)
    }

    pub fn tag(&self) -> String {
        (self.case.tag)(ROTATION)
    }

    pub fn fault(&self, name: &'static str, fault: Fault) {
        self.inside.lock().unwrap().faults.push_back((vec![name], fault));
    }

    /// The next request that changes a key, whichever it is.
    pub fn fault_of_change(&self, fault: Fault) {
        self.inside.lock().unwrap().faults.push_back((CHANGES.to_vec(), fault));
    }

    /// How often a connection broke or stalled.
    pub fn strikes(&self) -> u64 {
        self.inside.lock().unwrap().strikes
    }

    /// Takes all keys away, and all faults that did not happen.
    pub fn clear(&self) {
        let mut inside = self.inside.lock().unwrap();
        inside.faults.clear();
        inside.shelf.keys.clear();
    }

    /// What a policy says of the target.
    pub fn settings(&self) -> Map<String, Value> {
        self.target.settings.clone()
    }

    /// The admin's credential.
    pub fn admin(&self) -> Bundle {
        bundle(self.case.admin)
    }

    /// Begins a section of the record.
    pub fn heading(&self, heading: &str) {
        self.inside.lock().unwrap().record.heading(heading);
    }

    /// What was asked so far, without secrets.
    pub fn record(&self) -> String {
        let inside = self.inside.lock().unwrap();
        inside.record.show(&inside.shelf.secrets)
    }

    /// How often a request of this name has come.
    pub fn count(&self, name: &str) -> usize {
        self.inside.lock().unwrap().record.count(name)
    }

    /// Nothing was asked that the vendor does not know, and all faults have happened.
    pub fn was_asked_rightly(&self) {
        let inside = self.inside.lock().unwrap();
        assert!(inside.odd.is_empty(), "{}: {:#?}", self.case.provider, inside.odd);
        let left: Vec<_> = inside.faults.iter().map(|(names, _)| names).collect();
        assert!(left.is_empty(), "{}: nobody asked for {left:?}", self.case.provider);
    }
}

fn bundle(fields: &[(&str, &str)]) -> Bundle {
    fields.iter().fold(Bundle::new(), |bundle, (name, value)| bundle.with(name, Secret::new((*value).to_owned())))
}

/// A rotator of the declaration as it is shipped.
pub fn shipped_rotator(case: &Case) -> ApiKeyRotator {
    let shipped = shipped().iter().find(|shipped| shipped.name == case.provider).unwrap();
    ApiKeyRotator::new(shipped.provider())
}

async fn serve(State((case, inside)): State<(&'static Case, Arc<Mutex<Inside>>)>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap().to_vec();
    let query = url::form_urlencoded::parse(head.uri.query().unwrap_or("").as_bytes()).into_owned().collect();
    let path = head.uri.path().to_owned();
    let asked = Asked { method: head.method, path, query, headers: head.headers, body };
    let outcome = inside.lock().unwrap().outcome(case, &asked);
    let reply = match outcome {
        Outcome::Answered(reply) => reply,
        // Ends the connection's task without a word, and without the noise of a panic.
        Outcome::Cut => std::panic::resume_unwind(Box::new(())),
        Outcome::Stalled => std::future::pending().await,
    };
    let mut response = Response::builder().status(reply.status);
    for (name, value) in &reply.headers {
        response = response.header(name, value);
    }
    response.body(Body::from(reply.body)).unwrap()
}

impl Inside {
    fn outcome(&mut self, case: &Case, asked: &Asked) -> Outcome {
        let name = (case.name)(asked);
        let strikes = |(names, _): &(Vec<_>, _)| name.is_some_and(|name| names.contains(&name));
        let fault = self.faults.iter().position(strikes).and_then(|at| self.faults.remove(at)).map(|(_, fault)| fault);
        let (reply, broken) = match fault {
            None => (self.answer(case, name, asked), None),
            Some(Fault::Instead(status, headers, body)) => (Reply::raw(status, headers, &body), None),
            Some(Fault::CutAfter) => (self.answer(case, name, asked), Some(Outcome::Cut)),
            Some(Fault::StallAfter) => (self.answer(case, name, asked), Some(Outcome::Stalled)),
            Some(Fault::CutBefore) => {
                self.strikes += 1;
                return Outcome::Cut;
            }
            Some(Fault::Stall) => {
                self.strikes += 1;
                return Outcome::Stalled;
            }
        };
        self.strikes += u64::from(broken.is_some());
        self.record.add(name.unwrap_or("elsewhere"), asked, reply.status);
        broken.unwrap_or(Outcome::Answered(reply))
    }

    fn answer(&mut self, case: &Case, name: Option<&'static str>, asked: &Asked) -> Reply {
        let reply = match name {
            None => Err("the vendor has no such address".to_owned()),
            Some(name) => (case.answer)(&mut self.shelf, name, asked),
        };
        reply.unwrap_or_else(|why| {
            self.odd.push(format!("{} {}: {why}", asked.method, asked.path));
            Reply::raw(418, &[], &why)
        })
    }
}
