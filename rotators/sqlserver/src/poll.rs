//! What all instances of a target say of one credential, taken together.

use futures_util::future::join_all;
use keywheel_sdk::{Answer, Bundle, Effect, RotatorError};

use crate::access::Access;
use crate::apply::after_change;
use crate::instance::{Instance, Seen};
use crate::settings::Address;

/// The instances by what they say.
#[derive(Default)]
pub(crate) struct Poll {
    accepting: Vec<Address>,
    /// Each with its reason.
    refusing: Vec<(Address, String)>,
    /// Those that could not be asked, or whose answer says nothing.
    silent: Vec<(Address, RotatorError)>,
    /// Whether there may be several, so that it must be said which one is meant.
    group: bool,
}

/// Why a credential is not seen to be refused everywhere.
pub(crate) enum Open {
    /// This instance accepts it.
    Accepted(Address),
    /// None is known to accept it, but one could not be asked.
    Silent(RotatorError),
}

impl Poll {
    /// Asks all instances at once: one that does not answer takes none of the others' time, and hides none of their answers.
    ///
    /// With `about_password` a no must be about the password: an account that is only disabled may be enabled again.
    pub(crate) async fn of(access: &Access<'_>, credential: &Bundle, others: &[&Bundle], about_password: bool) -> Self {
        let asked = access
            .instances()
            .map(async |instance| (instance.address.clone(), instance.sees(credential, others).await));
        let mut poll = Poll { group: access.settings.is_group(), ..Self::default() };
        for (address, seen) in join_all(asked).await {
            match seen {
                Seen::Yes => poll.accepting.push(address),
                Seen::No { password: false, .. } if about_password => poll.accepting.push(address),
                Seen::No { reason, .. } => poll.refusing.push((address, reason)),
                Seen::Unknown(error) => {
                    let error = access.located(&address, error);
                    poll.silent.push((address, error));
                }
            }
        }
        poll
    }

    /// The answer to a probe.
    ///
    /// Where one instance answers and another does not, the answer is [`Answer::Partly`], not unknown. Unknown would leave the
    /// step in doubt for as long as one replica is down, and with it what is certain on the others. "Partly" means "not done,
    /// do it again", and that is safe both ways:
    /// - `apply` sets the same value again, where it is not set already. It takes the fence of every instance before it
    ///   changes the first one, so with a replica that stays down it fails and has changed nothing, until the tries run out
    ///   and the rotation is rolled back.
    /// - `restore` goes to every instance, whatever was seen of it, and ends only when each was seen to refuse the candidate.
    ///   Those that answer have `CURRENT` again by then.
    /// - Where a yes opens the way to something that cannot be undone (is the successor accepted, may the previous credential
    ///   be revoked?), and for a no that ends a step, all instances must say it: "partly" is neither.
    pub(crate) fn answer(mut self) -> Answer {
        if self.accepting.is_empty() && self.refusing.is_empty() {
            return match self.silent.is_empty() {
                true => Answer::No { reason: "there is no instance".to_owned() },
                false => Answer::Unknown(self.silent.swap_remove(0).1),
            };
        }
        match (self.accepting.first(), self.refusing.first(), self.silent.first()) {
            (Some(accepts), Some((refuses, reason)), _) => {
                Answer::Partly { reason: format!("{accepts} accepts it, {refuses} does not: {reason}") }
            }
            (Some(_), None, None) => Answer::Yes,
            (Some(accepts), None, Some((_, error))) => Answer::Partly {
                reason: format!("{accepts} accepts it, and it is not known of all instances: {}", error.message),
            },
            (None, Some((refuses, reason)), Some((_, error))) => Answer::Partly {
                reason: format!(
                    "{refuses} refuses it ({reason}), and it is not known of all instances: {}",
                    error.message
                ),
            },
            (None, first, _) => Answer::No {
                reason: match first {
                    Some((address, reason)) if self.group => format!("{address}: {reason}"),
                    Some((_, reason)) => reason.clone(),
                    None => "there is no instance".to_owned(),
                },
            },
        }
    }

    /// Whether every instance refuses it.
    pub(crate) fn refused(mut self) -> Result<(), Open> {
        if !self.accepting.is_empty() {
            return Err(Open::Accepted(self.accepting.swap_remove(0)));
        }
        match self.silent.is_empty() {
            true => Ok(()),
            false => Err(Open::Silent(self.silent.swap_remove(0).1)),
        }
    }
}

/// Does the same on all instances at once, each as if it were alone: one that fails, or hangs until the time is over, keeps
/// none of the others from it. Of several errors the first instance's is told; if anything may have changed anywhere, it says
/// so.
pub(crate) async fn on_each<'i, F>(access: &'i Access<'_>, work: impl Fn(Instance<'i>) -> F) -> Result<(), RotatorError>
where
    F: Future<Output = Result<(), RotatorError>>,
{
    let done = access.instances().map(|instance| {
        let address = instance.address;
        let work = work(instance);
        async move { (address, work.await) }
    });
    let (mut first, mut changed) = (None, false);
    for (address, done) in join_all(done).await {
        match done {
            Ok(()) => changed = true,
            Err(error) => {
                changed |= error.effect == Effect::Unknown;
                first.get_or_insert(access.located(address, error));
            }
        }
    }
    match first {
        Some(error) if changed => Err(after_change(error)),
        Some(error) => Err(error),
        None => Ok(()),
    }
}
