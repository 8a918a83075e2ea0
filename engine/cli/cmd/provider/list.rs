//! `keywheel provider list`: all of them, also those whose declaration has mistakes.

use serde::Serialize;

use crate::exit::Exit;
use crate::output::talk;
use crate::wire::{Declaration, Origin};
use crate::{Session, wire};

/// List providers: those of this build and those that the settings name
///
/// A declaration with mistakes is listed as broken, and its mistakes are shown.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// One provider as JSON. Stable.
#[derive(Serialize)]
struct Line {
    /// The word after `rotator:`; null where a broken declaration does not say.
    name: Option<String>,
    /// `shipped` or `file`.
    origin: &'static str,
    /// The declaration's file.
    file: Option<String>,
    about: Option<String>,
    /// What it can do: `create`, `list`, `verify`, `disable`, `delete`.
    requests: Vec<&'static str>,
    /// Where the vendor documents its API.
    docs: Option<String>,
    broken: bool,
    mistakes: Vec<Mistaken>,
}

#[derive(Serialize)]
struct Mistaken {
    line: u64,
    column: u64,
    message: String,
    help: Option<String>,
}

pub fn run(_args: &Args, cx: &mut Session) -> anyhow::Result<Exit> {
    let all = super::declarations(cx)?;
    let lines: Vec<Line> = all.iter().map(line).collect();
    if cx.out.is_json() {
        cx.out.json(&lines)?;
        return Ok(Exit::Done);
    }
    if lines.is_empty() {
        talk("no providers yet; `providers:` in the settings names declarations");
        return Ok(Exit::Done);
    }
    let row = |line: &Line| {
        let count = line.mistakes.len();
        let broken = || format!("BROKEN: {count} {}", if count == 1 { "mistake" } else { "mistakes" });
        vec![
            line.name.clone().unwrap_or_else(|| "?".to_owned()),
            line.file.clone().unwrap_or_else(|| line.origin.to_owned()),
            line.about.clone().unwrap_or_else(broken),
            line.requests.join(" "),
            line.docs.clone().unwrap_or_default(),
        ]
    };
    cx.out.table(&["NAME", "FROM", "ABOUT", "REQUESTS", "DOCUMENT"], &lines.iter().map(row).collect::<Vec<_>>())?;
    wire::show_mistakes(&all);
    Ok(Exit::Done)
}

fn line(declaration: &Declaration) -> Line {
    let (origin, file) = match &declaration.origin {
        Origin::Shipped => ("shipped", None),
        Origin::File(path) => ("file", Some(path.display().to_string())),
    };
    let mut line = Line {
        name: declaration.name.clone(),
        origin,
        file,
        about: None,
        requests: Vec::new(),
        docs: None,
        broken: declaration.read.is_err(),
        mistakes: Vec::new(),
    };
    match &declaration.read {
        Ok(provider) => {
            line.about = Some(provider.about().to_owned());
            line.requests = provider.outline().requests.iter().map(|request| request.name).collect();
            line.docs = provider.docs().map(str::to_owned);
        }
        Err(mistakes) => {
            let told = |mistake: &wire::Mistake| Mistaken {
                line: mistake.line,
                column: mistake.column,
                message: mistake.message.clone(),
                help: mistake.help.clone(),
            };
            line.mistakes = mistakes.iter().map(told).collect();
        }
    }
    line
}
