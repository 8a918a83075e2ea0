//! A database: its users and roles, schemas and tables.

use std::collections::{BTreeMap, BTreeSet};

use super::catalogue::{Credentials, Permission, SA, same};
use crate::exchange::{Column, Value};

pub(crate) const PUBLIC: i32 = 0;
pub(crate) const DBO: i32 = 1;
pub(crate) const GUEST: i32 = 2;
pub(crate) const OWNERS: i32 = 16384;

/// Its members in Azure's `master` may create and alter logins.
pub(crate) const LOGIN_MANAGERS: &str = "loginmanager";

/// The fixed database roles with their ids.
const FIXED_ROLES: [(i32, &str); 9] = [
    (OWNERS, "db_owner"),
    (16385, "db_accessadmin"),
    (16386, "db_securityadmin"),
    (16387, "db_ddladmin"),
    (16389, "db_backupoperator"),
    (16390, "db_datareader"),
    (16391, "db_datawriter"),
    (16392, "db_denydatareader"),
    (16393, "db_denydatawriter"),
];

#[derive(Debug, Clone)]
pub(crate) struct Database {
    pub(crate) id: i32,
    pub(crate) name: String,
    /// Containment is PARTIAL: users may have passwords.
    pub(crate) contained: bool,
    pub(crate) owner: i32,
    pub(crate) created: i64,
    /// ALTER DATABASE … SET READ_ONLY.
    pub(crate) read_only: bool,
    /// In an availability group: the replicas have it too.
    pub(crate) grouped: bool,
    pub(crate) users: BTreeMap<i32, User>,
    pub(crate) schemas: BTreeMap<i32, Schema>,
    pub(crate) tables: BTreeMap<i32, Table>,
}

/// A user or role of a database.
#[derive(Debug, Clone)]
pub(crate) struct User {
    pub(crate) id: i32,
    pub(crate) name: String,
    pub(crate) role: bool,
    pub(crate) fixed: bool,
    pub(crate) owner: i32,
    /// That of the login for which the user is. None for roles.
    pub(crate) sid: Option<Vec<u8>>,
    /// Of a contained user.
    pub(crate) credentials: Option<Credentials>,
    /// For a login, which need not exist any more.
    pub(crate) mapped: bool,
    pub(crate) default_schema: Option<String>,
    pub(crate) created: i64,
    pub(crate) modified: i64,
    pub(crate) roles: BTreeSet<i32>,
    pub(crate) permissions: Vec<Permission>,
}

#[derive(Debug, Clone)]
pub(crate) struct Schema {
    pub(crate) id: i32,
    pub(crate) name: String,
    pub(crate) owner: i32,
}

#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub(crate) id: i32,
    pub(crate) name: String,
    pub(crate) schema: i32,
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: Vec<Vec<Value>>,
    pub(crate) created: i64,
}

impl Database {
    pub(crate) fn system(id: i32, name: &str, now: i64) -> Self {
        let mut database = Self::new(id, name, SA, now);
        let guest = database.users.get_mut(&GUEST).expect("every database has one");
        guest.permissions = if name == "model" { Vec::new() } else { vec![connect(DBO)] };
        database
    }

    pub(crate) fn new(id: i32, name: &str, owner: i32, now: i64) -> Self {
        let mut users = BTreeMap::new();
        let role = |id, name: &str, fixed| User { role: true, fixed, ..user(id, name, now) };
        users.insert(PUBLIC, role(PUBLIC, "public", false));
        let dbo = User { sid: Some(vec![1]), mapped: true, roles: BTreeSet::from([OWNERS]), ..user(DBO, "dbo", now) };
        users.insert(DBO, User { default_schema: Some("dbo".to_owned()), permissions: vec![connect(DBO)], ..dbo });
        users.insert(GUEST, User { sid: Some(vec![0]), ..user(GUEST, "guest", now) });
        users.insert(3, user(3, "INFORMATION_SCHEMA", now));
        users.insert(4, user(4, "sys", now));
        users.extend(FIXED_ROLES.map(|(id, name)| (id, role(id, name, true))));
        let schema = |id, name: &str, owner| (id, Schema { id, name: name.to_owned(), owner });
        let schemas =
            [schema(1, "dbo", DBO), schema(2, "guest", GUEST), schema(3, "INFORMATION_SCHEMA", 3), schema(4, "sys", 4)];
        Self {
            id,
            name: name.to_owned(),
            contained: false,
            owner,
            created: now,
            read_only: false,
            grouped: false,
            users,
            schemas: BTreeMap::from(schemas),
            tables: BTreeMap::new(),
        }
    }

    /// The roles that Azure's `master` has for those who are no server administrators.
    pub(crate) fn add_azure_roles(&mut self, now: i64) {
        for name in ["dbmanager", LOGIN_MANAGERS] {
            let id = self.next_user();
            self.users.insert(id, User { role: true, ..user(id, name, now) });
        }
    }

    pub(crate) fn user(&self, name: &str) -> Option<&User> {
        self.users.values().find(|user| same(&user.name, name))
    }

    /// The user of a login.
    pub(crate) fn user_of(&self, sid: &[u8]) -> Option<&User> {
        self.users.values().find(|user| user.mapped && user.sid.as_deref() == Some(sid))
    }

    pub(crate) fn schema(&self, name: &str) -> Option<&Schema> {
        self.schemas.values().find(|schema| same(&schema.name, name))
    }

    pub(crate) fn table(&self, schema: &str, name: &str) -> Option<&Table> {
        let schema = self.schema(schema)?.id;
        self.tables.values().find(|table| table.schema == schema && same(&table.name, name))
    }

    /// Whether those without a user of their own come in as guest.
    pub(crate) fn admits_guests(&self) -> bool {
        self.users
            .get(&GUEST)
            .is_some_and(|guest| guest.permissions.iter().any(|permission| permission.name == "CONNECT"))
    }

    /// An id for a further user or role; they share one row of numbers, from 5.
    pub(crate) fn next_user(&self) -> i32 {
        self.users.keys().filter(|id| **id < OWNERS).max().map_or(5, |id| id + 1)
    }

    pub(crate) fn next_schema(&self) -> i32 {
        self.schemas.keys().max().map_or(5, |id| (id + 1).max(5))
    }

    pub(crate) fn next_table(&self) -> i32 {
        self.tables.keys().max().map_or(901_578_250, |id| id + 16_000_057)
    }
}

/// A user with nothing but a name.
pub(crate) fn user(id: i32, name: &str, now: i64) -> User {
    User {
        id,
        name: name.to_owned(),
        role: false,
        fixed: false,
        owner: DBO,
        sid: None,
        credentials: None,
        mapped: false,
        default_schema: None,
        created: now,
        modified: now,
        roles: BTreeSet::new(),
        permissions: Vec::new(),
    }
}

/// What every user is given: it may come in.
pub(crate) fn connect(grantor: i32) -> Permission {
    use super::catalogue::{Grant, Securable};
    Permission { name: "CONNECT".to_owned(), on: Securable::All, state: Grant::Granted, grantor }
}
