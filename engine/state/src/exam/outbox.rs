//! What is to be told, and how far each notifier is.

use keywheel_core::{After, Event, Failure, Notice, NoticeKind, Retry, Step};

use super::{Failed, Hall, at, began, ending, granted, id, new, refused, same, started, stored_at};
use crate::{Delivery, Numbered, Sending, StateError, StateStore, notifier_lease};

fn parked(attempt: u32) -> [Event; 2] {
    let failure = Failure::new("28P01", "the admin is refused: «why?»", Retry::Never);
    [began(Step::Generate, attempt), Event::Failed { step: Step::Generate, settled: false, failure, then: After::Park }]
}

fn overdue(secret: &str, day: u32) -> Notice {
    Notice {
        id: format!("overdue/{secret}/v1/{day}"),
        kind: NoticeKind::Overdue,
        at: stored_at(0),
        secret: Some(secret.to_owned()),
        policy: Some("orders-db".to_owned()),
        rotation: None,
        step: None,
        message: "too old ⚠".to_owned(),
        to: None,
    }
}

fn delivery(done: u64) -> Delivery {
    let sending = Sending {
        up_to: done + 5,
        first_up_to: done + 2,
        since: at(1),
        tries: 3,
        refused: 1,
        untaken: true,
        has: vec!["one@example.com".to_owned()],
        next: at(2),
        trouble: Some("451 later".to_owned()),
    };
    Delivery {
        notifier: "secops".to_owned(),
        done,
        sending: Some(sending),
        sent_at: Some(at(0)),
        digested: None,
        given_up: 2,
        trouble: Some("550 nobody".to_owned()),
    }
}

async fn all(store: &dyn StateStore) -> Result<Vec<Numbered>, Failed> {
    let all = store.notices(0, usize::MAX).await?;
    same!(all.is_sorted_by(|one, next| one.number < next.number), true);
    same!(store.last_notice().await?, all.last().map_or(0, |last| last.number));
    Ok(all)
}

pub(super) async fn events(hall: Hall) -> Result<(), Failed> {
    let (store, other) = (&*hall.one, &*hall.two);
    let (lease, rotation) = started(store, 1, "orders").await?;
    same!(all(other).await?, []);
    refused!(store.append(&lease, id(1), 1, &parked(1), at(1)).await, StateError::Moved { .. });
    refused!(store.append(&lease, id(1), 0, &parked(2), at(1)).await, StateError::Illegal(_));
    same!(all(other).await?, []);

    let _ = store.append(&lease, id(1), 0, &parked(1), at(1)).await?;
    let [Numbered { notice, number }] = &all(other).await?[..] else {
        return Err(Failed("a parked rotation is one notice".to_owned()));
    };
    let wanted = Notice {
        id: format!("{}/2", id(1)),
        kind: NoticeKind::Parked,
        at: stored_at(1),
        secret: Some("orders".to_owned()),
        policy: Some(rotation.fixed.policy),
        rotation: Some(id(1)),
        step: Some(Step::Generate),
        message: "the admin is refused: «why?»".to_owned(),
        to: None,
    };
    same!(notice, &wanted);

    // Another writer of the same rotation tells of it, too; and one that ends as it is created.
    store.release(&lease).await?;
    let lease = granted(other, "orders", 2).await?;
    let back =
        [Event::RollBackOrdered { by: "app_a".to_owned() }, began(Step::Discard, 2), super::succeeded(Step::Discard)];
    let _ = other.append_and_release(&lease, id(1), 2, &back, at(3)).await?;
    let invoices = granted(store, "invoices", 4).await?;
    let _ = store.create(&invoices, new(2, "invoices"), &ending(), at(4)).await?;
    let behind = store.notices(*number, usize::MAX).await?;
    let told: Vec<_> = behind.iter().map(|one| (one.notice.kind, one.notice.id.clone())).collect();
    same!(told, [(NoticeKind::RolledBack, format!("{}/5", id(1))), (NoticeKind::RolledBack, format!("{}/3", id(2)))]);
    Ok(())
}

pub(super) async fn told(hall: Hall) -> Result<(), Failed> {
    let (store, other) = (&*hall.one, &*hall.two);
    let notices: Vec<_> = (0..5).map(|day| overdue("orders", day)).collect();
    store.tell(&notices[..2]).await?;
    store.tell(&notices[..2]).await?;
    other.tell(&notices[1..]).await?;
    store.tell(&[]).await?;
    let kept = all(other).await?;
    let found: Vec<_> = kept.iter().map(|one| one.notice.clone()).collect();
    same!(found, notices);
    same!(store.notices(kept[1].number, 2).await?, kept[2..4].to_vec());
    same!(store.notices(kept[4].number, 2).await?, []);
    same!(store.notices(0, 0).await?, []);
    Ok(())
}

pub(super) async fn delivered(hall: Hall) -> Result<(), Failed> {
    let (store, other) = (&*hall.one, &*hall.two);
    same!(store.deliveries().await?, []);
    let lease = granted(store, &notifier_lease("secops"), 0).await?;
    store.deliver(&lease, &delivery(1)).await?;
    store.deliver(&lease, &delivery(7)).await?;
    same!(other.deliveries().await?, [delivery(7)]);
    same!(other.delivery("secops").await?, Some(delivery(7)));
    same!(other.delivery("pager").await?, None);
    let bare = Delivery { sending: None, sent_at: None, digested: Some(at(9)), ..delivery(9) };
    store.deliver(&lease, &bare).await?;
    let pager = Delivery { notifier: "pager".to_owned(), ..bare.clone() };
    let theirs = granted(other, &notifier_lease("pager"), 0).await?;
    other.deliver(&theirs, &pager).await?;
    same!(store.deliveries().await?, [pager.clone(), bare.clone()]);

    // Only under the notifier's own lease, and only while it is held.
    let foreign = granted(store, "secops", 0).await?;
    refused!(store.deliver(&foreign, &delivery(20)).await, StateError::Fenced { .. });
    refused!(store.deliver(&lease, &Delivery { done: 20, ..pager.clone() }).await, StateError::Fenced { .. });
    refused!(other.deliver(&lease, &delivery(20)).await, StateError::Fenced { .. });
    let taken = granted(other, &notifier_lease("secops"), 100).await?;
    refused!(store.deliver(&lease, &delivery(20)).await, StateError::Fenced { .. });
    same!(store.deliveries().await?, [pager, bare]);
    other.deliver(&taken, &delivery(20)).await?;
    Ok(())
}
