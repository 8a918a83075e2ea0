//! Create and append: fence, sequence and transition are checked in the transaction that writes.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use keywheel_core::handle::Receipt;
use keywheel_core::notice::Subject;
use keywheel_core::{Event, NewRotation, Rotation, RotationId, State};
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};
use uuid::Uuid;

use super::lease::{fence_or_null, give_back};
use super::outbox::push_notices;
use super::row::{self, FORMAT, count, get, select_rotations, storage, to_json};
use super::{SqliteState, written};
use crate::fold::{advance, fold, heard, whole_micros};
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
    policy: String,
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
    let create = Create { me: store.holder.id().to_owned(), lease: lease.clone(), start, events: events.to_vec() };
    let stand = store.database.write(create, |create, c| Box::pin(create.run(c))).await.map_err(written)?;
    // `write` returns after the commit, and nowhere before is there a receipt.
    let receipt = Receipt::of_commit(stand.id, stand.state.clone(), stand.seq);
    store.known.keep(&lease.secret, stand);
    Ok(receipt)
}

/// What is to be created, owned so that it can wait in the writer's line.
struct Create {
    me: String,
    lease: Lease,
    start: Rotation,
    events: Vec<Event>,
}

impl Create {
    async fn run(&self, connection: &mut SqliteConnection) -> Result<Stand, StateError> {
        let advanced = advance(&self.start, 0, &self.events, self.start.created_at);
        if let Ok(state) = &advanced
            && let Some(number) = self.insert(connection, state).await?
        {
            let NewRotation { id, policy, .. } = &self.start.fixed;
            return Ok(Stand { id: *id, number, seq: self.seq(), state: state.clone(), policy: policy.clone() });
        }
        self.must_be_ours_and_new(connection).await?;
        advanced.and_then(|_| {
            let id = self.start.fixed.id;
            Err(StateError::Corrupt(format!("rotation {id} was not written, and nothing stands against it")))
        })
    }

    /// The number of the last event.
    fn seq(&self) -> u64 {
        self.events.len() as u64
    }

    /// Writes the rotation with its first events, if the lease is still this one, of this holder, and the rotation the only
    /// open one of its secret. Returns the row's number; `None` says that nothing was written.
    async fn insert(&self, connection: &mut SqliteConnection, state: &State) -> Result<Option<i64>, StateError> {
        let Rotation { fixed, created_at, updated_at, .. } = &self.start;
        let id = *fixed.id.as_uuid();
        let mut insert = QueryBuilder::new(
            "INSERT INTO rotations (id, secret, policy, digest, replaces, format, shape, target, cause, state, seq, open, \
             created_at, updated_at) SELECT ",
        );
        let mut columns = insert.separated(", ");
        columns.push_bind(id).push_bind(&fixed.secret).push_bind(&fixed.policy).push_bind(&fixed.digest);
        columns.push_bind(&fixed.replaces).push_bind(FORMAT).push_bind(to_json(&fixed.shape)?).push_bind(&fixed.target);
        columns.push_bind(to_json(&fixed.cause)?).push_bind(to_json(state)?).push_bind(row::number(self.seq())?);
        columns.push_bind(!state.ended()).push_bind(created_at.as_microsecond()).push_bind(updated_at.as_microsecond());
        insert.push(" WHERE ");
        push_owned(&mut insert, &self.me, &self.lease);
        insert.push(" AND NOT EXISTS (SELECT 1 FROM rotations WHERE secret = ").push_bind(&fixed.secret);
        insert.push(" AND open = 1) AND NOT EXISTS (SELECT 1 FROM rotations WHERE id = ").push_bind(id).push(")");
        push_events(&mut insert, None, 0, &self.events, &self.lease, *updated_at)?;
        let subject = Subject { rotation: fixed.id, secret: &fixed.secret, policy: &fixed.policy };
        push_notices(&mut insert, &heard(subject, &self.start.state, 0, &self.events, *updated_at)?)?;
        let inserted = insert.build().execute(connection).await.map_err(storage)?;
        // Neither `events` nor `notices` has row numbers of its own.
        Ok((inserted.rows_affected() > 0).then_some(inserted.last_insert_rowid()))
    }

