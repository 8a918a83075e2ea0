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
    /// `null`: the settings do not name it any more.
    channel: Option<&'static str>,
    /// Notices that it was not told of yet, up to 10,000. `null` before `keywheel run` first knew it, and where the settings do not name
    /// it any more.
    waiting: Option<usize>,
    /// When a message was last taken.
    sent_at: Option<Timestamp>,
    /// What the message that is on its way failed with, or what was wrong with the last one although it was taken.
    trouble: Option<String>,
    /// When that is tried again.
    next_try: Option<Timestamp>,
    /// Messages that were never taken, and are tried no more.
    given_up: u64,
}

pub async fn run(_args: &Args, cx: &mut Session) -> anyhow::Result<Exit> {
    let wired = wire::open(&cx.globals.settings, None).await?;
    let deliveries = wired.engine.state.deliveries().await.map_err(Failure::from)?;
    let of = |name: &str| deliveries.iter().find(|delivery| delivery.notifier == name);
    let mut lines = Vec::new();
    for notifier in wire::notifiers(&wired) {
        let (spec, waiting) = (&notifier.spec, notifier.waiting(COUNTED).await.map_err(Failure::from)?);
        lines.push(Line { channel: Some(word(&spec.channel)), waiting, ..line(&spec.name, of(&spec.name)) });
    }
    let gone = deliveries.iter().filter(|one| wired.settings.notifiers.iter().all(|spec| spec.name != one.notifier));
    lines.extend(gone.map(|delivery| line(&delivery.notifier, Some(delivery))));
    if cx.out.is_json() {
        cx.out.json(&lines)?;
    } else if lines.is_empty() {
        talk("no notifiers yet; they are declared in keywheel.yaml, under `notifiers`");
    } else {
        let dash = || "-".to_owned();
        let row = |line: &Line| {
            vec![
                line.notifier.clone(),
                line.channel.map_or_else(dash, str::to_owned),
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

/// What is known of a notifier, but for its settings.
fn line(notifier: &str, delivery: Option<&Delivery>) -> Line {
    let sending = delivery.and_then(|delivery| delivery.sending.as_ref());
    let trouble = sending
        .map_or_else(|| delivery.and_then(|delivery| delivery.trouble.clone()), |sending| sending.trouble.clone());
    Line {
        notifier: notifier.to_owned(),
        channel: None,
        waiting: None,
        sent_at: delivery.and_then(|delivery| delivery.sent_at),
        trouble,
        next_try: sending.filter(|sending| sending.tries > 0).map(|sending| sending.next),
        given_up: delivery.map_or(0, |delivery| delivery.given_up),
    }
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
