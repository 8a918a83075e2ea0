//! The T-SQL that the double understands, from text to replies.
#![expect(clippy::wildcard_enum_match_arm, reason = "sqlparser knows all dialects; what is not named here is refused")]

mod applock;
mod database;
mod eval;
mod execute;
mod function;
mod group;
mod lexer;
mod login;
mod order;
mod parse;
mod parse_database;
mod parse_security;
mod permission;
mod procedure;
mod property;
mod query;
mod relation;
mod role;
mod run;
mod scene;
mod session;
mod statement;
mod user;
mod value;
mod view;
mod wait;

pub(crate) use lexer::is_reserved;
pub(crate) use run::{back_to, call, run};
