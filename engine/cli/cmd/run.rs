//! `keywheel run`: the daemon, which rotates what is due and goes on with what is open.

use keywheel_runtime::{Aging, Schedule, Until};

use crate::exit::{Exit, Failure};
use crate::telling::Telling;
use crate::{Session, signals, wire};

/// Rotate what is due, until told to stop
///
/// SIGTERM or SIGINT stops it after the steps at work; a second one at once. What is under way goes on at the next start.
/// Other commands work beside it. A policy whose plugin cannot be used, or is there in no version that the policy asks for or in several,
/// rests until the next start, and the log warns of it; with any other mistake in settings or policies nothing is started.
/// Notifiers of the settings are told of what the policies say.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Return when nothing can be done at this moment, and all is told, instead of waiting for what comes
    #[arg(long)]
    once: bool,
}

pub async fn run(args: &Args, cx: &mut Session) -> anyhow::Result<Exit> {
    let wired = wire::open_to_run(&cx.globals.settings).await?;
    let stopping = signals::stopping(|| tracing::info!("told to stop"))?;
    let open = wired.engine.state.open().await.map_err(Failure::from)?.len();
    for resting in &wired.policies.resting {
        tracing::warn!(
            policy = resting.policy,
            secret = resting.secret,
            file = resting.declaration,
            why = resting.why,
            "a policy rests, and its secret is not rotated: mend its rotator and start again"
        );
    }
    tracing::info!(
        policies = wired.policies.usable.len(),
        resting = wired.policies.resting.len(),
        open,
        version = env!("CARGO_PKG_VERSION"),
        "ready: {} policies, {open} rotations under way",
        wired.policies.usable.len()
    );
    let telling = Telling::begin(&wired).await;
    let until = if args.once { Until::Idle } else { Until::Stopped };
    let resting = wired.policies.resting.iter().filter_map(Aging::of_resting);
    let schedule = Schedule::new(wired.engine, wired.policies.usable, stopping).watching(resting);
    let ran = schedule.run(until).await;
    telling.end(args.once).await;
    ran.map_err(Failure::from)?;
    let counters = wired.journal.counters();
    tracing::info!(journal_commits = counters.commits, journal_writes = counters.writes, "stopped");
    Ok(Exit::Done)
}
