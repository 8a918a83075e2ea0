//! Keeps a lease alive while its holder works, and tells the holder when it is lost.

use std::sync::Arc;
use std::time::Duration;

use keywheel_core::decide;
use keywheel_state::{Lease, StateError, StateStore};
use tokio_util::sync::CancellationToken;

use crate::Clock;

/// Renews a lease in the background until dropped.
pub(crate) struct Keeper {
    lost: CancellationToken,
    renewing: tokio::task::JoinHandle<()>,
}

impl Keeper {
    /// Starts to renew each third of `ttl`. A call that takes less than two thirds of `ttl` therefore ends before the lease
    /// does, even if every renewal fails from its start on.
    pub fn start(store: Arc<dyn StateStore>, clock: Arc<dyn Clock>, lease: Lease, ttl: Duration) -> Self {
        let lost = CancellationToken::new();
        let renewing = tokio::spawn(renew(store, clock, lease, ttl, lost.clone()));
        Keeper { lost, renewing }
    }

    /// Cancelled once the lease is lost, or can no longer be relied on.
    pub fn lost(&self) -> &CancellationToken {
        &self.lost
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.renewing.abort();
    }
}

async fn renew(
    store: Arc<dyn StateStore>,
    clock: Arc<dyn Clock>,
    mut lease: Lease,
    ttl: Duration,
    lost: CancellationToken,
) {
    loop {
        clock.sleep_until(decide::later(clock.now(), ttl / 3)).await;
        match store.renew(&lease, ttl, clock.now()).await {
            Ok(renewed) => lease = renewed,
            Err(StateError::Fenced { .. }) => break,
            Err(error) => {
                tracing::warn!(secret = lease.secret, %error, "the lease could not be renewed");
                if clock.now() >= lease.expires_at {
                    break;
                }
            }
        }
    }
    tracing::error!(secret = lease.secret, "the lease was lost; this worker stops");
    lost.cancel();
}
