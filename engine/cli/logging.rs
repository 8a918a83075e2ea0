//! The log: to stderr, for people or for programs, beside the progress bars and never through them.

use std::io::{self, Write};

use indicatif::MultiProgress;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::args::{Globals, LogFormat};
use crate::exit::Failure;

/// Starts the log. `usual` is what is logged unless the command line says otherwise.
pub fn start(globals: &Globals, usual: &str, bars: &MultiProgress) -> Result<(), Failure> {
    let directives = match (&globals.log, globals.verbose) {
        (Some(filter), _) => filter.as_str(),
        (None, 0) => usual,
        (None, 1) => "info,sqlx=warn",
        (None, 2) => "debug,sqlx=warn",
        (None, _) => "trace",
    };
    let filter = EnvFilter::try_new(directives).map_err(|error| {
        Failure::input(format!("`{directives}` is no log filter: {error}"))
            .hint("such as `info`, or `keywheel_runtime=debug`")
    })?;
    let writer = Beside(bars.clone());
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    match globals.log_format {
        LogFormat::Human => {
            let colours = anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never;
            builder.with_ansi(colours).init();
        }
        LogFormat::Json => builder.json().with_current_span(false).with_span_list(true).init(),
    }
    Ok(())
}

/// Writes to stderr while the bars are out of the way.
#[derive(Clone)]
struct Beside(MultiProgress);

impl Write for Beside {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A log that nobody reads any more is no reason to stop.
        self.0.suspend(|| io::stderr().write_all(bytes)).ok();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Beside {
    type Writer = Beside;

    fn make_writer(&self) -> Beside {
        self.clone()
    }
}
