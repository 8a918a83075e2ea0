//! How often a plugin said or wrote a secret: it is hidden, and counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// One count for all processes of a plugin.
#[derive(Clone, Default)]
pub(crate) struct Leaks(Arc<AtomicU64>);

impl Leaks {
    /// Counts one if something was hidden between these two forms of a text.
    pub fn note(&self, before: &str, after: &str) {
        if before != after {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
