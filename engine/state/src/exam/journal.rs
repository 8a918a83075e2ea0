//! Create and append: what is written, and what is refused without a trace.

use keywheel_core::{Cause, Event, Recorded, Rotation, Shape, State, Step, transition};

use super::{
    Failed, Hall, TTL, at, began, ending, granted, id, must_fit, new, refused, same, script, started, stored_at,
    succeeded,
};
use crate::{Claim, Lease, StateError};

pub(super) async fn created(hall: Hall) -> Result<(), Failed> {
    let (_, rotation) = started(&*hall.one, 1, "orders").await?;
    let (created_at, updated_at) = (stored_at(0), stored_at(0));
    let wanted = Rotation { fixed: new(1, "orders"), state: State::initial(), seq: 0, created_at, updated_at };
    same!(rotation, wanted);
    same!(hall.two.rotation(id(1)).await?, Some(wanted));
    same!(hall.two.events(id(1)).await?, Vec::<Recorded>::new());
    Ok(())
}

pub(super) async fn created_with_events(hall: Hall) -> Result<(), Failed> {
    let lease = granted(&*hall.one, "orders", 0).await?;
    let legal = [began(Step::Generate, 1), succeeded(Step::Generate)];
    let illegal = [began(Step::Generate, 1), began(Step::Apply, 2)];
    refused!(hall.one.create(&lease, new(1, "orders"), &illegal, at(0)).await, StateError::Illegal(_));
    same!(hall.one.rotation(id(1)).await?, None);
    same!(hall.one.open_of("orders").await?, None);
    let receipt = hall.one.create(&lease, new(1, "orders"), &legal, at(0)).await?;
    let row = must_fit(&*hall.two, id(1)).await?;
    same!((receipt.seq(), receipt.state()), (2, &row.state));
    same!((row.seq, row.updated_at), (2, stored_at(0)));
    let _ = hall.one.append(&lease, id(1), 2, &[began(Step::Stage, 2)], at(1)).await?;
    must_fit(&*hall.two, id(1)).await?;
    // One that has ended already leaves room for the next.
    let other = granted(&*hall.one, "invoices", 0).await?;
    let _ = hall.one.create(&other, new(2, "invoices"), &ending(), at(0)).await?;
    let _ = hall.one.create(&other, new(3, "invoices"), &[], at(0)).await?;
    Ok(())
}

pub(super) async fn append_last(hall: Hall) -> Result<(), Failed> {
    let (lease, _) = started(&*hall.one, 1, "orders").await?;
    let begun = [began(Step::Generate, 1)];
    let foreign = granted(&*hall.two, "invoices", 0).await?;
    refused!(hall.one.append_and_release(&lease, id(1), 1, &begun, at(1)).await, StateError::Moved { .. });
    refused!(
        hall.one.append_and_release(&lease, id(1), 0, &[began(Step::Apply, 1)], at(1)).await,
        StateError::Illegal(_)
    );
    refused!(hall.two.append_and_release(&foreign, id(1), 0, &begun, at(1)).await, StateError::Fenced { .. });
    let held = Claim::Held { until: stored_at(60) };
    same!(hall.two.claim("orders", TTL, at(2)).await?, held);
    same!(hall.one.claim("invoices", TTL, at(2)).await?, held);

    let receipt = hall.one.append_and_release(&lease, id(1), 0, &begun, at(1)).await?;
    same!((receipt.seq(), receipt.state()), (1, &must_fit(&*hall.two, id(1)).await?.state));
    let more = [succeeded(Step::Generate)];
    refused!(hall.one.append(&lease, id(1), 1, &more, at(1)).await, StateError::Fenced { .. });
    refused!(hall.one.append_and_release(&lease, id(1), 1, &more, at(1)).await, StateError::Fenced { .. });
    hall.one.release(&lease).await?;
    let next = granted(&*hall.two, "orders", 2).await?;
    // Without events it only gives back.
    let _ = hall.two.append_and_release(&next, id(1), 1, &[], at(2)).await?;
    let last = granted(&*hall.one, "orders", 3).await?;
    let _ = hall.one.append(&last, id(1), 1, &more, at(3)).await?;
    same!(must_fit(&*hall.two, id(1)).await?.seq, 2);
    Ok(())
}

