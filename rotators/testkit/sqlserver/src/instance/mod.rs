//! What a SQL Server instance is behind the line: its catalogue, clock, sessions and locks.

pub(crate) mod access;
mod admission;
pub(crate) mod catalogue;
pub(crate) mod clock;
pub(crate) mod database;
mod group;
pub(crate) mod hash;
pub(crate) mod locks;
pub(crate) mod message;
mod options;
pub(crate) mod policy;
pub(crate) mod session;
pub(crate) mod state;
#[cfg(test)]
mod tests;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::watch;

use crate::exchange::{Login, Message, Parameter, Reply};
use crate::tsql;
use admission::Admitted;
use catalogue::SA;
use message::{info, killed};
use session::{Flags, Me};
use state::{Presence, State};

pub use group::{AvailabilityGroup, Secondaries};
pub use options::{Options, PasswordPolicy, Version};

/// One SQL Server instance. Clones are the same instance. Nothing here waits but [`Session::batch`] and [`Session::procedure`].
#[derive(Clone)]
pub(crate) struct Instance {
    shared: Arc<Shared>,
}

/// The state, and word of each change to those who wait.
pub(crate) struct Shared {
    state: Mutex<State>,
    changes: watch::Sender<u64>,
}

impl Shared {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Sees the changes from now on.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub(crate) fn tell(&self) {
        self.changes.send_modify(|count| *count += 1);
    }
}

impl Instance {
    pub(crate) fn new(options: Options) -> Self {
        if let Some(group) = &options.group {
            group.join(&options.server_name);
        }
        let shared = Shared { state: Mutex::new(State::new(options)), changes: watch::Sender::new(0) };
        Self { shared: Arc::new(shared) }
    }

    /// Checks the login as the server does, and opens a session. On failure: what to send before the line is closed.
    pub(crate) fn login(&self, login: &Login) -> Result<Session, Vec<Message>> {
        let mut state = self.shared.state();
        state.receive();
        let admitted = state.admit(login, false)?;
        let id = state.free_id();
        let session = self.open(&mut state, id, &admitted, Some(login));
        drop(state);
        self.shared.tell();
        Ok(session)
    }

    /// A session of `sa` in `master` that came over no line, for setup and checks. It is no user process, and needs no password.
    pub(crate) fn console(&self) -> Session {
        let mut state = self.shared.state();
        let admitted = Admitted { principal: Some(SA), contained: None, name: "sa".to_owned(), database: 1 };
        let taken = |id: i16| state.sessions.values().any(|session| session.id == id);
        let id = (1..=50).rev().find(|id| !taken(*id)).unwrap_or(1);
        self.open(&mut state, id, &admitted, None)
    }

    /// Would a login succeed now? Counts nothing, changes nothing.
    pub(crate) fn accepts(&self, user: &str, password: &str, database: Option<&str>) -> bool {
        let login = Login {
            user: user.to_owned(),
            password: password.to_owned(),
            change_to: None,
            token: None,
            database: database.unwrap_or_default().to_owned(),
            application: String::new(),
            host: String::new(),
            client: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            encrypted: true,
            read_only: false,
        };
        self.shared.state().admit(&login, true).is_ok()
    }

    /// How many sessions this login has.
    pub(crate) fn sessions(&self, login: &str) -> usize {
        let state = self.shared.state();
        state.sessions.values().filter(|session| session.user_process && catalogue::same(&session.login, login)).count()
    }

    /// Moves the instance's clock forward.
    pub(crate) fn advance(&self, by: Duration) {
        self.shared.state().clock.advance(by);
    }

    /// Ends all user sessions as KILL does, and, in a group, gives the part of the primary to the next replica.
    pub(crate) fn fail_over(&self) {
        let mut state = self.shared.state();
        let users = state.sessions.values().filter(|session| session.user_process).map(|session| session.serial);
        for serial in users.collect::<Vec<_>>() {
            state.kill(serial);
        }
        if let Some(group) = &state.options.group {
            group.fail_over_from(&state.options.server_name);
        }
        drop(state);
        self.shared.tell();
    }

    /// `ProductVersion`.
    pub(crate) fn product(&self) -> String {
        self.shared.state().options.product().to_owned()
    }

    pub(crate) fn version(&self) -> Version {
        self.shared.state().options.version
    }

