//! Words that are none, and a value where none belongs.

use keywheel_sdk::Settings;

#[derive(Settings)]
struct Lamp {
    /// where it is
    #[setting(required)]
    host: String,
    /// where it is
    #[setting(names_target = true)]
    port: u16,
}

fn main() {}
