//! All that an instance knows, behind one lock.

use std::collections::{BTreeMap, BTreeSet};

use tokio::sync::watch;

use super::Options;
use super::catalogue::{Key, World};
use super::clock::Clock;
use super::database::Database;
use super::locks::{Locks, Owner};
use super::session::Me;
use crate::exchange::Message;

/// The first session of a user.
const FIRST_SESSION: i16 = 51;

pub(crate) struct State {
    pub(crate) options: Options,
    /// What is committed.
    pub(crate) world: World,
    /// Which session's open transaction has changed what.
    pub(crate) claims: BTreeMap<Key, u64>,
    /// Bad passwords of logins, which no transaction takes back.
    pub(crate) guards: BTreeMap<i32, Guard>,
    /// By serial number, since ids are given again.
    pub(crate) sessions: BTreeMap<u64, Presence>,
    pub(crate) locks: Locks,
    pub(crate) clock: Clock,
    /// Of its availability group, when that was last looked at.
    primary: bool,
    last_serial: u64,
    last_principal: i32,
    last_database: i32,
}

/// What bad passwords have led to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Guard {
    pub(crate) bad: u32,
    pub(crate) bad_at: Option<i64>,
    pub(crate) locked_at: Option<i64>,
}

/// What others see of a session.
pub(crate) struct Presence {
    pub(crate) serial: u64,
    pub(crate) id: i16,
    pub(crate) since: i64,
    pub(crate) login: String,
    pub(crate) original_login: String,
    pub(crate) principal: Option<i32>,
    pub(crate) host: String,
    pub(crate) program: String,
    pub(crate) client: String,
    pub(crate) encrypted: bool,
    pub(crate) user_process: bool,
    pub(crate) running: bool,
    pub(crate) open_transactions: i32,
    pub(crate) database: i32,
    pub(crate) authenticating_database: i32,
    pub(crate) last_request: i64,
    pub(crate) killed: watch::Sender<bool>,
}

impl State {
    pub(crate) fn new(options: Options) -> Self {
        let clock = Clock::default();
        let world = World::fresh(&options, clock.now());
        Self {
            options,
            world,
            claims: BTreeMap::new(),
            guards: BTreeMap::new(),
            sessions: BTreeMap::new(),
            locks: Locks::default(),
            clock,
            primary: false,
            last_serial: 0,
            last_principal: 255,
            last_database: 4,
        }
    }

    pub(crate) fn serial(&mut self) -> u64 {
        self.last_serial += 1;
        self.last_serial
    }

    pub(crate) fn next_principal(&mut self) -> i32 {
        self.last_principal += 1;
        self.last_principal
    }

    pub(crate) fn next_database(&mut self) -> i32 {
        self.last_database += 1;
        self.last_database
    }

    /// The lowest id that no session has.
    pub(crate) fn free_id(&self) -> i16 {
        let taken: BTreeSet<i16> = self.sessions.values().map(|session| session.id).collect();
        (FIRST_SESSION..).find(|id| !taken.contains(id)).expect("no test opens 32,000 sessions")
    }

    pub(crate) fn session(&self, id: i16) -> Option<&Presence> {
        self.sessions.values().find(|session| session.id == id)
    }

    /// Makes real what a statement or transaction has changed, and tells the availability group.
    pub(crate) fn commit(&mut self, world: &World, touched: &BTreeSet<Key>) {
        for key in touched {
            let (Key::Database(id), Some(group)) = (key, &self.options.group) else { continue };
            let (former, now) = (self.world.databases.get(id), world.databases.get(id));
            let shared =
                former.is_some_and(|database| database.grouped) || now.is_some_and(|database| database.grouped);
            if let Some(name) = former.or(now).filter(|_| shared).map(|database| database.name.clone()) {
                // What is no longer in the group leaves the others. The real server keeps it there, RESTORING, for nobody to use.
                group.publish(&self.options.server_name, &name, now.filter(|database| database.grouped).cloned());
            }
        }
        self.world.take(world, touched);
    }

