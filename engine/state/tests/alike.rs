//! Whatever is asked of them, in whatever order, both stores give the same answers.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::fmt::Debug;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use keywheel_core::{After, Cause, Event, Failure, Hold, NewRotation, Retry, RotationId, Shape, State, Step, Why};
use keywheel_state::memory::MemoryState;
use keywheel_state::sqlite::SqliteState;
use keywheel_state::{Claim, History, Lease, StateError, StateStore, replay};
use proptest::prelude::*;
use uuid::Uuid;

const SECRETS: [&str; 3] = ["orders", "invoices", "ключ"];
const ROTATIONS: u32 = 6;

/// What is asked. Indexes are taken modulo what there is.
#[derive(Debug, Clone)]
enum Ask {
    Claim {
        holder: usize,
        secret: usize,
        ttl: u64,
    },
    Renew {
        holder: usize,
        lease: usize,
        ttl: u64,
    },
    Release {
        holder: usize,
        lease: usize,
    },
    Create {
        holder: usize,
        lease: usize,
        number: u32,
        events: Vec<usize>,
    },
    /// `misplaced` is added to the right place, and mostly nothing.
    Append {
        holder: usize,
        lease: usize,
        number: u32,
        misplaced: u64,
        events: Vec<usize>,
        release: bool,
    },
}

fn ask() -> impl Strategy<Value = Ask> {
    let (holder, lease, ttl) = (0..2usize, any::<usize>(), 0..50u64);
    let number = 0..ROTATIONS;
    prop_oneof![
        2 => (holder.clone(), 0..SECRETS.len(), ttl.clone())
            .prop_map(|(holder, secret, ttl)| Ask::Claim { holder, secret, ttl }),
        1 => (holder.clone(), lease, ttl).prop_map(|(holder, lease, ttl)| Ask::Renew { holder, lease, ttl }),
        1 => (holder.clone(), lease).prop_map(|(holder, lease)| Ask::Release { holder, lease }),
        3 => (holder.clone(), lease, number.clone(), prop::collection::vec(0..9usize, 0..3))
            .prop_map(|(holder, lease, number, events)| Ask::Create { holder, lease, number, events }),
        8 => (
            holder,
            lease,
            number,
            prop_oneof![9 => Just(0), 1 => 1..3u64],
            prop::collection::vec(0..9usize, 0..4),
            prop_oneof![4 => Just(false), 1 => Just(true)],
        )
            .prop_map(|(holder, lease, number, misplaced, events, release)| Ask::Append {
                holder, lease, number, misplaced, events, release
            }),
    ]
}

fn id(number: u32) -> RotationId {
    RotationId::new(Uuid::from_u128(u128::from(number)))
}

fn new(number: u32, secret: &str) -> NewRotation {
    NewRotation {
        id: id(number),
        secret: secret.to_owned(),
        policy: "orders-db".to_owned(),
        digest: String::new(),
        shape: Shape::InPlace,
        target: "postgres://db/orders".into(),
        cause: Cause::Person { by: "app_a".to_owned(), reason: None },
        replaces: None,
    }
}

/// An event that fits the state, most of the time.
fn event(kind: usize, state: &State, now: Timestamp) -> Event {
    let step = state.step().unwrap_or(Step::Generate);
    let hold = Some(Hold { until: now, why: Why::Backoff });
    let fail = |then| Event::Failed {
        step,
        settled: false,
        failure: Failure::new("28P01", "refused", Retry::After(Duration::from_nanos(kind as u64))),
        then,
    };
    match kind {
        0..=2 => Event::Began { step, attempt: state.attempts + 1 },
        3 | 4 => Event::Succeeded { step, settled: kind == 4, note: None, hold },
        5 => fail(After::Again { hold }),
        6 => fail(After::RollBack),
        7 => fail(After::Park),
        _ => Event::RollBackOrdered { by: "app_a".to_owned() },
    }
}

