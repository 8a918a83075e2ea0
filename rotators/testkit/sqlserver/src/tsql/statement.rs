//! What a batch is made of, once it is parsed.

use sqlparser::ast::{DataType, Expr, Query};

use crate::exchange::Column;

/// A parsed batch: statements with jumps between them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Program {
    pub(crate) steps: Vec<Step>,
    /// How many statements it has, however they are nested.
    pub(crate) statements: usize,
}

#[derive(Debug, Clone)]
pub(crate) enum Step {
    Run(Box<Statement>),
    Jump(usize),
    JumpUnless(Box<Expr>, usize),
    /// An error from here on leads to the CATCH at this place.
    Try(usize),
    /// The end of the TRY block: goes on after the CATCH block.
    EndTry(usize),
    EndCatch,
    Return,
}

#[derive(Debug, Clone)]
pub(crate) enum Statement {
    Query(Query),
    Declare(Vec<(String, DataType, Option<Expr>)>),
    Assign(String, Expr),
    SetOption(String, Setting),
    Use(String),
    Print(Expr),
    RaiseError(Vec<Expr>),
    /// Number, text, state; without them it throws on.
    Throw(Option<(Expr, Expr, Expr)>),
    WaitFor(Expr),
    Kill(i64),
    Begin,
    Commit,
    Rollback,
    Execute(Execute),
    /// `EXEC('…')`.
    ExecuteText(Expr),
    Reconfigure,
    CreateLogin(String, LoginOptions),
    AlterLogin(String, AlterLogin),
    DropLogin(String),
    CreateUser(String, UserOptions),
    AlterUser(String, UserOptions),
    DropUser {
        name: String,
        if_exists: bool,
    },
    CreateRole {
        server: bool,
        name: String,
        owner: Option<String>,
    },
    AlterRole {
        server: bool,
        name: String,
        change: RoleChange,
    },
    DropRole {
        server: bool,
        name: String,
        if_exists: bool,
    },
    Permission(PermissionChange),
    CreateDatabase {
        name: String,
        contained: bool,
    },
    AlterDatabase {
        name: Option<String>,
        change: DatabaseChange,
    },
    DropDatabase {
        name: String,
        if_exists: bool,
    },
    /// ALTER AVAILABILITY GROUP … ADD or REMOVE DATABASE.
    Group {
        databases: Vec<String>,
        join: bool,
    },
    DatabaseOwner {
        name: String,
        owner: String,
    },
    CreateSchema {
        name: String,
        owner: Option<String>,
    },
    CreateTable {
        name: Vec<String>,
        columns: Vec<Column>,
    },
    DropTable {
        name: Vec<String>,
        if_exists: bool,
    },
    Insert {
        table: Vec<String>,
        columns: Vec<String>,
        source: Query,
    },
    Delete {
        table: Vec<String>,
        condition: Option<Expr>,
    },
}

#[derive(Debug, Clone)]
pub(crate) enum Setting {
    Switch(bool),
    Number(i64),
    Word(String),
}

#[derive(Debug, Clone)]
pub(crate) struct Execute {
    /// The variable that takes the return status.
    pub(crate) status: Option<String>,
    pub(crate) procedure: Vec<String>,
    pub(crate) arguments: Vec<Argument>,
}

#[derive(Debug, Clone)]
pub(crate) struct Argument {
    pub(crate) name: Option<String>,
    pub(crate) value: Expr,
    pub(crate) output: bool,
}

/// A password as it stands in a statement.
#[derive(Clone)]
pub(crate) enum Password {
    Plain(String),
    /// `0x… HASHED`.
    Hashed(Vec<u8>),
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password")
    }
}

#[derive(Debug, Clone, Default)]
pub(crate) struct LoginOptions {
    pub(crate) password: Option<Password>,
    /// `OLD_PASSWORD`.
    pub(crate) present: Option<String>,
    pub(crate) must_change: bool,
    pub(crate) unlock: bool,
    pub(crate) sid: Option<Vec<u8>>,
    pub(crate) name: Option<String>,
    pub(crate) default_database: Option<String>,
    pub(crate) default_language: Option<String>,
    pub(crate) expiration: Option<bool>,
    pub(crate) policy: Option<bool>,
    pub(crate) credential: bool,
}

#[derive(Debug, Clone)]
pub(crate) enum AlterLogin {
    Enable,
    Disable,
    Set(LoginOptions),
}

#[derive(Debug, Clone, Default)]
pub(crate) struct UserOptions {
    pub(crate) login: Option<String>,
    pub(crate) without_login: bool,
    pub(crate) password: Option<Password>,
    pub(crate) present: Option<String>,
    pub(crate) default_schema: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) sid: Option<Vec<u8>>,
}

#[derive(Debug, Clone)]
pub(crate) enum RoleChange {
    Add(String),
    Drop(String),
    Name(String),
}

#[derive(Debug, Clone)]
pub(crate) struct PermissionChange {
    pub(crate) verb: Verb,
    pub(crate) names: Vec<String>,
    pub(crate) on: Option<(String, Vec<String>)>,
    pub(crate) to: Vec<String>,
    pub(crate) with_option: bool,
    /// REVOKE GRANT OPTION FOR.
    pub(crate) option_only: bool,
    /// AS: in whose name.
    pub(crate) by: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Grant,
    Deny,
    Revoke,
}

#[derive(Debug, Clone)]
pub(crate) enum DatabaseChange {
    Containment(bool),
    ReadOnly(bool),
    Name(String),
    /// One of the many options that mean nothing here.
    Other,
}
