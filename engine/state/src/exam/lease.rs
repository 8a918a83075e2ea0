//! Leases: who may act, and whose fence is greater.

use std::time::Duration;

use super::{Failed, Hall, TTL, at, granted, refused, same, stored_at};
use crate::{Claim, StateError};

pub(super) async fn exclusive(hall: Hall) -> Result<(), Failed> {
    let lease = granted(&*hall.one, "orders", 0).await?;
    same!(lease.secret, "orders");
    same!(lease.expires_at, stored_at(60));
    let held = Claim::Held { until: stored_at(60) };
    same!(hall.two.claim("orders", TTL, at(59)).await?, held);
    // Nor to itself: two workers of one process must not share a lease.
    same!(hall.one.claim("orders", TTL, at(59)).await?, held);
    Ok(())
}

pub(super) async fn expired(hall: Hall) -> Result<(), Failed> {
    let first = granted(&*hall.one, "orders", 0).await?;
    let second = granted(&*hall.two, "orders", 60).await?;
    same!(second.fence > first.fence, true);
    same!(second.expires_at, stored_at(120));
    same!(hall.one.claim("orders", TTL, at(61)).await?, Claim::Held { until: stored_at(120) });
    Ok(())
}

pub(super) async fn expired_own(hall: Hall) -> Result<(), Failed> {
    let first = granted(&*hall.one, "orders", 0).await?;
    let second = granted(&*hall.one, "orders", 60).await?;
    same!(second.fence > first.fence, true);
    refused!(hall.one.renew(&first, TTL, at(61)).await, StateError::Fenced { .. });
    Ok(())
}

pub(super) async fn renewed(hall: Hall) -> Result<(), Failed> {
    let first = granted(&*hall.one, "orders", 0).await?;
    let second = hall.one.renew(&first, TTL, at(30)).await?;
    same!(second.fence, first.fence);
    same!(second.secret, first.secret);
    same!(second.expires_at, stored_at(90));
    same!(hall.two.claim("orders", TTL, at(89)).await?, Claim::Held { until: stored_at(90) });
    // The fence makes the lease, so an older copy of it is as good.
    same!(hall.one.renew(&first, TTL, at(31)).await?.expires_at, stored_at(91));
    granted(&*hall.two, "orders", 91).await?;
    Ok(())
}

pub(super) async fn renewed_late(hall: Hall) -> Result<(), Failed> {
    let lease = granted(&*hall.one, "orders", 0).await?;
    same!(hall.one.renew(&lease, TTL, at(1000)).await?.expires_at, stored_at(1060));
    same!(hall.two.claim("orders", TTL, at(1001)).await?, Claim::Held { until: stored_at(1060) });
    Ok(())
}

pub(super) async fn renewed_lost(hall: Hall) -> Result<(), Failed> {
    let lost = granted(&*hall.one, "orders", 0).await?;
    let taken = granted(&*hall.two, "orders", 60).await?;
    refused!(hall.one.renew(&lost, TTL, at(61)).await, StateError::Fenced { secret } if secret == "orders");
    refused!(hall.one.renew(&taken, TTL, at(61)).await, StateError::Fenced { .. }); // another's
    hall.two.release(&taken).await?;
    refused!(hall.two.renew(&taken, TTL, at(61)).await, StateError::Fenced { .. });
    let unknown = crate::Lease { secret: "invoices".to_owned(), ..taken };
    refused!(hall.two.renew(&unknown, TTL, at(61)).await, StateError::Fenced { .. });
    // None of it had an effect.
    granted(&*hall.one, "orders", 62).await?;
    Ok(())
}

pub(super) async fn released(hall: Hall) -> Result<(), Failed> {
    let first = granted(&*hall.one, "orders", 0).await?;
    hall.one.release(&first).await?;
    hall.one.release(&first).await?;
    let second = granted(&*hall.two, "orders", 1).await?;
    same!(second.fence > first.fence, true);
    hall.two.release(&second).await?;
    let third = granted(&*hall.one, "orders", 2).await?;
    same!(third.fence > second.fence, true);
    Ok(())
}

pub(super) async fn released_lost(hall: Hall) -> Result<(), Failed> {
    let lost = granted(&*hall.one, "orders", 0).await?;
    let taken = granted(&*hall.two, "orders", 60).await?;
    hall.one.release(&lost).await?;
    hall.one.release(&taken).await?; // another's
    same!(hall.one.claim("orders", TTL, at(61)).await?, Claim::Held { until: stored_at(120) });
    hall.two.renew(&taken, TTL, at(61)).await?;
    Ok(())
}

pub(super) async fn released_own_old(hall: Hall) -> Result<(), Failed> {
    let lost = granted(&*hall.one, "orders", 0).await?;
    granted(&*hall.one, "orders", 60).await?;
    hall.one.release(&lost).await?;
    same!(hall.two.claim("orders", TTL, at(61)).await?, Claim::Held { until: stored_at(120) });
    Ok(())
}

pub(super) async fn apart(hall: Hall) -> Result<(), Failed> {
    let orders = granted(&*hall.one, "orders", 0).await?;
    granted(&*hall.one, "invoices", 0).await?;
    granted(&*hall.two, "Orders", 0).await?;
    hall.one.release(&orders).await?;
    same!(hall.two.claim("invoices", TTL, at(1)).await?, Claim::Held { until: stored_at(60) });
    Ok(())
}

pub(super) async fn endless(hall: Hall) -> Result<(), Failed> {
    let Claim::Granted(lease) = hall.one.claim("orders", Duration::MAX, at(0)).await? else {
        return Err(Failed("a free lease was not granted".to_owned()));
    };
    same!(hall.two.claim("orders", TTL, at(1)).await?, Claim::Held { until: lease.expires_at });
    Ok(())
}

pub(super) async fn gone(hall: Hall) -> Result<(), Failed> {
    let Hall { one, two, keep } = hall;
    let lost = granted(&*two, "orders", 0).await?;
    let released = granted(&*two, "invoices", 0).await?;
    two.release(&released).await?;
    granted(&*one, "invoices", 0).await?;
    same!(one.claim("orders", TTL, at(0)).await?, Claim::Held { until: stored_at(60) });
    drop(two);
    let taken = granted(&*one, "orders", 0).await?;
    same!(taken.fence > lost.fence, true);
    // The living one keeps its own.
    same!(one.claim("invoices", TTL, at(0)).await?, Claim::Held { until: stored_at(60) });
    drop(keep);
    Ok(())
}
