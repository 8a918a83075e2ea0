//! `keywheel plugin show`: what one says of itself.

use keywheel_policies::{Pinned, PluginSpec};
use keywheel_sdk::{Descriptor, Origin, SettingKind};

use crate::exit::{Exit, Failure};
use crate::output::printable;
use crate::{Session, select, wire};

/// Show what a plugin says of itself, and what a policy may write for it
///
/// All files of its name are checked against their hashes and started once, each in a confined process of its own, also where the settings
/// say `in_process: true`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The plugin's name, with a version where there are several, such as `lamp@^1.4`
    name: String,
}

pub fn run(args: &Args, cx: &mut Session) -> anyhow::Result<Exit> {
    let settings = wire::settings(&cx.globals.settings)?;
    let pinned = Pinned::parse(&args.name).map_err(|kind| {
        Failure::input(format!("`{}` asks for no version of `{kind}`", args.name)).hint("such as `lamp@^1.4`")
    })?;
    let listed: Vec<&PluginSpec> = settings.plugins.iter().filter(|plugin| plugin.name == pinned.kind).collect();
    if listed.is_empty() {
        let known = settings.plugins.iter().map(|plugin| plugin.name.as_str());
        let hint =
            select::suggestion(&pinned.kind, known).unwrap_or_else(|| "`keywheel plugin list` lists all".to_owned());
        return Err(Failure::input(format!("there is no plugin `{}`", pinned.kind)).hint(hint).into());
    }
    let descriptor = chosen(&pinned, &listed)?;
    if cx.out.is_json() {
        cx.out.json(&descriptor)?;
    } else {
        for line in told(&descriptor) {
            cx.out.line(&printable(&line))?;
        }
    }
    Ok(Exit::Done)
}

/// The one that a policy would get by this name.
fn chosen(pinned: &Pinned, listed: &[&PluginSpec]) -> Result<Descriptor, Failure> {
    let (mut there, mut broken) = (Vec::new(), None);
    for spec in listed {
        match wire::opened(spec) {
            Ok(descriptor) => there.push(descriptor),
            Err(why) => broken = Some((why, spec)),
        }
    }
    let versions: Vec<String> = there.iter().map(|descriptor| format!("`{}`", descriptor.version)).collect();
    let descriptor = pinned.choose(there, |descriptor| &descriptor.version);
    match (descriptor, broken) {
        (Some(descriptor), None) => Ok(descriptor),
        // The broken one may be the one that is meant.
        (Some(descriptor), Some(_)) if pinned.is_exact() => Ok(descriptor),
        (_, Some((why, spec))) => Err(Failure::input(why).hint(format!("mend `{}`", spec.file.display()))),
        (None, None) => Err(Failure::input(format!("`{}` is there in {}", pinned.kind, versions.join(", ")))
            .hint(format!("say which, such as `{}@^1.4`", pinned.kind))),
    }
}

/// What it says of itself, line by line, for people.
pub fn told(descriptor: &Descriptor) -> Vec<String> {
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
