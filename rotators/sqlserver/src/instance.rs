//! One instance of a target: whose session asks it, and what it says of a credential.

use std::sync::Arc;

use keywheel_sdk::{Admin, Bundle, Retry, RotatorError, Secret, Strategy};

use crate::SqlServerRotator;
use crate::account::Account;
use crate::answer::{self, Moment, Says};
use crate::budget::Who;
use crate::connect::{self, LoginError, Place, Pool, Session};
use crate::fence::{self, Fenced};
use crate::frame::Frame;
use crate::settings::{Address, Kind, Settings};

/// Where a fence's session comes from.
pub(crate) enum Source {
    /// From the pool of the admin.
    Admin(Arc<Pool>),
    /// The account itself, logged in already.
    Own(Session),
}

/// One instance, within one call.
pub(crate) struct Instance<'a> {
    pub(crate) rotator: &'a SqlServerRotator,
    pub(crate) settings: &'a Settings,
    pub(crate) admin: &'a Admin,
    pub(crate) strategy: &'a Strategy,
    pub(crate) frame: Frame,
    pub(crate) address: &'a Address,
}

/// What one instance says of a credential.
pub(crate) enum Seen {
    Yes,
    /// Refused. `password` says that it is the password which is refused, not only the account.
    No {
        reason: String,
        password: bool,
    },
    Unknown(RotatorError),
}

/// How a login ended that may fail.
enum Tried {
    In(Session),
    Refused(Says),
    Failed(RotatorError),
}

