//! Lists: which rotations, in which order.

use keywheel_core::{Rotation, RotationId};

use super::{Failed, Hall, at, ending, granted, id, must_fit, new, same, started};
use crate::{History, Lease, StateStore};

async fn end(store: &dyn StateStore, lease: &Lease, rotation: RotationId) -> Result<(), Failed> {
    let receipt = store.append(lease, rotation, 0, &ending(), at(1)).await?;
    same!(receipt.state().ended(), true);
    Ok(())
}

fn ids(rotations: &[Rotation]) -> Vec<RotationId> {
    rotations.iter().map(|rotation| rotation.fixed.id).collect()
}

pub(super) async fn open(hall: Hall) -> Result<(), Failed> {
    let store = &*hall.one;
    same!(store.open().await?, Vec::<Rotation>::new());
    same!(store.open_of("orders").await?, None);
    let (orders, first) = started(store, 9, "orders").await?;
    let (_, invoices) = started(store, 1, "invoices").await?;
    same!(ids(&store.open().await?), [id(9), id(1)]);
    same!(store.open_of("orders").await?, Some(first));
    end(store, &orders, id(9)).await?;
    same!(ids(&store.open().await?), [id(1)]);
    same!(store.open_of("orders").await?, None);
    same!(hall.two.open_of("invoices").await?, Some(invoices));
    Ok(())
}

pub(super) async fn history(hall: Hall) -> Result<(), Failed> {
    let store = &*hall.one;
    let orders = granted(store, "orders", 0).await?;
    let invoices = granted(store, "invoices", 0).await?;
    // Neither the ids' nor the clock's order.
    for (number, lease, seconds) in [(5, &orders, 30), (4, &invoices, 20), (6, &orders, 10), (3, &orders, 20)] {
        let _ = store.create(lease, new(number, &lease.secret), &[], at(seconds)).await?;
        end(store, lease, id(number)).await?;
    }
    let list = async |secret: Option<&str>, limit| -> Result<Vec<RotationId>, Failed> {
        let which = History { secret: secret.map(str::to_owned), limit };
        Ok(ids(&hall.two.history(&which).await?))
    };
    same!(list(None, 10).await?, [id(3), id(6), id(4), id(5)]);
    same!(list(None, 3).await?, [id(3), id(6), id(4)]);
    same!(list(None, usize::MAX).await?.len(), 4);
    same!(list(None, 0).await?, []);
    same!(list(Some("orders"), 10).await?, [id(3), id(6), id(5)]);
    same!(list(Some("orders"), 2).await?, [id(3), id(6)]);
    same!(list(Some("Orders"), 2).await?, []);
    Ok(())
}

pub(super) async fn latest(hall: Hall) -> Result<(), Failed> {
    let store = &*hall.one;
    same!(store.latest().await?, Vec::<Rotation>::new());
    let (orders, _) = started(store, 7, "orders").await?;
    end(store, &orders, id(7)).await?;
    started(store, 8, "invoices").await?;
    started(store, 3, "zones/é").await?;
    started(store, 4, "Users").await?;
    let _ = store.create(&orders, new(2, "orders"), &[], at(-5)).await?;
    let latest = hall.two.latest().await?;
    same!(ids(&latest), [id(4), id(8), id(2), id(3)]);
    for rotation in latest {
        same!(store.rotation(rotation.fixed.id).await?, Some(rotation));
    }
    Ok(())
}

pub(super) async fn names(hall: Hall) -> Result<(), Failed> {
    let store = &*hall.one;
    let long = "x".repeat(5000);
    let names = ["prod/orders/db", "ключ/заказы", "鍵 🔑", "e\u{301}", "é", " ", "", "a'b\"c;--%_\\", "A", "a", &long];
    for (name, number) in names.iter().zip(0..) {
        started(store, number, name).await?;
    }
    for (name, number) in names.iter().zip(0..) {
        same!(must_fit(&*hall.two, id(number)).await?.fixed, new(number, name));
        same!(hall.two.open_of(name).await?.map(|rotation| rotation.fixed.id), Some(id(number)));
    }
    Ok(())
}
