//! The intent to stage does not allow to apply.
use keywheel_core::handle::{Apply, Attempt, Stage};

fn effect(_: &Attempt<Apply>) {}

fn wrong(attempt: Attempt<Stage>) {
    effect(&attempt);
}

fn main() {}
