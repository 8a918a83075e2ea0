//! `keywheel schema`: what editors need to help with YAML.

use clap::ValueEnum;

use crate::Session;
use crate::exit::Exit;

/// Print the JSON Schema of policies or of the settings
#[derive(Debug, clap::Args)]
pub struct Args {
    #[arg(default_value = "policy")]
    of: Kind,
}

/// Of which file.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    /// A policy file
    Policy,
    /// keywheel.yaml
    Settings,
}

pub fn run(args: &Args, cx: &mut Session) -> anyhow::Result<Exit> {
    let schema = match args.of {
        Kind::Policy => keywheel_policies::policy_schema(),
        Kind::Settings => keywheel_policies::settings_schema(),
    };
    cx.out.raw(schema.as_bytes())?;
    Ok(Exit::Done)
}
