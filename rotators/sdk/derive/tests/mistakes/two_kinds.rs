//! A setting is of one kind.

use keywheel_sdk::Settings;

#[derive(Settings)]
struct Lamp {
    /// how long
    #[setting(duration, json)]
    wait: std::time::Duration,
}

fn main() {}
