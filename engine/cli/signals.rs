//! SIGTERM and SIGINT: the first asks to stop after the step at work, the second ends the process at once.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The exit status of a process that SIGINT ended, as shells count it.
const INTERRUPTED: i32 = 130;

/// A token that the first signal cancels; `first` is said then. The second signal ends the process: what is at work is in
/// doubt afterwards, as after a crash, and the next start settles it.
pub fn stopping(first: impl Fn() + Send + 'static) -> std::io::Result<CancellationToken> {
    let token = CancellationToken::new();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let asked_to_stop = token.clone();
    tokio::spawn(async move {
        let mut asked = false;
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if asked {
                std::process::exit(INTERRUPTED);
            }
            asked = true;
            first();
            asked_to_stop.cancel();
        }
    });
    Ok(token)
}
