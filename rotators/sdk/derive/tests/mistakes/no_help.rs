//! A setting without help is of no use to who writes policies; both fields are told.

use keywheel_sdk::Settings;

#[derive(Settings)]
struct Lamp {
    host: String,
    port: u16,
}

fn main() {}
