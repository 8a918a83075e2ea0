//! `keywheel rollback`: undoes a rotation that was not promoted.

use jiff::SignedDuration;
use keywheel_runtime::Order;

use super::rotate::person;
use crate::exit::Exit;
use crate::output::talk;
use crate::progress::Progress;
use crate::turning::{self, Ending, Work};
use crate::{Session, args, signals, wire};

/// Undo a rotation that was not promoted yet
///
/// The target accepts `CURRENT` and refuses the candidate afterwards, and the exit code is 0. After promotion there is no
/// way back: rotate again instead.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the secret or its policy
    secret: String,
    /// How long to follow through pauses after failures
    #[arg(long, value_name = "LENGTH", default_value = "5m", value_parser = args::length)]
    wait: SignedDuration,
}

pub async fn run(args: &Args, cx: &mut Session) -> anyhow::Result<Exit> {
    let progress = Progress::new(&cx.bars);
    let wired = wire::open(&cx.globals.settings, Some(progress.observer())).await?;
    let policies = vec![wired.policies.one(&args.secret)?];
    let stopping = signals::stopping(|| talk("stopping after the step at work; once more stops at once"))?;
    let order = Order::RollBack { by: person() };
    let work = Work { engine: wired.engine, policies, order, patience: args.wait, stopping, progress };
    let turned = work.run().await;
    let exit = turning::tell(cx, &turned)?;
    // What is a failure elsewhere was the order here.
    let undone = turned.iter().all(|one| matches!(one.ending, Ending::RolledBack { .. }));
    Ok(if undone { Exit::Done } else { exit })
}
