//! The rotator of the example service's keys as a plugin, which is its own host: for its exam out of process.

use std::error::Error;

use keywheel_apikey::{ApiKeyRotator, Provider};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == keywheel_plugin::HOST) {
        return Ok(keywheel_plugin::host(arguments)?);
    }
    let declaration = include_str!("../../../examples/keyservice/provider.yaml");
    let provider = Provider::parse("provider.yaml", declaration).map_err(|mistakes| format!("{mistakes:?}"))?;
    Ok(keywheel_export::run(&ApiKeyRotator::new(provider))?)
}
