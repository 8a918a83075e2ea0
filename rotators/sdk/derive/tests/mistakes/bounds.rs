//! Bounds that no number meets, that the type does not hold, that are none, and of what has none.

use keywheel_sdk::Settings;

#[derive(Settings)]
struct Lamp {
    /// port
    #[setting(min = 5, max = 4)]
    swapped: u16,
    /// port
    #[setting(max = 65536)]
    beyond: u16,
    /// port
    #[setting(min = -1)]
    below: u64,
    /// port
    #[setting(min = "1")]
    text: u16,
    /// where it is
    #[setting(max = 20)]
    host: String,
}

fn main() {}
