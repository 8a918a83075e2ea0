//! A rotator reads one type.

use keywheel_sdk::Settings;

#[derive(Settings)]
struct Lamp<T> {
    /// where it is
    host: T,
}

fn main() {}