pub(super) async fn already_open(hall: Hall) -> Result<(), Failed> {
    let (lease, rotation) = started(&*hall.one, 1, "orders").await?;
    for number in [1, 2] {
        refused!(
            hall.one.create(&lease, new(number, "orders"), &[], at(1)).await,
            StateError::AlreadyOpen { secret, rotation } if secret == "orders" && *rotation == id(1)
        );
    }
    same!(hall.one.rotation(id(1)).await?, Some(rotation));
    same!(hall.one.rotation(id(2)).await?, None);
    started(&*hall.one, 3, "invoices").await?;
    let _ = hall.one.append(&lease, id(1), 0, &ending(), at(1)).await?;
    let _ = hall.one.create(&lease, new(2, "orders"), &[], at(2)).await?;
    Ok(())
}

pub(super) async fn same_id(hall: Hall) -> Result<(), Failed> {
    let (lease, _) = started(&*hall.one, 1, "orders").await?;
    let _ = hall.one.append(&lease, id(1), 0, &ending(), at(1)).await?;
    let kept = must_fit(&*hall.one, id(1)).await?;
    refused!(
        hall.one.create(&lease, new(1, "orders"), &[], at(2)).await,
        StateError::Moved { expected: 0, found: 3, .. }
    );
    let other = granted(&*hall.one, "invoices", 0).await?;
    refused!(hall.one.create(&other, new(1, "invoices"), &[], at(2)).await, StateError::Moved { found: 3, .. });
    same!(must_fit(&*hall.two, id(1)).await?, kept);
    Ok(())
}

pub(super) async fn create_fenced(hall: Hall) -> Result<(), Failed> {
    let lost = granted(&*hall.one, "orders", 0).await?;
    let other = granted(&*hall.one, "invoices", 0).await?;
    let taken = granted(&*hall.two, "orders", 60).await?;
    let never = Lease { fence: u64::MAX, ..lost.clone() };
    for lease in [&lost, &other, &taken, &never] {
        refused!(
            hall.one.create(lease, new(1, "orders"), &[], at(61)).await,
            StateError::Fenced { secret } if secret == "orders"
        );
    }
    hall.two.release(&taken).await?;
    refused!(hall.two.create(&taken, new(1, "orders"), &[], at(61)).await, StateError::Fenced { .. });
    same!(hall.one.rotation(id(1)).await?, None);
    Ok(())
}

pub(super) async fn round_trip(hall: Hall) -> Result<(), Failed> {
    let fixed = [
        (Shape::InPlace, Cause::Person { by: "app_a".to_owned(), reason: Some("INC-123 ⚠".to_owned()) }, None),
        (Shape::Alternating, Cause::Schedule { due: at(-3) }, Some("v1".to_owned())),
        (Shape::Overlapping, Cause::Person { by: String::new(), reason: None }, Some(String::new())),
        (Shape::InPlace, Cause::Drift { version: "v1".to_owned() }, Some("v1".to_owned())),
    ];
    for ((events, (shape, cause, replaces)), number) in script::journals()?.into_iter().cycle().zip(fixed).zip(0..) {
        let secret = format!("orders/{number}");
        let lease = granted(&*hall.one, &secret, 0).await?;
        let new = keywheel_core::NewRotation { shape, cause, replaces, ..new(number, &secret) };
        let _ = hall.one.create(&lease, new.clone(), &[], at(0)).await?;
        let mut wanted = must_fit(&*hall.one, id(number)).await?;
        same!(wanted.fixed, new);
        let mut journal = Vec::new();
        // One by one, two by two, or more at once: it must come to the same.
        for events in events.chunks(number as usize + 1) {
            wanted.updated_at = stored_at(wanted.seq as i64);
            let receipt = hall.one.append(&lease, id(number), wanted.seq, events, at(wanted.seq as i64)).await?;
            for event in events {
                wanted.seq += 1;
                wanted.state = transition(&wanted.state, event, wanted.updated_at)?;
                let (seq, at) = (wanted.seq, wanted.updated_at);
                journal.push(Recorded { seq, at, fence: lease.fence, plugin: None, event: event.clone() });
            }
            same!(receipt.seq(), wanted.seq);
            same!(*receipt.state(), wanted.state);
            same!(must_fit(&*hall.two, id(number)).await?, wanted);
            same!(hall.two.events(id(number)).await?, journal);
        }
    }
    Ok(())
}

pub(super) async fn moved(hall: Hall) -> Result<(), Failed> {
    let (lease, _) = started(&*hall.one, 1, "orders").await?;
    let _ = hall.one.append(&lease, id(1), 0, &[began(Step::Generate, 1)], at(1)).await?;
    let kept = must_fit(&*hall.one, id(1)).await?;
    for after in [0, 2, u64::MAX - 1] {
        // Legal but for its place.
        refused!(
            hall.one.append(&lease, id(1), after, &[succeeded(Step::Generate)], at(2)).await,
            StateError::Moved { rotation, expected, found: 1 } if *rotation == id(1) && *expected == after
        );
    }
    refused!(hall.one.append(&lease, id(1), 0, &[], at(2)).await, StateError::Moved { .. });
    same!(must_fit(&*hall.two, id(1)).await?, kept);
    Ok(())
}