    /// A batch or login begins: a replica takes over what has arrived.
    pub(crate) fn receive(&mut self) {
        let Some(group) = self.options.group.clone() else { return };
        let mut last = self.last_database;
        let next = || {
            last += 1;
            last
        };
        group.receive(&self.options.server_name, &mut self.world, next);
        self.last_database = last;
        let former = std::mem::replace(&mut self.primary, group.is_primary(&self.options.server_name));
        if former && !self.primary {
            self.end_sessions_of_group();
        }
    }

    /// A replica that is primary no more drops who is connected to databases of the group.
    fn end_sessions_of_group(&mut self) {
        let grouped = |id: &i32| self.world.databases.get(id).is_some_and(|database| database.grouped);
        let ended = self.sessions.values().filter(|session| session.user_process && grouped(&session.database));
        for serial in ended.map(|session| session.serial).collect::<Vec<_>>() {
            self.kill(serial);
        }
    }

    /// Why a database cannot be entered here, if it is of the group and cannot.
    pub(crate) fn bars(&self, database: &Database, reads: bool) -> Option<Message> {
        let group = self.options.group.as_ref().filter(|_| database.grouped)?;
        group.bars(&self.options.server_name, &database.name, reads)
    }

    /// Lets others see what a session is about.
    pub(crate) fn show(&mut self, me: &Me) {
        if let Some(session) = self.sessions.get_mut(&me.serial) {
            session.database = me.database;
            session.open_transactions = me.transaction.as_ref().map_or(0, |transaction| transaction.depth);
        }
    }

    /// What the end of a session does, however it ends.
    pub(crate) fn end(&mut self, serial: u64) {
        self.sessions.remove(&serial);
        self.locks.release_all(serial, None);
        self.claims.retain(|_, holder| *holder != serial);
    }

    /// KILL: the session is gone at once, and its line is told.
    pub(crate) fn kill(&mut self, serial: u64) {
        if let Some(session) = self.sessions.get(&serial) {
            session.killed.send_replace(true);
        }
        self.end(serial);
    }

    /// What the end of a transaction does beside committing or not.
    pub(crate) fn end_transaction(&mut self, serial: u64) {
        self.claims.retain(|_, holder| *holder != serial);
        self.locks.release_all(serial, Some(Owner::Transaction));
    }

    /// Whether the login is locked out now.
    pub(crate) fn is_locked_out(&self, login: i32) -> bool {
        self.lockout_time(login).is_some()
    }

    /// Since when the login is locked out, if it is.
    pub(crate) fn lockout_time(&self, login: i32) -> Option<i64> {
        let policy = self.world.principals.get(&login)?.credentials.as_ref()?.policy;
        let duration = super::clock::millis(self.options.password_policy.lockout_duration);
        let locked = self.guards.get(&login)?.locked_at.filter(|_| policy)?;
        (self.clock.now() < locked + duration).then_some(locked)
    }

    /// Counts a bad password, if the login's policy is on.
    pub(crate) fn count_bad_password(&mut self, login: i32) {
        // Lock-out is the operating system's policy, which Azure does not have.
        if self.options.version.is_azure() {
            return;
        }
        let policy = self.options.password_policy.clone();
        let checked = self.world.principals.get(&login).and_then(|login| login.credentials.as_ref());
        if policy.lockout_threshold == 0 || !checked.is_some_and(|credentials| credentials.policy) {
            return;
        }
        let now = self.clock.now();
        let guard = self.guards.entry(login).or_default();
        let window = super::clock::millis(policy.lockout_window);
        if guard.bad_at.is_some_and(|at| now - at >= window) {
            *guard = Guard::default();
        }
        guard.bad += 1;
        guard.bad_at = Some(now);
        if guard.bad >= policy.lockout_threshold {
            guard.locked_at = Some(now);
        }
    }
}
