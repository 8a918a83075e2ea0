//! `keyservice`: the service as a program of its own.

use std::error::Error;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use keywheel_keyservice::{KeyService, Options};

/// Issues API keys over HTTP, on 127.0.0.1. Ctrl-C ends it.
#[derive(Parser)]
#[command(name = "keyservice", version)]
struct Arguments {
    /// Listen on this port; any free one if it is 0
    #[arg(long, value_name = "N")]
    port: u16,
    /// Keep the keys in this file; it is created where there is none
    #[arg(long, value_name = "FILE")]
    database: PathBuf,
    /// Read the admin token from this file
    #[arg(long, value_name = "FILE")]
    admin_token_file: PathBuf,
    /// How many keys a user may have
    #[arg(long, value_name = "N", default_value_t = Options::default().quota)]
    quota: usize,
}

#[tokio::main]
async fn main() -> ExitCode {
    match serve(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprint!("keyservice: {error}");
            let mut source = error.source();
            while let Some(error) = source {
                eprint!(": {error}");
                source = error.source();
            }
            eprintln!();
            ExitCode::FAILURE
        }
    }
}

async fn serve(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let file = &arguments.admin_token_file;
    let token = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let token = token.trim();
    if token.is_empty() {
        return Err(format!("{}: there is no token in it", file.display()).into());
    }
    let service = KeyService::start(Options {
        admin_token: token.to_owned(),
        quota: arguments.quota,
        database: Some(arguments.database),
        port: arguments.port,
        ..Options::default()
    })
    .await?;
    let mut stdout = std::io::stdout();
    writeln!(stdout, "listening on 127.0.0.1:{}", service.port())?;
    stdout.flush()?;
    tokio::signal::ctrl_c().await?;
    service.stop().await;
    Ok(())
}
