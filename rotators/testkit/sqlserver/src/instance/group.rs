//! Availability groups: databases that several instances share. Their users travel; logins do not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::{fmt, io};

use tokio::sync::watch;

use super::catalogue::{SA, World, folded, same};
use super::database::{DBO, Database};
use super::message::with_class;
use crate::exchange::Message;
use crate::listener::Listener;

/// A group of replicas. Clones are the same group: give one to the [`super::Options`] of each, with a `server_name` of its own.
///
/// Contained databases that the primary creates belong to the group at once. Others join with
/// `ALTER AVAILABILITY GROUP ag ADD DATABASE …` on the primary, under whatever name of the group. A database travels with its
/// users. Those with passwords log in wherever it is; those of logins belong to the login that has their SID *there*, so a login
/// that was created on another replica without `SID = 0x…` finds no user of its own.
///
/// ```
/// use keywheel_sqlserver_double::{AvailabilityGroup, Options, ServerOptions, SqlServer};
///
/// let group = AvailabilityGroup::new();
/// let replica = |name: &str| {
///     let instance = Options { server_name: name.to_owned(), group: Some(group.clone()), ..Options::default() };
///     SqlServer::start_with(ServerOptions { instance, ..ServerOptions::default() })
/// };
/// let (one, two) = (replica("ONE")?, replica("TWO")?);
/// one.execute("CREATE DATABASE shop; ALTER AVAILABILITY GROUP ag ADD DATABASE shop").unwrap();
/// let listener = group.listener()?;
/// // Clients that connect to 127.0.0.1 at `listener.port()` speak with ONE, and after this with TWO.
/// assert!(group.fail_over_to("TWO"));
/// assert_eq!(group.primary().as_deref(), Some("TWO"));
/// # assert_ne!(listener.port(), two.port());
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone, Default)]
pub struct AvailabilityGroup {
    inner: Arc<Mutex<Inner>>,
}

/// What clients may do with the group's databases at a secondary: `SECONDARY_ROLE (ALLOW_CONNECTIONS = …)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Secondaries {
    /// NO, as where nothing is said: connecting to one is error 976.
    #[default]
    Closed,
    /// READ_ONLY: for who says in the login that it only reads. For others error 978.
    ReadIntent,
    /// ALL, to read.
    Readable,
}

#[derive(Default)]
struct Inner {
    replicas: Vec<String>,
    primary: usize,
    secondaries: Secondaries,
    /// Names of replicas that are neither primary nor secondary for now.
    resolving: BTreeSet<String>,
    /// Where each replica listens, once it does.
    ports: BTreeMap<String, u16>,
    /// Counts the failovers.
    failovers: watch::Sender<u64>,
    /// Batches and logins at any replica: what lag is counted in.
    batches: u64,
    lag: u64,
    log: Vec<Entry>,
    /// How many entries of the log each replica has.
    applied: BTreeMap<String, usize>,
}

/// What a database became, or that it was dropped.
struct Entry {
    at: u64,
    name: String,
    database: Option<Arc<Database>>,
}

impl AvailabilityGroup {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on, changes arrive at secondaries only after so many further batches or logins at any of the replicas.
    pub fn set_lag(&self, batches: u64) {
        self.inner().lag = batches;
    }

    /// What clients may do with databases at secondaries, from now on.
    pub fn set_secondaries(&self, secondaries: Secondaries) {
        self.inner().secondaries = secondaries;
    }

    /// Takes a replica's role away, as between two roles in a failover, or gives it back. Without one its databases of the group
    /// are not accessible: error 983.
    pub fn set_resolving(&self, server_name: &str, resolving: bool) {
        let mut inner = self.inner();
        if resolving {
            inner.resolving.insert(folded(server_name));
        } else {
            inner.resolving.remove(&folded(server_name));
        }
    }

    /// The name of the primary.
    #[must_use]
    pub fn primary(&self) -> Option<String> {
        let inner = self.inner();
        inner.replicas.get(inner.primary).cloned()
    }

    /// A listener: a port that leads to whichever replica is primary. A failover cuts its lines.
    ///
    /// # Errors
    /// If no port is free.
    pub fn listener(&self) -> io::Result<Listener> {
        Listener::start(self.clone())
    }

    /// Makes another replica the primary. It has all that the former one has committed. Sessions of the former one that are in a
    /// database of the group end with their next request, lines through the listener at once. False if there is none of that
    /// name.
    pub fn fail_over_to(&self, server_name: &str) -> bool {
        let mut inner = self.inner();
        let Some(at) = inner.replicas.iter().position(|name| same(name, server_name)) else { return false };
        inner.primary = at;
        inner.resolving.remove(&folded(server_name));
        inner.failovers.send_modify(|count| *count += 1);
        for entry in &mut inner.log {
            entry.at = 0;
        }
        true
    }

