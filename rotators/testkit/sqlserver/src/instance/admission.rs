//! Who may log in, and what the others are told. The order of the checks is the server's: a lock-out is told before the
//! password is looked at, everything else only to who knows the password.

use std::sync::Arc;

use super::catalogue::{Credentials, Principal};
use super::clock;
use super::hash::{self, verify};
use super::message::{login_failed, with_class};
use super::policy::{self, Manner};
use super::state::{Guard, State};
use crate::exchange::{Login, Message};

/// Who has logged in, and where to.
pub(crate) struct Admitted {
    /// None for a contained user.
    pub(crate) principal: Option<i32>,
    /// The database that authenticated a contained user, and its id there.
    pub(crate) contained: Option<(i32, i32)>,
    pub(crate) name: String,
    pub(crate) database: i32,
}

impl State {
    /// Checks a login. With `trial`, nothing is counted and nothing changed.
    pub(crate) fn admit(&mut self, login: &Login, trial: bool) -> Result<Admitted, Vec<Message>> {
        let user = self.plain_name(&login.user);
        let failed = || vec![login_failed(&login.user)];
        if let Some(token) = &login.token {
            return self.admit_token(token, login);
        }
        if self.options.integrated_security_only {
            return Err(failed());
        }
        if let Some(admitted) = self.admit_contained(login, user)? {
            return Ok(admitted);
        }
        let principal = self.world.login(user).cloned().ok_or_else(failed)?;
        let credentials = principal.credentials.as_ref().expect("a login has some");
        if self.is_locked_out(principal.id) {
            let text = format!(
                "Login failed for user '{user}' because the account is currently locked out. The system administrator can unlock it. "
            );
            return Err(vec![with_class(18486, 14, text)]);
        }
        if !verify(self.options.hash_format(), &login.password, &credentials.hash) {
            if !trial {
                self.count_bad_password(principal.id);
            }
            return Err(failed());
        }
        if principal.disabled {
            let text = format!("Login failed for user '{user}'. Reason: The account is disabled.");
            return Err(vec![with_class(18470, 14, text)]);
        }
        if !self.world.allows(principal.id, "CONNECT SQL") && !self.options.version.is_azure() {
            return Err(failed());
        }
        self.check_age(&principal, credentials, login, trial)?;
        let database = self.destination(&principal, login)?;
        if !trial {
            self.guards.insert(principal.id, Guard::default());
        }
        Ok(Admitted { principal: Some(principal.id), contained: None, name: principal.name.clone(), database })
    }

    /// A federated token stands for its login: no password is asked for, so none is counted, and none can be too old.
    fn admit_token(&self, token: &str, login: &Login) -> Result<Admitted, Vec<Message>> {
        let failed = || vec![login_failed(&login.user)];
        let known = self.options.version.is_azure() || self.options.version >= super::Version::V2022;
        let name = self.options.tokens.get(token).filter(|_| known).ok_or_else(failed)?;
        let principal = self.world.login(name).filter(|principal| !principal.disabled).ok_or_else(failed)?;
        let database = self.destination(principal, login)?;
        Ok(Admitted { principal: Some(principal.id), contained: None, name: principal.name.clone(), database })
    }

    /// A user with a password of the database that the login names. Where there is one, the server's logins are not asked.
    fn admit_contained(&mut self, login: &Login, user: &str) -> Result<Option<Admitted>, Vec<Message>> {
        let Some(database) = self.world.database(&login.database).filter(|database| database.contained).cloned() else {
            return Ok(None);
        };
        if let Some(barred) = self.bars(&database, login.read_only) {
            return Err(vec![barred, login_failed(&login.user)]);
        }
        let Some(user) = database.user(user).filter(|user| user.credentials.is_some()) else { return Ok(None) };
        let credentials = user.credentials.as_ref().expect("just seen");
        let enabled = self.world.settings.in_use("contained database authentication") != 0;
        let right = verify(self.options.hash_format(), &login.password, &credentials.hash);
        if !enabled || !right || !database.allows(user.id, "CONNECT") {
            return Err(vec![login_failed(&login.user)]);
        }
        let contained = Some((database.id, user.id));
        Ok(Some(Admitted { principal: None, contained, name: user.name.clone(), database: database.id }))
    }

