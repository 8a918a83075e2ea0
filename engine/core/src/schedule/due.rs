//! When a secret's next rotation is due.

use jiff::{SignedDuration, Timestamp};
use keywheel_policies::{Schedule, Trigger};
use sha2::{Digest as _, Sha256};

use super::clock::next_firing;
use super::opening::{next_open, open_for};

/// When the next rotation of `secret` may start, last promoted at `since`. `None`: nothing makes it due.
///
/// The trigger's instant is moved to where the window is open and no freeze holds; from there the secret's own share of the
/// jitter is added, shrunk so that the window is still open. Always later than `since`, always open, and always the same
/// for the same arguments.
pub fn next_due(schedule: &Schedule, secret: &str, since: Timestamp) -> Option<Timestamp> {
    let triggered = match &schedule.trigger {
        Trigger::Every(interval) => since.checked_add(SignedDuration::try_from(*interval).ok()?).ok()?,
        Trigger::Cron(cron) => next_firing(cron, &schedule.timezone, since)?,
        Trigger::Manual => return None,
    };
    let open = next_open(schedule, triggered)?;
    let jitter = SignedDuration::try_from(schedule.jitter).unwrap_or(SignedDuration::MAX);
    open.checked_add(share(secret, open_for(schedule, open, jitter))).ok()
}

/// The same for a credential that ends by itself at `expires_at`: earlier, where the schedule has a head start and that comes
/// first. Where the window opens too late for it, the rotation is late: nothing is begun outside of it.
pub fn next_due_of(
    schedule: &Schedule,
    secret: &str,
    since: Timestamp,
    expires_at: Option<Timestamp>,
) -> Option<Timestamp> {
    let due = next_due(schedule, secret, since)?;
    let (Some(head_start), Some(expires_at)) = (schedule.before_expiry, expires_at) else { return Some(due) };
    if expires_at <= since {
        // It had ended before it became CURRENT: no date to go by, and none to begin again and again for.
        return Some(due);
    }
    let head_start = SignedDuration::try_from(head_start).unwrap_or(SignedDuration::MAX);
    let early = match expires_at.checked_sub(head_start) {
        Ok(early) if early > since => early,
        // It lives no longer than its head start: half of its life, so that it is not rotated again and again.
        Ok(_) | Err(_) => since.checked_add(expires_at.duration_since(since) / 2).unwrap_or(since).max(since),
    };
    Some(due.min(next_open(schedule, early)?))
}

/// The rotations of `secret` up to `until` (included), if each is promoted when it is due.
pub fn occurrences(
    schedule: &Schedule,
    secret: &str,
    since: Timestamp,
    until: Timestamp,
) -> impl Iterator<Item = Timestamp> {
    std::iter::successors(next_due(schedule, secret, since), move |last| next_due(schedule, secret, *last))
        .take_while(move |due| *due <= until)
}

/// The secret's part of `most`, in whole seconds: less than `most`, evenly spread over names.
pub(crate) fn share(secret: &str, most: SignedDuration) -> SignedDuration {
    let hash = Sha256::digest(secret.as_bytes());
    let (first, _) = hash.split_first_chunk::<8>().expect("SHA-256 has 32 bytes");
    let seconds = u128::try_from(most.as_secs()).unwrap_or(0);
    let part = (seconds * u128::from(u64::from_be_bytes(*first))) >> 64;
    SignedDuration::from_secs(i64::try_from(part).expect("less than `most`"))
}
