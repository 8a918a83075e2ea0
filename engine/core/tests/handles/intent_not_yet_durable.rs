//! An intent that was stated but not written is no attempt.
use keywheel_core::handle::{Apply, Attempt, Ready};

fn effect(_: &Attempt<Apply>) {}

fn wrong(ready: Ready<Apply>) {
    effect(&ready.begin());
}

fn main() {}
