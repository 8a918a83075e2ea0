//! The rights of an account as the server keeps them: what parity compares, and what a new sibling gets.

use std::fmt;

use keywheel_sdk::RotatorError;
use tiberius::Row;

use crate::statement::{Sql, number, text};

/// One right or attribute of an account. Two accounts have the same if all their rights are equal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Right {
    /// What the account is: `default database`, `password policy`.
    Attribute {
        name: String,
        value: String,
    },
    /// A user in a database, mapped to the login; with its default schema.
    User {
        database: String,
        schema: String,
    },
    /// Member of a role; of the server where there is no database.
    Role {
        database: String,
        name: String,
    },
    Permission(Permission),
}

/// One row of `sys.server_permissions` or `sys.database_permissions`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Permission {
    /// Empty for the server's.
    pub(crate) database: String,
    /// GRANT, GRANT_WITH_GRANT_OPTION or DENY.
    pub(crate) state: String,
    /// Such as SELECT or VIEW SERVER STATE.
    pub(crate) name: String,
    /// Of what: SERVER, DATABASE, SCHEMA, OBJECT_OR_COLUMN, …
    pub(crate) class: String,
    /// The schema; for other classes the securable's number.
    pub(crate) scope: String,
    /// The object in the schema, if it is one; with the column's number, if it is only that.
    pub(crate) object: String,
    pub(crate) column: String,
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Right::Attribute { name, value } => write!(f, "{name} {value}"),
            Right::User { database, schema } if schema.is_empty() => write!(f, "a user in `{database}`"),
            Right::User { database, schema } => write!(f, "a user in `{database}` with default schema `{schema}`"),
            Right::Role { database, name } if database.is_empty() => write!(f, "server role `{name}`"),
            Right::Role { database, name } => write!(f, "role `{name}` in `{database}`"),
            Right::Permission(permission) => write!(f, "{permission}"),
        }
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.state.replace('_', " "), self.name)?;
        let on = [&self.scope, &self.object, &self.column];
        let on: Vec<&str> = on.iter().map(|part| part.as_str()).filter(|part| !part.is_empty()).collect();
        if !on.is_empty() {
            write!(f, " on {} `{}`", self.class, on.join("."))?;
        }
        if self.database.is_empty() { Ok(()) } else { write!(f, " in `{}`", self.database) }
    }
}

/// Asks for the databases that can be written here, which of them whoever asks can look into, and what kind of server this is.
pub(crate) fn databases() -> Sql {
    Sql::new(
        "SELECT d.name AS name, CONVERT(int, SERVERPROPERTY(N'EngineEdition')) AS edition, CASE WHEN HAS_DBACCESS(d.name) = 1 ",
    )
    // Without the right the views show one's own user only, which would look like two accounts without any rights.
    .fixed("AND HAS_PERMS_BY_NAME(QUOTENAME(d.name), N'DATABASE', N'VIEW DEFINITION') = 1 THEN 1 ELSE 0 END AS shown ")
    .fixed("FROM sys.databases AS d WHERE d.state = 0 AND d.source_database_id IS NULL ")
    // Snapshots, read-only databases and those of a secondary: users are made, and compared, where they can be written.
    .fixed("AND CONVERT(nvarchar(20), DATABASEPROPERTYEX(d.name, N'Updateability')) = N'READ_WRITE' ORDER BY d.name")
}

/// Whether the row of a database says that it can be looked into.
pub(crate) fn is_shown(row: &Row) -> bool {
    number(row, "shown") == Some(1)
}

/// How an account's user in a database is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mapping {
    /// By the login's SID.
    Sid,
    /// By the login's name: in a database of Azure SQL the logins of `master` are not seen.
    Name,
    /// The account is the user.
    Contained,
}

