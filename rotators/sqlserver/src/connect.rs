//! Sessions: fresh logins, and the small pools of admin sessions.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use keywheel_sdk::{Bundle, Retry, RotatorError};
use tiberius::{AuthMethod, Client, EncryptionLevel, Row};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::compat::{Compat, TokioAsyncWriteCompatExt};

use crate::answer::{self, Moment, Says};
use crate::budget::Budget;
use crate::dial::dial;
use crate::frame::Frame;
use crate::settings::{Address, Encryption, Settings, Trust};
use crate::statement::Sql;

/// Shown in `sys.dm_exec_sessions`.
const APPLICATION: &str = "keywheel";
/// An idle admin session is closed after this time.
const IDLE: Duration = Duration::from_secs(60);
/// The field of an admin's credential that holds a Microsoft Entra access token instead of a password.
const ACCESS_TOKEN: &str = "access_token";

/// The driver's session. It is useless after a time-out or a dropped call: drop it.
pub(crate) type Line = Client<Compat<TcpStream>>;

/// Where a session is opened.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) address: Address,
    pub(crate) database: String,
}

/// Why a login gave no session.
pub(crate) enum LoginError {
    /// The call's time was over before the server had answered.
    Late,
    /// No connection.
    Unreachable(std::io::Error),
    Driver(tiberius::error::Error),
}

impl LoginError {
    /// As a failure of something that changes nothing.
    pub(crate) fn into_failure(self, doing: &str) -> RotatorError {
        match self {
            LoginError::Late => late(doing),
            LoginError::Unreachable(error) => {
                let message = format!("could not {doing}: no connection: {}", answer::bounded(&error.to_string()));
                RotatorError::not_done(Retry::After(Duration::from_secs(5)), "unreachable", message)
            }
            LoginError::Driver(error) => answer::failure(&error, Moment::Reading, doing),
        }
    }
}

/// Nothing was changed, and no answer came in time.
pub(crate) fn late(doing: &str) -> RotatorError {
    let message = format!("could not {doing}: the server did not answer in time");
    RotatorError::not_done(Retry::After(Duration::from_secs(5)), "timeout", message)
}

/// Opens a session of its own. Errors before the login are the caller's to judge.
pub(crate) async fn login(
    settings: &Settings,
    place: &Place,
    frame: &Frame,
    credential: &Bundle,
) -> Result<Result<Box<Line>, LoginError>, RotatorError> {
    let authentication = authentication(credential)?;
    Ok(match tokio::time::timeout(frame.left(), open(settings, place, authentication)).await {
        Err(_) => Err(LoginError::Late),
        Ok(opened) => opened.map(Box::new),
    })
}

async fn open(settings: &Settings, place: &Place, authentication: AuthMethod) -> Result<Line, LoginError> {
    match open_at(settings, place, &place.address, authentication.clone()).await {
        // A gateway sends us on, once (ENVCHANGE type 20, [MS-TDS] 2.2.7.9). The other host's certificate is checked against
        // its own name.
        Err(LoginError::Driver(tiberius::error::Error::Routing { host, port })) => {
            open_at(settings, place, &Address { host, port }, authentication).await
        }
        opened => opened,
    }
}

async fn open_at(
    settings: &Settings,
    place: &Place,
    address: &Address,
    authentication: AuthMethod,
) -> Result<Line, LoginError> {
    let mut options = tiberius::Config::new();
    options.host(&address.host);
    options.port(address.port);
    options.database(&place.database);
    options.application_name(APPLICATION);
    options.authentication(authentication);
    // The call's own frame bounds the whole login, the connection included, which the driver's time-out does not.
    options.handshake_timeout(None);
    options.encryption(match settings.encryption {
        Encryption::Required => EncryptionLevel::Required,
        Encryption::Strict => EncryptionLevel::Strict,
    });
    match &settings.trust {
        Trust::System => {}
        Trust::File(file) => options.trust_cert_ca(file.display()),
        Trust::Anybody => options.trust_cert(),
    }
    if let Some(name) = &settings.certificate_name {
        options.hostname_in_certificate(name);
    }
    let stream = dial(address).await.map_err(LoginError::Unreachable)?;
    Client::connect(options, stream.compat_write()).await.map_err(LoginError::Driver)
}

/// What a session needs before it changes anything. The server's own defaults (`user options`) may say otherwise, and with
/// implicit transactions a change would be undone when the session ends.
pub(crate) fn standing() -> Sql {
    Sql::new("SET IMPLICIT_TRANSACTIONS OFF; SET XACT_ABORT ON; SET NOCOUNT ON; ")
}

/// By token where the credential has one, by the process's Kerberos ticket where it has no password.
fn authentication(credential: &Bundle) -> Result<AuthMethod, RotatorError> {
    if let Ok(token) = credential.get(ACCESS_TOKEN) {
        return Ok(token.expose(|token| AuthMethod::aad_token(token)));
    }
    let user = credential.username()?;
    match credential.password() {
        Ok(password) => Ok(password.expose(|password| AuthMethod::sql_server(&user, password))),
        Err(_) => ticket(),
    }
}

#[cfg(feature = "kerberos")]
#[expect(clippy::unnecessary_wraps, reason = "without the feature it is refused")]
fn ticket() -> Result<AuthMethod, RotatorError> {
    Ok(AuthMethod::Integrated)
}

#[cfg(not(feature = "kerberos"))]
fn ticket() -> Result<AuthMethod, RotatorError> {
    let message = "the credential has neither a password nor an access token, and this build cannot use a Kerberos ticket: \
                   it lacks the feature `kerberos`";
    Err(RotatorError::not_done(keywheel_sdk::Retry::Never, "unsupported", message))
}

