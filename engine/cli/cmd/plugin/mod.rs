//! `keywheel plugin`: rotators that others wrote.

use clap::Subcommand;

use crate::Session;
use crate::exit::Exit;

mod list;
mod show;

/// Look at plugins: rotators that others wrote
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    List(list::Args),
    Show(show::Args),
}

pub fn run(args: &Args, cx: &mut Session) -> anyhow::Result<Exit> {
    match &args.verb {
        Verb::List(args) => list::run(args, cx),
        Verb::Show(args) => show::run(args, cx),
    }
}