/// Asks for a login's rights on the server. Azure SQL Database has none but roles.
pub(crate) fn of_server(login: &str, azure: bool) -> Sql {
    let principal = |sql: Sql| sql.fixed(" = p.principal_id WHERE p.name = ").literal(login);
    let attributes =
        Sql::new("SELECT N'attribute' AS kind, N'default database' AS name, l.default_database_name AS value ")
            .fixed("FROM sys.sql_logins AS l WHERE l.name = ")
            .literal(login)
            .fixed("; SELECT N'attribute' AS kind, N'password policy' AS name, CASE WHEN l.is_policy_checked = 1 ")
            .fixed("THEN N'on' ELSE N'off' END AS value FROM sys.sql_logins AS l WHERE l.name = ")
            .literal(login)
            .fixed(
                "; SELECT N'attribute' AS kind, N'password expiration' AS name, CASE WHEN l.is_expiration_checked = 1 ",
            )
            .fixed("THEN N'on' ELSE N'off' END AS value FROM sys.sql_logins AS l WHERE l.name = ")
            .literal(login);
    let roles = attributes
        .fixed("; SELECT N'role' AS kind, N'' AS db, r.name AS name FROM sys.server_role_members AS m ")
        .fixed("JOIN sys.server_principals AS r ON r.principal_id = m.role_principal_id ")
        .fixed("JOIN sys.server_principals AS p ON m.member_principal_id");
    if azure {
        return principal(roles);
    }
    let permissions = principal(roles)
        .fixed("; SELECT N'permission' AS kind, N'' AS db, q.state_desc AS state, q.permission_name AS name, ")
        .fixed("q.class_desc AS class, CASE WHEN q.class = 100 THEN N'' ELSE CONVERT(nvarchar(20), q.major_id) END AS scope, ")
        .fixed("N'' AS object, N'' AS col FROM sys.server_permissions AS q ")
        .fixed("JOIN sys.server_principals AS p ON q.grantee_principal_id");
    principal(permissions)
}

/// Asks for an account's rights in a database: a login's through the user that is mapped to it.
pub(crate) fn of_database(mapping: Mapping, account: &str, database: &str) -> Sql {
    let from = |sql: Sql, view: &'static str| sql.fixed(" FROM ").identifier(database).fixed(view);
    let is = |sql: Sql| match mapping {
        Mapping::Sid => sql.fixed("u.sid = SUSER_SID(").literal(account).fixed(")"),
        Mapping::Name => sql.fixed("u.type = N'S' AND u.name = ").literal(account),
        Mapping::Contained => sql.fixed("u.authentication_type = 2 AND u.name = ").literal(account),
    };
    let db = |sql: Sql| sql.literal(database).fixed(" AS db, ");
    let user = db(Sql::new("SELECT N'user' AS kind, ")).fixed("ISNULL(u.default_schema_name, N'') AS name");
    let user = is(from(user, ".sys.database_principals AS u WHERE "));
    let roles = db(user.fixed("; SELECT N'role' AS kind, ")).fixed("r.name AS name");
    let roles = from(roles, ".sys.database_role_members AS m JOIN ")
        .identifier(database)
        .fixed(".sys.database_principals AS r ON r.principal_id = m.role_principal_id JOIN ")
        .identifier(database)
        .fixed(".sys.database_principals AS u ON u.principal_id = m.member_principal_id WHERE ");
    let permissions = db(is(roles).fixed("; SELECT N'permission' AS kind, "))
        .fixed("q.state_desc AS state, q.permission_name AS name, q.class_desc AS class, ")
        .fixed("CASE WHEN q.class = 0 THEN N'' ELSE ISNULL(s.name, CONVERT(nvarchar(20), q.major_id)) END AS scope, ")
        .fixed("ISNULL(o.name, N'') AS object, ")
        .fixed("CASE WHEN q.minor_id = 0 THEN N'' ELSE CONVERT(nvarchar(20), q.minor_id) END AS col");
    let permissions = from(permissions, ".sys.database_permissions AS q JOIN ")
        .identifier(database)
        .fixed(".sys.database_principals AS u ON u.principal_id = q.grantee_principal_id LEFT JOIN ")
        .identifier(database)
        .fixed(".sys.objects AS o ON q.class = 1 AND o.object_id = q.major_id LEFT JOIN ")
        .identifier(database)
        .fixed(".sys.schemas AS s ON (q.class = 3 AND s.schema_id = q.major_id) OR (q.class = 1 AND s.schema_id = o.schema_id) WHERE ");
    is(permissions)
}

/// Reads the rows of [`of_server`] and [`of_database`], sorted.
pub(crate) fn read(rows: &[Row]) -> Result<Vec<Right>, RotatorError> {
    let mut rights = rows.iter().map(one).collect::<Option<Vec<_>>>().ok_or_else(|| {
        crate::access::never("protocol", "the server's answer about rights was not understood".to_owned())
    })?;
    rights.sort();
    Ok(rights)
}

fn one(row: &Row) -> Option<Right> {
    let field = |name| text(row, name);
    Some(match field("kind")?.as_str() {
        "attribute" => Right::Attribute { name: field("name")?, value: field("value").unwrap_or_default() },
        "user" => Right::User { database: field("db")?, schema: field("name")? },
        "role" => Right::Role { database: field("db")?, name: field("name")? },
        "permission" => Right::Permission(Permission {
            database: field("db")?,
            state: field("state")?,
            name: field("name")?,
            class: field("class")?,
            scope: field("scope")?,
            object: field("object")?,
            column: field("col")?,
        }),
        _ => return None,
    })
}
