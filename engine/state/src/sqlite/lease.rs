//! Claim, renew, release: one statement each in the usual case.

use std::time::Duration;

use jiff::Timestamp;
use keywheel_core::decide::later;
use keywheel_sqlite::Database;
use sqlx::SqliteConnection;

use super::holder::Holder;
use super::row::{count, get, instant, storage};
use super::written;
use crate::fold::whole_micros;
use crate::{Claim, Lease, StateError};

/// Free, expired, or of the holder that is known to be gone. Fences grow with each claim.
const TAKE: &str = "INSERT INTO leases (secret, fence, holder, expires_at) VALUES (?1, 1, ?2, ?3) \
    ON CONFLICT (secret) DO UPDATE \
    SET fence = fence + 1, holder = excluded.holder, expires_at = excluded.expires_at \
    WHERE holder IS NULL OR expires_at <= ?4 OR holder = ?5 \
    RETURNING fence";

enum Answer {
    Granted(Lease),
    Held { by: String, until: Timestamp },
}

pub(super) async fn claim(
    database: &Database,
    holder: &Holder,
    secret: &str,
    ttl: Duration,
    now: Timestamp,
) -> Result<Claim, StateError> {
    let now = whole_micros(now);
    let expires_at = whole_micros(later(now, ttl));
    let wanted = Lease { secret: secret.to_owned(), fence: 0, expires_at, plugin: None };
    let mut gone = None;
    // A second round only after the owner was seen to be gone, and a third only if another took it and is gone as well.
    loop {
        let claim = (wanted.clone(), holder.id().to_owned(), gone.clone());
        let take =
            database.write(claim, move |(wanted, me, dead), c| Box::pin(take(c, wanted, me, dead.as_deref(), now)));
        let answer = take.await.map_err(written)?;
        match answer {
            Answer::Granted(lease) => {
                if let Some(dead) = gone {
                    tracing::info!(secret, fence = lease.fence, %dead, "took over the lease of a holder that is gone");
                }
                return Ok(Claim::Granted(lease));
            }
            // Asked here and not within the write, for which everybody else waits.
            Answer::Held { by, .. } if gone.as_ref() != Some(&by) && holder.sees_gone(&by) => gone = Some(by),
            Answer::Held { until, .. } => return Ok(Claim::Held { until }),
        }
    }
}

async fn take(
    connection: &mut SqliteConnection,
    wanted: &Lease,
    me: &str,
    gone: Option<&str>,
    now: Timestamp,
) -> Result<Answer, StateError> {
    let taken = sqlx::query(TAKE)
        .bind(&wanted.secret)
        .bind(me)
        .bind(wanted.expires_at.as_microsecond())
        .bind(now.as_microsecond())
        .bind(gone)
        .fetch_optional(&mut *connection)
        .await
        .map_err(storage)?;
    if let Some(row) = taken {
        return Ok(Answer::Granted(Lease { fence: count(&row, "fence")?, ..wanted.clone() }));
    }
    let row = sqlx::query("SELECT holder, expires_at FROM leases WHERE secret = ?")
        .bind(&wanted.secret)
        .fetch_one(connection)
        .await
        .map_err(storage)?;
    Ok(Answer::Held { by: get(&row, "holder")?, until: instant(&row, "expires_at")? })
}

pub(super) async fn renew(
    database: &Database,
    holder: &Holder,
    lease: &Lease,
    ttl: Duration,
    now: Timestamp,
) -> Result<Lease, StateError> {
    let renewed = Lease { expires_at: whole_micros(later(whole_micros(now), ttl)), ..lease.clone() };
    let kept = database
        .write((renewed.clone(), holder.id().to_owned()), |(wanted, me), c| {
            Box::pin(async move {
                sqlx::query("UPDATE leases SET expires_at = ?1 WHERE secret = ?2 AND fence = ?3 AND holder = ?4")
                    .bind(wanted.expires_at.as_microsecond())
                    .bind(&wanted.secret)
                    .bind(fence_or_null(wanted))
                    .bind(me)
                    .execute(c)
                    .await
                    .map_err(storage)
            })
        })
        .await
        .map_err(written)?;
    if kept.rows_affected() == 0 {
        return Err(StateError::Fenced { secret: lease.secret.clone() });
    }
    Ok(renewed)
}

pub(super) async fn release(database: &Database, holder: &Holder, lease: &Lease) -> Result<(), StateError> {
    let lost = (lease.clone(), holder.id().to_owned());
    database.write(lost, |(lost, me), c| Box::pin(give_back(c, me, lost))).await.map_err(written)
}

/// Gives a lease back, if it is still this holder's.
pub(super) async fn give_back(connection: &mut SqliteConnection, me: &str, lease: &Lease) -> Result<(), StateError> {
    sqlx::query("UPDATE leases SET holder = NULL WHERE secret = ?1 AND fence = ?2 AND holder = ?3")
        .bind(&lease.secret)
        .bind(fence_or_null(lease))
        .bind(me)
        .execute(connection)
        .await
        .map_err(storage)?;
    Ok(())
}

/// A fence that no lease can have equals nothing.
pub(super) fn fence_or_null(lease: &Lease) -> Option<i64> {
    i64::try_from(lease.fence).ok()
}
