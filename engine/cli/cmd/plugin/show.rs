//! `keywheel plugin show`: what one says of itself.

use keywheel_sdk::{Descriptor, Origin, SettingKind};

use crate::exit::{Exit, Failure};
use crate::output::printable;
use crate::{Session, select, wire};

/// Show what a plugin says of itself, and what a policy may write for it
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The plugin's name
    name: String,
}

pub fn run(args: &Args, cx: &mut Session) -> anyhow::Result<Exit> {
    let settings = wire::settings(&cx.globals.settings)?;
    let Some(spec) = settings.plugins.iter().find(|plugin| plugin.name == args.name) else {
        let known = settings.plugins.iter().map(|plugin| plugin.name.as_str());
        let hint =
            select::suggestion(&args.name, known).unwrap_or_else(|| "`keywheel plugin list` lists all".to_owned());
        return Err(Failure::input(format!("there is no plugin `{}`", args.name)).hint(hint).into());
    };
    let descriptor = wire::opened(spec)
        .map_err(|error| Failure::input(error.to_string()).hint(format!("mend `{}`", spec.file.display())))?;
    if cx.out.is_json() {
        cx.out.json(&descriptor)?;
    } else {
        for line in told(&descriptor) {
            cx.out.line(&printable(&line))?;
        }
    }
    Ok(Exit::Done)
}

fn told(descriptor: &Descriptor) -> Vec<String> {
    let shapes: Vec<_> = descriptor.shapes.iter().map(|shape| shape.word()).collect();
    let made = match descriptor.origin {
        Origin::Engine => "the engine",
        Origin::Provider => "the target",
    };
    let mut lines = vec![
        format!("{} {}", descriptor.kind, descriptor.version),
        format!("shapes: {}", shapes.join(", ")),
        format!("values are made by: {made}"),
    ];
    lines.extend(descriptor.settings.iter().map(|setting| {
        let need = if setting.required { ", required" } else { "" };
        format!("target.{} ({}{need}): {}", setting.name, kind(&setting.kind), setting.help)
    }));
    lines
}

fn kind(kind: &SettingKind) -> String {
    match kind {
        SettingKind::Text => "text".to_owned(),
        SettingKind::Texts => "list of texts".to_owned(),
        SettingKind::Boolean => "true or false".to_owned(),
        SettingKind::Integer { min, max } => format!("number from {min} to {max}"),
        SettingKind::Choice(words) => format!("one of {}", words.join(", ")),
        SettingKind::Duration => "duration".to_owned(),
        SettingKind::Json => "anything".to_owned(),
    }
}
