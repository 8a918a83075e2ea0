//! `keywheel plugin`: rotators that others wrote.

use clap::Subcommand;

use crate::Session;
use crate::exit::Exit;

mod exam;
mod install;
mod list;
mod made;
mod new;
mod practice;
mod show;
mod verify;

/// Look at plugins, rotators that others wrote; begin, examine and install them
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
    New(new::Args),
    Exam(exam::Args),
    Practice(practice::Args),
    Verify(verify::Args),
}

pub async fn run(args: &Args, cx: &mut Session) -> anyhow::Result<Exit> {
    match &args.verb {
        Verb::List(args) => list::run(args, cx),
        Verb::Install(args) => install::run(args, cx),
        Verb::Show(args) => show::run(args, cx),
        Verb::New(args) => new::run(args, cx),
        Verb::Exam(args) => exam::run(args, cx).await,
        Verb::Practice(args) => practice::run(args, cx).await,
        Verb::Verify(args) => verify::run(args, cx),
    }
}
