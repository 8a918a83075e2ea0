//! The compiler tells a default of another type.

use keywheel_sdk::Settings;

#[derive(Settings)]
struct Lamp {
    /// whether at all
    #[setting(default = 1)]
    on: bool,
}

fn main() {}