impl Instance<'_> {
    /// The admin's sessions; `None` if the account manages itself.
    pub(crate) fn pool(&self) -> Option<Arc<Pool>> {
        self.pool_in(&self.admins_place().database)
    }

    /// The same in another database.
    pub(crate) fn pool_in(&self, database: &str) -> Option<Arc<Pool>> {
        let place = Place { address: self.address.clone(), database: database.to_owned() };
        match self.admin {
            Admin::Credential(admin) => Some(self.rotator.pools.of(self.settings, &place, admin)),
            Admin::Own => None,
        }
    }

    /// Takes the fence of `name`, as the admin, or as the account itself with the first of `credentials` that works.
    /// `None` if the account manages itself and none of them works.
    pub(crate) async fn enter(
        &self,
        name: &str,
        credentials: &[&Bundle],
        password: Option<&Secret>,
    ) -> Result<Option<(Fenced, Option<usize>)>, RotatorError> {
        if let Some(pool) = self.pool() {
            return Ok(Some((fence::enter(self, Source::Admin(pool), name, password).await?, None)));
        }
        match self.own_session(name, credentials).await? {
            Some((session, which)) => {
                Ok(Some((fence::enter(self, Source::Own(session), name, password).await?, Some(which))))
            }
            None => Ok(None),
        }
    }

    /// A session of the account itself, and which credential opened it. `None` if all are refused.
    pub(crate) async fn own_session(
        &self,
        name: &str,
        credentials: &[&Bundle],
    ) -> Result<Option<(Session, usize)>, RotatorError> {
        for (index, credential) in credentials.iter().enumerate() {
            if credential.username()? != name {
                continue;
            }
            match self.try_login(credential, &self.admins_place(), None).await? {
                Tried::In(session) => return Ok(Some((session, index))),
                Tried::Refused(Says::Wrong) => {}
                Tried::Refused(says) => return Err(refused(name, says)),
                Tried::Failed(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Whether `credential` is accepted here. Costs a failed login only where nobody else can be asked.
    pub(crate) async fn sees(&self, credential: &Bundle, others: &[&Bundle]) -> Seen {
        let seen = async {
            let name = credential.username()?;
            match self.pool() {
                Some(pool) => {
                    let password = Some(credential.password()?).filter(|_| self.settings.kind == Kind::Login);
                    let (account, sees) = fence::look(self, Source::Admin(pool), &name, password).await?;
                    match self.judge(&name, account, sees) {
                        Some(seen) => Ok(seen),
                        None => self.by_login(credential, account.and_then(|account| account.failed_logins)).await,
                    }
                }
                None => self.as_itself(&name, credential, others).await,
            }
        };
        seen.await.unwrap_or_else(Seen::Unknown)
    }

    /// Whether a login works, within the budget.
    pub(crate) async fn lets_in(&self, credential: &Bundle) -> bool {
        matches!(self.by_login(credential, None).await, Ok(Seen::Yes))
    }

    /// What the admin's view says; `None` if it shows too little.
    fn judge(&self, name: &str, account: Option<Account>, sees: bool) -> Option<Seen> {
        let no = |reason: &str, password| Some(Seen::No { reason: reason.to_owned(), password });
        let Some(account) = account else {
            return if sees { no("no such account", true) } else { None };
        };
        match account.matches {
            Some(false) => no("the account has another password", true),
            _ if account.locked => Some(Seen::Unknown(refused(name, Says::LockedOut))),
            Some(true) if account.must_change => Some(Seen::Unknown(refused(name, Says::MustChange))),
            Some(true) if account.disabled => no("the account is disabled", false),
            Some(true) => Some(Seen::Yes),
            None if account.disabled && self.settings.kind == Kind::ContainedUser => {
                no("the user may not connect", false)
            }
            None => None,
        }
    }

    async fn as_itself(&self, name: &str, credential: &Bundle, others: &[&Bundle]) -> Result<Seen, RotatorError> {
        let first = self.by_login(credential, None).await?;
        if !matches!(first, Seen::No { .. }) || others.is_empty() {
            // With no other credential there is nothing to fence with, and only a heartbeat asks like that.
            return Ok(first);
        }
        // A no counts only when nothing of ours can still change it: fence with a credential that works, then ask again.
        let Some((fenced, _)) = self.enter(name, others, None).await? else { return Err(locked_out(name)) };
        fenced.leave().await?;
        let seen = self.by_login(credential, None).await?;
        // A login that works sets the server's count back to none, and ours: so asking again and again locks nobody out. The
        // answer stands without it.
        if matches!(seen, Seen::No { .. })
            && let Ok(Some((session, _))) = self.own_session(name, others).await
        {
            session.finish(&self.frame).await;
        }
        Ok(seen)
    }

    async fn by_login(&self, credential: &Bundle, counted: Option<u32>) -> Result<Seen, RotatorError> {
        let name = credential.username()?;
        Ok(match self.try_login(credential, &self.applications_place(), counted).await? {
            Tried::In(session) => {
                session.finish(&self.frame).await;
                Seen::Yes
            }
            Tried::Refused(Says::Right) => Seen::Yes,
            Tried::Refused(Says::Wrong) => {
                Seen::No { reason: "wrong password, or no such account (18456)".to_owned(), password: true }
            }
            Tried::Refused(Says::Disabled) => {
                Seen::No { reason: "the account is disabled (18470)".to_owned(), password: false }
            }
            Tried::Refused(says @ (Says::LockedOut | Says::MustChange)) => Seen::Unknown(refused(&name, says)),
            Tried::Failed(error) => Seen::Unknown(error),
        })
    }

    async fn try_login(&self, credential: &Bundle, place: &Place, counted: Option<u32>) -> Result<Tried, RotatorError> {
        let (who, budget) = (Who::account(self.address, &credential.username()?), &self.rotator.budget);
        budget.check(&who, self.settings.limits, counted)?;
        let doing = "log in as the account";
        Ok(match connect::login(self.settings, place, &self.frame, credential).await? {
            Ok(line) => {
                budget.worked(&who);
                Tried::In(Session::own(line))
            }
            Err(LoginError::Driver(error)) => match answer::login_says(&error) {
                Some(says) => {
                    match says {
                        Says::Wrong => budget.failed(&who),
                        Says::Right | Says::MustChange => budget.worked(&who),
                        Says::LockedOut => budget.exhausted(&who, self.settings.limits),
                        Says::Disabled => {}
                    }
                    Tried::Refused(says)
                }
                None => {
                    // The server may have counted it.
                    budget.failed(&who);
                    Tried::Failed(answer::failure(&error, Moment::Reading, doing))
                }
            },
            Err(error) => {
                if matches!(error, LoginError::Late) {
                    budget.failed(&who);
                }
                Tried::Failed(error.into_failure(doing))
            }
        })
    }

    /// Logins are changed in `master`, contained users in their database.
    pub(crate) fn admins_place(&self) -> Place {
        let database = match self.settings.kind {
            Kind::Login => "master".to_owned(),
            Kind::ContainedUser => self.settings.database.clone(),
        };
        Place { address: self.address.clone(), database }
    }

    /// Where a login is tried. The replicas of a group need not let anybody into the application's database.
    pub(crate) fn applications_place(&self) -> Place {
        let database = if self.settings.is_group() { "master".to_owned() } else { self.settings.database.clone() };
        Place { address: self.address.clone(), database }
    }
}

/// No credential given lets the account in, so it cannot change itself.
pub(crate) fn locked_out(name: &str) -> RotatorError {
    RotatorError::not_done(
        Retry::Never,
        "locked-out",
        format!("none of the known credentials of `{name}` works any more: set its password by hand, or give an admin"),
    )
}

/// The account lets nobody in, whatever the password.
fn refused(name: &str, says: Says) -> RotatorError {
    let after = |seconds| Retry::After(std::time::Duration::from_secs(seconds));
    let (retry, code, what) = match says {
        Says::LockedOut => (after(300), "18486", "is locked out: unlock it, or wait until the server does"),
        Says::MustChange => (
            Retry::Never,
            "18487",
            "has a password that is over its age or must be changed first: an admin must set it anew",
        ),
        Says::Disabled => (Retry::Never, "18470", "is disabled: `ALTER LOGIN … ENABLE` first"),
        Says::Wrong => (Retry::Never, "18456", "has another password"),
        Says::Right => (Retry::Never, "4060", "got in, but not into its database: see `target.database`"),
    };
    RotatorError::not_done(retry, code, format!("the account `{name}` {what}"))
}
