//! Nobody but a receipt mints an attempt.
use keywheel_core::RotationId;
use keywheel_core::handle::{Apply, Attempt};

fn wrong(rotation: RotationId) -> Attempt<Apply> {
    Attempt { rotation, candidate: 1, number: 1, step: std::marker::PhantomData }
}

fn main() {}
