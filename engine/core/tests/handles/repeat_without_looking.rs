//! What is in doubt cannot begin again: it can only be settled.
use keywheel_core::handle::InDoubt;

fn wrong(doubt: InDoubt) {
    let _ = doubt.begin();
}

fn main() {}
