//! `keywheel plan`: who rotates when, as the schedules are now.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use keywheel_core::{Rotation, schedule};
use keywheel_policies::{Adopt, Policy, Trigger};
use keywheel_runtime::{Live, due_after, target_key};
use serde::Serialize;

use crate::exit::{Exit, Failure};
use crate::output::{length, seconds, talk, zoned};
use crate::{Session, args, wire};

/// Show who rotates when
///
/// As the schedules are now, and as if each rotation succeeded at its first try. Changes nothing.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only these secrets or policies
    #[arg(value_name = "SECRET|POLICY")]
    names: Vec<String>,
    /// How far to look, as a length of time
    #[arg(long, value_name = "LENGTH", default_value = "90d", value_parser = args::length)]
    until: SignedDuration,
    /// Look from this instant on instead of from now, such as `2026-12-01T00:00:00Z`
    #[arg(long, value_name = "INSTANT")]
    from: Option<Timestamp>,
}

/// More rotations of one policy are not listed.
const MOST: usize = 1_000;

/// The whole answer as JSON. Stable.
#[derive(Serialize)]
struct Plan {
    from: Timestamp,
    until: Timestamp,
    /// In the order of time.
    rotations: Vec<Planned>,
    /// Hours in which several secrets of one target are due.
    collisions: Vec<Collision>,
    freezes: Vec<Frozen>,
    /// Policies that no schedule will rotate, and why.
    resting: Vec<Resting>,
    /// Policies of which more rotations fall into this time than are listed.
    cut: Vec<String>,
}

#[derive(Serialize)]
struct Planned {
    at: Timestamp,
    /// The same instant in the policy's zone.
    local: String,
    policy: String,
    secret: String,
    target: String,
    max_age_seconds: Option<f64>,
    /// `CURRENT` is older than `max_age` by then.
    late: bool,
}

#[derive(Serialize)]
struct Collision {
    hour: Timestamp,
    target: String,
    rotations: usize,
}

#[derive(Serialize)]
struct Frozen {
    name: String,
    from: String,
    to: String,
    policies: usize,
}

#[derive(Serialize)]
struct Resting {
    policy: String,
    secret: String,
    /// `manual`, `no-current`, `parked`, or `broken-rotator`: its rotator cannot be used, or is not clear.
    why: &'static str,
}

pub async fn run(args: &Args, cx: &mut Session) -> anyhow::Result<Exit> {
    let wired = wire::open(&cx.globals.settings, None).await?;
    let (policies, broken) = wired.policies.all_or_named(&args.names)?;
    let from = args.from.unwrap_or_else(|| wired.engine.clock.now());
    let until = from.checked_add(args.until).map_err(|_| Failure::input("`--until` ends after the end of time"))?;
    let listed = wired.engine.secrets.list().await.map_err(Failure::from)?;
    let live: HashMap<_, _> = listed.iter().map(|info| (info.name.as_str(), Live::from(info))).collect();
    let latest: HashMap<_, _> = wired
        .engine
        .state
        .latest()
        .await
        .map_err(Failure::from)?
        .into_iter()
        .map(|rotation| (rotation.fixed.secret.clone(), rotation))
        .collect();
    let mut plan = Plan {
        from,
        until,
        rotations: Vec::new(),
        collisions: Vec::new(),
        freezes: freezes(&policies, from, until),
        resting: Vec::new(),
        cut: Vec::new(),
    };
    for policy in &policies {
        let live = live.get(policy.secret.name.as_str()).copied().unwrap_or_default();
        plan.add(policy, live, latest.get(&policy.secret.name));
    }
    plan.resting.extend(broken.into_iter().map(|one| Resting {
        policy: one.policy.clone(),
        secret: one.secret.clone(),
        why: "broken-rotator",
    }));
    plan.rotations.sort_by(|a, b| (a.at, &a.secret).cmp(&(b.at, &b.secret)));
    plan.collisions = collisions(&plan.rotations);
    if cx.out.is_json() {
        cx.out.json(&plan)?;
    } else {
        write(cx, &plan)?;
    }
    Ok(Exit::Done)
}

impl Plan {
    fn add(&mut self, policy: &Policy, live: Live, last: Option<&Rotation>) {
        if let Some(why) = why_resting(policy, live.since, last) {
            self.resting.push(Resting { policy: policy.name.clone(), secret: policy.secret.name.clone(), why });
            return;
        }
        let max_age = policy.max_age.and_then(|max_age| SignedDuration::try_from(max_age).ok());
        let (mut since, mut count) = (live.since, 0);
        let mut next = due_after(
            policy,
            live,
            last.filter(|last| last.state.ended()).map_or(&[], std::slice::from_ref),
            self.from,
        );
        if let Some(due) = next.filter(|due| *due < self.from) {
            // Overdue: it starts as soon as the window is open.
            next = schedule::next_open(&policy.schedule, self.from.max(due));
        }
        while let Some(at) = next.filter(|at| *at <= self.until) {
            if count == MOST {
                self.cut.push(policy.name.clone());
                return;
            }
            count += 1;
            let age = since.map(|since| at.duration_since(since));
            self.rotations.push(Planned {
                at,
                local: zoned(&at.to_zoned(policy.schedule.timezone.clone())),
                policy: policy.name.clone(),
                secret: policy.secret.name.clone(),
                target: target_key(policy),
                max_age_seconds: max_age.map(seconds),
                late: age.zip(max_age).is_some_and(|(age, max_age)| age > max_age),
            });
            since = Some(at);
            next = schedule::next_due(&policy.schedule, &policy.secret.name, at);
        }
    }
}

