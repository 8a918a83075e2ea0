//! Words belong before a field.

use keywheel_sdk::Settings;

#[derive(Settings)]
#[setting(names_target)]
struct Lamp {
    /// where it is
    host: String,
}

fn main() {}
