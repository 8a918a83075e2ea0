//! The instance by statements: what is asked, and what is answered. An answer is written as its rows (`a|b` each, with
//! commas between), its errors (`!number`) and what it prints (`"text"`).
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod azure;
mod contained;
mod grants;
mod groups;
mod language;
mod locking;
mod logins;
mod passwords;
mod permissions;
mod settings;
mod versions;

use std::net::SocketAddr;

use super::{Instance, Options, Session};
use crate::exchange::{Login, Message, Parameter, Reply, Value};

/// Runs a batch and writes down the answer.
pub(super) async fn ask(session: &mut Session, sql: &str) -> String {
    written(&session.batch(sql, &[]).await)
}

pub(super) async fn ask_with(session: &mut Session, sql: &str, parameters: &[(&str, Value)]) -> String {
    let parameter = |(name, value): &(&str, Value)| Parameter { name: (*name).to_owned(), value: value.clone() };
    let parameters: Vec<Parameter> = parameters.iter().map(parameter).collect();
    written(&session.batch(sql, &parameters).await)
}

/// Runs each statement and compares each answer; says all that are wrong.
pub(super) async fn check(session: &mut Session, table: &[(&str, &str)]) {
    let mut wrong = Vec::new();
    for (statement, expected) in table {
        let answer = ask(session, statement).await;
        if answer != *expected {
            wrong.push(format!("{statement}\n    expected {expected}\n    answered {answer}"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

pub(super) fn instance() -> Instance {
    Instance::new(Options::default())
}

pub(super) fn login(user: &str, password: &str, database: &str) -> Login {
    Login {
        user: user.to_owned(),
        password: password.to_owned(),
        change_to: None,
        token: None,
        database: database.to_owned(),
        application: "test".to_owned(),
        host: "here".to_owned(),
        client: SocketAddr::from(([127, 0, 0, 1], 1)),
        encrypted: true,
        read_only: false,
    }
}

/// Logs in, or the error numbers.
pub(super) fn enter(instance: &Instance, user: &str, password: &str, database: &str) -> Result<Session, Vec<i32>> {
    let numbers = |messages: Vec<Message>| messages.iter().map(|message| message.number).collect();
    instance.login(&login(user, password, database)).map_err(numbers)
}

/// The number of the error that ends a login, or 0.
pub(super) fn knock(instance: &Instance, user: &str, password: &str) -> i32 {
    enter(instance, user, password, "").err().map_or(0, |numbers| numbers[0])
}

pub(super) fn written(replies: &[Reply]) -> String {
    let mut parts = Vec::new();
    for reply in replies {
        match reply {
            Reply::Row(values) => parts.push(values.iter().map(shown).collect::<Vec<_>>().join("|")),
            Reply::Message(message) if message.class > 10 => parts.push(format!("!{}", message.number)),
            Reply::Message(message) if message.number == 0 => parts.push(format!("\"{}\"", message.text)),
            Reply::Message(_) | Reply::Columns(_) | Reply::Database { .. } | Reply::Output { .. } | Reply::Done(_) => {}
        }
    }
    parts.join(",")
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Bit(bit) => i32::from(*bit).to_string(),
        Value::TinyInt(number) => number.to_string(),
        Value::SmallInt(number) => number.to_string(),
        Value::Int(number) => number.to_string(),
        Value::BigInt(number) => number.to_string(),
        Value::Text(text) => text.clone(),
        Value::Binary(bytes) => format!("0x{}", bytes.iter().map(|byte| format!("{byte:02X}")).collect::<String>()),
        Value::DateTime(at) => format!("@{at}"),
    }
}
