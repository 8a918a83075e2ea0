//! `keywheel plugin-host`: how the engine starts plugins. Not for people.

use std::path::PathBuf;

use keywheel_plugin::Confinement;

use crate::exit::{Exit, Failure, NOTHING_CHANGED};

/// Confine this process and become a plugin
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The plugin
    file: PathBuf,
    /// The folder that it may write in
    work: PathBuf,
    #[arg(long, value_name = "MIB")]
    memory_mib: u64,
    #[arg(long, value_name = "SECONDS")]
    cpu_seconds: u64,
    #[arg(long, value_name = "PATH")]
    read: Vec<PathBuf>,
    #[arg(long, value_name = "PORT")]
    connect: Vec<u16>,
}

pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let confinement = Confinement {
        memory_mib: args.memory_mib,
        cpu_seconds: args.cpu_seconds,
        read: args.read.clone(),
        connect: args.connect.clone(),
    };
    let Err(error) = keywheel_plugin::enter(&args.file, &args.work, &confinement);
    Err(Failure {
        exit: Exit::Unexpected,
        what: format!("the plugin does not start: {error}"),
        changed: NOTHING_CHANGED,
        hint: None,
    }
    .into())
}