    /// Says what stands against it, if anything does.
    async fn must_be_ours_and_new(&self, connection: &mut SqliteConnection) -> Result<(), StateError> {
        let (lease, new) = (&self.lease, &self.start.fixed);
        let row = sqlx::query(
            "SELECT EXISTS (SELECT 1 FROM leases WHERE secret = ?1 AND fence = ?2 AND holder = ?3) AS owned, \
             (SELECT id FROM rotations WHERE secret = ?1 AND open = 1) AS open, \
             (SELECT seq FROM rotations WHERE id = ?4) AS same",
        )
        .bind(&lease.secret)
        .bind(fence_or_null(lease))
        .bind(&self.me)
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
    let stand = store.database.write(append, |append, c| Box::pin(append.run(c))).await.map_err(written)?;
    // `write` returns after the commit, and nowhere before is there a receipt.
    let receipt = Receipt::of_commit(id, stand.state.clone(), stand.seq);
    if !release {
        store.known.keep(&lease.secret, stand);
    }
    Ok(receipt)
}

impl Append {
    async fn run(&self, connection: &mut SqliteConnection) -> Result<Stand, StateError> {
        match self.go_on(connection).await? {
            Some(stand) => Ok(stand),
            None => self.look_and_go_on(connection).await,
        }
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
        Ok(self.write(connection, &known.state, &stand).await?.then_some(stand))
    }

    async fn look_and_go_on(&self, connection: &mut SqliteConnection) -> Result<Stand, StateError> {
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
        let policy = rotation.fixed.policy;
        let stand = Stand { id: self.id, number: get(&row, "number")?, seq: self.seq(), state, policy };
        if self.events.is_empty() {
            if self.release {
                give_back(connection, &self.me, &self.lease).await?;
            }
        } else if !self.write(connection, &rotation.state, &stand).await? {
            return Err(StateError::Corrupt(format!("rotation {} moved within one transaction", self.id)));
        }
        Ok(stand)
    }

    /// The number of the last event.
    fn seq(&self) -> u64 {
        self.after + self.events.len() as u64
    }

    /// Moves the row on and appends the events, and gives the lease back if that is wanted. False if the row was not where it
    /// should be, or the lease is not this holder's: then nothing was written.
    async fn write(&self, connection: &mut SqliteConnection, from: &State, to: &Stand) -> Result<bool, StateError> {
        let mut write = QueryBuilder::new("UPDATE rotations SET state = ");
        write.push_bind(to_json(&to.state)?).push(", seq = ").push_bind(row::number(to.seq)?);
        write.push(", updated_at = ").push_bind(self.now.as_microsecond());
        // To name `open` is to rewrite its index, so it is named only when it changes: no event opens a rotation.
        if to.state.ended() {
            write.push(", open = 0");
        }
        write.push(" WHERE number = ").push_bind(to.number).push(" AND seq = ").push_bind(row::number(self.after)?);
        write.push(" AND secret = ").push_bind(&self.lease.secret).push(" AND format = ").push_bind(FORMAT);
        write.push(" AND ");
        push_owned(&mut write, &self.me, &self.lease);
        push_events(&mut write, Some(to.number), self.after, &self.events, &self.lease, self.now)?;
        let subject = Subject { rotation: self.id, secret: &self.lease.secret, policy: &to.policy };
        push_notices(&mut write, &heard(subject, from, self.after, &self.events, self.now)?)?;
        if self.release {
            write.push("; UPDATE leases SET holder = NULL WHERE changes() > 0 AND secret = ");
            write.push_bind(&self.lease.secret).push(" AND fence = ").push_bind(fence_or_null(&self.lease));
            write.push(" AND holder = ").push_bind(&self.me);
        }
        let written = write.build().execute(connection).await.map_err(storage)?;
        Ok(written.rows_affected() > 0)
    }
}

/// The condition that the lease is this holder's.
pub(super) fn push_owned(query: &mut QueryBuilder<Sqlite>, me: &str, lease: &Lease) {
    query.push("EXISTS (SELECT 1 FROM leases WHERE secret = ").push_bind(lease.secret.clone());
    query.push(" AND fence = ").push_bind(fence_or_null(lease));
    query.push(" AND holder = ").push_bind(me.to_owned()).push(")");
}

/// Appends events behind the one numbered `after`, if the statement before has changed its row (`changes()`): so both are one
/// trip to the connection's thread. Without `rotation` they belong to the row that was just inserted.
fn push_events(
    query: &mut QueryBuilder<Sqlite>,
    rotation: Option<i64>,
    after: u64,
    events: &[Event],
    lease: &Lease,
    now: Timestamp,
) -> Result<(), StateError> {
    if events.is_empty() {
        return Ok(());
    }
    let events: Vec<String> = events.iter().map(to_json).collect::<Result<_, _>>()?;
    let mut seq = row::number(after)?;
    query.push("; INSERT INTO events (rotation, seq, at, fence, plugin, format, event) SELECT coalesce(");
    query.push_bind(rotation).push(", last_insert_rowid()), column1, ").push_bind(now.as_microsecond()).push(", ");
    query.push_bind(fence_or_null(lease)).push(", ").push_bind(lease.plugin.clone()).push(", ");
    query.push_bind(FORMAT).push(", column2 FROM (");
    query.push_values(events, |mut row, event| {
        seq += 1;
        row.push_bind(seq).push_bind(event);
    });
    query.push(") WHERE changes() > 0");
    Ok(())
}
