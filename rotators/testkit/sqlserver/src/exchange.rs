//! What passes between the line (`wire`) and the server behind it (`instance`): a login, batches, and the server's replies.

use std::fmt;
use std::net::SocketAddr;

/// One value of a row, or of a parameter.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null,
    Bit(bool),
    TinyInt(u8),
    SmallInt(i16),
    Int(i32),
    BigInt(i64),
    /// NVARCHAR; also what `sysname` is.
    Text(String),
    /// VARBINARY.
    Binary(Vec<u8>),
    /// DATETIME: milliseconds since 1900-01-01 00:00, UTC.
    DateTime(i64),
}

/// The type of a column or parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Bit,
    TinyInt,
    SmallInt,
    Int,
    BigInt,
    Text,
    Binary,
    DateTime,
}

/// One column of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Empty where the statement gives none, as SQL Server does.
    pub name: String,
    pub kind: Kind,
}

/// A message of the server: an error where `class` is over 10, else information.
///
/// A test's own is written with `..Message::default()`, or made with [`Message::error`] and, where it is to come from a trigger
/// or a procedure, [`Message::raised_by`].
#[derive(Debug, Clone, Default, PartialEq, Eq, thiserror::Error)]
#[error("error {number}, state {state}, class {class}: {text}")]
pub struct Message {
    pub number: i32,
    pub state: u8,
    /// Severity, 0 to 25. From 20 on the server ends the session.
    pub class: u8,
    pub text: String,
    /// The procedure or trigger that raised it (`ProcName` of [MS-TDS] 2.2.7.10), empty where it was the batch itself.
    pub procedure: String,
}

impl Message {
    /// An error of severity 16 and state 1, raised by the batch.
    #[must_use]
    pub fn error(number: i32, text: impl Into<String>) -> Self {
        Message { number, state: 1, class: 16, text: text.into(), procedure: String::new() }
    }

    /// The same, raised by a procedure or a trigger of this name.
    #[must_use]
    pub fn raised_by(self, procedure: impl Into<String>) -> Self {
        Message { procedure: procedure.into(), ..self }
    }
}

/// One step of the server's answer to a batch, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    Columns(Vec<Column>),
    Row(Vec<Value>),
    Message(Message),
    /// `USE`, or the database of a fresh session.
    Database {
        from: String,
        to: String,
    },
    /// An output parameter of an RPC, by name with `@`.
    Output {
        name: String,
        value: Value,
    },
    /// The end of one statement, with the number of rows where there is one.
    Done(Option<u64>),
}

/// A parameter of `sp_executesql`, its name with `@`.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    pub name: String,
    pub value: Value,
}

/// What a client says of itself when it logs in (LOGIN7).
pub struct Login {
    pub user: String,
    pub password: String,
    /// A password change at login: the password to set.
    pub change_to: Option<String>,
    /// A federated token instead of user and password.
    pub token: Option<String>,
    /// Empty for the login's default database.
    pub database: String,
    pub application: String,
    pub host: String,
    pub client: SocketAddr,
    /// The whole session is encrypted, not just the login.
    pub encrypted: bool,
    pub read_only: bool,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("user", &self.user).field("database", &self.database).finish_non_exhaustive()
    }
}
