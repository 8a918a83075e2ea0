//! A library in a process of its own: this process confines itself, loads it, and lets it answer the lines that come.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use keywheel_sdk::RotatorError;
use keywheel_sdk::message::{self, Failure, Greeting, LONGEST, Malformed, Reply, Request};
use zeroize::Zeroizing;

use crate::confine::{Confinement, EnterError, confine};
use crate::library::{Instance, Library, LoadError, NoReply};

/// Why a library's process ends.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error(transparent)]
    Enter(#[from] EnterError),
    #[error("its pipes broke: {0}")]
    Pipe(#[from] io::Error),
    #[error("what was to be written or read is no message: {0}")]
    Malformed(#[from] Malformed),
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(transparent)]
    NoReply(#[from] NoReply),
}

/// Confines this process for good, as [`crate::enter`] does, loads the library `plugin`, and answers what comes on standard input on
/// standard output until the input ends. To be called before there are threads.
///
/// # Errors
/// See [`ServeError`]. Why it cannot begin is told to the engine, too.
pub fn serve(plugin: &Path, work: &Path, confinement: &Confinement) -> Result<(), ServeError> {
    confine(plugin, work, confinement)?;
    // What the library prints is none of our messages.
    let mut output = std::fs::File::from(rustix::io::dup(rustix::stdio::stdout()).map_err(io::Error::from)?);
    rustix::stdio::dup2_stdout(rustix::stdio::stderr()).map_err(io::Error::from)?;
    let served = talk(plugin, &mut BufReader::new(io::stdin()), &mut output);
    if let Err(error) = &served {
        // Where the pipe is what broke, nobody hears it.
        let _ = output.write_all(&message::write(&Failure::new(&error.to_string()))?);
    }
    served
}

fn talk(plugin: &Path, input: &mut impl BufRead, output: &mut impl Write) -> Result<(), ServeError> {
    let library = Library::load(plugin)?;
    let mut instance = None;
    while let Some(line) = next(input)? {
        match message::kind_of(&line)?.as_str() {
            "hello" => {
                // Read and written again, so that it is one line whatever the library made of it.
                let greeting: Greeting = message::read(&library.describe(&line)?)?;
                output.write_all(&message::write(&greeting)?)?;
            }
            "call" => {
                let instance = match &instance {
                    Some(instance) => instance,
                    None => instance.insert(library.create()?),
                };
                output.write_all(&message::write(&called(instance, &line)?)?)?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Lets it answer one call, and tells it when the time for it is over.
fn called(instance: &Instance, line: &[u8]) -> Result<Reply, Malformed> {
    let request: Request = message::read(line)?;
    let (done, waits) = mpsc::channel::<()>();
    let answered = std::thread::scope(|scope| {
        scope.spawn(move || {
            if waits.recv_timeout(Duration::from_millis(request.left_ms)) == Err(RecvTimeoutError::Timeout) {
                instance.give_up(request.id);
            }
        });
        let answered = instance.call(line);
        drop(done);
        answered
    });
    match answered {
        Ok(reply) => message::read(&reply),
        Err(error) => Ok(Reply::failed(request.id, no_reply(&error))),
    }
}

/// A call without a reply: it may have done what it was asked.
pub(crate) fn no_reply(error: &NoReply) -> RotatorError {
    RotatorError::unknown("plugin-no-reply", error.to_string())
}

/// The next line; none at the end of the input.
fn next(input: &mut impl BufRead) -> Result<Option<Zeroizing<Vec<u8>>>, ServeError> {
    let mut line = Zeroizing::new(Vec::new());
    // One more than the longest tells that it is too long.
    let most = u64::try_from(LONGEST).unwrap_or(u64::MAX).saturating_add(1);
    if input.by_ref().take(most).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    Ok(Some(line))
}
