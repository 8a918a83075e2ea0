//! What happens at the engine's named points: nothing, or a stop until told to go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use keywheel_runtime::failpoint::Hook;
use tokio::sync::Notify;

/// Passes every point.
pub struct Open;

#[async_trait]
impl Hook for Open {
    async fn pass(&self, _: &str) {}
}

/// Stops the worker at the first passing of a point, as SIGSTOP would, until it is let go.
pub struct Gate {
    at: &'static str,
    used: AtomicBool,
    pub stopped: Notify,
    pub go: Notify,
}

impl Gate {
    pub fn at(point: &'static str) -> Arc<Self> {
        Arc::new(Gate { at: point, used: AtomicBool::new(false), stopped: Notify::new(), go: Notify::new() })
    }
}

#[async_trait]
impl Hook for Gate {
    async fn pass(&self, point: &str) {
        if point == self.at && !self.used.swap(true, Ordering::SeqCst) {
            self.stopped.notify_one();
            self.go.notified().await;
        }
    }
}