pub(super) async fn moved_by_another(hall: Hall) -> Result<(), Failed> {
    let (first, _) = started(&*hall.one, 1, "orders").await?;
    let _ = hall.one.append(&first, id(1), 0, &[began(Step::Generate, 1)], at(1)).await?;
    let second = granted(&*hall.two, "orders", 60).await?;
    let _ = hall.two.append(&second, id(1), 1, &[succeeded(Step::Generate)], at(61)).await?;
    hall.two.release(&second).await?;
    // Whoever was there before has the lease again, and remembers another place.
    let third = granted(&*hall.one, "orders", 62).await?;
    refused!(
        hall.one.append(&third, id(1), 1, &[succeeded(Step::Generate)], at(62)).await,
        StateError::Moved { expected: 1, found: 2, .. }
    );
    same!(must_fit(&*hall.two, id(1)).await?.seq, 2);
    let _ = hall.one.append(&third, id(1), 2, &[began(Step::Stage, 2)], at(63)).await?;
    same!(must_fit(&*hall.two, id(1)).await?.seq, 3);
    Ok(())
}

pub(super) async fn illegal(hall: Hall) -> Result<(), Failed> {
    let (lease, created) = started(&*hall.one, 1, "orders").await?;
    let attempts: [&[Event]; 3] = [
        &[began(Step::Apply, 1)],
        &[began(Step::Generate, 1), succeeded(Step::Generate), began(Step::Apply, 2)],
        &[began(Step::Generate, 2), began(Step::Generate, 1)],
    ];
    for events in attempts {
        refused!(hall.one.append(&lease, id(1), 0, events, at(1)).await, StateError::Illegal(_));
    }
    same!(must_fit(&*hall.two, id(1)).await?, created);
    // An end is an end.
    let _ = hall.one.append(&lease, id(1), 0, &ending(), at(1)).await?;
    refused!(hall.one.append(&lease, id(1), 3, &[began(Step::Generate, 2)], at(2)).await, StateError::Illegal(_));
    same!(must_fit(&*hall.two, id(1)).await?.seq, 3);
    Ok(())
}

pub(super) async fn nothing(hall: Hall) -> Result<(), Failed> {
    let (lease, created) = started(&*hall.one, 1, "orders").await?;
    let receipt = hall.one.append(&lease, id(1), 0, &[], at(5)).await?;
    same!(receipt.seq(), 0);
    same!(*receipt.state(), created.state);
    same!(must_fit(&*hall.two, id(1)).await?, created);
    Ok(())
}

pub(super) async fn append_fenced(hall: Hall) -> Result<(), Failed> {
    let (lost, _) = started(&*hall.one, 1, "orders").await?;
    let _ = hall.one.append(&lost, id(1), 0, &[began(Step::Generate, 1)], at(1)).await?;
    let kept = must_fit(&*hall.one, id(1)).await?;
    let taken = granted(&*hall.two, "orders", 60).await?;
    // At the right place or not, legal or not, before the new owner wrote or not: lost is lost.
    for (after, event) in [(1, succeeded(Step::Generate)), (0, began(Step::Generate, 1)), (1, began(Step::Apply, 7))] {
        refused!(
            hall.one.append(&lost, id(1), after, &[event], at(61)).await,
            StateError::Fenced { secret } if secret == "orders"
        );
    }
    refused!(hall.one.append(&lost, id(1), 1, &[], at(61)).await, StateError::Fenced { .. });
    same!(must_fit(&*hall.two, id(1)).await?, kept);
    let _ = hall.two.append(&taken, id(1), 1, &[succeeded(Step::Generate)], at(62)).await?;
    // Given back is lost as well.
    hall.two.release(&taken).await?;
    refused!(hall.two.append(&taken, id(1), 2, &[began(Step::Stage, 2)], at(63)).await, StateError::Fenced { .. });
    Ok(())
}

pub(super) async fn append_own_old(hall: Hall) -> Result<(), Failed> {
    let (lost, created) = started(&*hall.one, 1, "orders").await?;
    let taken = granted(&*hall.one, "orders", 60).await?;
    let event = [began(Step::Generate, 1)];
    refused!(hall.one.append(&lost, id(1), 0, &event, at(61)).await, StateError::Fenced { .. });
    same!(must_fit(&*hall.two, id(1)).await?, created);
    same!(hall.one.append(&taken, id(1), 0, &event, at(61)).await?.seq(), 1);
    Ok(())
}

