//! Types of which no setting is read, each where it stands.

use keywheel_sdk::Settings;

#[derive(Settings)]
struct Lamp {
    /// how bright
    light: f64,
    /// how much
    much: u128,
    /// which ones
    ports: Vec<u16>,
    /// whether at all
    on: Option<Option<bool>>,
}

fn main() {}
