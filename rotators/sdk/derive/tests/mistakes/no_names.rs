//! Fields without names are nothing that a policy could write.

use keywheel_sdk::Settings;

#[derive(Settings)]
struct Lamp(String);

fn main() {}
