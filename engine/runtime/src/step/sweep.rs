//! Before a rotation ends: what the provider made for it and nobody holds goes.

use keywheel_sdk::{Bundle, Origin};

use super::Outcome;
use crate::context::{Context, outcome_of, within};

/// Deletes at the provider what carries this rotation's tag and is not `CURRENT`. Nothing to do where the engine makes the
/// values.
pub(crate) async fn sweep(cx: &Context<'_>) -> Result<(), Outcome> {
    match cx.origin {
        Origin::Engine => return Ok(()),
        Origin::Provider => {}
    }
    let current = cx.current().await.map_err(Outcome::NotApplied)?.map(|(_, bundle)| bundle);
    let target = cx.target().await.map_err(Outcome::NotApplied)?;
    let rotation = cx.fixed.id.to_string();
    let call = cx.call(&target, &rotation);
    let keep: Vec<&Bundle> = current.iter().collect();
    within(cx, cx.rotator.sweep(&call, &keep)).await.map_err(|error| outcome_of(&error))
}
