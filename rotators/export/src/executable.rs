//! A rotator that answers messages on standard input and output.

use std::io::{self, BufRead, Read, Write};
use std::time::Instant;

use tokio::runtime::Builder;
use zeroize::Zeroizing;

use keywheel_sdk::Rotator;
use keywheel_sdk::message::{self, Hello, LONGEST, Malformed};

/// Most lines are shorter, in bytes.
const ROOM: usize = 1 << 16;

/// Why an executable ends before its input does.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("reading or writing failed: {0}")]
    Pipe(#[from] io::Error),
    #[error("{0}")]
    Malformed(#[from] Malformed),
    #[error("{0} speaks no format of the messages that this rotator does")]
    Format(String),
}

/// Answers what comes on standard input on standard output, until the input ends. The whole of a plugin's `main`.
///
/// Nothing else may write to standard output; what goes to standard error is logged. Each call runs on a runtime of Tokio that
/// belongs to this thread.
///
/// # Errors
/// See [`RunError`]: the engine did not speak as it should, or has gone.
pub fn run(rotator: &dyn Rotator) -> Result<(), RunError> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let (mut input, mut output) = (io::stdin().lock(), io::stdout().lock());
    // One more than the longest tells that it is too long.
    let most = u64::try_from(LONGEST).unwrap_or(u64::MAX).saturating_add(1);
    loop {
        // Room for nearly all: growing leaves what was there in memory that is not zeroed.
        let mut line = Zeroizing::new(Vec::with_capacity(ROOM));
        if input.by_ref().take(most).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let came = Instant::now();
        let answer = match message::kind_of(&line)?.as_str() {
            "hello" => {
                let hello: Hello = message::read(&line)?;
                message::write(&message::greet(rotator, &hello).ok_or(RunError::Format(hello.engine))?)?
            }
            "call" => message::write(&runtime.block_on(message::answer(rotator, message::read(&line)?, came)))?,
            // Of a later version, or there to see that it is ignored.
            _ => continue,
        };
        output.write_all(&answer)?;
        output.flush()?;
    }
}
