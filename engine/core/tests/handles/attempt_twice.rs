//! An attempt cannot be copied, so one intent cannot have two effects at work.
use keywheel_core::handle::{Apply, Attempt};

fn wrong(attempt: Attempt<Apply>) -> (Attempt<Apply>, Attempt<Apply>) {
    (attempt.clone(), attempt)
}

fn main() {}
