//! `keywheel secret versions`: all kept versions of a secret, no values.

use jiff::Timestamp;
use keywheel_secrets::{SecretStore, VersionInfo};
use serde::Serialize;

use super::label_word;
use crate::exit::{Exit, Failure};
use crate::output::instant;
use crate::{Session, select, wire};

/// List a secret's kept versions, newest first, without values
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the secret
    name: String,
}

/// One version as JSON. Stable.
#[derive(Serialize)]
struct Line {
    version: String,
    /// `PENDING`, `CURRENT`, `PREVIOUS` or null.
    label: Option<&'static str>,
    created_at: Timestamp,
    promoted_at: Option<Timestamp>,
}

pub async fn run(args: &Args, cx: &mut Session) -> anyhow::Result<Exit> {
    let settings = wire::settings(&cx.globals.settings)?;
    let secrets = wire::secrets(&settings).await?;
    let line = |info: VersionInfo| Line {
        version: info.version,
        label: info.label.map(label_word),
        created_at: info.created_at,
        promoted_at: info.promoted_at,
    };
    let lines: Vec<Line> = secrets.versions(&args.name).await.map_err(Failure::from)?.into_iter().map(line).collect();
    if lines.is_empty() {
        let listed = secrets.list().await.map_err(Failure::from)?;
        let near = select::suggestion(&args.name, listed.iter().map(|info| info.name.as_str()));
        return Err(Failure::input(format!("there is no secret `{}`", args.name))
            .hint(near.unwrap_or_else(|| "`keywheel secret list` lists what there is".to_owned()))
            .into());
    }
    if cx.out.is_json() {
        cx.out.json(&lines)?;
    } else {
        let row = |line: &Line| {
            let promoted = line.promoted_at.map_or_else(|| "-".to_owned(), instant);
            vec![line.version.clone(), line.label.unwrap_or("-").to_owned(), instant(line.created_at), promoted]
        };
        cx.out.table(&["VERSION", "LABEL", "CREATED", "PROMOTED"], &lines.iter().map(row).collect::<Vec<_>>())?;
    }
    Ok(Exit::Done)
}
