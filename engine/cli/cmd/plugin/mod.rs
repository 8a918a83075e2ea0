//! `keywheel plugin`: rotators that others wrote.

use clap::Subcommand;

use crate::Session;
use crate::exit::Exit;

mod install;
mod list;
mod show;
mod verify;

/// Look at plugins, and install them: rotators that others wrote
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    List(list::Args),
    Install(install::Args),
    Show(show::Args),
    Verify(verify::Args),
}

pub fn run(args: &Args, cx: &mut Session) -> anyhow::Result<Exit> {
    match &args.verb {
        Verb::List(args) => list::run(args, cx),
        Verb::Install(args) => install::run(args, cx),
        Verb::Show(args) => show::run(args, cx),
        Verb::Verify(args) => verify::run(args, cx),
    }
}
