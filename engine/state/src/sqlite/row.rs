//! Rows and values, both ways. Everything read here was written by some version of this file, or is refused.

use jiff::Timestamp;
use keywheel_core::{NewRotation, Recorded, Rotation, RotationId};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::sqlite::SqliteRow;
use sqlx::{Decode, Row, Sqlite, Type};
use uuid::Uuid;

use crate::StateError;
use crate::fold::from_micros;

/// How the JSON in a row is written. A new number is due when a program that knows only the old one would misread the new
/// rows, or lose part of them when it writes them back: also for a mere new field. A further word among others, such as one more
/// cause of a rotation or kind of notice, needs none: who does not know it refuses the row, and never writes those columns back.
pub(super) const FORMAT: i64 = 1;

/// A query for whole rotations.
macro_rules! select_rotations {
    ($rest:literal) => {
        concat!(
            "SELECT r.id, r.secret, r.policy, r.digest, r.replaces, r.format, r.shape, r.target, r.cause, r.state, r.seq, ",
            "r.created_at, r.updated_at ",
            $rest
        )
    };
}
pub(super) use select_rotations;

/// A row of [`select_rotations`].
pub(super) fn rotation(row: &SqliteRow) -> Result<Rotation, StateError> {
    let id = RotationId::new(get::<Uuid>(row, "id")?);
    let what = || format!("rotation {id}");
    check_format(get(row, "format")?, what)?;
    let fixed = NewRotation {
        id,
        secret: get(row, "secret")?,
        policy: get(row, "policy")?,
        digest: get(row, "digest")?,
        shape: from_json(get(row, "shape")?, what)?,
        target: get(row, "target")?,
        cause: from_json(get(row, "cause")?, what)?,
        replaces: get(row, "replaces")?,
    };
    Ok(Rotation {
        fixed,
        state: from_json(get(row, "state")?, what)?,
        seq: count(row, "seq")?,
        created_at: instant(row, "created_at")?,
        updated_at: instant(row, "updated_at")?,
    })
}

/// A row with `seq`, `at`, `fence`, `plugin`, `format` and `event`.
pub(super) fn recorded(id: RotationId, row: &SqliteRow) -> Result<Recorded, StateError> {
    let seq = count(row, "seq")?;
    let what = || format!("event {seq} of rotation {id}");
    check_format(get(row, "format")?, what)?;
    Ok(Recorded {
        seq,
        at: instant(row, "at")?,
        fence: count(row, "fence")?,
        plugin: get(row, "plugin")?,
        event: from_json(get(row, "event")?, what)?,
    })
}

/// JSON in a column, whose row has a `format`.
pub(super) fn read<T: DeserializeOwned>(
    row: &SqliteRow,
    column: &str,
    what: impl Fn() -> String,
) -> Result<T, StateError> {
    check_format(get(row, "format")?, &what)?;
    from_json(get(row, column)?, what)
}

/// A column's value.
pub(super) fn get<'r, T: Decode<'r, Sqlite> + Type<Sqlite>>(row: &'r SqliteRow, column: &str) -> Result<T, StateError> {
    row.try_get(column).map_err(|error| StateError::Corrupt(error.to_string()))
}

/// A column that holds a number from zero.
pub(super) fn count(row: &SqliteRow, column: &str) -> Result<u64, StateError> {
    let value: i64 = get(row, column)?;
    u64::try_from(value).map_err(|_| StateError::Corrupt(format!("`{column}` is {value}")))
}

/// A column that holds an instant.
pub(super) fn instant(row: &SqliteRow, column: &str) -> Result<Timestamp, StateError> {
    from_micros(get(row, column)?).map_err(|error| StateError::Corrupt(format!("`{column}` is no instant: {error}")))
}

/// A number for a column. The database's end at half of ours, which nothing counted here ever reaches.
pub(super) fn number(count: u64) -> Result<i64, StateError> {
    i64::try_from(count).map_err(|_| StateError::Corrupt(format!("{count} is beyond what can be stored")))
}

/// A value as JSON.
pub(super) fn to_json(value: &impl Serialize) -> Result<String, StateError> {
    serde_json::to_string(value).map_err(|error| StateError::Corrupt(format!("cannot be written as JSON: {error}")))
}

fn from_json<T: DeserializeOwned>(text: &str, what: impl Fn() -> String) -> Result<T, StateError> {
    serde_json::from_str(text).map_err(|error| StateError::Corrupt(format!("{}: {error}", what())))
}

fn check_format(found: i64, what: impl Fn() -> String) -> Result<(), StateError> {
    if found == FORMAT {
        return Ok(());
    }
    Err(StateError::Corrupt(format!(
        "{} has format {found}, and this program knows only {FORMAT}: use the program that wrote it",
        what()
    )))
}

/// The database's own failures.
pub(super) fn storage(error: sqlx::Error) -> StateError {
    if let sqlx::Error::Database(answer) = &error
        // SQLITE_CORRUPT and SQLITE_NOTADB; the low byte is the primary code.
        && answer.code().and_then(|code| code.parse::<i32>().ok()).is_some_and(|code| [11, 26].contains(&(code & 0xff)))
    {
        return StateError::Corrupt(error.to_string());
    }
    StateError::Unavailable(error.to_string())
}
