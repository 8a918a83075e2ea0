//! `keywheel notify list`: who is told, and how far each is.

use jiff::Timestamp;
use keywheel_policies::Channel;
use keywheel_state::Delivery;
use serde::Serialize;

use crate::exit::{Exit, Failure};
use crate::output::{instant, talk};
use crate::{Session, wire};

/// So many waiting notices are counted.
const COUNTED: usize = 10_000;

/// List notifiers, and how far each is
#[derive(Debug, clap::Args)]
pub struct Args {}

/// One notifier as JSON. Stable.
#[derive(Serialize)]
struct Line {
    notifier: String,
    channel: &'static str,
    /// Notices that it was not told of yet, up to 10,000. `null` before `keywheel run` first knew it.
    waiting: Option<usize>,
    /// When a message was last taken.
    sent_at: Option<Timestamp>,
    /// What the message that is on its way failed with.
    trouble: Option<String>,
    /// When that is tried again.
    next_try: Option<Timestamp>,
    /// Messages that were never taken, and are tried no more.
    given_up: u64,
}

pub async fn run(_args: &Args, cx: &mut Session) -> anyhow::Result<Exit> {
    let wired = wire::open(&cx.globals.settings, None).await?;
    let (state, routes) = (&wired.engine.state, wire::routes(&wired));
    let deliveries = state.deliveries().await.map_err(Failure::from)?;
    let mut lines = Vec::new();
    for spec in &wired.notifiers {
        let name = spec.name.as_str();
        let delivery: Option<&Delivery> = deliveries.iter().find(|delivery| delivery.notifier == name);
        let waiting = match delivery {
            Some(delivery) => {
                let behind = state.notices(delivery.done, COUNTED).await.map_err(Failure::from)?;
                Some(behind.iter().filter(|one| routes.leads(&one.notice, name)).count())
            }
            None => None,
        };
        let sending = delivery.and_then(|delivery| delivery.sending.as_ref());
        lines.push(Line {
            notifier: spec.name.clone(),
            channel: word(&spec.channel),
            waiting,
            sent_at: delivery.and_then(|delivery| delivery.sent_at),
            trouble: sending.and_then(|sending| sending.trouble.clone()),
            next_try: sending.filter(|sending| sending.tries > 0).map(|sending| sending.next),
            given_up: delivery.map_or(0, |delivery| delivery.given_up),
        });
    }
    if cx.out.is_json() {
        cx.out.json(&lines)?;
    } else if lines.is_empty() {
        talk("no notifiers yet; they are declared in keywheel.yaml, under `notifiers`");
    } else {
        let dash = || "-".to_owned();
        let row = |line: &Line| {
            vec![
                line.notifier.clone(),
                line.channel.to_owned(),
                line.waiting.map_or_else(dash, |waiting| waiting.to_string()),
                line.sent_at.map_or_else(dash, instant),
                line.given_up.to_string(),
                line.trouble.clone().unwrap_or_else(dash),
            ]
        };
        let rows: Vec<_> = lines.iter().map(row).collect();
        cx.out.table(&["NOTIFIER", "CHANNEL", "WAITING", "LAST MESSAGE", "GIVEN UP", "TROUBLE"], &rows)?;
    }
    Ok(Exit::Done)
}

fn word(channel: &Channel) -> &'static str {
    match channel {
        Channel::Email(_) => "email",
        Channel::Webhook(_) => "webhook",
        Channel::Slack(_) => "slack",
        Channel::Teams(_) => "teams",
        Channel::Log => "log",
    }
}
