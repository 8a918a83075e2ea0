//! What all verbs share at their start: checked settings, the time frame, and the instances to work on.

use keywheel_sdk::{Admin, Answer, Bundle, Call, Retry, RotatorError, Secret, Strategy, Target};

use crate::SqlServerRotator;
use crate::frame::Frame;
use crate::instance::Instance;
use crate::poll::{Open, Poll};
use crate::settings::{Address, Kind, Settings};
use crate::statement::{Sql, text};

/// The longest name and password, in UTF-16 units (`sysname`; Transact-SQL reference, "ALTER LOGIN").
const LONGEST: usize = 128;

/// One call, ready to work.
pub(crate) struct Access<'a> {
    pub(crate) rotator: &'a SqlServerRotator,
    pub(crate) target: &'a Target,
    pub(crate) settings: Settings,
    pub(crate) frame: Frame,
}

impl<'a> Access<'a> {
    pub(crate) fn of(rotator: &'a SqlServerRotator, call: &Call<'a>) -> Result<Self, RotatorError> {
        let settings = Settings::read(&call.target.settings)?;
        let access = Access { rotator, target: call.target, settings, frame: Frame::until(call.until) };
        if let [first, second] = call.target.strategy.users()
            && first.to_lowercase() == second.to_lowercase()
        {
            return Err(never(
                "account",
                format!("`{first}` and `{second}` are one account, so they cannot take turns"),
            ));
        }
        if matches!(call.target.admin, Admin::Own) && access.settings.limits.ours < 2 {
            return Err(never(
                "settings",
                "`admin: self` takes two failed logins at times, so it needs `lockout_budget: 2` at least".to_owned(),
            ));
        }
        if access.alternates() && matches!(call.target.admin, Admin::Own) {
            return Err(never(
                "self-managed",
                "an account cannot set another one's password, so `alternating` needs an admin".to_owned(),
            ));
        }
        Ok(access)
    }

    /// The account of a credential, if this policy manages it.
    pub(crate) fn account(&self, credential: &Bundle) -> Result<String, RotatorError> {
        let name = credential.username()?;
        check_name(&name)?;
        if matches!(self.target.strategy, Strategy::Overlapping) {
            return Err(never(
                "unsupported",
                "an account of SQL Server has one password: use `in_place` or `alternating`".to_owned(),
            ));
        }
        if !self.target.strategy.users().contains(&name) {
            return Err(never("account", format!("this policy does not manage the account `{name}`")));
        }
        Ok(name)
    }

    /// In place, `CURRENT` must be a login of this very account, as the policy writes it: of another name it could not be said
    /// whether it is the same one, and what would be restored.
    pub(crate) fn check_current(&self, account: &str, current: Option<&Bundle>) -> Result<(), RotatorError> {
        let Some(current) = current.filter(|_| !self.alternates()) else { return Ok(()) };
        let name = current.username()?;
        if name == account {
            return Ok(());
        }
        Err(never(
            "account",
            format!("CURRENT is a login of `{name}`, and the policy rotates `{account}`: write both the same way"),
        ))
    }

    /// Whether two accounts take turns.
    pub(crate) fn alternates(&self) -> bool {
        matches!(self.target.strategy, Strategy::Alternating { .. })
    }

    /// Where accounts are changed, in the policy's order.
    pub(crate) fn instances(&self) -> impl Iterator<Item = Instance<'_>> {
        self.settings.instances.iter().map(|address| self.at(address))
    }

    /// Sees that no two of a group's addresses lead to one instance: the second fence there would end the first.
    pub(crate) async fn check_instances(&self) -> Result<(), RotatorError> {
        let mut names: Vec<String> = Vec::new();
        for instance in self.instances().filter(|_| self.settings.is_group()) {
            let Some(pool) = instance.pool() else { return Ok(()) };
            let query = Sql::new("SELECT ISNULL(@@SERVERNAME, N'') AS name");
            let rows = pool.read(&self.frame, &query, "ask the instance for its name").await;
            let rows = rows.map_err(|error| self.located(instance.address, error))?;
            let name = rows.first().and_then(|row| text(row, "name")).unwrap_or_default();
            if !name.is_empty() && names.contains(&name) {
                let message = format!("two of `target.replicas` lead to one instance, `{name}`: name each once");
                return Err(never("replicas", message));
            }
            names.push(name);
        }
        Ok(())
    }

    /// One instance.
    pub(crate) fn at<'s>(&'s self, address: &'s Address) -> Instance<'s> {
        Instance {
            rotator: self.rotator,
            settings: &self.settings,
            admin: &self.target.admin,
            strategy: &self.target.strategy,
            frame: self.frame,
            address,
        }
    }

    /// Whether all instances accept `credential`, or all refuse it.
    pub(crate) async fn ask(&self, credential: &Bundle, others: &[&Bundle]) -> Answer {
        match usable(credential) {
            Ok(()) => Poll::of(self, credential, others, false).await.answer(),
            Err(error) => Answer::Unknown(error),
        }
    }

    /// Whether all instances refuse `credential`, and not only because its account is disabled.
    ///
    /// `scrambled` says that this call has just set a password that nobody holds, under the account's lock. Of a contained
    /// user that may not connect nothing more can be seen, and with that it is enough.
    pub(crate) async fn refused(&self, credential: &Bundle, others: &[&Bundle], scrambled: bool) -> Result<(), Open> {
        usable(credential).map_err(Open::Silent)?;
        let enough = scrambled && self.settings.kind == Kind::ContainedUser;
        Poll::of(self, credential, others, !enough).await.refused()
    }

    /// Says at which instance it went wrong, where there are several.
    pub(crate) fn located(&self, address: &Address, error: RotatorError) -> RotatorError {
        match self.settings.is_group() {
            true => RotatorError { message: format!("{address}: {}", error.message), ..error },
            false => error,
        }
    }
}

fn usable(credential: &Bundle) -> Result<(), RotatorError> {
    check_name(&credential.username()?)
}

pub(crate) fn never(code: &str, message: String) -> RotatorError {
    RotatorError::not_done(Retry::Never, code, message)
}

/// Whether a name reaches the server as it is.
pub(crate) fn check_name(name: &str) -> Result<(), RotatorError> {
    let problem = if name.is_empty() {
        "it is empty"
    } else if name.encode_utf16().count() > LONGEST {
        "it is longer than 128 characters"
    } else if name.contains('\0') {
        "it holds a NUL character"
    } else if name.contains('\\') {
        "it holds a backslash, so it is a Windows account's: its password is not the server's to change"
    } else if name.ends_with(' ') {
        "it ends with a space, which the server does not tell from the name without"
    } else {
        return Ok(());
    };
    Err(never("account", format!("the account name `{name}` cannot be used: {problem}")))
}

/// Whether the server can take a candidate, before anything is touched.
pub(crate) fn check_candidate(password: &Secret) -> Result<(), RotatorError> {
    let problem = password.expose(|password| {
        if password.is_empty() {
            Some("is empty")
        } else if password.encode_utf16().count() > LONGEST {
            Some("is longer than the server's 128 characters (UTF-16 units)")
        } else if password.contains('\0') {
            Some("holds a NUL character")
        } else {
            None
        }
    });
    match problem {
        Some(problem) => Err(never("password", format!("the candidate {problem}: see `generate` in the policy"))),
        None => Ok(()),
    }
}
