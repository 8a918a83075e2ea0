//! Create and append: fence, sequence and transition are checked in the transaction that writes.

use jiff::Timestamp;
use keywheel_core::handle::Receipt;
use keywheel_core::{Event, NewRotation, Rotation, RotationId, State};
use keywheel_sqlite::Database;
use sqlx::SqliteConnection;
use uuid::Uuid;

use super::holder::Holder;
use super::lease::must_own;
use super::row::{self, FORMAT, count, get, select_rotations, storage, to_json};
use super::written;
use crate::fold::{advance, whole_micros};
use crate::{Lease, StateError};

pub(super) async fn create(
    database: &Database,
    holder: &Holder,
    lease: &Lease,
    new: NewRotation,
    now: Timestamp,
) -> Result<Rotation, StateError> {
    if new.secret != lease.secret {
        return Err(StateError::Fenced { secret: new.secret });
    }
    let now = whole_micros(now);
    let rotation = Rotation { fixed: new, state: State::initial(), seq: 0, created_at: now, updated_at: now };
    let (lease, me, row) = (lease.clone(), holder.id().to_owned(), rotation.clone());
    database
        .write(move |c| {
            Box::pin(async move {
                must_own(c, &me, &lease).await?;
                must_be_new(c, &row.fixed).await?;
                insert(c, &row).await
            })
        })
        .await
        .map_err(written)?;
    Ok(rotation)
}

async fn must_be_new(connection: &mut SqliteConnection, new: &NewRotation) -> Result<(), StateError> {
    let open = sqlx::query("SELECT id FROM rotations WHERE secret = ? AND open = 1")
        .bind(&new.secret)
        .fetch_optional(&mut *connection)
        .await
        .map_err(storage)?;
    if let Some(open) = open {
        let rotation = RotationId::new(get::<Uuid>(&open, "id")?);
        return Err(StateError::AlreadyOpen { secret: new.secret.clone(), rotation });
    }
    let same = sqlx::query("SELECT seq FROM rotations WHERE id = ?")
        .bind(*new.id.as_uuid())
        .fetch_optional(connection)
        .await
        .map_err(storage)?;
    match same {
        Some(same) => Err(StateError::Moved { rotation: new.id, expected: 0, found: count(&same, "seq")? }),
        None => Ok(()),
    }
}

async fn insert(connection: &mut SqliteConnection, rotation: &Rotation) -> Result<(), StateError> {
    let Rotation { fixed, state, seq, created_at, updated_at } = rotation;
    sqlx::query(
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
    Ok(())
}

/// What is to be appended, owned so that it can wait in the writer's line.
struct Append {
    me: String,
    lease: Lease,
    id: RotationId,
    after: u64,
    events: Vec<Event>,
    now: Timestamp,
}

pub(super) async fn append(
    database: &Database,
    holder: &Holder,
    lease: &Lease,
    id: RotationId,
    after: u64,
    events: &[Event],
    now: Timestamp,
) -> Result<Receipt, StateError> {
    let append = Append {
        me: holder.id().to_owned(),
        lease: lease.clone(),
        id,
        after,
        events: events.to_vec(),
        now: whole_micros(now),
    };
    let (state, seq) = database.write(move |c| Box::pin(append.run(c))).await.map_err(written)?;
    // `write` returns after the commit, and nowhere before is there a receipt.
    Ok(Receipt::of_commit(id, state, seq))
}

impl Append {
    async fn run(self, connection: &mut SqliteConnection) -> Result<(State, u64), StateError> {
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
        let number: i64 = get(&row, "number")?;
        let seq = self.insert_events(connection, number, fence).await?;
        if seq > self.after {
            self.update(connection, number, seq, &state).await?;
        }
        Ok((state, seq))
    }

    /// Returns the number of the last event.
    async fn insert_events(
        &self,
        connection: &mut SqliteConnection,
        number: i64,
        fence: Option<i64>,
    ) -> Result<u64, StateError> {
        let mut seq = self.after;
        for event in &self.events {
            seq += 1;
            sqlx::query("INSERT INTO events (rotation, seq, at, fence, format, event) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")
                .bind(number)
                .bind(row::number(seq)?)
                .bind(self.now.as_microsecond())
                .bind(fence)
                .bind(FORMAT)
                .bind(to_json(event)?)
                .execute(&mut *connection)
                .await
                .map_err(storage)?;
        }
        Ok(seq)
    }

    async fn update(
        &self,
        connection: &mut SqliteConnection,
        number: i64,
        seq: u64,
        state: &State,
    ) -> Result<(), StateError> {
        // To name `open` is to rewrite its index, so it is named only when it changes: no event opens a rotation.
        let update = if state.ended() {
            "UPDATE rotations SET state = ?1, seq = ?2, updated_at = ?3, open = 0 WHERE number = ?4"
        } else {
            "UPDATE rotations SET state = ?1, seq = ?2, updated_at = ?3 WHERE number = ?4"
        };
        sqlx::query(update)
            .bind(to_json(state)?)
            .bind(row::number(seq)?)
            .bind(self.now.as_microsecond())
            .bind(number)
            .execute(connection)
            .await
            .map_err(storage)?;
        Ok(())
    }
}
