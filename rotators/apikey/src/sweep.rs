//! `sweep`: nothing of this rotation is left but what is kept.

use std::collections::HashSet;

use keywheel_sdk::{Bundle, Call, Retry, RotatorError};

use crate::ApiKeyRotator;
use crate::access::{Access, key_id, key_of};
use crate::answer::after_change;
use crate::list::list;
use crate::remove::remove;
use crate::wait::Patience;

/// Deletes all keys with the tag of this rotation or of an earlier one that are none of `keep`, by their ids, and sees in the
/// list that they are gone. The first of `keep` is the live one.
pub(crate) async fn sweep(
    rotator: &ApiKeyRotator,
    call: &Call<'_>,
    earlier: &[String],
    keep: &[&Bundle],
) -> Result<(), RotatorError> {
    let access = Access::of(rotator, call)?;
    let own = std::iter::once(access.tag.clone());
    let tags: HashSet<String> = own.chain(earlier.iter().map(|rotation| access.provider.tag.of(rotation))).collect();
    let tagged = tagged(&access, &tags).await?;
    if tagged.is_empty() {
        return Ok(());
    }
    // Before anything is deleted: a kept credential without an id, or one that the list calls by another id, could be any of
    // these.
    let keep = keep.iter().map(|kept| key_id(kept)).collect::<Result<Vec<_>, _>>()?;
    let orphans: Vec<String> = tagged.into_iter().filter(|id| !keep.contains(id)).collect();
    if !orphans.is_empty() {
        see_listed(&access, keep.first()).await?;
    }
    let mut deleted = false;
    for orphan in &orphans {
        remove(&access, &key_of(orphan)).await.map_err(|error| if deleted { after_change(error) } else { error })?;
        deleted = true;
    }
    if !deleted {
        return Ok(());
    }
    let mut patience = Patience::of(&access);
    loop {
        let mut left = self::tagged(&access, &tags).await.map_err(after_change)?;
        left.retain(|id| !keep.contains(id));
        if left.is_empty() {
            return Ok(());
        }
        if !patience.wait().await {
            let message = format!("{} deleted keys of this rotation are still in the provider's list", left.len());
            let error = RotatorError::unknown("still-listed", message);
            return Err(RotatorError { retry: Retry::Now, ..error });
        }
    }
}

/// The ids of the keys with one of these tags.
async fn tagged(access: &Access<'_>, tags: &HashSet<String>) -> Result<Vec<String>, RotatorError> {
    let keys = list(access).await?.into_iter();
    Ok(keys.filter(|key| key.tag.as_ref().is_some_and(|tag| tags.contains(tag))).map(|key| key.key_id).collect())
}

/// The live key must be in the list under the id by which it is known.
async fn see_listed(access: &Access<'_>, live: Option<&String>) -> Result<(), RotatorError> {
    let listed = list(access).await?;
    match live.filter(|live| !listed.iter().any(|key| key.key_id == **live)) {
        None => Ok(()),
        Some(kept) => Err(RotatorError::not_done(
            Retry::Never,
            "not-listed",
            format!(
                "the provider's list does not show the live key `{kept}`, so none is deleted: it may be there by another id; \
                 see `each` in the declaration"
            ),
        )),
    }
}
