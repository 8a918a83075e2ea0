//! A word is said once.

use keywheel_sdk::Settings;

#[derive(Settings)]
struct Lamp {
    /// port
    #[setting(min = 1)]
    #[setting(min = 2)]
    port: u16,
}

fn main() {}
