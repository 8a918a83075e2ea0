//! What is rotated: accounts in memory.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::{Bundle, Secret};

/// What happens to one change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The line is cut before the change arrives: nothing happened, and the caller cannot know.
    Before,
    /// The change is made and its answer is lost: the caller cannot know either.
    After,
}

/// One account, or one key.
#[derive(Default)]
pub(super) struct Account {
    /// Nobody can log in without one.
    pub password: Option<Secret>,
    pub disabled: bool,
    /// The rotation for which the target made it.
    pub tag: Option<String>,
    pub sessions: u64,
}

#[derive(Default)]
struct Kept {
    accounts: BTreeMap<String, Account>,
    faults: VecDeque<Fault>,
    broken: u64,
    made: u64,
}

/// Accounts and their passwords, in memory. Share it between a test and the [`super::DoubleRotator`].
///
/// Its own methods ask and act without any rotator, as a person at the target would; faults strike changes of rotators only.
#[derive(Default)]
pub struct DoubleTarget {
    admin: Option<Bundle>,
    kept: Mutex<Kept>,
}

impl DoubleTarget {
    /// There are no accounts yet, and every admin is believed.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only this admin may change something, beside accounts that change themselves.
    #[must_use]
    pub fn with_admin(self, admin: Bundle) -> Self {
        DoubleTarget { admin: Some(admin), ..self }
    }

    /// One more account, that was made by hand.
    #[must_use]
    pub fn with(self, credential: &Bundle) -> Self {
        self.set(credential);
        self
    }

    /// One more account, that nobody can log in to yet: the idle one of a pair.
    #[must_use]
    pub fn with_idle(self, account: &str) -> Self {
        self.kept().accounts.entry(account.to_owned()).or_default().password = None;
        self
    }

    /// Whether this credential lets somebody in now. Never where a field is missing.
    pub fn accepts(&self, credential: &Bundle) -> bool {
        self.kept()
            .accounts
            .get(&name(credential))
            .is_some_and(|account| !account.disabled && account.holds(credential))
    }

    /// Gives an account this password, and lets it in; makes the account where there is none. A tag stays.
    pub fn set(&self, credential: &Bundle) {
        let mut kept = self.kept();
        let account = kept.accounts.entry(name(credential)).or_default();
        (account.password, account.disabled) = (credential.password().ok().map(Secret::duplicate), false);
    }

    /// Takes an account's password away, whatever it is. The account stays. Fine if there is none.
    pub fn lock_out(&self, account: &str) {
        if let Some(account) = self.kept().accounts.get_mut(account) {
            account.password = None;
        }
    }

    /// Deletes all of these accounts.
    pub fn delete(&self, accounts: &[String]) {
        self.kept().accounts.retain(|account, _| !accounts.contains(account));
    }

    /// Makes a key as the target's own, with a value that no other has, for this rotation.
    pub fn make_for(&self, rotation: &str) -> Bundle {
        let mut kept = self.kept();
        let name = format!("key-{}", kept.made);
        kept.made += 1;
        let made = Bundle::login(&name, Secret::new(format!("value of {name}")));
        let password = made.password().ok().map(Secret::duplicate);
        kept.accounts.insert(name, Account { password, tag: Some(rotation.to_owned()), ..Account::default() });
        made
    }

    /// How many keys it has made, those that are gone included. They are named `key-0` and so on.
    pub fn made(&self) -> u64 {
        self.kept().made
    }

    /// The keys that were made for this rotation and are still there, in the order of their names.
    pub fn made_for(&self, rotation: &str) -> Vec<String> {
        let kept = self.kept();
        let mine = kept.accounts.iter().filter(|(_, account)| account.tag.as_deref() == Some(rotation));
        mine.map(|(name, _)| name.clone()).collect()
    }

    /// All accounts, with what lets somebody in where something does, in the order of their names.
    pub fn accounts(&self) -> Vec<(String, Option<Bundle>)> {
        let credential = |name: &String, account: &Account| {
            let password = account.password.as_ref().filter(|_| !account.disabled)?;
            Some(Bundle::login(name, password.duplicate()))
        };
        self.kept().accounts.iter().map(|(name, account)| (name.clone(), credential(name, account))).collect()
    }

    /// So many sessions run as this account, until they are ended. Fine if there is none.
    pub fn open_sessions(&self, account: &str, sessions: u64) {
        if let Some(account) = self.kept().accounts.get_mut(account) {
            account.sessions = sessions;
        }
    }

    /// The next change of a rotator goes wrong so; each further order waits for the change after it.
    pub fn break_at_next_change(&self, fault: Fault) {
        self.kept().faults.push_back(fault);
    }

    /// Takes back the faults that have not struck.
    pub fn mend(&self) {
        self.kept().faults.clear();
    }

    /// How many changes went wrong.
    pub fn broken(&self) -> u64 {
        self.kept().broken
    }

    /// Whether this is the admin.
    pub(super) fn believes(&self, admin: &Bundle) -> bool {
        self.admin.as_ref().is_none_or(|known| known.same_as(admin))
    }

    /// Looks at one account.
    pub(super) fn look<T>(&self, account: &str, at: impl FnOnce(Option<&Account>) -> T) -> T {
        at(self.kept().accounts.get(account))
    }

    /// Changes one account, if it is there.
    pub(super) fn alter(&self, account: &str, change: impl FnOnce(&mut Account)) {
        if let Some(account) = self.kept().accounts.get_mut(account) {
            change(account);
        }
    }

    /// What the next change meets.
    pub(super) fn next_fault(&self) -> Option<Fault> {
        let mut kept = self.kept();
        let fault = kept.faults.pop_front();
        kept.broken += u64::from(fault.is_some());
        fault
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Account {
    /// Whether this is its password, disabled or not.
    pub fn holds(&self, credential: &Bundle) -> bool {
        let (Some(password), Ok(asked)) = (&self.password, credential.password()) else { return false };
        password.same_as(asked)
    }
}

/// Whose credential it is; nobody's where it does not say.
pub(super) fn name(credential: &Bundle) -> String {
    credential.username().unwrap_or_default()
}
