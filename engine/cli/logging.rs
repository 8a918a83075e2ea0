//! The log: to stderr, for people or for programs, beside the progress bars and never through them.

use std::io::{self, Write};

use indicatif::MultiProgress;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::args::{Globals, LogFormat};
use crate::exit::Failure;

/// Where drivers log what a database server says of its own accord.
const NOTICES: [&str; 2] = ["sqlx::postgres::notice", "tiberius"];

/// Starts the log. `usual` is what is logged unless the command line says otherwise.
pub fn start(globals: &Globals, usual: &str, bars: &MultiProgress) -> Result<(), Failure> {
    let directives = match (&globals.log, globals.verbose) {
        (Some(filter), _) => filter.as_str(),
        (None, 0) => usual,
        (None, 1) => "info,sqlx=warn",
        (None, 2) => "debug,sqlx=warn",
        (None, _) => "trace",
    };
    let colours = anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never;
    subscriber(directives, globals.log_format, colours, Beside(bars.clone()))?.init();
    Ok(())
}

fn subscriber<W>(
    directives: &str,
    format: LogFormat,
    colours: bool,
    writer: W,
) -> Result<Box<dyn Subscriber + Send + Sync>, Failure>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = EnvFilter::try_new(directives).map_err(|error| {
        Failure::input(format!("`{directives}` is no log filter: {error}"))
            .hint("such as `info`, or `keywheel_runtime=debug`")
    })?;
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    let lines = match format {
        LogFormat::Human => lines.with_ansi(colours).boxed(),
        LogFormat::Json => lines.json().with_current_span(false).with_span_list(true).boxed(),
    };
    Ok(Box::new(tracing_subscriber::registry().with(lines).with(filter).with(filter_fn(no_notice))))
}

/// A server's notices can hold anything, a statement with its values among it, and nobody masks them. No filter brings them
/// back: a directive `sqlx::postgres::notice=off` would yield to one for a span, such as `[rotation]=debug`.
fn no_notice(of: &Metadata<'_>) -> bool {
    !NOTICES.iter().any(|notices| of.target().starts_with(notices))
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

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex, PoisonError};

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Kept {
        type Writer = Kept;

        fn make_writer(&self) -> Kept {
            self.clone()
        }
    }

    #[test]
    fn no_filter_shows_what_a_server_says_of_its_own_accord() {
        let filters =
            ["warn", "trace", "sqlx::postgres::notice=trace", "off,[rotation]=trace", "[rotation{name}]=trace,warn"];
        for (filter, format) in filters.iter().flat_map(|f| [(f, LogFormat::Human), (f, LogFormat::Json)]) {
            let kept = Kept::default();
            let subscriber = subscriber(filter, format, false, kept.clone()).expect("a filter");
            tracing::subscriber::with_default(subscriber, || {
                let _span = tracing::error_span!("rotation", name = "orders").entered();
                tracing::error!(target: "sqlx::postgres::notice", "PASSWORD 'canary'");
                tracing::error!(target: "tiberius::tds::stream::token", "PASSWORD 'canary'");
                tracing::error!("our own");
            });
            let text = String::from_utf8(kept.0.lock().expect("whole").clone()).expect("text");
            assert!(!text.contains("canary"), "{filter}: {text}");
            assert_eq!(text.contains("our own"), !filter.starts_with("sqlx"), "{filter}: {text}");
        }
    }
}
