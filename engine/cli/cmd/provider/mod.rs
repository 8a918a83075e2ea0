//! `keywheel provider`: what providers of API keys there are, and what would be asked of one.

use clap::Subcommand;

use crate::exit::{Exit, Failure};
use crate::wire::{Declaration, Provider};
use crate::{Session, select, wire};

mod list;
mod show;
mod test;

/// Look at providers of API keys and try their declarations
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    List(list::Args),
    Show(show::Args),
    Test(test::Args),
}

pub async fn run(args: &Args, cx: &mut Session) -> anyhow::Result<Exit> {
    match &args.verb {
        Verb::List(args) => list::run(args, cx),
        Verb::Show(args) => show::run(args, cx),
        Verb::Test(args) => test::run(args, cx).await,
    }
}

/// What is shipped, and what the settings name if there are any.
fn declarations(cx: &Session) -> Result<Vec<Declaration>, Failure> {
    let file = &cx.globals.settings;
    let providers = if file.exists() { wire::settings(file)?.providers } else { Vec::new() };
    Ok(wire::declarations(&providers))
}

/// The one of this name.
///
/// # Errors
/// There is none, or its declaration has mistakes, which are shown.
fn one(cx: &Session, name: &str) -> Result<(Declaration, Provider), Failure> {
    let mut all = declarations(cx)?;
    let called = |declaration: &Declaration| declaration.name.as_deref() == Some(name);
    // Of two with one name both have the mistake that says so.
    let Some(at) = all.iter().position(called) else {
        let known = all.iter().filter_map(|declaration| declaration.name.as_deref());
        let hint = select::suggestion(name, known).unwrap_or_else(|| "`keywheel provider list` lists all".to_owned());
        return Err(Failure::input(format!("there is no provider `{name}`")).hint(hint));
    };
    let mut declaration = all.swap_remove(at);
    match std::mem::replace(&mut declaration.read, Err(Vec::new())) {
        Ok(provider) => Ok((declaration, provider)),
        Err(mistakes) => {
            declaration.read = Err(mistakes);
            let count = wire::show_mistakes([&declaration]).len();
            let mistakes = if count == 1 { "mistake" } else { "mistakes" };
            Err(Failure::input(format!("the declaration of `{name}` has {count} {mistakes}")))
        }
    }
}
