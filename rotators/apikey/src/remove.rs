//! Ends one key.

use keywheel_sdk::{Bundle, Retry, RotatorError};

use crate::access::Access;
use crate::answer::{Asks, after_change, busy, holds, says};
use crate::http::Failure;
use crate::probe::see_refused;
use crate::provider::Removal;

/// Removes a key and proves that it is refused. Nothing is removed where `key` lacks a field that the proof needs.
pub(crate) async fn end(access: &Access<'_>, key: &Bundle) -> Result<(), RotatorError> {
    access.request(&access.provider.verify.request, Some(key)).await?;
    remove(access, key).await?;
    see_refused(access, key).await
}

/// Disables the key where the provider can, so that a failure in between leaves it refused, then deletes it. Fine if it
/// is gone already. `key` needs no more than its id.
///
/// # Errors
/// With no effect only where neither request changed anything.
pub(crate) async fn remove(access: &Access<'_>, key: &Bundle) -> Result<(), RotatorError> {
    let Some(disable) = access.provider.disable() else { return ask(access, &access.provider.delete, key).await };
    ask(access, disable, key).await?;
    ask(access, &access.provider.delete, key).await.map_err(after_change)
}

/// Disables the key, where the provider can. Fine if it is gone.
///
/// # Errors
/// With no effect only where nothing was changed.
pub(crate) async fn disable_only(access: &Access<'_>, key: &Bundle) -> Result<(), RotatorError> {
    match access.provider.disable() {
        Some(disable) => ask(access, disable, key).await,
        None => Err(RotatorError::not_done(Retry::Never, "unsupported", "this provider cannot disable a key")),
    }
}

async fn ask(access: &Access<'_>, removal: &Removal, key: &Bundle) -> Result<(), RotatorError> {
    let outgoing = access.request(&removal.request, Some(key)).await?;
    let reply = access.send(outgoing).await.map_err(Failure::of_change)?;
    if removal.request.expect.contains(&reply.status) {
        return holds(&removal.request, &reply).map_err(|why| RotatorError::unknown("lost-answer", why));
    }
    if says(&removal.gone, &reply, removal.request.name) {
        return Ok(());
    }
    let error = access.refusal(removal.request.name, &reply, Some(key), Asks::Change);
    Err(busy(error, &reply))
}