    fn open(&self, state: &mut State, id: i16, admitted: &Admitted, login: Option<&Login>) -> Session {
        let serial = state.serial();
        let now = state.clock.now();
        let ended = watch::Sender::new(false);
        let client = login.map_or_else(|| "<local machine>".to_owned(), |login| login.client.ip().to_string());
        let me = Me {
            serial,
            id,
            principal: admitted.principal,
            contained: admitted.contained,
            login: admitted.name.clone(),
            database: admitted.database,
            home: admitted.database,
            encrypted: login.is_some_and(|login| login.encrypted),
            line: login.is_some(),
            reads: login.is_some_and(|login| login.read_only),
            client: client.clone(),
            flags: initial_flags(state, login.is_some()),
            transaction: None,
            error: 0,
            rows: 0,
            caught: None,
            killed: ended.subscribe(),
        };
        let presence = Presence {
            serial,
            id,
            since: now,
            login: admitted.name.clone(),
            original_login: admitted.name.clone(),
            principal: admitted.principal,
            host: login.map(|login| login.host.clone()).unwrap_or_default(),
            program: login.map(|login| login.application.clone()).unwrap_or_default(),
            client,
            encrypted: me.encrypted,
            user_process: login.is_some(),
            running: false,
            open_transactions: 0,
            database: admitted.database,
            authenticating_database: admitted.contained.map_or(0, |(database, _)| database),
            last_request: now,
            killed: ended,
        };
        state.sessions.insert(serial, presence);
        Session { shared: Arc::clone(&self.shared), me }
    }
}

/// A logged-in session. Dropping it ends it: its locks are released, its open transaction rolled back.
pub(crate) struct Session {
    shared: Arc<Shared>,
    me: Me,
}

impl Session {
    pub(crate) fn id(&self) -> i16 {
        self.me.id
    }

    /// The current database.
    pub(crate) fn database(&self) -> String {
        let state = self.shared.state();
        state
            .world
            .databases
            .get(&self.me.database)
            .map_or_else(|| "master".to_owned(), |database| database.name.clone())
    }

    /// The informational messages after a login: 5701 and 5703.
    pub(crate) fn default_login_replies(&self) -> Vec<Reply> {
        let database = self.database();
        vec![
            Reply::Message(info(5701, 2, format!("Changed database context to '{database}'."))),
            Reply::Message(info(5703, 1, "Changed language setting to us_english.")),
        ]
    }

    /// Runs a batch to its end. May wait for a lock; dropping the future stops the waiting, and nothing after it is executed.
    pub(crate) async fn batch(&mut self, text: &str, parameters: &[Parameter]) -> Vec<Reply> {
        if !self.begin() {
            return vec![Reply::Message(killed())];
        }
        let running = Running { shared: Arc::clone(&self.shared), serial: self.me.serial };
        let replies = tsql::run(&self.shared, &mut self.me, text, parameters).await;
        drop(running);
        replies
    }

    /// Runs a statement of `sp_executesql`: a batch, after which SET options and database are what they were before.
    pub(crate) async fn statement(&mut self, text: &str, parameters: &[Parameter]) -> Vec<Reply> {
        let (flags, database) = (self.me.flags.clone(), self.me.database);
        let mut replies = self.batch(text, parameters).await;
        self.me.flags = flags;
        replies.extend(tsql::back_to(&self.shared, &mut self.me, database));
        replies
    }

    /// Calls a procedure by name, with its return status.
    pub(crate) async fn procedure(&mut self, name: &str, parameters: &[Parameter]) -> (Vec<Reply>, i32) {
        if name.eq_ignore_ascii_case("sp_reset_connection") {
            self.reset();
            return (Vec::new(), 0);
        }
        if !self.begin() {
            return (vec![Reply::Message(killed())], 1);
        }
        let running = Running { shared: Arc::clone(&self.shared), serial: self.me.serial };
        let answer = tsql::call(&self.shared, &mut self.me, name, parameters).await;
        drop(running);
        answer
    }

    /// What RESETCONNECTION does: transaction rolled back, session's locks released, options and database as after the login.
    pub(crate) fn reset(&mut self) {
        let me = &mut self.me;
        let mut state = self.shared.state();
        me.transaction = None;
        me.flags = initial_flags(&state, me.line);
        me.database = me.home;
        (me.error, me.rows, me.caught) = (0, 0, None);
        state.locks.release_all(self.me.serial, None);
        state.end_transaction(self.me.serial);
        state.show(&self.me);
        drop(state);
        self.shared.tell();
    }

    /// Resolves when another session KILLs this one. The line then closes the socket.
    pub(crate) fn killed(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut ended = self.me.killed.clone();
        async move {
            // A session that ended otherwise was not killed.
            if ended.wait_for(|killed| *killed).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// False if the session was killed.
    fn begin(&self) -> bool {
        let mut state = self.shared.state();
        state.receive();
        let now = state.clock.now();
        let Some(session) = state.sessions.get_mut(&self.me.serial) else { return false };
        session.running = true;
        session.last_request = now;
        true
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.shared.state().end(self.me.serial);
        self.shared.tell();
    }
}

/// The SET options of a fresh session. A test's own is not the server's to set.
fn initial_flags(state: &State, line: bool) -> Flags {
    let bits = state.world.settings.in_use("user options");
    if line { Flags::of_user_options(bits) } else { Flags::default() }
}

/// Shows a session as running, for as long as it is.
struct Running {
    shared: Arc<Shared>,
    serial: u64,
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(session) = self.shared.state().sessions.get_mut(&self.serial) {
            session.running = false;
        }
    }
}
