//! The catalogue: what CREATE makes and DROP removes, on the server and in its databases.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::database::Database;
use super::hash::random;
use super::{Options, hash};
use crate::exchange::Value;

pub(crate) const SA: i32 = 1;
pub(crate) const PUBLIC: i32 = 2;
pub(crate) const SYSADMIN: i32 = 3;

/// The fixed server roles. Their ids begin at [`SYSADMIN`], in this order.
const FIXED_ROLES: [&str; 8] =
    ["sysadmin", "securityadmin", "serveradmin", "setupadmin", "processadmin", "diskadmin", "dbcreator", "bulkadmin"];

/// What Azure's server administrator holds on the server instead of everything: it is no `sysadmin`, which Azure SQL Database
/// does not have ("Logins and server roles in Azure SQL Database"). In each database it is `dbo`.
const ADMINISTRATOR: [&str; 6] = [
    "ALTER ANY DATABASE",
    "ALTER ANY LOGIN",
    "CREATE ANY DATABASE",
    "CREATE LOGIN",
    "VIEW ANY DEFINITION",
    "VIEW SERVER STATE",
];

/// The further ones since SQL Server 2022, which are those of Azure SQL Database as well.
const LATER_ROLES: [&str; 9] = [
    "##MS_DatabaseConnector##",
    "##MS_DatabaseManager##",
    "##MS_DefinitionReader##",
    "##MS_LoginManager##",
    "##MS_PerformanceDefinitionReader##",
    "##MS_SecurityDefinitionReader##",
    "##MS_ServerPerformanceStateReader##",
    "##MS_ServerStateManager##",
    "##MS_ServerStateReader##",
];

/// All that a transaction can change. Cloning it is cheap: its objects are shared until they are changed.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) principals: BTreeMap<i32, Arc<Principal>>,
    pub(crate) databases: BTreeMap<i32, Arc<Database>>,
    pub(crate) settings: Arc<Settings>,
}

/// What a statement changes, and what it must not share with another open transaction.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    Principal(i32),
    Database(i32),
    Settings,
    /// A name that is being given, in lower case.
    Name(String),
}

/// What `sp_configure` sets: the value, and the one in use since RECONFIGURE.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) named: BTreeMap<&'static str, (i32, i32)>,
}

impl Settings {
    pub(crate) fn in_use(&self, name: &str) -> i32 {
        self.named.get(name).map_or(0, |(_, used)| *used)
    }
}

/// A login or a server role.
#[derive(Debug, Clone)]
pub(crate) struct Principal {
    pub(crate) id: i32,
    pub(crate) name: String,
    pub(crate) sid: Vec<u8>,
    /// None for roles.
    pub(crate) credentials: Option<Credentials>,
    pub(crate) fixed: bool,
    pub(crate) owner: i32,
    pub(crate) disabled: bool,
    pub(crate) default_database: String,
    pub(crate) default_language: String,
    pub(crate) created: i64,
    pub(crate) modified: i64,
    /// The roles of which it is a member, but for `public`.
    pub(crate) roles: BTreeSet<i32>,
    pub(crate) permissions: Vec<Permission>,
}

impl Principal {
    pub(crate) fn is_role(&self) -> bool {
        self.credentials.is_none()
    }
}

/// The password of a login or of a contained user.
#[derive(Debug, Clone)]
pub(crate) struct Credentials {
    pub(crate) hash: Vec<u8>,
    /// Former hashes, newest first.
    pub(crate) history: Vec<Vec<u8>>,
    pub(crate) policy: bool,
    pub(crate) expiration: bool,
    pub(crate) must_change: bool,
    pub(crate) set: i64,
}

