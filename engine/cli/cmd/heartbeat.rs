//! `keywheel heartbeat`: asks targets now whether they accept what is live.

use std::collections::HashMap;
use std::sync::Arc;

use keywheel_core::heartbeat::Heard;
use keywheel_policies::{Policy, Resting};
use keywheel_runtime::{Beat, Engine, RunError, target_key};
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::exit::{Exit, Failure};
use crate::output::talk;
use crate::{Session, signals, wire};

/// Ask targets whether they accept the live value
///
/// Changes nothing and tells nobody. A no is asked about once more after ten seconds, before it is called drift. A secret with a rotation
/// under way is not asked about. Without names all secrets are, whether or not their policies have a `heartbeat`; as many at once as
/// `limits` says.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only these secrets or policies
    #[arg(value_name = "SECRET|POLICY")]
    names: Vec<String>,
}

/// One secret as JSON. Stable.
#[derive(Serialize)]
struct Line {
    policy: String,
    secret: String,
    /// The version that was asked about, if one was.
    version: Option<String>,
    /// `accepted`, `drift` or `unknown`.
    outcome: &'static str,
    /// What the target said, or why nothing is known.
    why: Option<String>,
    /// The exit code that this secret alone would give.
    exit: u8,
    #[serde(skip)]
    code: Exit,
}

pub async fn run(args: &Args, cx: &mut Session) -> anyhow::Result<Exit> {
    let wired = wire::open(&cx.globals.settings, None).await?;
    let (policies, resting) = wired.policies.all_or_named(&args.names)?;
    let stopping = signals::stopping(|| talk("stopping; once more stops at once"))?;
    let mut lines = ask_all(&wired.engine, policies, &stopping).await;
    lines.extend(resting.into_iter().map(Line::resting));
    if cx.out.is_json() {
        cx.out.json(&lines)?;
    } else if lines.is_empty() {
        talk("no policies yet");
    } else {
        let row =
            |line: &Line| vec![line.secret.clone(), line.outcome.to_owned(), line.why.clone().unwrap_or_default()];
        cx.out.table(&["SECRET", "CURRENT", ""], &lines.iter().map(row).collect::<Vec<_>>())?;
    }
    for line in lines.iter().filter(|line| line.outcome == "drift") {
        let secret = &line.secret;
        talk(&format!(
            "hint: if somebody changed it by hand, put what they set: `keywheel secret put {secret}`; else `keywheel rotate {secret}` \
             makes a new one"
        ));
    }
    Ok(Exit::gravest(lines.iter().map(|line| line.code)))
}

/// All at the same time within the limits, in the order of the policies.
async fn ask_all(engine: &Arc<Engine>, policies: Vec<Arc<Policy>>, stopping: &CancellationToken) -> Vec<Line> {
    let limits = engine.limits;
    let all = Arc::new(Semaphore::new(limits.rotations.max(1)));
    let mut targets: HashMap<String, Arc<Semaphore>> = HashMap::new();
    let mut at_work = JoinSet::new();
    for (number, policy) in policies.into_iter().enumerate() {
        let at_target = || Arc::new(Semaphore::new(limits.per_target.max(1)));
        let target = Arc::clone(targets.entry(target_key(&policy)).or_insert_with(at_target));
        let (engine, all, stopping) = (Arc::clone(engine), Arc::clone(&all), stopping.clone());
        at_work.spawn(async move {
            let _at_target = target.acquire().await.expect("never closed");
            let _among_all = all.acquire().await.expect("never closed");
            let beat = engine.sure_heartbeat(&policy, &stopping).await;
            (number, Line::of(&policy, beat))
        });
    }
    let mut lines = at_work.join_all().await;
    lines.sort_by_key(|(number, _)| *number);
    lines.into_iter().map(|(_, line)| line).collect()
}

impl Line {
    fn of(policy: &Policy, beat: Result<Beat, RunError>) -> Line {
        let unknown = |why: &str, code| (None, "unknown", Some(why.to_owned()), code);
        let (version, outcome, why, code) = match beat {
            Ok(Beat::Asked { version, heard }) => {
                let (outcome, why, code) = match heard {
                    Heard::Accepted => ("accepted", None, Exit::Done),
                    Heard::Refused { reason } => ("drift", Some(reason), Exit::Findings),
                    Heard::Unknown { why } => ("unknown", Some(why), Exit::Findings),
                };
                (Some(version), outcome, why, code)
            }
            Ok(Beat::UnderWay) => unknown("a rotation is under way", Exit::Waiting),
            Ok(Beat::Nothing) => unknown("there is no CURRENT yet", Exit::Findings),
            Ok(Beat::Stopped) => unknown("stopped here on request", Exit::Waiting),
            Err(error) => {
                let failure = Failure::from(error);
                unknown(&failure.what, failure.exit)
            }
        };
        let (policy, secret) = (policy.name.clone(), policy.secret.name.clone());
        Line { policy, secret, version, outcome, why, exit: code as u8, code }
    }

    fn resting(resting: &Resting) -> Line {
        let (policy, secret) = (resting.policy.clone(), resting.secret.clone());
        let why = Some(format!("its policy rests: {}", resting.why));
        let code = Exit::Findings;
        Line { policy, secret, version: None, outcome: "unknown", why, exit: code as u8, code }
    }
}
