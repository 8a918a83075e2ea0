//! `create_missing`: makes the second login of an alternating pair as a copy of the first.

use keywheel_sdk::{Bundle, RotatorError};

use crate::access::{Access, never};
use crate::apply::{Entered, after_change};
use crate::fence::Fenced;
use crate::instance::Instance;
use crate::rights::{self, Mapping, Permission, Right};
use crate::settings::Kind;
use crate::statement::{Sql, bytes, text};

const READING: &str = "read the login to copy";

/// Creates `account` on one instance with the password policy, default database, server roles and permissions of `model`, and
/// for each database with a user of `model` a user of the same name as the login, its roles and its permissions on the
/// database, its schemas and objects. It is one transaction, so either all of it is there or nothing. Permissions of other
/// classes are not copied: they are for grant parity to report.
///
/// `sid` is the first instance's, given to all further ones, so that the users in a database that moves between them stay
/// mapped to the login (SQL Server documentation, "Management of logins and jobs for the databases of an availability group").
pub(crate) async fn sibling(
    mut fenced: Fenced,
    access: &Access<'_>,
    account: &str,
    model: Option<&str>,
    candidate: &Bundle,
    sid: &mut Option<Vec<u8>>,
) -> Result<(), RotatorError> {
    let refusal = match model {
        None => Some("there is no live account to copy it from"),
        Some(_) => refusal(access.settings.kind, fenced.is_azure()),
    };
    let (Some(model), None) = (model, refusal) else {
        fenced.leave().await?;
        let why = refusal.unwrap_or_default();
        return Err(never("create-missing", format!("the account `{account}` is missing, and {why}")));
    };
    let statements = statements(&mut fenced, account, model, candidate, sid.as_deref()).await?;
    fenced.change(&statements, "create the second login").await?;
    if sid.is_none() && access.settings.is_group() {
        *sid = sid_of(&mut fenced, account).await.map_err(after_change)?;
    }
    fenced.leave().await.map_err(after_change)
}

/// Why accounts are not made there; `None` if they are.
pub(crate) fn refusal(kind: Kind, azure: bool) -> Option<&'static str> {
    if kind == Kind::ContainedUser {
        Some("contained users are not copied: create it by hand")
    } else if azure {
        Some("Azure SQL Database makes logins one statement at a time: create it by hand")
    } else {
        None
    }
}

/// The SID that a login has on the instances where it is there already, as after a call that was cut between two instances:
/// those where it is made now must get the same one. `None` if there is nothing to make, or it is nowhere yet.
///
/// All fences are held already, so what is read here stays so.
pub(crate) async fn known_sid(
    access: &Access<'_>,
    account: &str,
    fences: &mut [(Instance<'_>, Entered<'_>)],
) -> Result<Option<Vec<u8>>, RotatorError> {
    let creates = fences.iter().any(|(_, (fenced, _))| fenced.account.is_none());
    if !creates || access.settings.kind != Kind::Login {
        return Ok(None);
    }
    let mut known: Option<Vec<u8>> = None;
    for (instance, (fenced, _)) in fences.iter_mut().filter(|(_, (fenced, _))| fenced.account.is_some()) {
        let located = |error| access.located(instance.address, error);
        let sid = sid_of(fenced, account).await.map_err(located)?;
        let sid = sid.ok_or_else(|| located(never("sid", format!("the SID of `{account}` cannot be read"))))?;
        if known.as_ref().is_some_and(|known| *known != sid) {
            let message = format!(
                "`{account}` has another SID here than on another replica, so which one it must get where it is missing \
                 cannot be known: make it by hand there, or drop all but one"
            );
            return Err(located(never("sid", message)));
        }
        known = Some(sid);
    }
    Ok(known)
}

