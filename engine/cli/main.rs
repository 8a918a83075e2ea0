//! The command line: reads arguments, hands over to one file per verb, and turns the outcome into an exit code.

use std::process::ExitCode;

use clap::Parser;
use indicatif::MultiProgress;

use crate::args::{Cli, Color, Globals};
use crate::exit::Exit;
use crate::output::Output;

mod args;
mod changes;
mod cmd;
mod exit;
mod logging;
mod output;
mod preflight;
mod progress;
mod select;
mod signals;
mod telling;
mod turning;
mod wire;

/// What every command gets.
pub struct Session {
    pub globals: Globals,
    pub out: Output,
    /// Progress bars, and what must be written around them.
    pub bars: MultiProgress,
}

fn main() -> ExitCode {
    rustls::crypto::aws_lc_rs::default_provider().install_default().expect("nothing ran before this line");
    #[cfg(feature = "failpoints")]
    keywheel_runtime::failpoint::Kill::arm();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are errors to the parser; whoever closed the stream does not want to read.
            let _ = error.print();
            return if error.use_stderr() { Exit::Input.into() } else { Exit::Done.into() };
        }
    };
    match cli.globals.color {
        Color::Auto => {}
        Color::Always => anstream::ColorChoice::Always.write_global(),
        Color::Never => anstream::ColorChoice::Never.write_global(),
    }
    if let cmd::Command::PluginHost(args) = &cli.command {
        // What confines a process does so for the thread that asks: there is only this one yet.
        return cmd::plugin_host::run(args).unwrap_or_else(exit::report).into();
    }
    let outcome = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(anyhow::Error::from)
        .and_then(|runtime| runtime.block_on(run(cli)));
    outcome.unwrap_or_else(exit::report).into()
}

async fn run(cli: Cli) -> anyhow::Result<Exit> {
    let Cli { globals, command } = cli;
    let bars = MultiProgress::new();
    logging::start(&globals, command.usual_log(), &bars)?;
    let out = Output::new(globals.output);
    command.run(&mut Session { globals, out, bars }).await
}
