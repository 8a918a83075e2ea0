//! `keywheel run`: the daemon, which rotates what is due and goes on with what is open.

use keywheel_runtime::{Schedule, Until};

use crate::exit::Exit;
use crate::{Session, signals, wire};

/// Rotate what is due, until told to stop
///
/// SIGTERM or SIGINT stops it after the steps at work; a second one at once. What is under way goes on at the next start.
/// Other commands work beside it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Return when nothing can be done at this moment, instead of waiting for what comes
    #[arg(long)]
    once: bool,
}

pub async fn run(args: &Args, cx: &mut Session) -> anyhow::Result<Exit> {
    let wired = wire::open_all(&cx.globals.settings, None).await?;
    let stopping = signals::stopping(|| tracing::info!("told to stop"))?;
    let open = wired.engine.state.open().await.map_err(crate::exit::Failure::from)?.len();
    tracing::info!(
        policies = wired.policies.usable.len(),
        open,
        version = env!("CARGO_PKG_VERSION"),
        "ready: {} policies, {open} rotations under way",
        wired.policies.usable.len()
    );
    let until = if args.once { Until::Idle } else { Until::Stopped };
    let schedule = Schedule::new(wired.engine, wired.policies.usable, stopping);
    schedule.run(until).await.map_err(crate::exit::Failure::from)?;
    let counters = wired.journal.counters();
    tracing::info!(journal_commits = counters.commits, journal_writes = counters.writes, "stopped");
    Ok(Exit::Done)
}
