//! Defaults that a policy could not write, of what may be absent, and of another type.

use keywheel_sdk::Settings;

#[derive(Settings)]
struct Lamp {
    /// port
    #[setting(min = 1, default = 0)]
    port: u16,
    /// how bright
    #[setting(choice = ["dim", "bright"], default = "off")]
    light: String,
    /// whether at all
    #[setting(default = true)]
    on: Option<bool>,
}

fn main() {}
