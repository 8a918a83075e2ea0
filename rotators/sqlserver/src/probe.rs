//! `probe`: does the target accept a credential?

use keywheel_sdk::{Answer, Bundle, Call};

use crate::SqlServerRotator;
use crate::access::Access;

/// Changes nothing. Where the admin may compare passwords, nobody logs in; else it is one login for each instance, within the
/// lock-out budget. Either way the account's lock was had before a no, so nothing of ours is still on its way.
pub(crate) async fn probe(
    rotator: &SqlServerRotator,
    call: &Call<'_>,
    credential: &Bundle,
    others: &[&Bundle],
) -> Answer {
    match Access::of(rotator, call) {
        Ok(access) => access.ask(credential, others).await,
        Err(error) => Answer::Unknown(error),
    }
}
