//! `keywheel notify send`: sends what waits to be told, now.

use super::named;
use crate::exit::{Exit, Failure};
use crate::output::talk;
use crate::{Session, wire};

/// Send what waits to be told, without waiting for more
///
/// For use after a notifier was mended, and without a daemon; but what is overdue or stands still is seen by `keywheel run` only. What is
/// not taken is tried again by it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only these notifiers
    #[arg(value_name = "NOTIFIER")]
    names: Vec<String>,
}

pub async fn run(args: &Args, cx: &mut Session) -> anyhow::Result<Exit> {
    let wired = wire::open(&cx.globals.settings, None).await?;
    let mut exits = Vec::new();
    for notifier in named(&wired, &args.names)? {
        let name = &notifier.spec.name;
        if notifier.begin().await.map_err(Failure::from)? {
            talk(&format!("`{name}` is new: it is told of what happens from now on"));
        }
        let all = notifier.flush().await.map_err(Failure::from)?;
        if !all {
            talk(&format!("not all was taken for `{name}`; `keywheel notify list` says why"));
        }
        exits.push(if all { Exit::Done } else { Exit::Waiting });
    }
    Ok(Exit::gravest(exits))
}
