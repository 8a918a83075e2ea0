//! Create and append: fence, sequence and transition are checked in the transaction that writes.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use keywheel_core::handle::Receipt;
use keywheel_core::{Event, NewRotation, Rotation, RotationId, State};
use sqlx::{QueryBuilder, SqliteConnection};
use uuid::Uuid;

use super::lease::{fence_or_null, give_back};
use super::row::{self, FORMAT, count, get, select_rotations, storage, to_json};
use super::{SqliteState, written};
use crate::fold::{advance, fold, whole_micros};
use crate::{Lease, StateError};

/// Where each open rotation stood when this process wrote last, by its secret. It saves reading back what was just written.
#[derive(Default)]
pub(super) struct Known(Mutex<HashMap<String, Stand>>);

/// Events are never changed. So a rotation that has as many of them as when it was written last has the same state, too.
#[derive(Clone)]
struct Stand {
    id: RotationId,
    /// The row's.
    number: i64,
    seq: u64,
    state: State,
}

impl Known {
    /// To be called before the lease is given back: whoever comes next may be another process.
    pub(super) fn forget(&self, secret: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(secret);
    }

    fn take(&self, secret: &str) -> Option<Stand> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(secret)
    }

    fn keep(&self, secret: &str, stand: Stand) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(secret.to_owned(), stand);
    }
}

pub(super) async fn create(
    store: &SqliteState,
    lease: &Lease,
    new: NewRotation,
    events: &[Event],
    now: Timestamp,
) -> Result<Receipt, StateError> {
    if new.secret != lease.secret {
        return Err(StateError::Fenced { secret: new.secret });
    }
    let now = whole_micros(now);
    let start = Rotation { fixed: new, state: State::initial(), seq: 0, created_at: now, updated_at: now };
    let (owned, me, events) = (lease.clone(), store.holder.id().to_owned(), events.to_vec());
    let write = store.database.write(move |c| {
        Box::pin(async move {
            must_be_ours_and_new(c, &me, &owned, &start.fixed).await?;
            let state = advance(&start, 0, &events, now)?;
            let row = Rotation { state, seq: events.len() as u64, ..start };
            let number = insert(c, &row).await?;
            insert_events(c, number, 0, &events, fence_or_null(&owned), now).await?;
            Ok(Stand { id: row.fixed.id, number, seq: row.seq, state: row.state })
        })
    });
    let stand = write.await.map_err(written)?;
    // `write` returns after the commit, and nowhere before is there a receipt.
    let receipt = Receipt::of_commit(stand.id, stand.state.clone(), stand.seq);
    store.known.keep(&lease.secret, stand);
    Ok(receipt)
}

/// The lease must still be this one, of this holder, and the rotation the only open one of its secret. One query: every
/// statement is a trip to the connection's thread.
async fn must_be_ours_and_new(
    connection: &mut SqliteConnection,
    me: &str,
    lease: &Lease,
    new: &NewRotation,
) -> Result<(), StateError> {
    let row = sqlx::query(
        "SELECT EXISTS (SELECT 1 FROM leases WHERE secret = ?1 AND fence = ?2 AND holder = ?3) AS owned, \
         (SELECT id FROM rotations WHERE secret = ?1 AND open = 1) AS open, \
         (SELECT seq FROM rotations WHERE id = ?4) AS same",
    )
    .bind(&lease.secret)
    .bind(fence_or_null(lease))
    .bind(me)
    .bind(*new.id.as_uuid())
    .fetch_one(connection)
    .await
    .map_err(storage)?;
    if !get::<bool>(&row, "owned")? {
        return Err(StateError::Fenced { secret: lease.secret.clone() });
    }
    if let Some(open) = get::<Option<Uuid>>(&row, "open")? {
        return Err(StateError::AlreadyOpen { secret: new.secret.clone(), rotation: RotationId::new(open) });
    }
    match get::<Option<i64>>(&row, "same")? {
        Some(_) => Err(StateError::Moved { rotation: new.id, expected: 0, found: count(&row, "same")? }),
        None => Ok(()),
    }
}

/// Returns the row's number.
async fn insert(connection: &mut SqliteConnection, rotation: &Rotation) -> Result<i64, StateError> {
    let Rotation { fixed, state, seq, created_at, updated_at } = rotation;
    let inserted = sqlx::query(
        "INSERT INTO rotations \
         (id, secret, policy, digest, replaces, format, shape, target, cause, state, seq, open, created_at, updated_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
    )
    .bind(*fixed.id.as_uuid())
    .bind(&fixed.secret)
    .bind(&fixed.policy)
    .bind(&fixed.digest)
    .bind(&fixed.replaces)
    .bind(FORMAT)
    .bind(to_json(&fixed.shape)?)
    .bind(&fixed.target)
    .bind(to_json(&fixed.cause)?)
    .bind(to_json(state)?)
    .bind(row::number(*seq)?)
    .bind(!state.ended())
    .bind(created_at.as_microsecond())
    .bind(updated_at.as_microsecond())
    .execute(connection)
    .await
    .map_err(storage)?;
    Ok(inserted.last_insert_rowid())
}

/// Moves a rotation on that has so many events, in a format that we know, under a lease.
macro_rules! updating {
    ($columns:literal) => {
        concat!(
            "UPDATE rotations SET ",
            $columns,
            " WHERE number = ?4 AND seq = ?5 AND secret = ?6 AND format = ?9 \
             AND EXISTS (SELECT 1 FROM leases WHERE secret = ?6 AND fence = ?7 AND holder = ?8)"
        )
    };
}
/// What is to be appended, owned so that it can wait in the writer's line.
struct Append {
    me: String,
    lease: Lease,
    id: RotationId,
    after: u64,
    events: Vec<Event>,
    now: Timestamp,
    /// Give the lease back with it.
    release: bool,
    known: Option<Stand>,
}

