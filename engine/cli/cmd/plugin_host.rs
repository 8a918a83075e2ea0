//! `keywheel plugin-host`: how the engine starts plugins. Not for people.

use std::ffi::OsString;

use crate::exit::{Exit, Failure, NOTHING_CHANGED};

/// Confine this process and become a plugin, or load it
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What the engine writes
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let Err(error) = keywheel_plugin::host(args.arguments.iter().cloned()) else { return Ok(Exit::Done) };
    Err(Failure {
        exit: Exit::Unexpected,
        what: format!("the plugin does not run: {error}"),
        changed: NOTHING_CHANGED,
        hint: None,
    }
    .into())
}
