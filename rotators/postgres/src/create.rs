//! `create_missing`: makes the second account of an alternating pair as a copy of the first.

use keywheel_sdk::RotatorError;
use sqlx::postgres::PgRow;

use crate::access::never;
use crate::fence::Fenced;
use crate::sqlstate::{self, Moment};
use crate::statement::{Sql, column, flag};

/// Settings whose value is a list of names. Quoted as one text they would become one name
/// (PostgreSQL source, `GUC_LIST_QUOTE` in `guc_tables.c`; `pg_dump` makes the same exception).
const NAME_LISTS: [&str; 6] = [
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
];

/// Statements that create `account` with the attributes, memberships and settings of `model`. They run in the caller's
/// transaction, so either all of it is there or nothing. What the model owns, and what was granted to it directly, is not
/// copied: that is for grant parity to report.
pub(crate) async fn sibling(fenced: &mut Fenced, account: &str, model: &str) -> Result<Sql, RotatorError> {
    let doing = "read the account to copy";
    let failed = |error: sqlx::Error| sqlstate::failure(&error, Moment::Reading, doing);
    let rows = fenced.run(&model_query(model), doing).await?;
    let of_kind =
        |kind: &'static str| rows.iter().filter(move |row| column(row, "kind").ok().flatten().as_deref() == Some(kind));
    let Some(attributes) = of_kind("attributes").next() else {
        return Err(never("42704", format!("there is no role `{model}` to copy `{account}` from")));
    };
    let mut sql = Sql::new("CREATE ROLE ").identifier(account).fixed(" LOGIN");
    sql = attributes_of(sql, attributes).map_err(failed)?;
    for row in of_kind("member") {
        sql = membership(sql, row, account).map_err(failed)?;
    }
    for row in of_kind("setting") {
        sql = setting(sql, row, account).map_err(failed)?;
    }
    Ok(sql)
}

/// One row of attributes, one per membership, one per setting. `options` differ between versions, so they come as JSON.
fn model_query(model: &str) -> Sql {
    Sql::new(
        "SELECT 'attributes' AS kind, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls, ",
    )
    .fixed("rolconnlimit FROM pg_roles WHERE rolname = ")
    .literal(model)
    .fixed("; SELECT DISTINCT 'member' AS kind, g.rolname AS name, m.admin_option AS admin, ")
    .fixed("(to_jsonb(m) ->> 'inherit_option')::boolean AS inherit, (to_jsonb(m) ->> 'set_option')::boolean AS set ")
    .fixed("FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid JOIN pg_roles r ON r.oid = m.member ")
    .fixed("WHERE r.rolname = ")
    .literal(model)
    .fixed("; SELECT 'setting' AS kind, d.datname AS database, split_part(c, '=', 1) AS name, ")
    .fixed("substr(c, strpos(c, '=') + 1) AS value FROM pg_db_role_setting s JOIN pg_roles r ON r.oid = s.setrole ")
    .fixed("LEFT JOIN pg_database d ON d.oid = s.setdatabase, unnest(s.setconfig) c WHERE r.rolname = ")
    .literal(model)
}

fn attributes_of(mut sql: Sql, row: &PgRow) -> Result<Sql, sqlx::Error> {
    // Only what differs from a plain role: some attributes may be named by superusers only.
    for (name, word) in [
        ("rolsuper", " SUPERUSER"),
        ("rolcreaterole", " CREATEROLE"),
        ("rolcreatedb", " CREATEDB"),
        ("rolreplication", " REPLICATION"),
        ("rolbypassrls", " BYPASSRLS"),
    ] {
        if flag(row, name)? {
            sql = sql.fixed(word);
        }
    }
    if !flag(row, "rolinherit")? {
        sql = sql.fixed(" NOINHERIT");
    }
    let limit = column(row, "rolconnlimit")?.and_then(|limit| limit.parse().ok()).unwrap_or(-1);
    Ok(sql.fixed(" CONNECTION LIMIT ").number(limit))
}

fn membership(sql: Sql, row: &PgRow, account: &str) -> Result<Sql, sqlx::Error> {
    let group = column(row, "name")?.unwrap_or_default();
    let sql = sql.fixed("; GRANT ").identifier(&group).fixed(" TO ").identifier(account);
    let admin = flag(row, "admin")?;
    // Before version 16 there is no such column, and no such option.
    if column(row, "inherit")?.is_none() {
        return Ok(if admin { sql.fixed(" WITH ADMIN OPTION") } else { sql });
    }
    let word = |on: bool| if on { "TRUE" } else { "FALSE" };
    Ok(sql
        .fixed(" WITH ADMIN ")
        .fixed(word(admin))
        .fixed(", INHERIT ")
        .fixed(word(flag(row, "inherit")?))
        .fixed(", SET ")
        .fixed(word(flag(row, "set")?)))
}

fn setting(sql: Sql, row: &PgRow, account: &str) -> Result<Sql, sqlx::Error> {
    let (name, value) = (column(row, "name")?.unwrap_or_default(), column(row, "value")?.unwrap_or_default());
    let mut sql = sql.fixed("; ALTER ROLE ").identifier(account);
    if let Some(database) = column(row, "database")? {
        sql = sql.fixed(" IN DATABASE ").identifier(&database);
    }
    sql = sql.fixed(" SET ");
    for (index, part) in name.split('.').enumerate() {
        sql = if index > 0 { sql.fixed(".") } else { sql }.identifier(part);
    }
    sql = sql.fixed(" TO ");
    if !NAME_LISTS.contains(&name.as_str()) {
        return Ok(sql.literal(&value));
    }
    let names = split_names(&value);
    if names.is_empty() {
        return Ok(sql.literal(""));
    }
    for (index, name) in names.iter().enumerate() {
        sql = if index > 0 { sql.fixed(", ") } else { sql }.literal(name);
    }
    Ok(sql)
}

/// Takes `"$user", public` apart. Quotes are doubled inside quotes.
fn split_names(list: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut name = String::new();
    let mut quoted = false;
    let mut started = false;
    let mut characters = list.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                name.push('"');
            }
            '"' => {
                quoted = !quoted;
                started = true;
            }
            ',' if !quoted => {
                names.push(std::mem::take(&mut name));
                started = false;
            }
            space if space.is_whitespace() && !quoted => {}
            other => {
                name.push(other);
                started = true;
            }
        }
    }
    if started {
        names.push(name);
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_lists_are_taken_apart() {
        assert_eq!(split_names(r#""$user", public"#), ["$user", "public"]);
        assert_eq!(split_names(r#""a, b", "with ""quotes""", plain"#), ["a, b", r#"with "quotes""#, "plain"]);
        assert_eq!(split_names(r#""""#), [""]);
        assert!(split_names("").is_empty());
    }
}
