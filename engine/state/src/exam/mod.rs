//! The exam: what every [`StateStore`] must do, as a table of named cases.
//!
//! A new store implements [`Examinee`] in its tests and calls [`sit`]. Each case gets a fresh data set with two holders.

mod journal;
mod lease;
mod outbox;
mod query;
mod race;
mod script;

use std::any::Any;
use std::fmt::{self, Debug, Display};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use keywheel_core::{Cause, Event, NewRotation, Rotation, RotationId, Shape, Step};
use uuid::Uuid;

use crate::{Claim, Lease, StateError, StateStore};

/// One empty data set, seen by two holders.
pub struct Hall {
    /// One holder. Where [`Examinee::sees_gone_holders`], dropping the last `Arc` is its end.
    pub one: Arc<dyn StateStore>,
    /// Another holder of the same data.
    pub two: Arc<dyn StateStore>,
    /// What must outlive both, such as a temporary folder.
    pub keep: Box<dyn Any + Send + Sync>,
}

/// A store that sits the exam.
#[async_trait]
pub trait Examinee: Send + Sync {
    /// A fresh, empty data set.
    async fn hall(&self) -> Result<Hall, StateError>;

    /// Whether the store can tell that a holder is gone, before its leases expire.
    fn sees_gone_holders(&self) -> bool;
}

/// One case of the exam.
pub struct Case {
    /// What is asked, as a fragment: the store …
    pub name: &'static str,
    /// Only for stores that see it when a holder is gone.
    pub needs_gone_holders: bool,
    run: fn(Hall) -> Running,
}

type Running = Pin<Box<dyn Future<Output = Result<(), Failed>> + Send>>;

/// Runs all cases. How many were passed, or what failed, one line each.
///
/// # Errors
/// Every case that failed, with what it found.
pub async fn sit(examinee: &dyn Examinee) -> Result<usize, String> {
    let mut passed = 0;
    let mut failures = Vec::new();
    for case in CASES {
        if case.needs_gone_holders && !examinee.sees_gone_holders() {
            continue;
        }
        let outcome = match examinee.hall().await {
            Ok(hall) => (case.run)(hall).await,
            Err(error) => Err(error.into()),
        };
        match outcome {
            Ok(()) => passed += 1,
            Err(failed) => failures.push(format!("{}: {failed}", case.name)),
        }
    }
    if failures.is_empty() { Ok(passed) } else { Err(failures.join("\n")) }
}

/// All cases, in the order in which they are sat.
pub const CASES: &[Case] = &[
    case("grants a free lease, and refuses it to everybody else", |h| Box::pin(lease::exclusive(h))),
    case("grants an expired lease to another, with a greater fence", |h| Box::pin(lease::expired(h))),
    case("grants an expired lease to its own holder, with a greater fence", |h| Box::pin(lease::expired_own(h))),
    case("extends a lease", |h| Box::pin(lease::renewed(h))),
    case("extends a lease that expired unnoticed", |h| Box::pin(lease::renewed_late(h))),
    case("does not extend a lease that was lost or given back", |h| Box::pin(lease::renewed_lost(h))),
    case("takes a lease back, more than once", |h| Box::pin(lease::released(h))),
    case("leaves the new owner's lease alone when the old one is given back", |h| Box::pin(lease::released_lost(h))),
    case("leaves a holder's new lease alone when it gives back its old one", |h| Box::pin(lease::released_own_old(h))),
    case("keeps the leases of different secrets apart", |h| Box::pin(lease::apart(h))),
    case("keeps a lease until the end of time", |h| Box::pin(lease::endless(h))),
    Case {
        needs_gone_holders: true,
        ..case("frees the leases of a holder that is gone", |h| Box::pin(lease::gone(h)))
    },
    case("creates a rotation in the initial state", |h| Box::pin(journal::created(h))),
    case("creates a rotation with its first events, or not at all", |h| Box::pin(journal::created_with_events(h))),
    case("has one open rotation of a secret", |h| Box::pin(journal::already_open(h))),
    case("never takes an id twice", |h| Box::pin(journal::same_id(h))),
    case("creates nothing without the lease", |h| Box::pin(journal::create_fenced(h))),
    case("gives back every event and every state as it was written", |h| Box::pin(journal::round_trip(h))),
    case("refuses an append at the wrong place", |h| Box::pin(journal::moved(h))),
    case("refuses an append at a place that another holder has passed", |h| Box::pin(journal::moved_by_another(h))),
    case("leaves no trace of illegal events", |h| Box::pin(journal::illegal(h))),
    case("confirms the present state when nothing is appended", |h| Box::pin(journal::nothing(h))),
    case("refuses an append under a lease that was taken over", |h| Box::pin(journal::append_fenced(h))),
    case("refuses an append under a holder's own older lease", |h| Box::pin(journal::append_own_old(h))),
    case("accepts an append under a lease that expired unnoticed", |h| Box::pin(journal::append_late(h))),
    case("refuses an append under somebody else's lease", |h| Box::pin(journal::append_foreign(h))),
    case("gives the lease back with the last events, and only with them", |h| Box::pin(journal::append_last(h))),
    case("does not know what was never created", |h| Box::pin(journal::unknown(h))),
    case("records the fence of each event's writer", |h| Box::pin(journal::fences(h))),
    case("records the plugin that acted at each event", |h| Box::pin(journal::plugins(h))),
    case("lists open rotations, oldest first", |h| Box::pin(query::open(h))),
    case("lists rotations by order of creation, whatever the clock said", |h| Box::pin(query::history(h))),
    case("lists the newest rotation of each secret, in name order", |h| Box::pin(query::latest(h))),
    case("keeps names as they are", |h| Box::pin(query::names(h))),
    case("keeps what people should hear of together with what happened", |h| Box::pin(outbox::events(h))),
    case("keeps what is told once, in its order", |h| Box::pin(outbox::told(h))),
    case("keeps how far each notifier is, under its lease", |h| Box::pin(outbox::delivered(h))),
    case("grants a lease to one of many who claim at once", |h| Box::pin(race::claims(h))),
    case("lets one of many creates of a secret win", |h| Box::pin(race::creates(h))),
    case("lets one of many appends at the same place win", |h| Box::pin(race::appends(h))),
    case("keeps many rotations apart that move at once", |h| Box::pin(race::many(h))),
];

