//! What all verbs share at their start: checked settings, the time frame, and who may change the account.

use std::sync::Arc;

use keywheel_sdk::{Admin, Bundle, Call, Retry, RotatorError, Strategy, Target};

use crate::PostgresRotator;
use crate::connect::{self, Pool, Session};
use crate::fence::{self, Fenced, Source};
use crate::frame::Frame;
use crate::settings::Settings;

/// The longest name. The server cuts longer ones off silently (`NAMEDATALEN`), and another role would be changed.
const LONGEST_NAME: usize = 63;

/// One call, ready to work.
pub(crate) struct Access<'a> {
    pub(crate) rotator: &'a PostgresRotator,
    pub(crate) target: &'a Target,
    pub(crate) settings: Settings,
    pub(crate) frame: Frame,
}

impl<'a> Access<'a> {
    pub(crate) fn of(rotator: &'a PostgresRotator, call: &Call<'a>) -> Result<Self, RotatorError> {
        let frame = Frame::until(call.until);
        Ok(Access { rotator, target: call.target, settings: Settings::read(&call.target.settings)?, frame })
    }

    /// The account of a credential, if this policy manages it.
    pub(crate) fn account(&self, credential: &Bundle) -> Result<String, RotatorError> {
        let name = credential.username()?;
        check_name(&name)?;
        if matches!(self.target.strategy, Strategy::Overlapping) {
            return Err(never(
                "unsupported",
                "a PostgreSQL role has one password: use `in_place` or `alternating`".to_owned(),
            ));
        }
        if !self.target.strategy.users().contains(&name) {
            return Err(never("account", format!("this policy does not manage the role `{name}`")));
        }
        Ok(name)
    }

    /// Whether two accounts take turns.
    pub(crate) fn alternates(&self) -> bool {
        matches!(self.target.strategy, Strategy::Alternating { .. })
    }

    /// The admin's sessions; `None` if the account manages itself.
    pub(crate) fn pool(&self) -> Result<Option<Arc<Pool>>, RotatorError> {
        match &self.target.admin {
            Admin::Credential(admin) => self.rotator.pools.of(&self.settings, admin).map(Some),
            Admin::Own if self.alternates() => Err(never(
                "self-managed",
                "a role cannot set another role's password, so `alternating` needs an admin".to_owned(),
            )),
            Admin::Own => Ok(None),
        }
    }

    /// Takes the fence of `account`, as the admin, or as the account itself with the first of `credentials` that works.
    /// `None` if the account manages itself and none of them works.
    pub(crate) async fn enter(&self, account: &str, credentials: &[&Bundle]) -> Result<Option<Fenced>, RotatorError> {
        if let Some(pool) = self.pool()? {
            return fence::enter(self.frame, Source::Admin(&pool), account).await.map(Some);
        }
        match self.own_session(account, credentials).await? {
            Some(session) => fence::enter(self.frame, Source::Own(session), account).await.map(Some),
            None => Ok(None),
        }
    }

    /// A session of the account itself. `None` if all credentials are refused.
    pub(crate) async fn own_session(
        &self,
        account: &str,
        credentials: &[&Bundle],
    ) -> Result<Option<Session>, RotatorError> {
        for credential in credentials {
            if credential.username()? != account {
                continue;
            }
            match connect::login(&self.settings, &self.frame, credential).await? {
                Ok(connection) => return Ok(Some(Session::own(connection))),
                Err(error) if error.is_refusal() => {}
                Err(error) => return Err(error.into_failure("log in as the account itself")),
            }
        }
        Ok(None)
    }
}

/// No credential given lets the account in, so it cannot change itself.
pub(crate) fn locked_out(account: &str) -> RotatorError {
    never(
        "locked-out",
        format!(
            "none of the known credentials of `{account}` works any more: set its password by hand, or give an admin"
        ),
    )
}

pub(crate) fn never(code: &str, message: String) -> RotatorError {
    RotatorError::not_done(Retry::Never, code, message)
}

/// Whether a name reaches the server as it is.
pub(crate) fn check_name(name: &str) -> Result<(), RotatorError> {
    let problem = if name.is_empty() {
        "it is empty"
    } else if name.len() > LONGEST_NAME {
        "it is longer than 63 bytes, and the server would cut it off"
    } else if name.contains('\0') {
        "it holds a NUL byte"
    } else if name.contains(',') {
        "it holds a comma, which the driver cannot send when it logs in"
    } else if stringprep::saslprep(name).is_err() {
        "it holds characters that SASLprep (RFC 4013) forbids, which the driver cannot send when it logs in"
    } else {
        return Ok(());
    };
    Err(never("account", format!("the role name `{name}` cannot be used: {problem}")))
}
