//! `keywheel plugin exam`: does a plugin do what each rotator must?

use std::path::{Path, PathBuf};
use std::sync::Arc;

use keywheel_exam::{PracticeSubject, PracticeTarget, Report, Row, sit};
use keywheel_plugin::PluginRotator;
use keywheel_sdk::{Descriptor, Origin, Rotator, Shape};
use serde::Serialize;

use crate::exit::{Exit, Failure};
use crate::output::talk;
use crate::wire::Examined;
use crate::{Session, wire};

mod file;
mod own;

use file::OwnTarget;
use own::OwnSubject;

/// The word for the target that comes with the program.
const PRACTICE: &str = "practice";
/// The settings that it gives.
const GIVEN: [&str; 2] = ["host", "port"];

/// Let a plugin sit the exam of rotators
///
/// It is asked all calls, twice, at once and in the wrong moment, over a line that breaks; and what it says of them is compared with
/// what the target says. Nothing of the settings is used, and no policy.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The plugin: an executable, or a dynamic library
    file: PathBuf,
    /// What it is to rotate: `practice`, or a file that describes a target of your own
    #[arg(long, value_name = "practice|FILE", default_value = PRACTICE)]
    target: PathBuf,
    /// What it may read beside the system's programs and libraries; again for more
    #[arg(long, value_name = "PATH")]
    read: Vec<PathBuf>,
}

/// The whole exam as JSON. Stable.
#[derive(Serialize)]
struct Sat<'a> {
    /// What it calls itself.
    plugin: &'a str,
    version: &'a str,
    sha256: &'a str,
    /// Over all shapes: how many cases passed, of those that fit.
    passed: usize,
    fit: usize,
    /// One for each shape.
    exams: &'a [Report],
}

pub async fn run(args: &Args, cx: &mut Session) -> anyhow::Result<Exit> {
    let (plugin, reports) =
        if args.target == Path::new(PRACTICE) { against_practice(args).await? } else { against_own(args).await? };
    told(&plugin, &reports, cx)?;
    let failed = reports.iter().any(|report| report.passed() < report.fit());
    Ok(if failed { Exit::Findings } else { Exit::Done })
}

async fn against_practice(args: &Args) -> anyhow::Result<(Examined, Vec<Report>)> {
    // One for each shape, so that both are examined at once.
    let targets =
        [(Shape::InPlace, PracticeTarget::start(0).await?), (Shape::Alternating, PracticeTarget::start(0).await?)];
    let plugin = opened(args, args.read.clone(), targets.iter().map(|(_, target)| target.port()).collect())?;
    let described = plugin.rotator.describe();
    if let Some(setting) = described.settings.iter().find(|s| s.required && !GIVEN.contains(&s.name.as_str())) {
        return Err(Failure::input(format!(
            "the plugin needs the setting `{}`, and the practice target gives `host` and `port`",
            setting.name
        ))
        .hint("`--target FILE` examines it on a target of its own; rotators/plugin/README.md says what stands in the file")
        .into());
    }
    let mut sitting = Vec::new();
    for (shape, target) in targets.into_iter().filter(|(shape, _)| described.shapes.contains(shape)) {
        let name = format!("{} {}, {}", described.kind, described.version, shape.word());
        talk(&format!("examining {name}"));
        let rotator: Arc<PluginRotator> = Arc::clone(&plugin.rotator);
        let counted = Arc::clone(&plugin.rotator);
        let subject = PracticeSubject::new(&name, rotator, target, shape).with_leaks(move || counted.leaks());
        sitting.push(tokio::spawn(async move { sit(&subject).await }));
    }
    if sitting.is_empty() {
        return Err(Failure::input("the plugin claims neither `in_place` nor `alternating`").into());
    }
    let mut reports = Vec::new();
    for one in sitting {
        reports.push(one.await?);
    }
    Ok((plugin, reports))
}

async fn against_own(args: &Args) -> anyhow::Result<(Examined, Vec<Report>)> {
    let own = OwnTarget::read(&args.target)?;
    let (own, line) = own.with_line().await?;
    let mut connect = own.connect.clone();
    connect.extend(line.iter().map(|line| line.port()));
    let plugin = opened(args, args.read.iter().chain(&own.read).cloned().collect(), connect)?;
    let described = plugin.rotator.describe();
    let shape = own.shape();
    if !described.shapes.contains(&shape) {
        return Err(Failure::input(format!("the plugin does not claim the shape `{}`", shape.word())).into());
    }
    let name = format!("{} {}, {}", described.kind, described.version, shape.word());
    talk(&format!("examining {name}"));
    let report = sit(&OwnSubject::new(name, Arc::clone(&plugin.rotator), own, line)).await;
    Ok((plugin, vec![report]))
}

fn opened(args: &Args, read: Vec<PathBuf>, connect: Vec<u16>) -> Result<Examined, Failure> {
    let plugin = wire::examined(&args.file, &read, connect).map_err(|error| {
        Failure::input(error.to_string()).hint("rotators/plugin/README.md says how a plugin begins and what it may do")
    })?;
    provider_made(&plugin.rotator.describe())?;
    Ok(plugin)
}

fn provider_made(described: &Descriptor) -> Result<(), Failure> {
    match described.origin {
        Origin::Engine => Ok(()),
        Origin::Provider => Err(Failure::input(
            "the plugin's values are made by its target (`origin: provider`): this exam has no double of one",
        )
        .hint("in Rust, `ProviderSubject` of rotators/exam examines such a rotator")),
    }
}

fn told(plugin: &Examined, reports: &[Report], cx: &mut Session) -> anyhow::Result<()> {
    let described = plugin.rotator.describe();
    let passed = reports.iter().map(Report::passed).sum();
    let fit = reports.iter().map(Report::fit).sum();
    if cx.out.is_json() {
        let Descriptor { kind, version, .. } = &described;
        cx.out.json(&Sat { plugin: kind, version, sha256: &plugin.sha256, passed, fit, exams: reports })?;
        return Ok(());
    }
    for report in reports {
        let skipped = report.rows().len() - report.fit();
        let (passed, fit) = (report.passed(), report.fit());
        let score = format!("{}: {passed} of {fit} passed, {skipped} do not fit", report.subject());
        cx.out.line(&crate::output::printable(&score))?;
        cx.out.table(&["", "CASE", "WHAT MUST BE TRUE"], &report.rows().iter().map(row).collect::<Vec<_>>())?;
        cx.out.line("")?;
    }
    if passed == fit {
        cx.out.line(&format!("passed: sha256 {}", plugin.sha256))?;
    } else {
        cx.out.line(&format!("FAILED: {passed} of {fit}"))?;
    }
    Ok(())
}

fn row(row: &Row) -> Vec<String> {
    let (outcome, why) = row.outcome.told();
    let mark = if outcome == "failed" { "FAILED" } else { outcome };
    let what = why.map_or_else(|| row.name.to_owned(), |why| format!("{}: {why}", row.name));
    vec![mark.to_owned(), row.id.to_owned(), what]
}
