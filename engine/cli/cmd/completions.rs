//! `keywheel completions`: what a shell needs to complete command lines.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::Session;
use crate::args::Cli;
use crate::exit::Exit;

/// Print completions for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "Such as: keywheel completions bash > /etc/bash_completion.d/keywheel")]
pub struct Args {
    /// Whose
    shell: Shell,
}

pub fn run(args: &Args, cx: &mut Session) -> anyhow::Result<Exit> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "keywheel", &mut text);
    cx.out.raw(&text)?;
    Ok(Exit::Done)
}
