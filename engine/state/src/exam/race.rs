//! Many at once. What is told to each must be true together.

use std::sync::Arc;

use keywheel_core::{Recorded, Step};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::{Failed, Hall, TTL, at, began, granted, id, must_fit, new, same, started, succeeded};
use crate::{Claim, StateError, StateStore};

/// How many at once.
const MANY: u32 = 32;

/// Runs `racer` [`MANY`] times at once, half on either holder, and returns all answers.
async fn race<T, F>(hall: &Hall, racer: impl Fn(Arc<dyn StateStore>, u32) -> F) -> Result<Vec<T>, Failed>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let start = Arc::new(Barrier::new(MANY as usize));
    let mut racers = JoinSet::new();
    for number in 0..MANY {
        let store = if number % 2 == 0 { &hall.one } else { &hall.two };
        let run = racer(Arc::clone(store), number);
        let start = Arc::clone(&start);
        racers.spawn(async move {
            start.wait().await;
            run.await
        });
    }
    let mut answers = Vec::new();
    while let Some(answer) = racers.join_next().await {
        answers.push(answer.map_err(|error| Failed(format!("a racer died: {error}")))?);
    }
    Ok(answers)
}

pub(super) async fn claims(hall: Hall) -> Result<(), Failed> {
    let mut before = 0;
    for round in 0..10 {
        let now = 60 * round; // all earlier leases have expired
        let answers = race(&hall, |store, _| async move { store.claim("orders", TTL, at(now)).await }).await?;
        let mut fences = Vec::new();
        for answer in answers {
            if let Claim::Granted(lease) = answer? {
                fences.push(lease.fence);
            }
        }
        same!(fences.len(), 1);
        same!(fences[0] > before, true);
        before = fences[0];
    }
    Ok(())
}

pub(super) async fn creates(hall: Hall) -> Result<(), Failed> {
    let lease = granted(&*hall.one, "orders", 0).await?;
    let one = Arc::clone(&hall.one);
    let answers = race(&hall, |_, number| {
        let (store, lease) = (Arc::clone(&one), lease.clone());
        async move { store.create(&lease, new(number, "orders"), &[], at(0)).await }
    })
    .await?;
    let mut created = Vec::new();
    let mut seen = Vec::new();
    for answer in answers {
        match answer {
            Ok(receipt) => created.push(receipt.seq()),
            Err(StateError::AlreadyOpen { rotation, .. }) => seen.push(rotation),
            Err(error) => return Err(error.into()),
        }
    }
    same!(created, [0]);
    let open: Vec<_> = hall.two.open().await?.iter().map(|rotation| rotation.fixed.id).collect();
    same!(open.len(), 1);
    same!(seen, vec![open[0]; MANY as usize - 1]);
    Ok(())
}

pub(super) async fn appends(hall: Hall) -> Result<(), Failed> {
    let (lease, _) = started(&*hall.one, 0, "orders").await?;
    let one = Arc::clone(&hall.one);
    let answers = race(&hall, |_, _| {
        let (store, lease) = (Arc::clone(&one), lease.clone());
        async move { store.append(&lease, id(0), 0, &[began(Step::Generate, 1)], at(1)).await }
    })
    .await?;
    let mut won = 0;
    for answer in answers {
        match answer {
            Ok(receipt) => won += receipt.seq(),
            Err(StateError::Moved { expected: 0, found: 1, .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    same!(won, 1);
    same!(must_fit(&*hall.two, id(0)).await?.seq, 1);
    Ok(())
}

pub(super) async fn many(hall: Hall) -> Result<(), Failed> {
    let answers = race(&hall, |store, number| async move { whole_rotation(&*store, number).await }).await?;
    for answer in answers {
        answer?;
    }
    for number in 0..MANY {
        same!(must_fit(&*hall.one, id(number)).await?.state.ended(), true);
        let journal = hall.two.events(id(number)).await?;
        same!(journal.iter().map(|recorded: &Recorded| recorded.seq).collect::<Vec<_>>(), (1..=12).collect::<Vec<_>>());
    }
    same!(hall.one.open().await?.len(), 0);
    Ok(())
}

/// All six steps, in the appends that a driver makes: the first intent, then each outcome with the next intent.
async fn whole_rotation(store: &dyn StateStore, number: u32) -> Result<(), Failed> {
    let secret = format!("orders/{number}");
    let lease = granted(store, &secret, 0).await?;
    let mut step = Step::Generate;
    let mut seq = store.create(&lease, new(number, &secret), &[began(step, 1)], at(0)).await?.seq();
    for attempt in 2.. {
        let Some(next) = step.next() else { break };
        let events = [succeeded(step), began(next, attempt)];
        seq = store.append(&lease, id(number), seq, &events, at(0)).await?.seq();
        step = next;
    }
    let _ = store.append_and_release(&lease, id(number), seq, &[succeeded(step)], at(0)).await?;
    Ok(())
}
