//! Settings are fields; an enum has none.

use keywheel_sdk::Settings;

#[derive(Settings)]
enum Lamp {
    On,
}

fn main() {}
