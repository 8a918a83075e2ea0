//! What an instance says about itself, the admin and the accounts.

use keywheel_sdk::RotatorError;
use tiberius::Row;

use crate::access::never;
use crate::fence::AZURE_SQL_DATABASE;
use crate::settings::Kind;
use crate::statement::{Sql, bytes, has, number, text};
use crate::{account, answer, sessions};

/// The version (2022) from which on availability groups can be contained.
const CONTAINED_GROUPS: u32 = 16;

pub(super) const DOING: &str = "look at the server and its accounts";

/// All of it.
pub(super) struct Facts {
    pub(super) server: ServerFacts,
    pub(super) accounts: Vec<AccountFacts>,
}

/// The instance, and what the one who asks may do there.
pub(super) struct ServerFacts {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) edition_name: String,
    edition: i32,
    pub(super) windows_only: bool,
    pub(super) hadr: bool,
    pub(super) may_alter: bool,
    pub(super) may_control: bool,
    /// May say whether an account may connect.
    pub(super) may_shut: bool,
    pub(super) may_kill: bool,
    pub(super) sees_sessions: bool,
    /// The instances of its availability groups, where they may be seen.
    pub(super) replicas: Vec<String>,
}

/// One account that exists.
pub(super) struct AccountFacts {
    pub(super) name: String,
    pub(super) disabled: bool,
    pub(super) locked: bool,
    pub(super) must_change: bool,
    /// The Windows password policy applies.
    pub(super) policy: bool,
    /// Until its password ends, in days.
    pub(super) days_left: Option<i32>,
    /// How many old passwords the server refuses.
    pub(super) history: i32,
    /// Member of sysadmin.
    pub(super) powerful: bool,
    pub(super) sid: Option<Vec<u8>>,
    /// Whether its password can be compared.
    pub(super) shows_password: bool,
}

impl ServerFacts {
    /// `EngineEdition` (Transact-SQL reference, "SERVERPROPERTY").
    pub(super) fn is_azure(&self) -> bool {
        self.is_azure_database() || self.edition == 8
    }

    pub(super) fn is_azure_database(&self) -> bool {
        self.edition == AZURE_SQL_DATABASE
    }

    pub(super) fn product(&self) -> &'static str {
        match self.edition {
            5 => "Azure SQL Database",
            8 => "Azure SQL Managed Instance",
            _ => "SQL Server",
        }
    }

    pub(super) fn major(&self) -> u32 {
        self.version.split('.').next().and_then(|major| major.parse().ok()).unwrap_or(0)
    }
}

/// One row about the server, one for each account.
pub(super) fn query(kind: Kind, names: &[String]) -> Sql {
    let property = |sql: Sql, name: &'static str, of: &'static str, alias: &'static str| {
        sql.fixed("CONVERT(")
            .fixed(of)
            .fixed(", SERVERPROPERTY(N'")
            .fixed(name)
            .fixed("')) AS ")
            .fixed(alias)
            .fixed(", ")
    };
    let mut sql = Sql::new("SELECT ISNULL(@@SERVERNAME, N'') AS server, ");
    sql = property(sql, "ProductVersion", "nvarchar(128)", "version");
    sql = property(sql, "Edition", "nvarchar(128)", "edition_name");
    sql = property(sql, "EngineEdition", "int", "edition");
    sql = property(sql, "IsIntegratedSecurityOnly", "int", "windows_only");
    sql = property(sql, "IsHadrEnabled", "int", "hadr");
    sql = sql.fixed("CONVERT(int, HAS_PERMS_BY_NAME(NULL, NULL, N'CONTROL SERVER')) AS may_control, ");
    sql = match kind {
        // Whether an account may connect is no business of a login's.
        Kind::Login => sql.fixed("1 AS may_shut, ").fixed(account::CHANGES_LOGINS),
        Kind::ContainedUser => sql
            .fixed("CASE WHEN HAS_PERMS_BY_NAME(NULL, N'DATABASE', N'CONTROL') = 1 ")
            .fixed("OR IS_ROLEMEMBER(N'db_accessadmin') = 1 ")
            .fixed("OR EXISTS (SELECT 1 FROM sys.database_permissions AS p WHERE p.class = 0 AND p.state = N'W' ")
            .fixed("AND p.permission_name = N'CONNECT' AND p.grantee_principal_id = DATABASE_PRINCIPAL_ID()) ")
            .fixed("THEN 1 ELSE 0 END AS may_shut, ")
            .fixed(account::CHANGES_USERS),
    };
    sql = sql.fixed(" AS may_alter");
    for name in names {
        sql = of_account(sql.fixed("; "), kind, name);
    }
    sql
}

