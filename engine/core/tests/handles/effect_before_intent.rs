//! An effect demands an attempt; a step that is only ready has none.
use keywheel_core::handle::{Apply, Attempt, Ready};

fn effect(_: &Attempt<Apply>) {}

fn wrong(ready: Ready<Apply>) {
    effect(&ready);
}

fn main() {}
