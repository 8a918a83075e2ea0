//! Availability groups: contained databases that several instances share. Their users travel; logins do not.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use super::catalogue::{SA, World, same};
use super::database::Database;

/// A group of replicas. Clones are the same group: give one to each [`super::Options`]. Every contained database of the
/// primary belongs to it.
#[derive(Clone, Default)]
pub struct AvailabilityGroup {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    replicas: Vec<String>,
    primary: usize,
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

    /// Makes another replica the primary. It has all that the former one has committed. False if there is none of that name.
    pub fn fail_over_to(&self, server_name: &str) -> bool {
        let mut inner = self.inner();
        let Some(at) = inner.replicas.iter().position(|name| same(name, server_name)) else { return false };
        inner.primary = at;
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
        inner.replicas.get(inner.primary).is_some_and(|name| same(name, server_name))
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
                    let copy = Database { id, owner: SA, ..Database::clone(database) };
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
