//! `keywheel plugin exam`: does a plugin do what each rotator must?

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use keywheel_exam::{Outcome, PracticeSubject, PracticeTarget, Report, Row, sit};
use keywheel_plugin::PluginRotator;
use keywheel_sdk::{Descriptor, Origin, Rotator, Shape};
use serde::Serialize;

use crate::exit::{Exit, Failure};
use crate::output::{printable, talk};
use crate::wire::Examined;
use crate::{Session, wire};

mod accounts;
mod command;
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
    if described.origin == Origin::Provider {
        return Err(Failure::input(
            "the plugin's values are made by its target (`origin: provider`), and the practice target makes none",
        )
        .hint("`--target FILE` with `strategy: overlapping` examines it; rotators/plugin/README.md says what stands in the file")
        .into());
    }
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
    fits(&described, shape)?;
    let name = format!("{} {}, {}", described.kind, described.version, shape.word());
    talk(&format!("examining {name}"));
    let report = sit(&OwnSubject::new(name, Arc::clone(&plugin.rotator), own, line)).await;
    Ok((plugin, vec![report]))
}

fn opened(args: &Args, read: Vec<PathBuf>, connect: Vec<u16>) -> Result<Examined, Failure> {
    wire::examined(&args.file, &read, connect).map_err(|error| {
        Failure::input(error).hint("rotators/plugin/README.md says how a plugin begins and what it may do")
    })
}

/// Whether a target of this shape can be one of the plugin's. Values that a target makes stand beside the live one, and nowhere else.
fn fits(described: &Descriptor, shape: Shape) -> Result<(), Failure> {
    let shapes: Vec<_> = described.shapes.iter().map(|shape| shape.word()).collect();
    let refused = |what: &str| {
        Err(Failure::input(what)
            .hint(format!("`strategy` in the file is one of what it claims: {}", shapes.join(", "))))
    };
    if !described.shapes.contains(&shape) {
        return refused(&format!("the plugin does not claim the shape `{}`", shape.word()));
    }
    match (described.origin, shape) {
        (Origin::Engine, Shape::InPlace | Shape::Alternating) | (Origin::Provider, Shape::Overlapping) => Ok(()),
        (Origin::Engine, Shape::Overlapping) => refused(
            "the plugin's values are made by the engine (`origin: engine`), and the exam of `overlapping` is for those that the \
             target makes",
        ),
        (Origin::Provider, Shape::InPlace | Shape::Alternating) => {
            refused("the plugin's values are made by its target (`origin: provider`), which is for `overlapping` alone")
        }
    }
}

fn told(plugin: &Examined, reports: &[Report], cx: &mut Session) -> anyhow::Result<()> {
    let described = plugin.rotator.describe();
    let passed: usize = reports.iter().map(Report::passed).sum();
    let fit: usize = reports.iter().map(Report::fit).sum();
    if cx.out.is_json() {
        let Descriptor { kind, version, .. } = &described;
        cx.out.json(&Sat { plugin: kind, version, sha256: &plugin.sha256, passed, fit, exams: reports })?;
        return Ok(());
    }
    for report in reports {
        let (passed, fit) = (report.passed(), report.fit());
        cx.out.line(&printable(&format!("{}: {passed} of {fit} passed", report.subject())))?;
        let rows: Vec<Vec<String>> = report.rows().iter().filter_map(row).collect();
        cx.out.table(&["", "CASE", "WHAT MUST BE TRUE"], &rows)?;
        for (why, cases) in skipped(report) {
            cx.out.line(&format!("not asked, since {why}: {}", cases.join(", ")))?;
        }
        cx.out.line("")?;
    }
    if passed == fit {
        cx.out.line(&format!("PASSED: sha256 {}", plugin.sha256))?;
    } else {
        cx.out.line(&format!("FAILED: {} of {fit}", fit - passed))?;
    }
    Ok(())
}

/// The cases that do not fit, by the reason.
fn skipped(report: &Report) -> BTreeMap<&str, Vec<&str>> {
    let mut reasons: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for row in report.rows() {
        if let Outcome::Skipped(why) = &row.outcome {
            reasons.entry(why).or_default().push(row.id);
        }
    }
    reasons
}

/// A case that was asked.
fn row(row: &Row) -> Option<Vec<String>> {
    let (mark, what) = match &row.outcome {
        Outcome::Passed => ("passed", row.name.to_owned()),
        Outcome::Failed(how) => ("FAILED", format!("{}: {how}", row.name)),
        Outcome::Skipped(_) => return None,
    };
    Some(vec![mark.to_owned(), row.id.to_owned(), what])
}