fn why_resting(policy: &Policy, since: Option<Timestamp>, last: Option<&Rotation>) -> Option<&'static str> {
    use keywheel_core::Progress;
    if last.is_some_and(|last| matches!(last.state.progress, Progress::Parked { .. })) {
        return Some("parked");
    }
    match (&policy.schedule.trigger, since, policy.adopt) {
        (_, None, Adopt::Keep) => Some("no-current"),
        (Trigger::Manual, Some(_), _) => Some("manual"),
        (Trigger::Every(_) | Trigger::Cron(_) | Trigger::Manual, _, _) => None,
    }
}

fn freezes(policies: &[Arc<Policy>], from: Timestamp, until: Timestamp) -> Vec<Frozen> {
    let mut frozen: BTreeMap<&str, Frozen> = BTreeMap::new();
    for freeze in policies.iter().flat_map(|policy| &policy.schedule.freezes) {
        let instant = |at: jiff::civil::DateTime| at.to_zoned(freeze.timezone.clone()).map(|zoned| zoned.timestamp());
        let (Ok(begins), Ok(ends)) = (instant(freeze.from), instant(freeze.to)) else { continue };
        if begins < until && ends > from {
            let fresh = || Frozen {
                name: freeze.name.clone(),
                from: freeze.from.to_string(),
                to: freeze.to.to_string(),
                policies: 0,
            };
            frozen.entry(&freeze.name).or_insert_with(fresh).policies += 1;
        }
    }
    frozen.into_values().collect()
}

fn collisions(rotations: &[Planned]) -> Vec<Collision> {
    const HOUR: i64 = 3_600;
    let mut hours: BTreeMap<(i64, &str), usize> = BTreeMap::new();
    for rotation in rotations {
        *hours.entry((rotation.at.as_second().div_euclid(HOUR), &rotation.target)).or_default() += 1;
    }
    hours
        .into_iter()
        .filter(|(_, count)| *count > 1)
        .map(|((hour, target), rotations)| Collision {
            hour: Timestamp::from_second(hour * HOUR).expect("the hour of an instant is an instant"),
            target: target.to_owned(),
            rotations,
        })
        .collect()
}

fn write(cx: &mut Session, plan: &Plan) -> anyhow::Result<()> {
    if plan.rotations.is_empty() {
        talk("nothing is due in this time");
    } else {
        let row = |one: &Planned| {
            let max_age = one.max_age_seconds.and_then(|max_age| SignedDuration::try_from_secs_f64(max_age).ok());
            let max_age =
                max_age.map(|max_age| format!("{}{}", length(max_age), if one.late { " EXCEEDED" } else { "" }));
            vec![
                one.local.clone(),
                one.secret.clone(),
                one.policy.clone(),
                one.target.clone(),
                max_age.unwrap_or_default(),
            ]
        };
        let rows: Vec<_> = plan.rotations.iter().map(row).collect();
        cx.out.table(&["WHEN", "SECRET", "POLICY", "TARGET", "MAX AGE"], &rows)?;
    }
    for resting in &plan.resting {
        talk(&match resting.why {
            "no-current" => format!(
                "note: `{0}` has no CURRENT yet: put it with `keywheel secret put {0}`, or say `adopt: rotate` in `{1}`",
                resting.secret, resting.policy
            ),
            "broken-rotator" => {
                format!("note: `{}` rests until its rotator is mended", resting.secret)
            }
            "parked" => format!("note: `{}` is parked and waits for a person", resting.secret),
            _ => format!("note: `{}` is rotated by hand only", resting.secret),
        });
    }
    for collision in &plan.collisions {
        let hour = crate::output::instant(collision.hour);
        talk(&format!("note: {} rotations at {} within the hour from {hour}", collision.rotations, collision.target));
    }
    for freeze in &plan.freezes {
        talk(&format!(
            "note: freeze `{}` from {} to {} holds {} policies",
            freeze.name, freeze.from, freeze.to, freeze.policies
        ));
    }
    for policy in &plan.cut {
        talk(&format!("note: only the first {MOST} rotations of `{policy}` are listed"));
    }
    Ok(())
}