    /// Expired, or to be changed: with a change in the login, it is changed.
    fn check_age(
        &mut self,
        principal: &Arc<Principal>,
        credentials: &Credentials,
        login: &Login,
        trial: bool,
    ) -> Result<(), Vec<Message>> {
        let refused = |number: i32, why: &str| {
            vec![with_class(number, 14, format!("Login failed for user '{}'.  Reason: {why}", principal.name))]
        };
        let Some(candidate) = &login.change_to else {
            if credentials.must_change {
                return Err(refused(18488, "The password of the account must be changed."));
            }
            if self.has_expired(credentials) {
                return Err(refused(18487, "The password of the account has expired."));
            }
            return Ok(());
        };
        let version = self.options.version;
        let checked = policy::check_length(version, candidate).and_then(|()| {
            if !credentials.policy {
                return Ok(());
            }
            self.check_change(Some(principal.id), credentials)?;
            self.check_policy(&principal.name, Some(credentials), candidate, Manner::Change)
        });
        if let Err(error) = checked {
            // 18463 to 18466 are documented ("Changing Passwords Programmatically"), 18462 as an error only. The text is
            // shortened. Who is locked out has been told before.
            let number = match error.number {
                15114 => 18462,
                15115 => 18463,
                15116 => 18464,
                15117 | 15156 => 18465,
                _ => 18466,
            };
            return Err(refused(number, "Password change failed. The password does not meet the policy."));
        }
        if version.is_azure() {
            return Err(vec![login_failed(&login.user)]);
        }
        if !trial {
            let mut changed = Principal::clone(principal);
            changed.credentials = Some(self.changed(credentials, candidate));
            self.world.principals.insert(principal.id, Arc::new(changed));
        }
        Ok(())
    }

    pub(crate) fn has_expired(&self, credentials: &Credentials) -> bool {
        let expires = credentials.policy && credentials.expiration;
        let age = self.clock.now() - credentials.set;
        self.options.password_policy.max_age.is_some_and(|max| expires && age >= clock::millis(max))
    }

    /// Length, complexity and history, for where CHECK_POLICY is on.
    pub(crate) fn check_policy(
        &self,
        name: &str,
        former: Option<&Credentials>,
        password: &str,
        manner: Manner,
    ) -> Result<(), Message> {
        let (version, policy) = (self.options.version, &self.options.password_policy);
        if manner == Manner::Change || policy.history_on_reset {
            let hashes = former.into_iter().flat_map(|former| std::iter::once(&former.hash).chain(&former.history));
            policy::check_history(version, policy, self.options.hash_format(), password, hashes)?;
        }
        policy::check(version, policy, name, password)
    }

    /// Whether the password may be changed at all now, where CHECK_POLICY is on. Contained users are not locked out here.
    pub(crate) fn check_change(&self, login: Option<i32>, present: &Credentials) -> Result<(), Message> {
        let locked_out = login.is_some_and(|login| self.is_locked_out(login));
        // One that must be changed counts as never set ([MS-SAMR] 3.1.5.13.7.3), so it is never too young.
        let age = if present.must_change { i64::MAX } else { self.clock.now() - present.set };
        policy::check_change(&self.options.password_policy, locked_out, age)
    }

    /// The credentials after a change of the password.
    pub(crate) fn changed(&self, former: &Credentials, password: &str) -> Credentials {
        let kept = if former.policy { self.options.password_policy.history } else { 0 };
        let history = std::iter::once(&former.hash).chain(&former.history).take(kept).cloned().collect();
        Credentials {
            hash: hash::hash(self.options.hash_format(), password),
            history,
            must_change: false,
            set: self.clock.now(),
            ..former.clone()
        }
    }

    fn destination(&self, principal: &Principal, login: &Login) -> Result<i32, Vec<Message>> {
        let default = login.database.is_empty();
        let name = if default { &principal.default_database } else { &login.database };
        let last = || {
            let text = format!("Cannot open database \"{name}\" requested by the login. The login failed.");
            let default_text = "Cannot open user default database. Login failed.".to_owned();
            let (number, text) = if default { (4064, default_text) } else { (4060, text) };
            vec![with_class(number, 11, text), login_failed(&login.user)]
        };
        let database = self.world.database(name).ok_or_else(last)?;
        // What follows 976, 978 and 983 is not confirmed by documentation.
        if let Some(barred) = self.bars(database, login.read_only) {
            return Err(std::iter::once(barred).chain(last()).collect());
        }
        self.world.user_in(database, principal.id).map(|_| database.id).ok_or_else(last)
    }

    /// Without the server's name, which clients of Azure may append.
    fn plain_name<'a>(&self, user: &'a str) -> &'a str {
        match user.rsplit_once('@') {
            Some((name, server))
                if self.options.version.is_azure() && super::catalogue::same(server, &self.options.server_name) =>
            {
                name
            }
            _ => user,
        }
    }
}
