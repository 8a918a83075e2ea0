//! `keywheel schema`: what editors need to help with YAML.

use clap::ValueEnum;

use crate::exit::Exit;
use crate::{Session, wire};

/// Print the JSON Schema of policies, of the settings or of providers
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
    /// A declaration of a provider of API keys
    Provider,
}

pub fn run(args: &Args, cx: &mut Session) -> anyhow::Result<Exit> {
    let schema = match args.of {
        Kind::Policy => keywheel_policies::policy_schema(),
        Kind::Settings => keywheel_policies::settings_schema(),
        Kind::Provider => wire::provider_schema(),
    };
    cx.out.raw(schema.as_bytes())?;
    Ok(Exit::Done)
}
