//! Sessions: fresh logins, and the small pool of admin sessions.
//!
//! The driver (sqlx 0.9) speaks SCRAM-SHA-256 without channel binding, also over TLS: what protects the password exchange
//! against a machine in the middle is the verification of the certificate, which is why `verify-full` is the default.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use keywheel_sdk::{Bundle, Retry, RotatorError};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow, PgSslMode};
use sqlx::{ConnectOptions, Connection};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::frame::Frame;
use crate::settings::{Settings, Tls};
use crate::sqlstate::{self, Moment};
use crate::statement::Sql;

/// Shown in `pg_stat_activity`.
const APPLICATION: &str = "keywheel";
/// An idle admin session is closed after this time.
const IDLE: Duration = Duration::from_secs(60);

/// Why a login gave no session.
pub(crate) enum LoginError {
    /// The call's time was over before the server had answered.
    Late,
    Driver(sqlx::Error),
}

impl LoginError {
    /// As a failure of something that changes nothing.
    pub(crate) fn into_failure(self, doing: &str) -> RotatorError {
        match self {
            LoginError::Late => {
                let message = format!("could not {doing}: the server did not answer in time");
                RotatorError::not_done(Retry::After(Duration::from_secs(5)), "timeout", message)
            }
            LoginError::Driver(error) => sqlstate::failure(&error, Moment::Reading, doing),
        }
    }

    /// Whether the server asked for a password and found this one wrong.
    pub(crate) fn is_wrong_password(&self) -> bool {
        matches!(self, LoginError::Driver(error) if sqlstate::code(error) == Some("28P01"))
    }

    /// Whether the server refuses the credential itself.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self, LoginError::Driver(error) if sqlstate::is_refusal(error))
    }
}

/// Opens a session of its own. Errors before the login are the caller's to judge.
pub(crate) async fn login(
    settings: &Settings,
    frame: &Frame,
    credential: &Bundle,
) -> Result<Result<PgConnection, LoginError>, RotatorError> {
    let user = credential.username()?;
    let options = credential.password()?.expose(|password| options(settings, &user, password));
    // A task of its own: while it hashes the password the driver yields some eight hundred times, and each time all that
    // stands around this call (time-outs, spans, the engine's own waiting) would be polled with it.
    let connecting = AbortOnDropHandle::new(tokio::spawn(async move { options.connect().await }));
    Ok(match tokio::time::timeout(frame.left(), connecting).await {
        Err(_) => Err(LoginError::Late),
        Ok(Ok(Ok(session))) => Ok(session),
        Ok(Ok(Err(error))) => Err(LoginError::Driver(error)),
        Ok(Err(ended)) => match ended.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Only the end of the whole program cancels it while somebody waits.
            Err(_) => Err(LoginError::Late),
        },
    })
}

/// The driver keeps the password in these options, unwiped, until they are dropped at the end of the login. Never print them:
/// their `Debug` shows it. The driver also reads `PGOPTIONS` and `PGSSL{ROOTCERT,CERT,KEY}` from the environment, where the
/// settings do not say otherwise, and offers no way to refuse them.
fn options(settings: &Settings, user: &str, password: &str) -> PgConnectOptions {
    let mode = match settings.tls {
        Tls::Disable => PgSslMode::Disable,
        Tls::Require => PgSslMode::Require,
        Tls::VerifyCa => PgSslMode::VerifyCa,
        Tls::VerifyFull => PgSslMode::VerifyFull,
    };
    let options = PgConnectOptions::new_without_pgpass()
        .host(&settings.host)
        .port(settings.port)
        .username(user)
        .password(password)
        .database(&settings.database)
        .ssl_mode(mode)
        .application_name(APPLICATION)
        // Connection poolers refuse start-up parameters that they do not know.
        .extra_float_digits(None)
        .statement_cache_capacity(0)
        .disable_statement_logging();
    match &settings.ca_file {
        Some(file) => options.ssl_root_cert(file),
        None => options,
    }
}

/// A session that is closed when dropped. Only [`Session::finish`], called between statements and outside a transaction,
/// lets it be used again: so a call that is cancelled half-way never hands on its half-done state.
pub(crate) struct Session {
    connection: Option<PgConnection>,
    /// Where it came from; `None` for a session of its own.
    home: Option<(Arc<Pool>, OwnedSemaphorePermit)>,
    /// Whether it was idle before, and so may have been cut meanwhile.
    pub(crate) reused: bool,
}

impl Session {
    pub(crate) fn own(connection: PgConnection) -> Self {
        Session { connection: Some(connection), home: None, reused: false }
    }

    pub(crate) fn connection(&mut self) -> &mut PgConnection {
        self.connection.as_mut().expect("taken by `finish` only, which consumes the session")
    }

    /// Gives a pooled session back, and closes any other in good order.
    pub(crate) async fn finish(mut self, frame: &Frame) {
        let Some(connection) = self.connection.take() else { return };
        match self.home.take() {
            Some((pool, permit)) => {
                pool.give_back(connection);
                drop(permit);
            }
            // The session's work is done; whether the goodbye arrives changes nothing.
            None => drop(tokio::time::timeout(frame.left(), connection.close()).await),
        }
    }
}

