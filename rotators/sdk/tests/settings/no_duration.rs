//! What is read as a duration is one.

use keywheel_sdk::Settings;

#[derive(Settings)]
struct Lamp {
    /// how long
    #[setting(duration)]
    wait: String,
}

fn main() {}
