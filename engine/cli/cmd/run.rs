//! `keywheel run`: the daemon, which rotates what is due and goes on with what is open.

use std::collections::BTreeMap;
use std::path::PathBuf;

use keywheel_runtime::{Aging, Schedule, Until};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::changes::Changes;
use crate::exit::{Exit, Failure};
use crate::select::Policies;
use crate::telling::Telling;
use crate::wire::Wired;
use crate::{Session, signals, wire};

/// Rotate what is due, until told to stop
///
/// SIGTERM or SIGINT stops it after the steps at work; a second one at once. What is under way goes on at the next start. When
/// settings or policies change, or on SIGHUP, they are read again; with a mistake in them the last good ones stay.
/// Other commands work beside it. A policy whose plugin cannot be used, or is there in no version that the policy asks for or in several,
/// rests, and the log warns of it; with any other mistake in settings or policies nothing is started.
/// Notifiers of the settings are told of what the policies say.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Return when nothing can be done at this moment, and all is told, instead of waiting for what comes. With exit code 6 if not all
    /// could be told
    #[arg(long)]
    once: bool,
}

pub async fn run(args: &Args, cx: &mut Session) -> anyhow::Result<Exit> {
    let file = &cx.globals.settings;
    let mut changes = Changes::new()?;
    let mut wired = wire::open_to_run(file).await?;
    let stopping = signals::stopping(|| tracing::info!("told to stop"))?;
    let open = wired.engine.state.open().await.map_err(Failure::from)?.len();
    tell_resting(&wired.policies);
    tracing::info!(
        policies = wired.policies.usable.len(),
        resting = wired.policies.resting.len(),
        open,
        version = env!("CARGO_PKG_VERSION"),
        "ready: {} policies, {open} rotations under way",
        wired.policies.usable.len()
    );
    let until = if args.once { Until::Idle } else { Until::Stopped };
    // What began by earlier policies, and ends by itself.
    let mut earlier = JoinSet::new();
    let ran = loop {
        if !args.once {
            changes.watch(file, &wired.settings);
        }
        let telling = Telling::begin(&wired).await;
        let making_way = CancellationToken::new();
        let schedule = schedule(&wired, &stopping);
        let running = schedule.run_until(until, &making_way);
        tokio::pin!(running);
        let next = loop {
            tokio::select! {
                biased;
                ran = &mut running => break Err(ran),
                () = changes.next(), if !args.once => match tokio::task::block_in_place(|| wire::again(file, &wired)) {
                    Ok(next) if is_same(&wired, &next) => {
                        let policies = wired.policies.usable.len();
                        tracing::info!(policies, "read again: nothing is other than before");
                    }
                    Ok(next) => break Ok(next),
                    Err(failure) => tracing::error!(
                        error = failure.what, hint = failure.hint,
                        "settings and policies were not read again: the last good ones stay"
                    ),
                },
            }
        };
        match next {
            Err(ran) => {
                let told = telling.end(args.once).await;
                break ran.map(|_| told);
            }
            Ok(next) => {
                making_way.cancel();
                match running.await {
                    Ok(Some(retired)) => drop(earlier.spawn(retired.done())),
                    Ok(None) => {}
                    Err(error) => break Err(error),
                }
                // By the earlier settings nobody is told any more, once the next are there.
                telling.end(false).await;
                tell_changes(&wired.policies, &next.policies);
                tell_resting(&next.policies);
                wired = next;
            }
        }
    };
    earlier.join_all().await;
    let told = ran.map_err(Failure::from)?;
    let counters = wired.journal.counters();
    tracing::info!(journal_commits = counters.commits, journal_writes = counters.writes, "stopped");
    Ok(if told { Exit::Done } else { Exit::Waiting })
}

/// Whether nothing would be otherwise by what was read again. What a provider's declaration says is not compared.
fn is_same(before: &Wired, after: &Wired) -> bool {
    let policies = |wired: &Wired| -> Vec<(String, String, PathBuf)> {
        let all = wired.policies.usable.iter();
        all.map(|policy| (policy.name.clone(), policy.digest.clone(), policy.file.clone())).collect()
    };
    let resting = |wired: &Wired| -> Vec<(String, String)> {
        wired.policies.resting.iter().map(|resting| (resting.policy.clone(), resting.why.clone())).collect()
    };
    before.settings == after.settings
        && after.settings.providers.is_empty()
        && policies(before) == policies(after)
        && resting(before) == resting(after)
}

fn schedule(wired: &Wired, stopping: &CancellationToken) -> Schedule {
    let resting = wired.policies.resting.iter().filter_map(Aging::of_resting);
    Schedule::new(wired.engine.clone(), wired.policies.usable.clone(), stopping.clone()).watching(resting)
}

fn tell_resting(policies: &Policies) {
    for resting in &policies.resting {
        tracing::warn!(
            policy = resting.policy,
            secret = resting.secret,
            file = resting.declaration,
            why = resting.why,
            "a policy rests, and its secret is not rotated: mend its rotator"
        );
    }
}

/// Says what is other than before. A policy that is gone is managed no more; nothing is done at its target.
fn tell_changes(before: &Policies, after: &Policies) {
    let by_name = |policies: &Policies| -> BTreeMap<String, String> {
        policies.usable.iter().map(|policy| (policy.name.clone(), policy.digest.clone())).collect()
    };
    let (before, after) = (by_name(before), by_name(after));
    for policy in before.keys().filter(|name| !after.contains_key(*name)) {
        tracing::warn!(policy, "not managed any more: its credentials stay as they are");
    }
    let added = after.keys().filter(|name| !before.contains_key(*name)).count();
    let changed = after.iter().filter(|(name, digest)| before.get(*name).is_some_and(|was| was != *digest)).count();
    let policies = after.len();
    tracing::info!(policies, added, changed, "read again: {policies} policies, {added} new, {changed} changed");
}
