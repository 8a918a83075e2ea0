//! `sweep`: nothing of this rotation is left but what is kept.

use std::collections::HashSet;

use keywheel_sdk::{Answer, Bundle, Call, Retry, RotatorError};

use crate::ApiKeyRotator;
use crate::access::Access;
use crate::answer::after_change;
use crate::list::{Listed, list, list_with_ended};
use crate::probe::ask;
use crate::remove::remove;
use crate::wait::Patience;

/// Which keys rotations have made.
enum Ours {
    /// Those with one of these tags.
    Tagged(HashSet<String>),
    /// All, since the policy says that the target is ours alone and its keys hold no tag.
    All,
}

impl Ours {
    fn has(&self, key: &Listed) -> bool {
        match self {
            Ours::Tagged(tags) => key.tag.as_ref().is_some_and(|tag| tags.contains(tag)),
            Ours::All => true,
        }
    }
}

/// Deletes all keys with the tag of this rotation or of an earlier one that are none of `keep`, by their ids, and sees in the
/// list that they are gone. The first of `keep` is the live one. What the admin's credential names is kept, too: it may be
/// another key of the same owner. Where keys hold no tag, those of all rotations are meant, and
/// any other there may be.
pub(crate) async fn sweep(
    rotator: &ApiKeyRotator,
    call: &Call<'_>,
    earlier: &[String],
    keep: &[&Bundle],
) -> Result<(), RotatorError> {
    let access = Access::of(rotator, call)?;
    let ours = match access.provider.tag() {
        None => Ours::All,
        Some(tag) => {
            let rotations = std::iter::once(call.rotation).chain(earlier.iter().map(String::as_str));
            Ours::Tagged(rotations.map(|rotation| tag.of(rotation)).collect())
        }
    };
    let (ended, listed): (Vec<_>, Vec<_>) = list_with_ended(&access).await?.into_iter().partition(|key| key.ended);
    if !listed.iter().any(|key| ours.has(key)) {
        return Ok(());
    }
    // Before anything is deleted: a kept credential without an id, or one that the list calls by another id, could be any of
    // these.
    let live = keep.first().copied();
    let mut keep = keep.iter().map(|kept| access.key_id(kept)).collect::<Result<Vec<_>, _>>()?;
    let held = keep.len();
    keep.extend(access.admins_words());
    let orphans = orphans(&listed, &ours, &keep);
    if orphans.is_empty() {
        return Ok(());
    }
    match ours {
        Ours::Tagged(_) => {}
        Ours::All => see_one_unknown(held, &orphans)?,
    }
    if let Some(live) = live {
        see_listed(&access, &listed, &ended, live, &ours).await?;
    }
    let mut deleted = false;
    for orphan in orphans {
        remove(&access, &access.key_of(orphan))
            .await
            .map_err(|error| if deleted { after_change(error) } else { error })?;
        deleted = true;
    }
    let mut patience = Patience::of(&access);
    loop {
        let listed = list(&access).await.map_err(after_change)?;
        let left = self::orphans(&listed, &ours, &keep).len();
        if left == 0 {
            return Ok(());
        }
        if !patience.wait().await {
            let message = format!("{left} deleted keys of this rotation are still in the provider's list");
            let error = RotatorError::unknown("still-listed", message);
            return Err(RotatorError { retry: Retry::Now, ..error });
        }
    }
}

/// The ids of our keys that are not kept.
fn orphans<'a>(listed: &'a [Listed], ours: &Ours, keep: &[String]) -> Vec<&'a str> {
    let left = listed.iter().filter(|key| ours.has(key) && !keep.contains(&key.key_id));
    left.map(|key| key.key_id.as_str()).collect()
}

/// Where no live key is known, one of several may be it. One alone is what a lost answer leaves.
fn see_one_unknown(held: usize, orphans: &[&str]) -> Result<(), RotatorError> {
    if held > 0 || orphans.len() == 1 {
        return Ok(());
    }
    let message = format!(
        "the target has {} keys and the secret store holds none of them, so none is deleted: put the live one into the store, \
         or delete those that nobody uses",
        orphans.len()
    );
    Err(RotatorError::not_done(Retry::Never, "live-key-unknown", message))
}

/// The live key must be in the list under the id by which it is known. One that a tagged list does not show may be gone: then the
/// provider refuses it. Where keys hold no tag, what is there instead of it could be anybody's.
async fn see_listed(
    access: &Access<'_>,
    listed: &[Listed],
    ended: &[Listed],
    live: &Bundle,
    ours: &Ours,
) -> Result<(), RotatorError> {
    let id = access.key_id(live)?;
    if listed.iter().any(|key| key.key_id == id) {
        return Ok(());
    }
    let has_ended = ended.iter().any(|key| key.key_id == id);
    let shown = match has_ended {
        true => format!("shows the live key `{id}` as ended"),
        false => format!("does not show the live key `{id}`"),
    };
    let not_listed = |what: &str| {
        let message = format!("the provider's list {shown}, {what}");
        Err(RotatorError::not_done(Retry::Never, "not-listed", message))
    };
    match ours {
        Ours::All => {
            return not_listed("so that any other may be in use, and none is deleted: put the live one into the store");
        }
        Ours::Tagged(_) => {}
    }
    match ask(access, live).await {
        Answer::No { .. } => Ok(()),
        Answer::Yes | Answer::Partly { .. } if has_ended => {
            not_listed("and the provider accepts it, so none is deleted; see `each.ended` in the declaration")
        }
        Answer::Yes | Answer::Partly { .. } => not_listed(
            "and the provider accepts it, so none is deleted: it may be there by another id; see `each` in the declaration",
        ),
        Answer::Unknown(error) => Err(error),
    }
}
