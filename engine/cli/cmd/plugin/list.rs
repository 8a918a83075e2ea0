//! `keywheel plugin list`: all that the settings name, each started once.

use keywheel_policies::{PluginForm, PluginSpec};
use keywheel_sdk::Shape;
use serde::Serialize;

use crate::exit::Exit;
use crate::output::talk;
use crate::{Session, wire};

/// List the plugins that the settings name
///
/// Each is checked against its hash and started once, in a confined process of its own, also where the settings say `in_process: true`. One
/// that is not what it should be is listed as broken.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// One plugin as JSON. Stable.
#[derive(Serialize)]
struct Line {
    /// The word after `rotator:`.
    name: String,
    /// `executable` or `library`.
    form: &'static str,
    /// It is loaded into this process, and nothing confines it.
    in_process: bool,
    file: String,
    sha256: String,
    /// Its own version; null where it is broken.
    version: Option<String>,
    shapes: Vec<Shape>,
    /// Why it cannot be used; null where it can.
    broken: Option<String>,
}

pub fn run(_args: &Args, cx: &mut Session) -> anyhow::Result<Exit> {
    let settings = wire::settings(&cx.globals.settings)?;
    let lines: Vec<Line> = settings.plugins.iter().map(line).collect();
    let exit = if lines.iter().any(|line| line.broken.is_some()) { Exit::Findings } else { Exit::Done };
    if cx.out.is_json() {
        cx.out.json(&lines)?;
        return Ok(exit);
    }
    if lines.is_empty() {
        talk("no plugins yet; `plugins:` in the settings names them");
        return Ok(exit);
    }
    let row = |line: &Line| {
        let shapes: Vec<_> = line.shapes.iter().map(|shape| shape.word()).collect();
        let broken = line.broken.as_ref().map(|why| format!("BROKEN: {why}"));
        vec![
            line.name.clone(),
            line.version.clone().unwrap_or_default(),
            broken.unwrap_or_else(|| shapes.join(" ")),
            line.file.clone(),
        ]
    };
    cx.out.table(&["NAME", "VERSION", "SHAPES", "FILE"], &lines.iter().map(row).collect::<Vec<_>>())?;
    Ok(exit)
}

/// The word for tables and JSON.
pub fn form(form: PluginForm) -> &'static str {
    match form {
        PluginForm::Executable => "executable",
        PluginForm::Library => "library",
    }
}

fn line(spec: &PluginSpec) -> Line {
    let (descriptor, broken) = match wire::opened(spec) {
        Ok(descriptor) => (Some(descriptor), None),
        Err(why) => (None, Some(why)),
    };
    Line {
        name: spec.name.clone(),
        form: form(spec.form),
        in_process: spec.in_process,
        file: spec.file.display().to_string(),
        sha256: spec.sha256.clone(),
        version: descriptor.as_ref().map(|descriptor| descriptor.version.clone()),
        shapes: descriptor.map(|descriptor| descriptor.shapes).unwrap_or_default(),
        broken,
    }
}