pub(super) async fn append_late(hall: Hall) -> Result<(), Failed> {
    let (lease, _) = started(&*hall.one, 1, "orders").await?;
    // Nobody else was at work, which the fence proves.
    let _ = hall.one.append(&lease, id(1), 0, &[began(Step::Generate, 1)], at(1000)).await?;
    same!(must_fit(&*hall.two, id(1)).await?.updated_at, stored_at(1000));
    Ok(())
}

pub(super) async fn append_foreign(hall: Hall) -> Result<(), Failed> {
    let (lease, created) = started(&*hall.one, 1, "orders").await?;
    let (other, _) = started(&*hall.two, 2, "invoices").await?;
    let event = [began(Step::Generate, 1)];
    refused!(hall.two.append(&lease, id(1), 0, &event, at(1)).await, StateError::Fenced { .. }); // another holder's
    refused!(hall.two.append(&other, id(1), 0, &event, at(1)).await, StateError::Fenced { .. }); // another secret's
    let renamed = Lease { secret: "orders".to_owned(), ..other };
    refused!(hall.two.append(&renamed, id(1), 0, &event, at(1)).await, StateError::Fenced { .. });
    // Nor another lease of the right holder, though it has the same fence.
    let own = granted(&*hall.one, "users", 0).await?;
    refused!(hall.one.append(&own, id(1), 0, &event, at(1)).await, StateError::Fenced { .. });
    same!(must_fit(&*hall.two, id(1)).await?, created);
    Ok(())
}

pub(super) async fn unknown(hall: Hall) -> Result<(), Failed> {
    let (lease, _) = started(&*hall.one, 1, "orders").await?;
    let event = [began(Step::Generate, 1)];
    refused!(
        hall.one.append(&lease, id(2), 0, &event, at(1)).await,
        StateError::NotFound(rotation) if *rotation == id(2)
    );
    same!(hall.one.rotation(id(2)).await?, None);
    same!(hall.one.events(id(2)).await?, Vec::<Recorded>::new());
    Ok(())
}

pub(super) async fn fences(hall: Hall) -> Result<(), Failed> {
    let (first, _) = started(&*hall.one, 1, "orders").await?;
    let _ = hall.one.append(&first, id(1), 0, &[began(Step::Generate, 1)], at(1)).await?;
    let second = granted(&*hall.two, "orders", 60).await?;
    let _ = hall.two.append(&second, id(1), 1, &[succeeded(Step::Generate), began(Step::Stage, 2)], at(61)).await?;
    let written: Vec<_> = hall.one.events(id(1)).await?.iter().map(|recorded| (recorded.fence, recorded.at)).collect();
    same!(written, [(first.fence, stored_at(1)), (second.fence, stored_at(61)), (second.fence, stored_at(61))]);
    Ok(())
}

pub(super) async fn plugins(hall: Hall) -> Result<(), Failed> {
    let acting = |lease: Lease, plugin: &str| Lease { plugin: Some(plugin.to_owned()), ..lease };
    let none = granted(&*hall.one, "orders", 0).await?;
    let first = acting(none.clone(), &"1f".repeat(32));
    let _ = hall.one.create(&first, new(1, "orders"), &[began(Step::Generate, 1)], at(0)).await?;
    // An upgrade in the middle; then nothing that is a plugin; and it stays so whatever is renewed in between.
    let second = hall.one.renew(&acting(none.clone(), &"2e".repeat(32)), TTL, at(1)).await?;
    let _ = hall.one.append(&second, id(1), 1, &[succeeded(Step::Generate), began(Step::Stage, 2)], at(1)).await?;
    let _ = hall.one.append(&none, id(1), 3, &[succeeded(Step::Stage)], at(2)).await?;
    let _ = hall.one.append_and_release(&first, id(1), 4, &[began(Step::Apply, 3)], at(3)).await?;
    let written: Vec<_> = hall.two.events(id(1)).await?.into_iter().map(|recorded| recorded.plugin).collect();
    let (first, second) = (first.plugin, second.plugin);
    same!(written, [first.clone(), second.clone(), second, None, first]);
    // It says who acted, and decides nothing.
    must_fit(&*hall.two, id(1)).await?;
    granted(&*hall.two, "orders", 4).await?;
    Ok(())
}