    pub(crate) fn join(&self, server_name: &str) {
        let mut inner = self.inner();
        if !inner.replicas.iter().any(|name| same(name, server_name)) {
            inner.replicas.push(server_name.to_owned());
        }
    }

    /// Gives the part of the primary to the next replica, if this one has it.
    pub(crate) fn fail_over_from(&self, server_name: &str) {
        let next = {
            let inner = self.inner();
            let holds = inner.replicas.get(inner.primary).is_some_and(|name| same(name, server_name));
            let next = inner.replicas.get((inner.primary + 1) % inner.replicas.len().max(1));
            next.filter(|_| holds).cloned()
        };
        if let Some(next) = next {
            self.fail_over_to(&next);
        }
    }

    pub(crate) fn is_primary(&self, server_name: &str) -> bool {
        let inner = self.inner();
        let primary = inner.replicas.get(inner.primary).is_some_and(|name| same(name, server_name));
        primary && !inner.resolving.contains(&folded(server_name))
    }

    /// The replica listens at this port.
    pub(crate) fn locate(&self, server_name: &str, port: u16) {
        self.inner().ports.insert(folded(server_name), port);
    }

    /// The primary's port, and word of the next failover.
    pub(crate) fn way_to_primary(&self) -> Option<(u16, watch::Receiver<u64>)> {
        let inner = self.inner();
        let port = *inner.ports.get(&folded(inner.replicas.get(inner.primary)?))?;
        Some((port, inner.failovers.subscribe()))
    }

    /// Why a database of the group cannot be entered at this replica, if it cannot. Numbers and texts as documented.
    pub(crate) fn bars(&self, server_name: &str, database: &str, reads: bool) -> Option<Message> {
        let inner = self.inner();
        let primary = inner.replicas.get(inner.primary).is_some_and(|name| same(name, server_name));
        let (number, text) = if inner.resolving.contains(&folded(server_name)) {
            let text = "because the database replica is not in the PRIMARY or SECONDARY role. Connections to an availability database is permitted only when the database replica is in the PRIMARY or SECONDARY role. Try the operation again later.";
            (983, format!("Unable to access availability database '{database}' {text}"))
        } else if primary || inner.secondaries == Secondaries::Readable {
            return None;
        } else if inner.secondaries == Secondaries::Closed {
            let text = "is participating in an availability group and is currently not accessible for queries. Either data movement is suspended or the availability replica is not enabled for read access.";
            (976, format!("The target database, '{database}', {text}"))
        } else if reads {
            return None;
        } else {
            let text = "is in an availability group and is currently accessible for connections when the application intent is set to read only.";
            (978, format!("The target database ('{database}') {text}"))
        };
        Some(with_class(number, 14, text))
    }

    /// The replicas with whether each is the primary.
    pub(crate) fn replicas(&self) -> Vec<(String, bool)> {
        let inner = self.inner();
        inner.replicas.iter().enumerate().map(|(at, name)| (name.clone(), at == inner.primary)).collect()
    }

    /// The primary has committed a change.
    pub(crate) fn publish(&self, server_name: &str, name: &str, database: Option<Arc<Database>>) {
        let mut inner = self.inner();
        let at = inner.batches + inner.lag;
        inner.log.push(Entry { at, name: name.to_owned(), database });
        let length = inner.log.len();
        inner.applied.insert(server_name.to_owned(), length);
    }

    /// A batch or login at a replica: applies what is due there. `next` gives ids for databases that are not there yet.
    pub(crate) fn receive(&self, server_name: &str, world: &mut World, mut next: impl FnMut() -> i32) {
        let mut inner = self.inner();
        inner.batches += 1;
        let (batches, from) = (inner.batches, inner.applied.get(server_name).copied().unwrap_or(0));
        let due = inner.log.iter().skip(from).take_while(|entry| entry.at < batches).count();
        for entry in inner.log.iter().skip(from).take(due) {
            let known = world.database(&entry.name).map(|database| database.id);
            match &entry.database {
                Some(database) => {
                    let id = known.unwrap_or_else(&mut next);
                    // The owner is a login, and so found by its SID. That `sa` stands in where it is not is the double's way.
                    let sid = database.users.get(&DBO).and_then(|dbo| dbo.sid.as_deref());
                    let owner = sid.and_then(|sid| world.by_sid(sid)).map_or(SA, |login| login.id);
                    let copy = Database { id, owner, ..Database::clone(database) };
                    world.databases.insert(id, Arc::new(copy));
                }
                None => {
                    known.map(|id| world.databases.remove(&id));
                }
            }
        }
        inner.applied.insert(server_name.to_owned(), from + due);
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("nothing panics with the group locked")
    }
}

impl fmt::Debug for AvailabilityGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AvailabilityGroup").field("replicas", &self.replicas()).finish()
    }
}