pub(super) async fn append(
    store: &SqliteState,
    lease: &Lease,
    id: RotationId,
    after: u64,
    events: &[Event],
    now: Timestamp,
    release: bool,
) -> Result<Receipt, StateError> {
    let append = Append {
        me: store.holder.id().to_owned(),
        lease: lease.clone(),
        id,
        after,
        events: events.to_vec(),
        now: whole_micros(now),
        release,
        // Taken, so that after an error nothing is known.
        known: store.known.take(&lease.secret),
    };
    let stand = store.database.write(move |c| Box::pin(append.run(c))).await.map_err(written)?;
    // `write` returns after the commit, and nowhere before is there a receipt.
    let receipt = Receipt::of_commit(id, stand.state.clone(), stand.seq);
    if !release {
        store.known.keep(&lease.secret, stand);
    }
    Ok(receipt)
}

impl Append {
    async fn run(self, connection: &mut SqliteConnection) -> Result<Stand, StateError> {
        let stand = match self.go_on(connection).await? {
            Some(stand) => stand,
            None => self.look_and_go_on(connection).await?,
        };
        let fence = fence_or_null(&self.lease);
        insert_events(connection, stand.number, self.after, &self.events, fence, self.now).await?;
        if self.release {
            give_back(connection, &self.me, &self.lease).await?;
        }
        Ok(stand)
    }

    /// Moves a rotation on from where it is known to stand, if it still stands there under this lease. `None` if not, or if
    /// there is anything to refuse: then it is for [`Append::look_and_go_on`] to say what.
    async fn go_on(&self, connection: &mut SqliteConnection) -> Result<Option<Stand>, StateError> {
        let Some(known) = self.known.as_ref().filter(|known| known.id == self.id && known.seq == self.after) else {
            return Ok(None);
        };
        if self.events.is_empty() {
            return Ok(None);
        }
        let Ok(state) = fold(&known.state, &self.events, self.now) else { return Ok(None) };
        let stand = Stand { state, seq: self.seq(), ..known.clone() };
        Ok(self.update(connection, &stand).await?.then_some(stand))
    }

    async fn look_and_go_on(&self, connection: &mut SqliteConnection) -> Result<Stand, StateError> {
        // One query: every statement is a trip to the connection's thread.
        let row = sqlx::query(select_rotations!(
            ", r.number, l.fence AS lease_fence, l.holder AS lease_holder \
             FROM rotations AS r LEFT JOIN leases AS l ON l.secret = r.secret WHERE r.id = ?"
        ))
        .bind(*self.id.as_uuid())
        .fetch_optional(&mut *connection)
        .await
        .map_err(storage)?
        .ok_or(StateError::NotFound(self.id))?;
        let rotation = row::rotation(&row)?;

        let fence: Option<i64> = get(&row, "lease_fence")?;
        let holder: Option<&str> = get(&row, "lease_holder")?;
        let owned = rotation.fixed.secret == self.lease.secret
            && fence.is_some_and(|fence| u64::try_from(fence) == Ok(self.lease.fence))
            && holder == Some(&self.me);
        if !owned {
            return Err(StateError::Fenced { secret: rotation.fixed.secret });
        }
        let state = advance(&rotation, self.after, &self.events, self.now)?;
        let stand = Stand { id: self.id, number: get(&row, "number")?, seq: self.seq(), state };
        if !self.events.is_empty() && !self.update(connection, &stand).await? {
            return Err(StateError::Corrupt(format!("rotation {} moved within one transaction", self.id)));
        }
        Ok(stand)
    }

    /// The number of the last event.
    fn seq(&self) -> u64 {
        self.after + self.events.len() as u64
    }

    /// Whether the row was where it should be, and the lease this holder's.
    async fn update(&self, connection: &mut SqliteConnection, to: &Stand) -> Result<bool, StateError> {
        // To name `open` is to rewrite its index, so it is named only when it changes: no event opens a rotation.
        let update = if to.state.ended() {
            updating!("state = ?1, seq = ?2, updated_at = ?3, open = 0")
        } else {
            updating!("state = ?1, seq = ?2, updated_at = ?3")
        };
        let updated = sqlx::query(update)
            .bind(to_json(&to.state)?)
            .bind(row::number(to.seq)?)
            .bind(self.now.as_microsecond())
            .bind(to.number)
            .bind(row::number(self.after)?)
            .bind(&self.lease.secret)
            .bind(fence_or_null(&self.lease))
            .bind(&self.me)
            .bind(FORMAT)
            .execute(connection)
            .await
            .map_err(storage)?;
        Ok(updated.rows_affected() > 0)
    }
}

/// Appends events behind the one numbered `after`.
async fn insert_events(
    connection: &mut SqliteConnection,
    rotation: i64,
    after: u64,
    events: &[Event],
    fence: Option<i64>,
    now: Timestamp,
) -> Result<(), StateError> {
    if events.is_empty() {
        return Ok(());
    }
    let events: Vec<String> = events.iter().map(to_json).collect::<Result<_, _>>()?;
    let mut seq = row::number(after)?;
    let mut insert = QueryBuilder::new("INSERT INTO events (rotation, seq, at, fence, format, event) ");
    insert.push_values(events, |mut row, event| {
        seq += 1;
        row.push_bind(rotation).push_bind(seq).push_bind(now.as_microsecond());
        row.push_bind(fence).push_bind(FORMAT).push_bind(event);
    });
    insert.build().execute(connection).await.map_err(storage)?;
    Ok(())
}