fn of_account(sql: Sql, kind: Kind, name: &str) -> Sql {
    let property = |sql: Sql, name: &'static str, alias: &'static str| {
        sql.fixed("CONVERT(int, LOGINPROPERTY(l.name, N'").fixed(name).fixed("')) AS ").fixed(alias).fixed(", ")
    };
    match kind {
        Kind::Login => {
            let mut sql = sql.fixed("SELECT l.name AS account, CONVERT(int, l.is_disabled) AS disabled, ");
            sql = property(sql, "IsLocked", "locked");
            sql = property(sql, "IsExpired", "expired");
            sql = property(sql, "IsMustChange", "must_change");
            sql = property(sql, "DaysUntilExpiration", "days_left");
            sql = property(sql, "HistoryLength", "history");
            sql.fixed(
                "CONVERT(int, l.is_policy_checked) AS policy, IS_SRVROLEMEMBER(N'sysadmin', l.name) AS powerful, ",
            )
            .fixed("CASE WHEN l.password_hash IS NULL THEN 0 ELSE 1 END AS shows_password, l.sid AS sid ")
            .fixed("FROM sys.sql_logins AS l WHERE l.name = ")
            .literal(name)
        }
        Kind::ContainedUser => sql
            .fixed("SELECT u.name AS account, CASE WHEN EXISTS (SELECT 1 FROM sys.database_permissions AS p ")
            .fixed("WHERE p.grantee_principal_id = u.principal_id AND p.class = 0 AND p.permission_name = N'CONNECT' ")
            .fixed("AND p.state IN (N'G', N'W')) THEN 0 ELSE 1 END AS disabled ")
            .fixed("FROM sys.database_principals AS u WHERE u.authentication_type = 2 AND u.name = ")
            .literal(name),
    }
}

/// Reads the rows of [`query`]. All texts of the server are cut to a bearable length.
pub(super) fn read(rows: &[Row]) -> Result<Facts, RotatorError> {
    let server = rows.iter().find(|row| has(row, "server"));
    let server = server.ok_or_else(|| never("protocol", "the server said nothing about itself".to_owned()))?;
    let is = |row: &Row, name| number(row, name) == Some(1);
    let word = |row: &Row, name| answer::bounded(&text(row, name).unwrap_or_default()).into_owned();
    Ok(Facts {
        server: ServerFacts {
            name: word(server, "server"),
            version: word(server, "version"),
            edition_name: word(server, "edition_name"),
            edition: number(server, "edition").unwrap_or(0),
            windows_only: is(server, "windows_only"),
            hadr: is(server, "hadr"),
            may_alter: is(server, "may_alter"),
            may_control: is(server, "may_control"),
            may_shut: is(server, "may_shut"),
            may_kill: false,
            sees_sessions: false,
            replicas: Vec::new(),
        },
        accounts: rows
            .iter()
            .filter(|row| has(row, "account"))
            .map(|row| AccountFacts {
                name: word(row, "account"),
                disabled: is(row, "disabled"),
                locked: is(row, "locked"),
                must_change: is(row, "expired") || is(row, "must_change"),
                policy: is(row, "policy"),
                days_left: number(row, "days_left"),
                history: number(row, "history").unwrap_or(0),
                powerful: is(row, "powerful"),
                sid: bytes(row, "sid"),
                shows_password: is(row, "shows_password"),
            })
            .collect(),
    })
}

/// Asks whether other accounts' sessions are seen, and may be ended.
pub(super) fn over_sessions() -> Sql {
    Sql::new("SELECT ")
        .fixed(sessions::SEES_ALL)
        .fixed(" AS sees_sessions, ")
        .fixed(sessions::ENDS)
        .fixed(" AS may_kill")
}

impl ServerFacts {
    /// Reads the row of [`over_sessions`].
    pub(super) fn read_over_sessions(&mut self, rows: &[Row]) {
        let is = |name| rows.iter().find_map(|row| number(row, name)) == Some(1);
        (self.sees_sessions, self.may_kill) = (is("sees_sessions"), is("may_kill"));
    }
}

/// Asks for the instances of the server's availability groups. Not of those that carry logins with them (contained ones, from
/// 2022 on), nor of distributed ones, whose members are groups.
pub(super) fn replicas(server: &ServerFacts) -> Sql {
    let query = Sql::new("SELECT DISTINCT r.replica_server_name AS replica FROM sys.availability_replicas AS r ")
        .fixed("JOIN sys.availability_groups AS g ON g.group_id = r.group_id WHERE g.is_distributed = 0");
    if server.major() >= CONTAINED_GROUPS { query.fixed(" AND g.is_contained = 0") } else { query }
}

pub(super) fn read_replicas(rows: &[Row]) -> Vec<String> {
    rows.iter().filter_map(|row| text(row, "replica")).map(|name| answer::bounded(&name).into_owned()).collect()
}
