//! The rotator of this crate as a plugin, which is its own host: for its exam out of process.

use std::error::Error;

use keywheel_sqlserver::SqlServerRotator;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == keywheel_plugin::HOST) {
        return Ok(keywheel_plugin::host(arguments)?);
    }
    Ok(keywheel_export::run(&SqlServerRotator::new())?)
}