async fn statements(
    fenced: &mut Fenced,
    account: &str,
    model: &str,
    candidate: &Bundle,
    sid: Option<&[u8]>,
) -> Result<Sql, RotatorError> {
    let server = rights::read(&fenced.run(&rights::of_server(model, false), READING).await?)?;
    if server.is_empty() {
        return Err(never("15151", format!("there is no login `{model}` to copy `{account}` from")));
    }
    let mut sql = Sql::new("BEGIN TRY BEGIN TRANSACTION; CREATE LOGIN ")
        .identifier(account)
        .fixed(" WITH PASSWORD = ")
        .secret(candidate.password()?);
    if let Some(sid) = sid {
        sql = sql.fixed(", SID = ").binary(sid);
    }
    for right in &server {
        sql = match right {
            Right::Attribute { name, value } => attribute(sql, name, value),
            Right::User { .. } | Right::Role { .. } | Right::Permission(_) => sql,
        };
    }
    for right in &server {
        sql = match right {
            Right::Role { name, .. } => {
                sql.fixed("; ALTER SERVER ROLE ").identifier(name).fixed(" ADD MEMBER ").identifier(account)
            }
            // Every login gets this one when it is created.
            Right::Permission(permission) if permission.name == "CONNECT SQL" && permission.state == "GRANT" => sql,
            Right::Permission(permission) => grant(sql, permission, account),
            Right::Attribute { .. } | Right::User { .. } => sql,
        };
    }
    let databases = fenced.run(&rights::databases(), READING).await?;
    for database in databases.iter().filter(|row| rights::is_shown(row)).filter_map(|row| text(row, "name")) {
        let query = rights::of_database(Mapping::Sid, model, &database);
        let rights = rights::read(&fenced.run(&query, READING).await?)?;
        sql = in_database(sql, &rights, &database, account);
    }
    Ok(sql
        .fixed("; USE [master]; COMMIT TRANSACTION; END TRY ")
        .fixed("BEGIN CATCH IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION; THROW; END CATCH"))
}

fn attribute(sql: Sql, name: &str, value: &str) -> Sql {
    let switch = |sql: Sql, option: &'static str| sql.fixed(option).fixed(if value == "on" { "ON" } else { "OFF" });
    match name {
        "default database" => sql.fixed(", DEFAULT_DATABASE = ").identifier(value),
        "password policy" => switch(sql, ", CHECK_POLICY = "),
        "password expiration" => switch(sql, ", CHECK_EXPIRATION = "),
        _ => sql,
    }
}

fn in_database(mut sql: Sql, rights: &[Right], database: &str, account: &str) -> Sql {
    let Some(schema) = rights.iter().find_map(|right| match right {
        Right::User { schema, .. } => Some(schema),
        Right::Attribute { .. } | Right::Role { .. } | Right::Permission(_) => None,
    }) else {
        return sql;
    };
    sql = sql.fixed("; USE ").identifier(database).fixed("; CREATE USER ").identifier(account).fixed(" FOR LOGIN ");
    sql = sql.identifier(account);
    if !schema.is_empty() {
        sql = sql.fixed(" WITH DEFAULT_SCHEMA = ").identifier(schema);
    }
    for right in rights {
        sql = match right {
            Right::Role { name, .. } => {
                sql.fixed("; ALTER ROLE ").identifier(name).fixed(" ADD MEMBER ").identifier(account)
            }
            // Every user gets this one when it is created.
            Right::Permission(permission) if permission.name == "CONNECT" && permission.state == "GRANT" => sql,
            Right::Permission(permission) => grant(sql, permission, account),
            Right::Attribute { .. } | Right::User { .. } => sql,
        };
    }
    sql
}

fn grant(sql: Sql, permission: &Permission, account: &str) -> Sql {
    let verb = match permission.state.as_str() {
        "GRANT" | "GRANT_WITH_GRANT_OPTION" => "; GRANT ",
        "DENY" => "; DENY ",
        _ => return sql,
    };
    let on = match permission.class.as_str() {
        "SERVER" | "DATABASE" => Sql::default(),
        "SCHEMA" => Sql::new(" ON SCHEMA::").identifier(&permission.scope),
        "OBJECT_OR_COLUMN" if permission.column.is_empty() && !permission.object.is_empty() => {
            Sql::new(" ON OBJECT::").identifier(&permission.scope).fixed(".").identifier(&permission.object)
        }
        _ => return sql,
    };
    let Some(name) = Sql::keywords(&permission.name) else { return sql };
    let sql = sql.fixed(verb).then(&name).then(&on).fixed(" TO ").identifier(account);
    if permission.state == "GRANT_WITH_GRANT_OPTION" { sql.fixed(" WITH GRANT OPTION") } else { sql }
}

async fn sid_of(fenced: &mut Fenced, account: &str) -> Result<Option<Vec<u8>>, RotatorError> {
    let query = Sql::new("SELECT l.sid AS sid FROM sys.sql_logins AS l WHERE l.name = ").literal(account);
    let rows = fenced.run(&query, "read the login's SID").await?;
    Ok(rows.first().and_then(|row| bytes(row, "sid")))
}
