//! A library in a process of its own: this process confines itself, loads it, and lets it answer the lines that come.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use keywheel_sdk::message::{self, Failure, Greeting, LONGEST, Malformed, Reply, Request};
use keywheel_sdk::{Retry, RotatorError};
use rustix::io::fcntl_dupfd_cloexec;
use rustix::stdio::{dup2_stdin, dup2_stdout, stderr, stdin, stdout};
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
    if let Err(error) = confine(plugin, work, confinement) {
        tell(&mut io::stdout(), &error.to_string());
        return Err(error.into());
    }
    let (input, mut output) = pipes()?;
    let served = talk(plugin, &mut BufReader::new(input), &mut output);
    if let Err(error) = &served {
        tell(&mut output, &error.to_string());
    }
    served
}

/// The pipes to the engine, which neither the library nor what it starts gets: calls are not for others, and what it prints is none
/// of our messages.
fn pipes() -> io::Result<(File, File)> {
    let input = fcntl_dupfd_cloexec(stdin(), 3)?;
    let output = fcntl_dupfd_cloexec(stdout(), 3)?;
    dup2_stdin(File::open("/dev/null")?)?;
    dup2_stdout(stderr())?;
    Ok((input.into(), output.into()))
}

/// Tells why it cannot go on. Where the pipe is what broke, nobody hears it.
fn tell(output: &mut impl Write, why: &str) {
    if let Ok(line) = message::write(&Failure::new(why)) {
        let _ = output.write_all(&line);
    }
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
            "call" => output.write_all(&message::write(&called(&library, &mut instance, &line)?)?)?,
            _ => {}
        }
    }
    Ok(())
}

/// Lets it answer one call. Where it does not, that may have been done all the same.
fn called(library: &Library, instance: &mut Option<Instance>, line: &[u8]) -> Result<Reply, Malformed> {
    let request: Request = message::read(line)?;
    let instance = match instance {
        Some(instance) => instance,
        None => match library.create() {
            Ok(made) => instance.insert(made),
            Err(error) => return Ok(failed(request.id, "plugin-no-reply", &error)),
        },
    };
    let answered = match timed(instance, &request, line) {
        Ok(answered) => answered,
        // It was not asked yet.
        Err(error) => {
            let error =
                RotatorError::not_done(Retry::Now, "plugin-not-asked", format!("the system gives no thread: {error}"));
            return Ok(Reply::failed(request.id, error));
        }
    };
    match answered {
        Err(error) => Ok(failed(request.id, "plugin-no-reply", &error)),
        // Read and written again, so that it is one line whatever the library made of it.
        Ok(reply) => Ok(message::read(&reply).unwrap_or_else(|error| failed(request.id, "plugin-malformed", &error))),
    }
}

fn failed(id: u64, code: &str, why: &dyn Display) -> Reply {
    Reply::failed(id, RotatorError::unknown(code, why.to_string()))
}

/// Makes the call, and tells it when the time for it is over. Fails before the call if there is nobody to tell it.
fn timed(instance: &Instance, request: &Request, line: &[u8]) -> io::Result<Result<Zeroizing<Vec<u8>>, NoReply>> {
    let (done, waits) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let watch = move || {
            if waits.recv_timeout(Duration::from_millis(request.left_ms)) == Err(RecvTimeoutError::Timeout) {
                instance.give_up(request.id);
            }
        };
        std::thread::Builder::new().spawn_scoped(scope, watch)?;
        let answered = instance.call(line);
        drop(done);
        Ok(answered)
    })
}

/// Most lines are shorter, in bytes.
const ROOM: usize = 1 << 16;

/// The next line; none at the end of the input.
fn next(input: &mut impl BufRead) -> Result<Option<Zeroizing<Vec<u8>>>, ServeError> {
    // Room for nearly all: growing leaves what was there in memory that is not zeroed.
    let mut line = Zeroizing::new(Vec::with_capacity(ROOM));
    // One more than the longest tells that it is too long.
    let most = u64::try_from(LONGEST).unwrap_or(u64::MAX).saturating_add(1);
    if input.by_ref().take(most).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    Ok(Some(line))
}
