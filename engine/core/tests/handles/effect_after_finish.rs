//! A finished attempt allows no further effect.
use keywheel_core::handle::{Apply, Attempt, Finish};

fn effect(_: &Attempt<Apply>) {}

fn wrong(attempt: Attempt<Apply>) {
    let _ = attempt.finish(Finish::Succeeded { note: None, hold: None });
    effect(&attempt);
}

fn main() {}
