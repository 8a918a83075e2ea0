//! One account on one instance: what the server says of it, as far as the one who asks may see it.

use tiberius::Row;

use crate::settings::Kind;
use crate::statement::{Sql, has, number};

/// What a change must know of an account.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Account {
    /// A login that is DISABLEd, or a contained user without CONNECT.
    pub(crate) disabled: bool,
    /// Locked out after too many wrong passwords.
    pub(crate) locked: bool,
    /// Its password is over its age, or must be changed at the next login.
    pub(crate) must_change: bool,
    /// Wrong passwords in a row; `None` where the server does not count or say.
    pub(crate) failed_logins: Option<u32>,
    /// Whether the password asked about is its password; `None` where that may not be seen.
    pub(crate) matches: Option<bool>,
}

/// 1 where the one who asks may see and change all logins, else 0.
///
/// Azure SQL Database knows no permissions of the server (HAS_PERMS_BY_NAME gives NULL for them): there it is the role
/// `loginmanager` of `master`, its successor of the server, or who made the server, and so is `dbo` in `master`
/// (documentation of Azure SQL, "Authorize server and database access").
pub(crate) const CHANGES_LOGINS: &str = "CASE WHEN HAS_PERMS_BY_NAME(NULL, NULL, N'ALTER ANY LOGIN') = 1 \
     OR (CONVERT(int, SERVERPROPERTY(N'EngineEdition')) = 5 AND (IS_ROLEMEMBER(N'loginmanager') = 1 \
     OR IS_SRVROLEMEMBER(N'##MS_LoginManager##') = 1 OR HAS_PERMS_BY_NAME(NULL, N'DATABASE', N'CONTROL') = 1)) \
     THEN 1 ELSE 0 END";
/// 1 where the one who asks may see and change all users of this database, else 0.
pub(crate) const CHANGES_USERS: &str =
    "CASE WHEN HAS_PERMS_BY_NAME(NULL, N'DATABASE', N'ALTER ANY USER') = 1 THEN 1 ELSE 0 END";

/// Which facts an instance can give.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    /// Compare `@asked` with the password.
    pub(crate) password: bool,
}

/// Asks for the account: one row if it exists and may be seen.
///
/// `PWDCOMPARE` and `password_hash` (NULL without CONTROL SERVER, or VIEW ANY CRYPTOGRAPHICALLY SECURED DEFINITION from 2022
/// on) answer without a login attempt. For contained users there is no such view.
pub(crate) fn query(kind: Kind, name: &str, asked: Asked) -> Sql {
    match kind {
        Kind::Login => {
            let facts = Sql::new("SELECT CONVERT(int, l.is_disabled) AS disabled, ")
                .fixed("CONVERT(int, LOGINPROPERTY(l.name, N'IsLocked')) AS locked, ")
                .fixed("CONVERT(int, LOGINPROPERTY(l.name, N'IsExpired')) AS expired, ")
                .fixed("CONVERT(int, LOGINPROPERTY(l.name, N'IsMustChange')) AS must_change, ")
                .fixed("CONVERT(int, LOGINPROPERTY(l.name, N'BadPasswordCount')) AS failed_logins, ");
            let facts = match asked.password {
                true => facts
                    // Of a hash that may not be seen nothing is said, and not "no".
                    .fixed("CASE WHEN l.password_hash IS NULL THEN CONVERT(int, NULL) ")
                    .fixed("ELSE CONVERT(int, PWDCOMPARE(@asked, l.password_hash)) END AS matches "),
                false => facts.fixed("CONVERT(int, NULL) AS matches "),
            };
            facts.fixed("FROM sys.sql_logins AS l WHERE l.name = ").literal(name)
        }
        Kind::ContainedUser => Sql::new("SELECT CASE WHEN EXISTS (SELECT 1 FROM sys.database_permissions AS p ")
            .fixed("WHERE p.grantee_principal_id = u.principal_id AND p.class = 0 AND p.permission_name = N'CONNECT' ")
            .fixed("AND p.state IN (N'G', N'W')) THEN 0 ELSE 1 END AS disabled ")
            .fixed("FROM sys.database_principals AS u WHERE u.authentication_type = 2 AND u.name = ")
            .literal(name),
    }
}

/// Reads the row of [`query`] among others.
pub(crate) fn read(rows: &[Row]) -> Option<Account> {
    let row = rows.iter().find(|row| has(row, "disabled"))?;
    let is = |name| number(row, name) == Some(1);
    Some(Account {
        disabled: is("disabled"),
        locked: is("locked"),
        must_change: is("expired") || is("must_change"),
        failed_logins: number(row, "failed_logins").and_then(|count| u32::try_from(count).ok()),
        matches: number(row, "matches").map(|matches| matches == 1),
    })
}
