//! `keywheel plugin verify`: whether the files are those that are listed.

use keywheel_policies::PluginSpec;
use serde::Serialize;

use super::list::form;
use crate::exit::{Exit, Failure};
use crate::output::talk;
use crate::{Session, select, wire};

/// Check the files of plugins against their hashes and signatures
///
/// Nothing is started.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only the files of this plugin
    name: Option<String>,
}

/// One file as JSON. Stable.
#[derive(Serialize)]
struct Line {
    /// The word after `rotator:`.
    name: String,
    /// `executable` or `library`.
    form: &'static str,
    file: String,
    /// What the settings say that it is.
    sha256: String,
    /// The settings ask for a signature.
    signed: bool,
    /// What is wrong with it; null where it is the one that is meant.
    fault: Option<String>,
}

pub fn run(args: &Args, cx: &mut Session) -> anyhow::Result<Exit> {
    let settings = wire::settings(&cx.globals.settings)?;
    let is_meant = |plugin: &&PluginSpec| args.name.as_ref().is_none_or(|name| *name == plugin.name);
    let lines: Vec<Line> = settings.plugins.iter().filter(is_meant).map(line).collect();
    if let (Some(name), true) = (&args.name, lines.is_empty()) {
        let known = settings.plugins.iter().map(|plugin| plugin.name.as_str());
        let hint = select::suggestion(name, known).unwrap_or_else(|| "`keywheel plugin list` lists all".to_owned());
        return Err(Failure::input(format!("there is no plugin `{name}`")).hint(hint).into());
    }
    let exit = if lines.iter().any(|line| line.fault.is_some()) { Exit::Findings } else { Exit::Done };
    if cx.out.is_json() {
        cx.out.json(&lines)?;
        return Ok(exit);
    }
    if lines.is_empty() {
        talk("no plugins yet; `plugins:` in the settings names them");
        return Ok(exit);
    }
    let row = |line: &Line| {
        let fine = if line.signed { "as listed, and signed" } else { "as listed" };
        let found = line.fault.as_ref().map_or_else(|| fine.to_owned(), |fault| format!("WRONG: {fault}"));
        vec![line.name.clone(), line.file.clone(), found]
    };
    cx.out.table(&["NAME", "FILE", ""], &lines.iter().map(row).collect::<Vec<_>>())?;
    Ok(exit)
}

fn line(spec: &PluginSpec) -> Line {
    Line {
        name: spec.name.clone(),
        form: form(spec.form),
        file: spec.file.display().to_string(),
        sha256: spec.sha256.clone(),
        signed: spec.signature.is_some(),
        fault: wire::verified(spec).err().map(|error| fault(&error)),
    }
}

/// With the hash that was found: whoever asks can read the file.
fn fault(error: &wire::FileError) -> String {
    match error {
        wire::FileError::Changed { found, .. } => format!("{error}: {found}"),
        wire::FileError::Unreadable { .. }
        | wire::FileError::NoSignature { .. }
        | wire::FileError::NotSigned { .. }
        | wire::FileError::NotCopied { .. } => error.to_string(),
    }
}
