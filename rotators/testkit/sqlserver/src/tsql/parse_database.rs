//! CREATE DATABASE, ALTER DATABASE, and whose a database is.

use sqlparser::tokenizer::Token;

use super::lexer::{Cursor, Parsed};
use super::statement::{DatabaseChange, Statement};

pub(crate) fn create(cursor: &mut Cursor) -> Parsed<Statement> {
    cursor.take("DATABASE");
    let name = cursor.name()?;
    let contained = if cursor.take("CONTAINMENT") { containment(cursor)? } else { false };
    if cursor.take("COLLATE") {
        cursor.name()?;
    }
    Ok(Statement::CreateDatabase { name, contained })
}

pub(crate) fn alter(cursor: &mut Cursor) -> Parsed<Statement> {
    cursor.take("DATABASE");
    let name = if cursor.take("CURRENT") { None } else { Some(cursor.name()?) };
    if cursor.take("MODIFY NAME") {
        cursor.expect_token(&Token::Eq)?;
        return Ok(Statement::AlterDatabase { name, change: DatabaseChange::Name(cursor.name()?) });
    }
    cursor.expect("SET")?;
    let change = match cursor.word().as_str() {
        "CONTAINMENT" => {
            cursor.take("CONTAINMENT");
            DatabaseChange::Containment(containment(cursor)?)
        }
        "READ_ONLY" | "READ_WRITE" => {
            let read_only = cursor.word() == "READ_ONLY";
            cursor.next();
            DatabaseChange::ReadOnly(read_only)
        }
        "RECOVERY" | "PARAMETERIZATION" | "PAGE_VERIFY" | "COMPATIBILITY_LEVEL" => {
            cursor.next();
            cursor.take_token(&Token::Eq);
            cursor.next();
            DatabaseChange::Other
        }
        "SINGLE_USER" | "MULTI_USER" | "ONLINE" | "RESTRICTED_USER" => {
            cursor.next();
            DatabaseChange::Other
        }
        _ => {
            cursor.name()?;
            cursor.take_token(&Token::Eq);
            cursor.on_off()?;
            DatabaseChange::Other
        }
    };
    if cursor.take("WITH") && !cursor.take("NO_WAIT") {
        cursor.expect("ROLLBACK IMMEDIATE")?;
    }
    Ok(Statement::AlterDatabase { name, change })
}

pub(crate) fn owner(cursor: &mut Cursor) -> Parsed<Statement> {
    cursor.take("AUTHORIZATION");
    cursor.expect("ON DATABASE")?;
    cursor.expect_token(&Token::DoubleColon)?;
    let name = cursor.name()?;
    cursor.expect("TO")?;
    Ok(Statement::DatabaseOwner { name, owner: cursor.name()? })
}

fn containment(cursor: &mut Cursor) -> Parsed<bool> {
    cursor.expect_token(&Token::Eq)?;
    if cursor.take("PARTIAL") {
        return Ok(true);
    }
    cursor.expect("NONE").map(|()| false)
}

/// ALTER AVAILABILITY GROUP: which databases are in it. Whatever the group is called, it is the one of this instance.
pub(crate) fn group(cursor: &mut Cursor) -> Parsed<Statement> {
    cursor.expect("AVAILABILITY GROUP")?;
    cursor.name()?;
    let join = cursor.take("ADD");
    if !join {
        cursor.expect("REMOVE")?;
    }
    cursor.expect("DATABASE")?;
    let mut databases = vec![cursor.name()?];
    while cursor.take_token(&Token::Comma) {
        databases.push(cursor.name()?);
    }
    Ok(Statement::Group { databases, join })
}
