//! Keeps a lease alive while its holder works, and tells the holder when it is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::Timestamp;

use keywheel_core::decide;
use keywheel_state::{Lease, StateError, StateStore};
use tokio_util::sync::CancellationToken;

use crate::Clock;

/// Renews a lease in the background until dropped.
pub(crate) struct Keeper {
    lost: CancellationToken,
    /// In microseconds. Written by the renewing side, read before each call to a target.
    expires_at: Arc<AtomicI64>,
    renewing: tokio::task::JoinHandle<()>,
}

impl Keeper {
    /// Starts to renew each third of `ttl`. A call that takes less than two thirds of `ttl` therefore ends before the lease
    /// does, even if every renewal fails from its start on.
    pub fn start(store: Arc<dyn StateStore>, clock: Arc<dyn Clock>, lease: Lease, ttl: Duration) -> Self {
        let lost = CancellationToken::new();
        let expires_at = Arc::new(AtomicI64::new(lease.expires_at.as_microsecond()));
        let renewing = tokio::spawn(renew(store, clock, lease, ttl, lost.clone(), Arc::clone(&expires_at)));
        Keeper { lost, expires_at, renewing }
    }

    /// How much of the lease is left, by the wall clock: it goes on while the machine or the process sleeps.
    pub fn left(&self, now: Timestamp) -> Duration {
        let left = self.expires_at.load(Ordering::SeqCst) - now.as_microsecond();
        Duration::from_micros(u64::try_from(left).unwrap_or(0))
    }

    /// Renews no more: the lease is about to be given back.
    pub fn rest(&self) {
        self.renewing.abort();
    }

    /// Cancelled once the lease is lost, or can no longer be relied on.
    pub fn lost(&self) -> &CancellationToken {
        &self.lost
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.rest();
    }
}

async fn renew(
    store: Arc<dyn StateStore>,
    clock: Arc<dyn Clock>,
    mut lease: Lease,
    ttl: Duration,
    lost: CancellationToken,
    expires_at: Arc<AtomicI64>,
) {
    loop {
        clock.sleep_until(decide::later(clock.now(), ttl / 3)).await;
        let renewed = tokio::select! {
            biased;
            // A store that hangs does not keep the lease alive, and what expired meanwhile is not relied on again.
            () = clock.sleep_until(lease.expires_at) => break,
            renewed = store.renew(&lease, ttl, clock.now()) => renewed,
        };
        match renewed {
            Ok(renewed) => {
                expires_at.store(renewed.expires_at.as_microsecond(), Ordering::SeqCst);
                lease = renewed;
            }
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
