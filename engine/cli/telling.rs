//! The notifiers of a daemon: begun before anything can happen, kept going, and never waited for long.

use std::sync::Arc;
use std::time::Duration;

use keywheel_notify::Notifier;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::wire::{self, Wired};

/// How long a message that is on its way is waited for at the end. It is sent again otherwise.
const LAST_WORDS: Duration = Duration::from_secs(10);
/// The same where nobody comes back soon.
const LAST_WORDS_ONCE: Duration = Duration::from_secs(60);
/// The pause after a notifier panicked.
const AFTER_PANIC: Duration = Duration::from_secs(300);

/// Notifiers at work.
pub struct Telling {
    notifiers: Vec<Arc<Notifier>>,
    at_work: JoinSet<()>,
    quiet: CancellationToken,
}

impl Telling {
    /// Begins with all that the settings name.
    pub async fn begin(wired: &Wired) -> Self {
        let notifiers: Vec<_> = wire::notifiers(wired).into_iter().map(Arc::new).collect();
        let (mut at_work, quiet) = (JoinSet::new(), CancellationToken::new());
        for notifier in &notifiers {
            // Before anything happens, or it would be the past.
            if let Err(error) = notifier.begin().await {
                tracing::warn!(notifier = notifier.spec.name, %error, "cannot begin to tell; will try again");
            }
            at_work.spawn(kept_going(Arc::clone(notifier), quiet.clone()));
        }
        match wired.engine.state.deliveries().await {
            Ok(deliveries) => {
                let named = |name: &str| notifiers.iter().any(|notifier| notifier.spec.name == name);
                for one in deliveries.iter().filter(|one| !named(&one.notifier)) {
                    tracing::warn!(
                        notifier = one.notifier,
                        "the settings do not name it any more: what it was not told of yet is told to nobody in its place"
                    );
                }
            }
            Err(error) => tracing::warn!(%error, "cannot see who was told before"),
        }
        Telling { notifiers, at_work, quiet }
    }

    /// Stops them, with all told where this process does not come back (`once`) and it does not take long. Whether all is told, as far
    /// as that was tried.
    pub async fn end(mut self, once: bool) -> bool {
        self.quiet.cancel();
        let patience = if once { LAST_WORDS_ONCE } else { LAST_WORDS };
        let _ = tokio::time::timeout(patience, async { while self.at_work.join_next().await.is_some() {} }).await;
        // What is cut off here is sent again, as after a crash.
        self.at_work.shutdown().await;
        if !once {
            return true;
        }
        let (mut flushing, count) = (JoinSet::new(), self.notifiers.len());
        for notifier in self.notifiers {
            flushing.spawn(flushed(notifier));
        }
        let mut told = 0;
        let all = async {
            while let Some(flushed) = flushing.join_next().await {
                told += usize::from(flushed.unwrap_or(false));
            }
        };
        let _ = tokio::time::timeout(LAST_WORDS_ONCE, all).await;
        told == count
    }
}

async fn kept_going(notifier: Arc<Notifier>, quiet: CancellationToken) {
    loop {
        let (running, until) = (Arc::clone(&notifier), quiet.clone());
        let mut run = JoinSet::new();
        run.spawn(async move { running.run(&until).await });
        match run.join_next().await {
            Some(Err(panic)) if panic.is_panic() => {
                tracing::error!(notifier = notifier.spec.name, %panic, "a notifier failed badly; it begins again");
                let now = notifier.time.now();
                let pause = notifier.time.sleep_until(keywheel_core::decide::later(now, AFTER_PANIC));
                tokio::select! {
                    () = quiet.cancelled() => return,
                    () = pause => {}
                }
            }
            Some(_) | None => return,
        }
    }
}

async fn flushed(notifier: Arc<Notifier>) -> bool {
    let name = notifier.spec.name.as_str();
    match notifier.flush().await {
        Ok(true) => true,
        Ok(false) => {
            tracing::warn!(notifier = name, "not all was told; `keywheel notify list` says why");
            false
        }
        Err(error) => {
            tracing::warn!(notifier = name, %error, "not all was told");
            false
        }
    }
}