/// One GRANT or DENY, kept with the one who got it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Permission {
    /// In upper case, as in `CONTROL SERVER`.
    pub(crate) name: String,
    pub(crate) on: Securable,
    pub(crate) state: Grant,
    pub(crate) grantor: i32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Securable {
    /// The whole server, or the whole database.
    All,
    /// A login or server role, or a user or database role.
    Principal(i32),
    Schema(i32),
    Object(i32),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grant {
    Deny,
    Granted,
    WithOption,
}

impl World {
    pub(crate) fn fresh(options: &Options, now: i64) -> Self {
        let mut world = Self {
            principals: BTreeMap::new(),
            databases: BTreeMap::new(),
            settings: Arc::new(Settings { named: settings(options) }),
        };
        let roles: Vec<&str> =
            FIXED_ROLES.into_iter().chain(LATER_ROLES.into_iter().filter(|_| later(options))).collect();
        world.add(Principal { name: "public".to_owned(), ..role(PUBLIC, now) });
        for (id, name) in (SYSADMIN..).zip(roles) {
            world.add(Principal { name: name.to_owned(), ..role(id, now) });
        }
        world.add(Principal {
            id: SA,
            name: "sa".to_owned(),
            sid: vec![1],
            credentials: Some(Credentials {
                hash: hash::hash(options.hash_format(), &options.sa_password),
                history: Vec::new(),
                policy: true,
                expiration: false,
                must_change: false,
                set: now,
            }),
            fixed: false,
            roles: if options.version.is_azure() { BTreeSet::new() } else { BTreeSet::from([SYSADMIN]) },
            permissions: if options.version.is_azure() { administrators() } else { Vec::new() },
            ..role(SA, now)
        });
        for (id, name) in (1..).zip(["master", "tempdb", "model", "msdb"]) {
            let mut database = Database::system(id, name, now);
            if name == "master" && options.version.is_azure() {
                database.add_azure_roles(now);
            }
            world.databases.insert(id, Arc::new(database));
        }
        world
    }

    pub(crate) fn principal(&self, name: &str) -> Option<&Arc<Principal>> {
        self.principals.values().find(|principal| same(&principal.name, name))
    }

    pub(crate) fn login(&self, name: &str) -> Option<&Arc<Principal>> {
        self.principal(name).filter(|principal| !principal.is_role())
    }

    pub(crate) fn by_sid(&self, sid: &[u8]) -> Option<&Arc<Principal>> {
        self.principals.values().find(|principal| principal.sid == sid)
    }

    pub(crate) fn database(&self, name: &str) -> Option<&Arc<Database>> {
        self.databases.values().find(|database| same(&database.name, name))
    }

    /// Takes over from `other` what `keys` name.
    pub(crate) fn take(&mut self, other: &World, keys: &BTreeSet<Key>) {
        for key in keys {
            match key {
                Key::Principal(id) => put(&mut self.principals, *id, other.principals.get(id)),
                Key::Database(id) => put(&mut self.databases, *id, other.databases.get(id)),
                Key::Settings => self.settings = Arc::clone(&other.settings),
                Key::Name(_) => {}
            }
        }
    }

    fn add(&mut self, principal: Principal) {
        self.principals.insert(principal.id, Arc::new(principal));
    }
}

fn put<T>(map: &mut BTreeMap<i32, Arc<T>>, id: i32, value: Option<&Arc<T>>) {
    match value {
        Some(value) => map.insert(id, Arc::clone(value)),
        None => map.remove(&id),
    };
}

/// Names are compared as the collation of the server does: without case, and without spaces at the end.
pub(crate) fn same(a: &str, b: &str) -> bool {
    order(a, b).is_eq()
}

/// The order of two texts in that collation.
pub(crate) fn order(a: &str, b: &str) -> Ordering {
    let lower = |byte: u8| byte.to_ascii_lowercase();
    let (a, b) = (a.trim_end_matches(' '), b.trim_end_matches(' '));
    if a.is_ascii() && b.is_ascii() {
        return a.bytes().map(lower).cmp(b.bytes().map(lower));
    }
    folded(a).cmp(&folded(b))
}

pub(crate) fn folded(name: &str) -> String {
    name.trim_end_matches(' ').to_lowercase()
}

pub(crate) fn text_or_null(text: Option<&str>) -> Value {
    text.map_or(Value::Null, |text| Value::Text(text.to_owned()))
}

fn later(options: &Options) -> bool {
    options.version >= super::Version::V2022
}

fn role(id: i32, now: i64) -> Principal {
    Principal {
        id,
        name: String::new(),
        sid: vec![u8::try_from(id).unwrap_or(u8::MAX)],
        credentials: None,
        fixed: id != PUBLIC,
        owner: SA,
        disabled: false,
        default_database: "master".to_owned(),
        default_language: "us_english".to_owned(),
        created: now,
        modified: now,
        roles: BTreeSet::new(),
        permissions: Vec::new(),
    }
}

fn administrators() -> Vec<Permission> {
    let held =
        |name: &&str| Permission { name: (*name).to_owned(), on: Securable::All, state: Grant::Granted, grantor: SA };
    ADMINISTRATOR.iter().map(held).collect()
}

/// A principal's SID as CREATE LOGIN makes one.
pub(crate) fn random_sid() -> Vec<u8> {
    random::<16>().to_vec()
}

fn settings(options: &Options) -> BTreeMap<&'static str, (i32, i32)> {
    let contained = i32::from(options.contained_authentication || options.version.is_azure());
    BTreeMap::from([
        ("contained database authentication", (contained, contained)),
        ("show advanced options", (0, 0)),
        ("user options", (0, 0)),
        ("user connections", (0, 0)),
        ("remote access", (1, 1)),
    ])
}
