//! `keywheel secret list`: names and labels, no values.

use jiff::Timestamp;
use keywheel_secrets::{SecretInfo, SecretStore};
use serde::Serialize;

use crate::exit::{Exit, Failure};
use crate::output::{instant, talk};
use crate::{Session, wire};

/// List secrets, without values
#[derive(Debug, clap::Args)]
pub struct Args {}

/// One secret as JSON. Stable.
#[derive(Serialize)]
struct Line {
    name: String,
    current: Option<String>,
    current_since: Option<Timestamp>,
    pending: Option<String>,
    previous: Option<String>,
}

pub async fn run(_args: &Args, cx: &mut Session) -> anyhow::Result<Exit> {
    let settings = wire::settings(&cx.globals.settings)?;
    let secrets = wire::secrets(&settings).await?;
    let line = |info: SecretInfo| Line {
        name: info.name,
        current: info.labels.current,
        current_since: info.current_since,
        pending: info.labels.pending,
        previous: info.labels.previous,
    };
    let lines: Vec<Line> = secrets.list().await.map_err(Failure::from)?.into_iter().map(line).collect();
    if cx.out.is_json() {
        cx.out.json(&lines)?;
    } else if lines.is_empty() {
        talk("no secrets yet; `keywheel secret put NAME` puts one");
    } else {
        let cell = |version: &Option<String>| version.clone().unwrap_or_else(|| "-".to_owned());
        let row = |line: &Line| {
            let since = line.current_since.map_or_else(|| "-".to_owned(), instant);
            vec![line.name.clone(), cell(&line.current), since, cell(&line.pending), cell(&line.previous)]
        };
        cx.out
            .table(&["NAME", "CURRENT", "SINCE", "PENDING", "PREVIOUS"], &lines.iter().map(row).collect::<Vec<_>>())?;
    }
    Ok(Exit::Done)
}
