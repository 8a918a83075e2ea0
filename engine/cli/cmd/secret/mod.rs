//! `keywheel secret`: the store that applications read from.

use clap::Subcommand;

use crate::Session;
use crate::exit::Exit;

mod get;
mod list;
mod put;
mod rewrap;
mod versions;

/// Read and write the secret store
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Get(get::Args),
    Put(put::Args),
    List(list::Args),
    Versions(versions::Args),
    Rewrap(rewrap::Args),
}

pub async fn run(args: &Args, cx: &mut Session) -> anyhow::Result<Exit> {
    match &args.verb {
        Verb::Get(args) => get::run(args, cx).await,
        Verb::Put(args) => put::run(args, cx).await,
        Verb::List(args) => list::run(args, cx).await,
        Verb::Versions(args) => versions::run(args, cx).await,
        Verb::Rewrap(args) => rewrap::run(args, cx).await,
    }
}

/// The word for tables and JSON.
fn label_word(label: keywheel_secrets::Label) -> &'static str {
    match label {
        keywheel_secrets::Label::Pending => "PENDING",
        keywheel_secrets::Label::Current => "CURRENT",
        keywheel_secrets::Label::Previous => "PREVIOUS",
    }
}
