//! `keywheel notify test`: sends a message to see whether it arrives.

use keywheel_core::{Notice, NoticeKind};
use keywheel_notify::{Message, Sent};
use serde::Serialize;

use super::named;
use crate::exit::Exit;
use crate::{Session, wire};

/// Send a message to see whether it arrives
///
/// Nothing is written down, and what waits to be told is left alone.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only these notifiers
    #[arg(value_name = "NOTIFIER")]
    names: Vec<String>,
}

/// One notifier as JSON. Stable.
#[derive(Serialize)]
struct Line {
    notifier: String,
    /// Whether the message was taken.
    taken: bool,
    /// Why not.
    trouble: Option<String>,
}

pub async fn run(args: &Args, cx: &mut Session) -> anyhow::Result<Exit> {
    let wired = wire::open(&cx.globals.settings, None).await?;
    let (now, mut lines) = (wired.engine.clock.now(), Vec::new());
    for notifier in named(&wired, &args.names)? {
        let name = notifier.spec.name.clone();
        let notice = Notice {
            id: format!("test/{}", wired.engine.clock.rotation_id()),
            kind: NoticeKind::Test,
            at: now,
            secret: None,
            policy: None,
            rotation: None,
            step: None,
            message: "somebody wants to see whether messages arrive: this one did".to_owned(),
            to: Some(name.clone()),
        };
        let message = Message::of(&name, notifier.sender.clone(), vec![notice], now).expect("of one notice");
        let trouble = match notifier.channel.send(&message, &[], now).await {
            Ok(Sent { but }) => but,
            Err(error) => Some(error.to_string()),
        };
        lines.push(Line { notifier: name, taken: trouble.is_none(), trouble });
    }
    if cx.out.is_json() {
        cx.out.json(&lines)?;
    } else {
        let row = |line: &Line| {
            let outcome = line.trouble.as_ref().map_or_else(|| "taken".to_owned(), |why| format!("not taken: {why}"));
            vec![line.notifier.clone(), outcome]
        };
        cx.out.table(&["NOTIFIER", "MESSAGE"], &lines.iter().map(row).collect::<Vec<_>>())?;
    }
    Ok(if lines.iter().all(|line| line.taken) { Exit::Done } else { Exit::Findings })
}