fn events_from(mut state: State, kinds: &[usize], now: Timestamp) -> Vec<Event> {
    let mut made = Vec::new();
    for &kind in kinds {
        let event = event(kind, &state, now);
        state = keywheel_core::transition(&state, &event, now).unwrap_or(state);
        made.push(event);
    }
    made
}

fn said<T: Debug>(answer: &Result<T, StateError>) -> String {
    format!("{answer:?}")
}

/// Two holders of one data set, and the leases they were granted.
struct Pupil {
    holders: [Box<dyn StateStore>; 2],
    leases: Vec<Lease>,
}

impl Pupil {
    fn lease(&self, index: usize) -> Option<&Lease> {
        self.leases.get(index.checked_rem(self.leases.len())?)
    }

    async fn answer(&mut self, ask: &Ask, now: Timestamp) -> String {
        match *ask {
            Ask::Claim { holder, secret, ttl } => {
                let claim = self.holders[holder].claim(SECRETS[secret], Duration::from_secs(ttl), now).await;
                if let Ok(Claim::Granted(lease)) = &claim {
                    self.leases.push(lease.clone());
                }
                said(&claim)
            }
            Ask::Renew { holder, lease, ttl } => {
                let Some(lease) = self.lease(lease) else { return String::new() };
                said(&self.holders[holder].renew(lease, Duration::from_secs(ttl), now).await)
            }
            Ask::Release { holder, lease } => {
                let Some(lease) = self.lease(lease) else { return String::new() };
                said(&self.holders[holder].release(lease).await)
            }
            Ask::Create { holder, lease, number, ref events } => {
                let Some(lease) = self.lease(lease) else { return String::new() };
                let made = events_from(State::initial(), events, now);
                said(&self.holders[holder].create(lease, new(number, &lease.secret), &made, now).await)
            }
            Ask::Append { holder, lease, number, misplaced, ref events, release } => {
                let Some(lease) = self.lease(lease) else { return String::new() };
                let row = self.holders[holder].rotation(id(number)).await.unwrap();
                let (state, seq) = row.map_or((State::initial(), 0), |row| (row.state, row.seq));
                let made = events_from(state, events, now);
                let (store, after) = (&self.holders[holder], seq + misplaced);
                said(&match release {
                    false => store.append(lease, id(number), after, &made, now).await,
                    true => store.append_and_release(lease, id(number), after, &made, now).await,
                })
            }
        }
    }

    /// All that can be read. Each row must be the replay of its journal.
    async fn everything(&self) -> Vec<String> {
        let store = &self.holders[0];
        let mut all = vec![said(&store.open().await), said(&store.latest().await)];
        for secret in SECRETS {
            all.push(said(&store.open_of(secret).await));
            all.push(said(&store.history(&History { secret: Some(secret.to_owned()), limit: 3 }).await));
        }
        for row in store.history(&History { secret: None, limit: 100 }).await.unwrap() {
            let journal = store.events(row.fixed.id).await.unwrap();
            assert_eq!(replay(&journal).unwrap(), row.state);
            all.push(format!("{row:?} {journal:?}"));
        }
        all
    }
}

async fn answer_alike(asks: Vec<(Ask, i64)>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let memory = MemoryState::new();
    let another = memory.another_holder();
    let mut memory = Pupil { holders: [Box::new(memory), Box::new(another)], leases: Vec::new() };
    let (one, two) = (SqliteState::open(&path).await.unwrap(), SqliteState::open(&path).await.unwrap());
    let mut sqlite = Pupil { holders: [Box::new(one), Box::new(two)], leases: Vec::new() };

    let mut now = Timestamp::from_second(1_800_000_000).unwrap();
    for (ask, nanos) in asks {
        now += SignedDuration::from_nanos(nanos); // clocks also go back
        assert_eq!(sqlite.answer(&ask, now).await, memory.answer(&ask, now).await, "{ask:?}");
    }
    assert_eq!(sqlite.everything().await, memory.everything().await);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn memory_and_sqlite_answer_alike(
        asks in prop::collection::vec((ask(), -1_000_000_000..20_000_000_000i64), 1..80),
    ) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(answer_alike(asks));
    }
}
