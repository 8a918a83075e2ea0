//! What a statement sees: the instance, its own session, and a copy of the catalogue that becomes real if it succeeds.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::relation::Relation;
use crate::exchange::{Kind, Message, Reply, Value};
use crate::instance::catalogue::{Key, Principal, SA, Securable, World};
use crate::instance::database::{DBO, Database};
use crate::instance::message;
use crate::instance::session::Me;
use crate::instance::state::State;

/// Why a statement did not come to its end.
#[derive(Debug)]
pub(crate) enum Stop {
    /// One error, or several that belong together.
    Failed(Vec<Message>),
    /// To be tried again once another session's transaction has ended.
    Blocked,
    /// `sp_getapplock` waits for its ticket, so many milliseconds or for ever.
    Lock {
        ticket: u64,
        timeout: Option<Duration>,
    },
    Delay(Duration),
}

impl From<Message> for Stop {
    fn from(message: Message) -> Self {
        Self::Failed(vec![message])
    }
}

pub(crate) type Outcome<T> = Result<T, Stop>;

pub(crate) struct Scene<'a> {
    pub(crate) state: &'a mut State,
    pub(crate) world: World,
    pub(crate) touched: BTreeSet<Key>,
    pub(crate) me: &'a mut Me,
    pub(crate) variables: &'a mut Variables,
    pub(crate) replies: Vec<Reply>,
    /// The common table expressions of the query at hand, innermost last.
    pub(crate) ctes: RefCell<Vec<(String, Relation)>>,
    /// How a wait of this statement ended, when it is tried again: its return status.
    pub(crate) waited: Option<i32>,
}

/// Variables and parameters, by name in lower case with `@`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Variables {
    all: BTreeMap<String, (Kind, Value)>,
}

impl Variables {
    pub(crate) fn declare(&mut self, name: &str, kind: Kind, value: Value) {
        self.all.insert(name.to_lowercase(), (kind, value));
    }

    pub(crate) fn get(&self, name: &str) -> Option<&(Kind, Value)> {
        self.all.get(&name.to_lowercase())
    }

    pub(crate) fn set(&mut self, name: &str, value: &Value) -> Result<(), Message> {
        let slot = self.all.get_mut(&name.to_lowercase()).ok_or_else(|| message::undeclared(name))?;
        slot.1 = super::value::to_kind(value, slot.0, 0)?;
        Ok(())
    }
}

impl Scene<'_> {
    /// Says that the statement will change `key`. Blocked while another open transaction has.
    pub(crate) fn touch(&mut self, key: Key) -> Outcome<()> {
        if self.state.claims.get(&key).is_some_and(|holder| *holder != self.me.serial) {
            return Err(Stop::Blocked);
        }
        self.touched.insert(key);
        Ok(())
    }

    /// A principal to change.
    pub(crate) fn principal_mut(&mut self, id: i32) -> Outcome<&mut Principal> {
        self.touch(Key::Principal(id))?;
        Ok(Arc::make_mut(self.world.principals.get_mut(&id).expect("found before")))
    }

    /// A database to change; a read-only one refuses.
    pub(crate) fn database_mut(&mut self, id: i32) -> Outcome<&mut Database> {
        let database = self.world.databases.get(&id).expect("found before");
        if self.is_read_only(database) {
            return Err(message::read_only(&database.name).into());
        }
        self.touch(Key::Database(id))?;
        Ok(Arc::make_mut(self.world.databases.get_mut(&id).expect("found before")))
    }

    pub(crate) fn is_read_only(&self, database: &Database) -> bool {
        database.read_only || (database.grouped && !self.is_primary())
    }

    /// Of its availability group, or of none.
    pub(crate) fn is_primary(&self) -> bool {
        let options = &self.state.options;
        options.group.as_ref().is_none_or(|group| group.is_primary(&options.server_name))
    }

    pub(crate) fn is_azure(&self) -> bool {
        self.state.options.version.is_azure()
    }

    pub(crate) fn now(&self) -> i64 {
        self.state.clock.now()
    }

    /// Whether this session holds a permission on the server.
    pub(crate) fn allowed(&self, permission: &str) -> bool {
        self.me.principal.is_some_and(|me| self.world.allows(me, permission))
    }

    pub(crate) fn allowed_to(&self, permission: &str, target: i32) -> bool {
        self.me.principal.is_some_and(|me| self.world.allows_to(me, permission, target))
    }

    pub(crate) fn is_sysadmin(&self) -> bool {
        self.me.principal.is_some_and(|me| self.world.is_sysadmin(me))
    }

    /// Whether this is the administrator that Azure SQL Database makes with the server. It has most of what a `sysadmin` has,
    /// and is none.
    pub(crate) fn is_server_admin(&self) -> bool {
        self.is_azure() && self.me.principal == Some(SA)
    }

    /// The current database.
    pub(crate) fn database(&self) -> Arc<Database> {
        let current = self.world.databases.get(&self.me.database).or_else(|| self.world.databases.get(&1));
        Arc::clone(current.expect("master is never dropped"))
    }

    /// Who this session is in a database. None: it may not come in.
    pub(crate) fn user_in(&self, database: &Database) -> Option<i32> {
        match (self.me.contained, self.me.principal) {
            (Some((home, user)), _) => (home == database.id).then_some(user),
            (None, Some(me)) => self.world.user_in(database, me),
            (None, None) => None,
        }
    }

    /// Whether this session holds a permission on the whole of a database.
    pub(crate) fn allowed_in(&self, database: &Database, permission: &str) -> bool {
        // What covers it on the server: "Permissions: database engine", the column of the covering permission.
        let covered = permission == "VIEW DEFINITION" && self.allowed("VIEW ANY DEFINITION");
        self.user_in(database).is_some_and(|user| user == DBO || covered || database.allows(user, permission))
    }

    pub(crate) fn allowed_on(&self, database: &Database, permission: &str, places: &[Securable]) -> bool {
        let covered = permission == "VIEW DEFINITION" && self.allowed("VIEW ANY DEFINITION");
        self.user_in(database)
            .is_some_and(|user| user == DBO || covered || database.allows_on(user, permission, places))
    }
}
