//! Application locks: `sp_getapplock`. First come, first served.

use aws_lc_rs::digest;

/// A lock that is held or waited for.
#[derive(Debug, Clone)]
pub(crate) struct Lock {
    pub(crate) ticket: u64,
    pub(crate) session: u64,
    pub(crate) target: Target,
    pub(crate) mode: Mode,
    pub(crate) owner: Owner,
    pub(crate) granted: bool,
    /// How often it was taken, and must be released.
    count: u32,
}

/// What is locked. Names are compared byte by byte, whatever the collation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) database: i32,
    pub(crate) principal: i32,
    pub(crate) name: String,
}

impl Target {
    /// `resource_description` of `sys.dm_tran_locks`.
    pub(crate) fn description(&self) -> String {
        let start: String = self.name.chars().take(32).collect();
        let digest = digest::digest(&digest::SHA256, self.name.as_bytes());
        let hash: String = digest.as_ref().iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        format!("{}:[{start}]:({hash})", self.principal)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    IntentShared,
    IntentExclusive,
    Shared,
    Update,
    Exclusive,
}

impl Mode {
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name.to_lowercase().as_str() {
            "intentshared" => Self::IntentShared,
            "intentexclusive" => Self::IntentExclusive,
            "shared" => Self::Shared,
            "update" => Self::Update,
            "exclusive" => Self::Exclusive,
            _ => return None,
        })
    }

    /// As in `request_mode`.
    pub(crate) fn short(self) -> &'static str {
        match self {
            Self::IntentShared => "IS",
            Self::IntentExclusive => "IX",
            Self::Shared => "S",
            Self::Update => "U",
            Self::Exclusive => "X",
        }
    }

    fn goes_with(self, other: Self) -> bool {
        match (self, other) {
            (Self::Exclusive, _) | (_, Self::Exclusive) => false,
            (Self::IntentShared, _) | (_, Self::IntentShared) => true,
            (Self::IntentExclusive, Self::IntentExclusive) => true,
            (Self::IntentExclusive, _) | (_, Self::IntentExclusive) => false,
            (Self::Update, Self::Update) => false,
            (Self::Shared | Self::Update, Self::Shared | Self::Update) => true,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    Session,
    Transaction,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Granted,
    /// With the ticket to ask again by.
    Waiting(u64),
    /// To wait would be to wait for oneself.
    Deadlock,
}

#[derive(Debug, Default)]
pub(crate) struct Locks {
    all: Vec<Lock>,
    last_ticket: u64,
}

impl Locks {
    pub(crate) fn all(&self) -> &[Lock] {
        &self.all
    }

    pub(crate) fn ask(&mut self, session: u64, target: &Target, mode: Mode, owner: Owner, may_wait: bool) -> Asked {
        let mine = |lock: &&mut Lock| {
            lock.granted
                && lock.session == session
                && lock.target == *target
                && lock.owner == owner
                && lock.mode == mode
        };
        if let Some(lock) = self.all.iter_mut().find(mine) {
            lock.count += 1;
            return Asked::Granted;
        }
        let free = self.is_free(session, target, mode, u64::MAX);
        if !free && may_wait && self.would_wait_for_itself(session, target, mode) {
            return Asked::Deadlock;
        }
        self.last_ticket += 1;
        let ticket = self.last_ticket;
        if free || may_wait {
            let lock = Lock { ticket, session, target: target.clone(), mode, owner, granted: free, count: 1 };
            self.all.push(lock);
        }
        if free { Asked::Granted } else { Asked::Waiting(ticket) }
    }

    /// Whether a lock that was waited for has come.
    pub(crate) fn is_granted(&self, ticket: u64) -> bool {
        self.all.iter().any(|lock| lock.ticket == ticket && lock.granted)
    }

    /// No longer waits for a lock. One that was granted stays.
    pub(crate) fn give_up(&mut self, ticket: u64) {
        self.all.retain(|lock| lock.ticket != ticket || lock.granted);
        self.grant();
    }

    /// False if it was not held.
    pub(crate) fn release(&mut self, session: u64, target: &Target, owner: Owner) -> bool {
        let held =
            |lock: &Lock| lock.granted && lock.session == session && lock.target == *target && lock.owner == owner;
        let Some(at) = self.all.iter().rposition(held) else { return false };
        self.all[at].count -= 1;
        if self.all[at].count == 0 {
            self.all.remove(at);
            self.grant();
        }
        true
    }

    /// Releases what a session holds; with an owner, only that part.
    pub(crate) fn release_all(&mut self, session: u64, owner: Option<Owner>) {
        self.all.retain(|lock| lock.session != session || owner.is_some_and(|owner| lock.owner != owner));
        self.grant();
    }

    fn grant(&mut self) {
        for at in 0..self.all.len() {
            let lock = self.all[at].clone();
            if !lock.granted && self.is_free(lock.session, &lock.target, lock.mode, lock.ticket) {
                self.all[at].granted = true;
            }
        }
    }

    /// Whether nobody else has, or waited for before, what does not go with this mode.
    fn is_free(&self, session: u64, target: &Target, mode: Mode, ticket: u64) -> bool {
        self.in_the_way(session, target, mode, ticket).next().is_none()
    }

    fn in_the_way<'a>(
        &'a self,
        session: u64,
        target: &'a Target,
        mode: Mode,
        ticket: u64,
    ) -> impl Iterator<Item = &'a Lock> {
        let holds = self.all.iter().any(|lock| lock.granted && lock.session == session && lock.target == *target);
        self.all.iter().filter(move |lock| {
            let before = lock.granted || (lock.ticket < ticket && !holds);
            lock.target == *target && lock.session != session && before && !lock.mode.goes_with(mode)
        })
    }

    fn would_wait_for_itself(&self, session: u64, target: &Target, mode: Mode) -> bool {
        let mut open: Vec<u64> = self.in_the_way(session, target, mode, u64::MAX).map(|lock| lock.session).collect();
        let mut seen = Vec::new();
        while let Some(other) = open.pop() {
            if other == session {
                return true;
            }
            if seen.contains(&other) {
                continue;
            }
            seen.push(other);
            for lock in self.all.iter().filter(|lock| lock.session == other && !lock.granted) {
                open.extend(self.in_the_way(other, &lock.target, lock.mode, lock.ticket).map(|lock| lock.session));
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(name: &str) -> Target {
        Target { database: 1, principal: 0, name: name.to_owned() }
    }

    #[test]
    fn an_exclusive_lock_is_one_sessions() {
        let mut locks = Locks::default();
        let ask = |locks: &mut Locks, session, mode| locks.ask(session, &target("a"), mode, Owner::Session, true);
        assert_eq!(ask(&mut locks, 1, Mode::Exclusive), Asked::Granted);
        assert_eq!(ask(&mut locks, 1, Mode::Exclusive), Asked::Granted);
        let Asked::Waiting(ticket) = ask(&mut locks, 2, Mode::Exclusive) else { panic!("it was granted twice") };
        assert!(locks.release(1, &target("a"), Owner::Session));
        assert!(!locks.is_granted(ticket), "it was taken twice");
        assert!(locks.release(1, &target("a"), Owner::Session));
        assert!(locks.is_granted(ticket));
        assert!(!locks.release(1, &target("a"), Owner::Session));
        assert_eq!(locks.ask(1, &target("A"), Mode::Exclusive, Owner::Session, false), Asked::Granted, "case counts");
    }

    #[test]
    fn readers_do_not_overtake_a_writer() {
        let mut locks = Locks::default();
        let ask = |locks: &mut Locks, session, mode| locks.ask(session, &target("a"), mode, Owner::Session, true);
        assert_eq!(ask(&mut locks, 1, Mode::Shared), Asked::Granted);
        assert_eq!(ask(&mut locks, 2, Mode::Shared), Asked::Granted);
        let Asked::Waiting(writer) = ask(&mut locks, 3, Mode::Exclusive) else { panic!("granted") };
        let Asked::Waiting(reader) = ask(&mut locks, 4, Mode::Shared) else { panic!("granted") };
        locks.release_all(1, None);
        locks.release_all(2, None);
        assert!(locks.is_granted(writer) && !locks.is_granted(reader));
        locks.release_all(3, None);
        assert!(locks.is_granted(reader));
    }

    #[test]
    fn two_that_wait_for_each_other_are_told() {
        let mut locks = Locks::default();
        let ask =
            |locks: &mut Locks, session, name| locks.ask(session, &target(name), Mode::Exclusive, Owner::Session, true);
        assert_eq!(ask(&mut locks, 1, "a"), Asked::Granted);
        assert_eq!(ask(&mut locks, 2, "b"), Asked::Granted);
        assert!(matches!(ask(&mut locks, 1, "b"), Asked::Waiting(_)));
        assert_eq!(ask(&mut locks, 2, "a"), Asked::Deadlock);
    }
}
