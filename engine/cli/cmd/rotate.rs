//! `keywheel rotate`: turns secrets now, whatever the schedule says.

use std::sync::Arc;

use jiff::SignedDuration;
use keywheel_policies::Policy;
use keywheel_runtime::Order;
use serde::Serialize;

use crate::exit::{Exit, Failure};
use crate::output::talk;
use crate::progress::Progress;
use crate::turning::{self, Work};
use crate::{Session, args, preflight, signals, wire};

/// Rotate secrets now
///
/// Goes on with what is under way, else begins anew, and follows it until it is done, rolled back, parked or promoted with a
/// grace period to wait for. Windows and freezes do not hold it up. With several secrets, as many at once as `limits` says.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Names of secrets or policies
    #[arg(value_name = "SECRET|POLICY")]
    names: Vec<String>,
    /// All secrets
    #[arg(long, conflicts_with = "names")]
    all: bool,
    /// Only policies with this label; may be repeated
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = args::pair)]
    labels: Vec<(String, String)>,
    /// Only ask the targets what a rotation would meet; change nothing
    #[arg(long)]
    dry_run: bool,
    /// Why; kept with the rotation
    #[arg(long)]
    reason: Option<String>,
    /// Only write it down: `keywheel run` turns it
    #[arg(long, conflicts_with = "dry_run")]
    detach: bool,
    /// How long to follow through pauses after failures
    #[arg(long, value_name = "LENGTH", default_value = "5m", value_parser = args::length)]
    wait: SignedDuration,
}

pub async fn run(args: &Args, cx: &mut Session) -> anyhow::Result<Exit> {
    if args.names.is_empty() && !args.all && args.labels.is_empty() {
        return Err(Failure::input("no secret was named")
            .hint("name secrets or policies, or say `--all` or `--label env=prod`")
            .into());
    }
    let progress = Progress::new(&cx.bars);
    let (wired, named) = if args.names.is_empty() {
        // Whoever says all must not get less without a word.
        let wired = wire::open_all(&cx.globals.settings, Some(progress.observer())).await?;
        let all = wired.policies.usable.clone();
        (wired, all)
    } else {
        let wired = wire::open(&cx.globals.settings, Some(progress.observer())).await?;
        let named = wired.policies.named(&args.names)?;
        (wired, named)
    };
    let policies: Vec<Arc<Policy>> = named
        .into_iter()
        .filter(|policy| args.labels.iter().all(|(name, value)| policy.labels.get(name) == Some(value)))
        .collect();
    if policies.is_empty() {
        return Err(Failure::input("no policy fits").hint("`keywheel status` lists all").into());
    }
    if args.dry_run {
        return dry_run(cx, &wired, &policies).await;
    }
    let (by, reason) = (person(), args.reason.clone());
    let order = if args.detach { Order::Leave { by, reason } } else { Order::Now { by, reason } };
    let stopping = signals::stopping(|| talk("stopping after the step at work; once more stops at once"))?;
    let work = Work { engine: wired.engine, policies, order, patience: args.wait, stopping, progress };
    let turned = work.run().await;
    turning::tell(cx, &turned)
}

/// Who gives the order, as far as this machine knows. For the record, not for any decision.
pub fn person() -> String {
    let read = wire::environment();
    ["SUDO_USER", "USER", "LOGNAME"].into_iter().find_map(|name| read(name)).unwrap_or_else(|| "unknown".to_owned())
}

/// One finding as JSON. Stable.
#[derive(Serialize)]
struct Line {
    policy: String,
    secret: String,
    /// `error`, `warning` or `fine`.
    severity: &'static str,
    what: String,
    hint: String,
}

async fn dry_run(cx: &mut Session, wired: &wire::Wired, policies: &[Arc<Policy>]) -> anyhow::Result<Exit> {
    let mut lines = Vec::new();
    for policy in policies {
        lines.extend(preflight::findings(&wired.engine, policy).await.into_iter().map(|finding| Line {
            policy: policy.name.clone(),
            secret: policy.secret.name.clone(),
            severity: preflight::word(finding.severity),
            what: finding.what,
            hint: finding.hint,
        }));
    }
    if cx.out.is_json() {
        cx.out.json(&lines)?;
    } else {
        let row =
            |line: &Line| vec![line.policy.clone(), line.severity.to_owned(), line.what.clone(), line.hint.clone()];
        cx.out.table(&["POLICY", "", "FOUND", "TO DO"], &lines.iter().map(row).collect::<Vec<_>>())?;
        talk("dry run: nothing was changed");
    }
    Ok(if lines.iter().any(|line| line.severity == "error") { Exit::Findings } else { Exit::Done })
}