/// A session that is closed when dropped. Only [`Session::finish`], called when nothing is held or half-read, lets it be
/// used again: so a call that is dropped half-way never hands on its half-done state.
pub(crate) struct Session {
    line: Option<Box<Line>>,
    /// Where it came from; `None` for a session of its own.
    home: Option<(Arc<Pool>, OwnedSemaphorePermit)>,
    /// Whether it was idle before, and so may have been cut meanwhile.
    pub(crate) reused: bool,
}

impl Session {
    pub(crate) fn own(line: Box<Line>) -> Self {
        Session { line: Some(line), home: None, reused: false }
    }

    pub(crate) fn line(&mut self) -> &mut Line {
        self.line.as_mut().expect("taken by `finish` only, which consumes the session")
    }

    /// Gives a pooled session back, and closes any other in good order.
    pub(crate) async fn finish(mut self, frame: &Frame) {
        let Some(line) = self.line.take() else { return };
        match self.home.take() {
            Some((pool, permit)) => {
                pool.give_back(line);
                drop(permit);
            }
            // The session's work is done; whether the goodbye arrives changes nothing.
            None => drop(tokio::time::timeout(frame.left(), line.close()).await),
        }
    }
}

/// Admin sessions at one place as one account, opened as needed, a few at most.
pub(crate) struct Pool {
    settings: Settings,
    place: Place,
    admin: Bundle,
    idle: Mutex<Vec<(Box<Line>, Instant)>>,
    permits: Arc<Semaphore>,
    /// Whether somebody waits to close what stays idle.
    sweeping: AtomicBool,
    /// The rotator's: pools of other policies and databases log in as the same admin.
    budget: Arc<Budget>,
}

impl Pool {
    /// A session, idle or new; with `fresh`, a new one.
    pub(crate) async fn session(self: &Arc<Self>, frame: &Frame, fresh: bool) -> Result<Session, RotatorError> {
        let doing = "log in as the admin";
        let permit = frame.within(Arc::clone(&self.permits).acquire_owned(), || late(doing));
        let permit = permit.await?.expect("the semaphore is never closed");
        let idle = if fresh { None } else { self.take_idle() };
        let reused = idle.is_some();
        let line = match idle {
            Some(line) => line,
            None => self.log_in(frame, doing).await?,
        };
        Ok(Session { line: Some(line), home: Some((Arc::clone(self), permit)), reused })
    }

    /// Runs a batch that changes nothing. A session that was cut while it was idle is replaced by a new one.
    pub(crate) async fn read(
        self: &Arc<Self>,
        frame: &Frame,
        batch: &Sql,
        doing: &str,
    ) -> Result<Vec<Row>, RotatorError> {
        let mut session = self.session(frame, false).await?;
        loop {
            match frame.within(batch.run(session.line()), || late(doing)).await? {
                Ok(rows) => {
                    session.finish(frame).await;
                    return Ok(rows);
                }
                Err(error) if session.reused && answer::is_cut(&error) => {
                    drop(session);
                    session = self.session(frame, true).await?;
                }
                Err(error) => return Err(answer::failure(&error, Moment::Reading, doing)),
            }
        }
    }

    async fn log_in(&self, frame: &Frame, doing: &str) -> Result<Box<Line>, RotatorError> {
        let who = self.budget.admin(&self.place.address, &self.admin);
        self.budget.check(&who, self.settings.limits, None)?;
        match login(&self.settings, &self.place, frame, &self.admin).await? {
            Ok(line) => {
                self.budget.worked(&who);
                Ok(line)
            }
            Err(error) => {
                let refused =
                    matches!(&error, LoginError::Driver(error) if answer::login_says(error) == Some(Says::Wrong));
                if refused {
                    self.budget.failed(&who);
                    self.close_idle(Duration::ZERO);
                }
                let failure = error.into_failure(doing);
                // The admin's own credential may be just being rotated, so a refusal of it passes: it is read anew with
                // each call.
                Err(if refused {
                    RotatorError { retry: Retry::After(Duration::from_secs(30)), ..failure }
                } else {
                    failure
                })
            }
        }
    }

    fn take_idle(&self) -> Option<Box<Line>> {
        self.close_idle(IDLE);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop().map(|(line, _)| line)
    }

    fn give_back(self: &Arc<Self>, line: Box<Line>) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push((line, Instant::now()));
        if !self.sweeping.swap(true, Ordering::Relaxed) {
            tokio::spawn(sweep(Arc::downgrade(self)));
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

/// The pools of one rotator, by settings, place and account. A changed admin credential gets a new pool, and the old one
/// goes.
#[derive(Default)]
pub(crate) struct Pools {
    pools: Mutex<HashMap<(Settings, Place, String), Arc<Pool>>>,
    /// Outlives the pools.
    budget: Arc<Budget>,
}

impl Pools {
    pub(crate) fn of(&self, settings: &Settings, place: &Place, admin: &Bundle) -> Arc<Pool> {
        // With a token there may be no name.
        let key = (settings.clone(), place.clone(), admin.username().unwrap_or_default());
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pool) = pools.get(&key).filter(|pool| pool.admin.same_as(admin)) {
            return Arc::clone(pool);
        }
        let pool = Arc::new(Pool {
            permits: Arc::new(Semaphore::new(settings.max_connections as usize)),
            settings: settings.clone(),
            place: place.clone(),
            admin: admin.duplicate(),
            idle: Mutex::default(),
            sweeping: AtomicBool::new(false),
            budget: Arc::clone(&self.budget),
        });
        pools.insert(key, Arc::clone(&pool));
        pool
    }
}
