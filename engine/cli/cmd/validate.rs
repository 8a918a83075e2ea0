//! `keywheel validate`: all mistakes in settings and policies, as a compiler shows them.

use std::path::PathBuf;

use serde_json::json;

use crate::Session;
use crate::exit::{Exit, Failure};
use crate::output::talk;
use crate::wire;

/// Check settings and policies without doing anything
///
/// Exits with 2 if there are mistakes. With `--output json` they are a list on stdout.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Files and folders; all that the settings name where none are given
    paths: Vec<PathBuf>,
}

pub fn run(args: &Args, cx: &mut Session) -> anyhow::Result<Exit> {
    let file = &cx.globals.settings;
    // Policies can be checked where nothing else is set up, such as in a pipeline; freezes, notifiers and consumers are then unknown.
    let settings = if args.paths.is_empty() || file.exists() {
        if !file.exists() {
            return Err(wire::settings(file)
                .err()
                .unwrap_or_else(|| Failure::input("the settings file came and went"))
                .into());
        }
        match keywheel_policies::load_settings(file) {
            Ok(settings) => Some(settings),
            Err(problems) => return mistakes(cx, &problems),
        }
    } else {
        talk(&format!("note: without `{}` neither freezes, notifiers nor consumers are known", file.display()));
        None
    };
    let paths = match &settings {
        Some(settings) if args.paths.is_empty() => &settings.policies,
        Some(_) | None => &args.paths,
    };
    let loaded = wire::read_policies(paths, settings.as_ref(), &wire::rotators(settings.as_ref()));
    if !loaded.problems.is_empty() {
        return mistakes(cx, &loaded.problems);
    }
    if cx.out.is_json() {
        cx.out.json(&json!({ "policies": loaded.policies.len(), "problems": [] }))?;
    } else {
        let count = loaded.policies.len();
        cx.out.line(&format!("{count} {}, no mistakes", if count == 1 { "policy" } else { "policies" }))?;
    }
    Ok(Exit::Done)
}

fn mistakes(cx: &mut Session, problems: &keywheel_policies::Problems) -> anyhow::Result<Exit> {
    if cx.out.is_json() {
        let list: serde_json::Value = serde_json::from_str(&problems.to_json())?;
        cx.out.json(&json!({ "policies": null, "problems": list }))?;
    } else {
        wire::show(problems);
        let count = problems.len();
        talk(&format!("{count} {}", if count == 1 { "mistake" } else { "mistakes" }));
    }
    Ok(Exit::Input)
}