/// Admin sessions to one server as one account, opened as needed, a few at most.
pub(crate) struct Pool {
    settings: Settings,
    admin: Bundle,
    idle: Mutex<Vec<(PgConnection, Instant)>>,
    permits: Arc<Semaphore>,
    /// Whether a task waits to close what stays idle.
    sweeping: AtomicBool,
    /// Set when the server has refused to show `pg_authid`: then it is not asked again.
    pub(crate) authid_refused: AtomicBool,
}

/// The admin's own credential may be just being rotated, so a refusal of it passes: it is read anew with each call.
fn refused_admin(error: LoginError, doing: &str) -> RotatorError {
    let refused = error.is_refusal();
    let failure = error.into_failure(doing);
    if refused { RotatorError { retry: Retry::After(Duration::from_secs(30)), ..failure } } else { failure }
}

impl Pool {
    fn new(settings: Settings, admin: Bundle) -> Self {
        Pool {
            permits: Arc::new(Semaphore::new(settings.max_connections as usize)),
            settings,
            admin,
            idle: Mutex::default(),
            sweeping: AtomicBool::new(false),
            authid_refused: AtomicBool::new(false),
        }
    }

    /// A session, idle or new; with `fresh`, a new one.
    pub(crate) async fn session(self: &Arc<Self>, frame: &Frame, fresh: bool) -> Result<Session, RotatorError> {
        let doing = "log in as the admin";
        let permit = frame.within(Arc::clone(&self.permits).acquire_owned(), || LoginError::Late.into_failure(doing));
        let permit = permit.await?.expect("the semaphore is never closed");
        let idle = if fresh { None } else { self.take_idle() };
        let reused = idle.is_some();
        let connection = match idle {
            Some(connection) => connection,
            None => match login(&self.settings, frame, &self.admin).await? {
                Ok(connection) => connection,
                Err(error) => {
                    if error.is_refusal() {
                        self.close_idle(Duration::ZERO);
                    }
                    return Err(refused_admin(error, doing));
                }
            },
        };
        Ok(Session { connection: Some(connection), home: Some((Arc::clone(self), permit)), reused })
    }

    /// Runs one query that changes nothing. A session that was cut while it was idle is replaced by a new one.
    pub(crate) async fn read(
        self: &Arc<Self>,
        frame: &Frame,
        query: &Sql,
        doing: &str,
    ) -> Result<Vec<PgRow>, RotatorError> {
        let mut session = self.session(frame, false).await?;
        loop {
            let late = || LoginError::Late.into_failure(doing);
            match frame.within(query.run(session.connection()), late).await? {
                Ok(rows) => {
                    session.finish(frame).await;
                    return Ok(rows);
                }
                Err(error) if session.reused && sqlstate::is_cut(&error) => {
                    drop(session);
                    session = self.session(frame, true).await?;
                }
                Err(error) => return Err(sqlstate::failure(&error, Moment::Reading, doing)),
            }
        }
    }

    fn take_idle(&self) -> Option<PgConnection> {
        self.close_idle(IDLE);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop().map(|(connection, _)| connection)
    }

    fn give_back(self: &Arc<Self>, connection: PgConnection) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push((connection, Instant::now()));
        if !self.sweeping.swap(true, Ordering::Relaxed) {
            let pool = Arc::downgrade(self);
            tokio::spawn(sweep(pool));
        }
    }

    /// Drops what was idle for that long. How many stay.
    fn close_idle(&self, at_least: Duration) -> usize {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|(_, since)| since.elapsed() < at_least);
        idle.len()
    }
}

/// Closes what has been idle for long, until nothing is idle.
#[expect(
    clippy::disallowed_methods,
    reason = "nobody waits for this: a session that nobody uses is closed after a while"
)]
async fn sweep(pool: Weak<Pool>) {
    loop {
        tokio::time::sleep(IDLE).await;
        let Some(pool) = pool.upgrade() else { return };
        if pool.close_idle(IDLE) == 0 {
            pool.sweeping.store(false, Ordering::Relaxed);
            return;
        }
    }
}

/// The pools of one rotator, by server and account. A changed admin credential gets a new pool, and the old one goes.
#[derive(Default)]
pub(crate) struct Pools(Mutex<HashMap<(Settings, String), Arc<Pool>>>);

impl Pools {
    pub(crate) fn of(&self, settings: &Settings, admin: &Bundle) -> Result<Arc<Pool>, RotatorError> {
        let key = (settings.clone(), admin.username()?);
        let mut pools = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pool) = pools.get(&key).filter(|pool| pool.admin.same_as(admin)) {
            return Ok(Arc::clone(pool));
        }
        let pool = Arc::new(Pool::new(settings.clone(), admin.duplicate()));
        pools.insert(key, Arc::clone(&pool));
        Ok(pool)
    }
}
