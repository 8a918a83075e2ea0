//! `keywheel notify`: whether people are told.

use clap::Subcommand;

use crate::Session;
use crate::exit::{Exit, Failure};
use crate::select::suggestion;
use crate::wire::{self, Wired};

mod list;
mod send;
mod test;

/// See who is told, and whether messages arrive
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    List(list::Args),
    Test(test::Args),
    Send(send::Args),
}

pub async fn run(args: &Args, cx: &mut Session) -> anyhow::Result<Exit> {
    match &args.verb {
        Verb::List(args) => list::run(args, cx).await,
        Verb::Test(args) => test::run(args, cx).await,
        Verb::Send(args) => send::run(args, cx).await,
    }
}

/// The notifiers of these names; all without names.
fn named(wired: &Wired, names: &[String]) -> Result<Vec<keywheel_notify::Notifier>, Failure> {
    let notifiers = wire::notifiers(wired);
    let known = || notifiers.iter().map(|notifier| notifier.spec.name.as_str());
    if notifiers.is_empty() {
        return Err(Failure::input("no notifier is declared")
            .hint("notifiers are declared in keywheel.yaml, under `notifiers`"));
    }
    if let Some(unknown) = names.iter().find(|name| !known().any(|known| known == name.as_str())) {
        return Err(Failure::input(format!("no notifier is named `{unknown}`"))
            .hint(suggestion(unknown, known()).unwrap_or_else(|| "`keywheel notify list` lists all".to_owned())));
    }
    let meant = |notifier: &keywheel_notify::Notifier| names.is_empty() || names.contains(&notifier.spec.name);
    Ok(notifiers.into_iter().filter(meant).collect())
}
