//! No word, an empty one, one that is there twice, and a type of which no value is given.

use keywheel_sdk::Settings;

#[derive(Settings)]
struct Lamp {
    /// how bright
    #[setting(choice = [])]
    none: String,
    /// how bright
    #[setting(choice = ["dim", ""])]
    empty: String,
    /// how bright
    #[setting(choice = ["dim", "dim"])]
    twice: String,
    /// how bright
    #[setting(choice = ["dim", "bright"])]
    light: u8,
}

fn main() {}
