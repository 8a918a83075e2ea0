//! The command line as people write it, before anything is looked at.

use std::path::PathBuf;

use clap::{ArgAction, Parser, ValueEnum};
use jiff::{SignedDuration, Span, SpanRelativeTo};

use crate::cmd::Command;
use crate::exit;
use crate::output::Format;

/// Rotates the credentials that YAML policies declare, and loses none of them in a crash.
#[derive(Debug, Parser)]
#[command(name = "keywheel", version, after_help = exit::HELP, max_term_width = 120)]
pub struct Cli {
    #[command(flatten)]
    pub globals: Globals,
    #[command(subcommand)]
    pub command: Command,
}

/// What every command understands.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Options of every command")]
pub struct Globals {
    /// The file that says where state, secrets and policies are
    #[arg(long, global = true, value_name = "FILE", env = "KEYWHEEL_SETTINGS", default_value = "keywheel.yaml")]
    pub settings: PathBuf,
    /// How results are written to stdout
    #[arg(long, global = true, value_name = "FORMAT", default_value = "table")]
    pub output: Format,
    /// How the log is written to stderr
    #[arg(long, global = true, value_name = "FORMAT", default_value = "human")]
    pub log_format: LogFormat,
    /// What is logged, such as `info` or `keywheel_runtime=debug`
    #[arg(long, global = true, value_name = "FILTER", env = "KEYWHEEL_LOG")]
    pub log: Option<String>,
    /// Log more; twice: much more
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
    /// When to use colours
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One line per event, for people.
    Human,
    /// One JSON object per line, for programs.
    Json,
}

/// When to use colours. `auto` honours `NO_COLOR` and whether there is a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    Auto,
    Always,
    Never,
}

/// Reads a length of time such as `90d`, `12h` or `1h30m`. A day has 24 hours.
pub fn length(text: &str) -> Result<SignedDuration, String> {
    let span: Span = text.parse().map_err(|_| "expected a length of time such as `90d`, `12h` or `30m`".to_owned())?;
    let length = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|error| error.to_string())?;
    if length.is_negative() { Err("a length of time may not be negative".to_owned()) } else { Ok(length) }
}

/// Reads `key=value`.
pub fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected `name=value`".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a panic is the test's failure")]

    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn lengths_have_units() {
        assert_eq!(length("90d").unwrap(), SignedDuration::from_hours(90 * 24));
        assert_eq!(length("1h30m").unwrap(), SignedDuration::from_mins(90));
        assert!(length("90").is_err());
        assert!(length("-5m").is_err());
    }
}