const fn case(name: &'static str, run: fn(Hall) -> Running) -> Case {
    Case { name, needs_gone_holders: false, run }
}

/// What a case found.
struct Failed(String);

impl Failed {
    fn differ(what: &str, found: &dyn Debug, wanted: &dyn Debug) -> Self {
        Failed(format!("{what} is {found:?}, not {wanted:?}"))
    }
}

impl From<StateError> for Failed {
    fn from(error: StateError) -> Self {
        Failed(format!("unexpected error: {error}"))
    }
}

impl From<keywheel_core::Illegal> for Failed {
    fn from(error: keywheel_core::Illegal) -> Self {
        Failed(format!("the exam itself is wrong: {error}"))
    }
}

impl Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Two values must be equal.
macro_rules! same {
    ($found:expr, $wanted:expr) => {{
        let (found, wanted) = (&$found, &$wanted);
        if found != wanted {
            return Err($crate::exam::Failed::differ(stringify!($found), found, wanted));
        }
    }};
}
/// A call must be refused in this way.
macro_rules! refused {
    ($call:expr, $pattern:pat $(if $guard:expr)?) => {{
        let answer = $call;
        if !matches!(&answer, Err($pattern) $(if $guard)?) {
            return Err($crate::exam::Failed(format!(
                "{} is {answer:?}, not {}", stringify!($call), stringify!($pattern $(if $guard)?)
            )));
        }
    }};
}
use {refused, same};

/// How long the exam's leases last.
const TTL: Duration = Duration::from_secs(60);

/// The exam's time, in seconds from its beginning. Not in whole microseconds, as no clock's is.
fn at(seconds: i64) -> Timestamp {
    Timestamp::new(1_800_000_000 + seconds, 123_456_789).expect("a few years from now is a timestamp")
}

/// [`at`], as it is stored.
fn stored_at(seconds: i64) -> Timestamp {
    crate::fold::whole_micros(at(seconds))
}

fn id(number: u32) -> RotationId {
    RotationId::new(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + u128::from(number)))
}

fn new(number: u32, secret: &str) -> NewRotation {
    NewRotation {
        id: id(number),
        secret: secret.to_owned(),
        policy: "orders-db".to_owned(),
        digest: "0f".repeat(32),
        shape: Shape::Alternating,
        target: "postgres://db/orders".to_owned(),
        cause: Cause::Schedule { due: at(0) },
        replaces: Some("v1".to_owned()),
    }
}

async fn granted(store: &dyn StateStore, secret: &str, seconds: i64) -> Result<Lease, Failed> {
    match store.claim(secret, TTL, at(seconds)).await? {
        Claim::Granted(lease) => Ok(lease),
        Claim::Held { until } => Err(Failed(format!("the lease on `{secret}` is held until {until}"))),
    }
}

/// Claims a secret and creates a rotation of it.
async fn started(store: &dyn StateStore, number: u32, secret: &str) -> Result<(Lease, Rotation), Failed> {
    let lease = granted(store, secret, 0).await?;
    let _ = store.create(&lease, new(number, secret), &[], at(0)).await?;
    Ok((lease, must_fit(store, id(number)).await?))
}

fn began(step: Step, attempt: u32) -> Event {
    Event::Began { step, attempt }
}

fn succeeded(step: Step) -> Event {
    Event::Succeeded { step, settled: false, note: None, hold: None }
}

/// The shortest way from the initial state to an end: ordered back before anything began.
fn ending() -> [Event; 3] {
    [Event::RollBackOrdered { by: "app_a".to_owned() }, began(Step::Discard, 1), succeeded(Step::Discard)]
}

/// A rotation's row and journal must fit each other.
async fn must_fit(store: &dyn StateStore, id: RotationId) -> Result<Rotation, Failed> {
    let Some(row) = store.rotation(id).await? else { return Err(Failed(format!("{id} is gone"))) };
    let journal = store.events(id).await?;
    same!(crate::replay(&journal)?, row.state);
    same!(journal.len() as u64, row.seq);
    Ok(row)
}
