//! `keywheel.yaml`: where state, secrets and policies are, written by whoever runs keywheel.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::civil::DateTime;

use crate::consumers;
use crate::load::illustrate;
use crate::model::{ConsumerSpec, Freeze, NotifierSpec, Notify};
use crate::notifiers;
use crate::notify;
use crate::plugins::{PluginSpec, plugins};
use crate::policy::{timezone, version};
use crate::problem::Problems;
use crate::scalar;
use crate::source::Source;
use crate::tree::{self, Node};
use crate::walk::{Keys, Section, Walk};

pub(crate) const SETTINGS: Keys = Keys {
    name: "keywheel.yaml",
    keys: &[
        "version",
        "state",
        "secrets",
        "policies",
        "providers",
        "plugins",
        "freezes",
        "limits",
        "deadlines",
        "consumers",
        "notifiers",
        "notify",
    ],
};
pub(crate) const STATE: Keys = Keys { name: "state", keys: &["sqlite"] };
pub(crate) const SECRETS: Keys = Keys { name: "secrets", keys: &["local"] };
pub(crate) const LOCAL: Keys = Keys { name: "local", keys: &["path", "master_key"] };
pub(crate) const MASTER_KEY: Keys = Keys { name: "master_key", keys: &["file", "env"] };
pub(crate) const FREEZE: Keys = Keys { name: "a freeze", keys: &["from", "to", "timezone"] };
pub(crate) const LIMITS: Keys = Keys { name: "limits", keys: &["rotations", "per_target"] };
pub(crate) const DEADLINES: Keys = Keys { name: "deadlines", keys: &["step", "lease"] };

/// How and where keywheel runs. Paths are resolved against the folder of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub state: StateStore,
    pub secrets: SecretStore,
    /// Files and folders, patterns already expanded, in the order written.
    pub policies: Vec<PathBuf>,
    /// Declarations of providers of API keys: files and folders, patterns already expanded, in the order written.
    pub providers: Vec<PathBuf>,
    /// In the order written.
    pub plugins: Vec<PluginSpec>,
    /// In the order written.
    pub freezes: Vec<Freeze>,
    pub limits: Limits,
    pub deadlines: Deadlines,
    /// What policies can name under `after_promote` and `before_revoke`, in the order written.
    pub consumers: Vec<ConsumerSpec>,
    /// Who can be told, in the order written.
    pub notifiers: Vec<NotifierSpec>,
    /// Who is told of policies that say nothing of it themselves.
    pub notify: Notify,
}

/// Where the journal is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StateStore {
    /// One file on this machine.
    Sqlite(PathBuf),
}

/// Where secrets are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretStore {
    /// Encrypted on this machine.
    Local { path: PathBuf, master_key: MasterKey },
}

/// Where the key is that encrypts the local store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MasterKey {
    File(PathBuf),
    /// The name of a variable.
    Env(String),
}

/// How much happens at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Rotations in all. At least 1.
    pub rotations: u32,
    /// Rotations at one target. At least 1, at most `rotations`.
    pub per_target: u32,
}

/// How long things may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// One call to a target or a store. From one second to ten minutes.
    pub step: Duration,
    /// After this long without renewal another process may take a rotation over. From five seconds to ten minutes.
    pub lease: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { rotations: 16, per_target: 4 }
    }
}

impl Default for Deadlines {
    fn default() -> Self {
        Deadlines { step: Duration::from_secs(30), lease: Duration::from_secs(60) }
    }
}

/// Reads `keywheel.yaml`.
///
/// # Errors
/// All mistakes in it, ready to be shown.
pub fn load_settings(path: &Path) -> Result<Settings, Problems> {
    match Source::read(path) {
        Ok(source) => settings_of(&source),
        Err(problem) => {
            let mut problems = Problems::default();
            problems.push(*problem);
            Err(problems)
        }
    }
}

/// The same for whoever only uses what there is: that a consumer's program or folder is absent now ([`ABSENT`]) is that consumer's
/// trouble, and comes back beside the settings.
///
/// # Errors
/// All mistakes in it, ready to be shown, if there is any other one.
pub fn load_settings_to_use(path: &Path) -> Result<(Settings, Problems), Problems> {
    let source = Source::read(path).map_err(|problem| {
        let mut problems = Problems::default();
        problems.push(*problem);
        problems
    })?;
    let (settings, problems) = read_source(&source);
    match settings.filter(|_| problems.iter().all(|problem| ABSENT.contains(&problem.code))) {
        Some(settings) => Ok((settings, problems)),
        None => Err(problems),
    }
}

/// The codes of what may be there at one time and not at another: after a start of the machine, or before a deployment.
pub const ABSENT: [&str; 3] = ["no-such-program", "not-executable", "no-such-folder"];

/// What a text says.
pub(crate) fn settings_of(source: &Source) -> Result<Settings, Problems> {
    let (settings, problems) = read_source(source);
    settings.filter(|_| problems.is_empty()).ok_or(problems)
}

fn read_source(source: &Source) -> (Option<Settings>, Problems) {
    let mut problems = Problems::default();
    let settings = match tree::parse(source) {
        Ok(root) => {
            let walk = Walk::new(source);
            let settings = read(&walk, &root);
            problems.append(walk.finish());
            settings
        }
        Err(problem) => {
            problems.push(*problem);
            None
        }
    };
    illustrate(&mut problems, std::slice::from_ref(source));
    (settings, problems)
}

fn read(walk: &Walk<'_>, root: &Node) -> Option<Settings> {
    let top = walk.section(root, &SETTINGS)?;
    version(&top);
    let state = top.need("state", "such as `state: { sqlite: keywheel.db }`").and_then(|node| state(walk, node));
    let secrets = top
        .need("secrets", "such as `secrets: { local: { path: secrets.db, master_key: { file: master.key } } }`")
        .and_then(|node| secrets(walk, node));
    let policies = top.need("policies", "such as `policies: [policies]`").and_then(|node| paths(walk, node));
    let providers = top.get("providers").map_or(Some(Vec::new()), |node| paths(walk, node));
    let plugins = top.get("plugins").map_or(Some(Vec::new()), |node| plugins(walk, node));
    let freezes = top.get("freezes").map_or(Some(Vec::new()), |node| freezes(walk, node));
    let limits = if top.entry("limits").is_some() { limits(walk, top.get("limits")?) } else { Some(Limits::default()) };
    let deadlines = if top.entry("deadlines").is_some() {
        deadlines(walk, top.get("deadlines")?)
    } else {
        Some(Deadlines::default())
    };
    let consumers_node = top.get("consumers");
    let consumers = consumers_node.map_or(Some(Vec::new()), |node| consumers::read(walk, node));
    if let (Some(node), Some(consumers), Some(deadlines)) = (consumers_node, &consumers, &deadlines) {
        consumers::refuse_longer_ones(walk, node, consumers, deadlines.step);
    }
    let notifiers_node = top.get("notifiers");
    let names = notifiers_node.map(notifiers::names).unwrap_or_default();
    let notifiers = notifiers_node.map_or(Some(Vec::new()), |node| notifiers::read(walk, node));
    let notify = match top.get("notify") {
        Some(node) => notify::read(walk, node, &names),
        None => Some(Notify { to: names, on: Notify::DEFAULT_ON.to_vec() }),
    };
    top.done();
    Some(Settings {
        state: state?,
        secrets: secrets?,
        policies: policies?,
        providers: providers?,
        plugins: plugins?,
        freezes: freezes?,
        limits: limits?,
        deadlines: deadlines?,
        consumers: consumers?,
        notifiers: notifiers?,
        notify: notify?,
    })
}

pub(crate) fn resolve(walk: &Walk<'_>, path: &str) -> PathBuf {
    walk.source.path.parent().map_or_else(|| PathBuf::from(path), |folder| folder.join(path))
}

pub(crate) fn path(walk: &Walk<'_>, node: &Node) -> Option<PathBuf> {
    walk.text(node).map(|text| resolve(walk, &text))
}

fn state(walk: &Walk<'_>, node: &Node) -> Option<StateStore> {
    let section = walk.section(node, &STATE)?;
    let file = section.need("sqlite", "a path: `sqlite: keywheel.db`").and_then(|node| path(walk, node));
    section.done();
    Some(StateStore::Sqlite(file?))
}

fn secrets(walk: &Walk<'_>, node: &Node) -> Option<SecretStore> {
    let section = walk.section(node, &SECRETS)?;
    let local = section.need("local", "`local: { path: secrets.db, master_key: { file: master.key } }`");
    section.done();
    let section = walk.section(local?, &LOCAL)?;
    let file = section.need("path", "where the encrypted store is").and_then(|node| path(walk, node));
    let key = section.need("master_key", MASTER_KEY_HELP).and_then(|node| master_key(walk, node));
    section.done();
    Some(SecretStore::Local { path: file?, master_key: key? })
}

const MASTER_KEY_HELP: &str = "`master_key: { file: PATH }` or `{ env: NAME }`, never the key itself";

fn master_key(walk: &Walk<'_>, node: &Node) -> Option<MasterKey> {
    if node.kind.as_map().is_none() {
        walk.hide(node);
    }
    let section = walk.section(node, &MASTER_KEY)?;
    let (file, env) = (section.get("file"), section.get("env"));
    let span = section.span;
    section.done();
    match (file, env) {
        (Some(node), None) => path(walk, node).map(MasterKey::File),
        (None, Some(node)) => {
            let help = "the name of a variable, never its value";
            let name = walk.checked(node, "bad-name", "variable name", help, scalar::is_variable_name);
            if name.is_none() {
                walk.hide(node);
            }
            name.map(MasterKey::Env)
        }
        (Some(_), Some(_)) | (None, None) => {
            if file.is_some() || !walk.failed() {
                walk.tell(walk.problem("one-of", span, "expected one place for the key").help(MASTER_KEY_HELP));
            }
            None
        }
    }
}

/// Files, folders and patterns. A pattern may match nothing, a name must exist.
fn paths(walk: &Walk<'_>, node: &Node) -> Option<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for item in walk.list(node)? {
        let Some(text) = walk.text(item) else { continue };
        let pattern = resolve(walk, &text);
        if !text.contains(['*', '?', '[']) {
            if !pattern.exists() {
                walk.tell(
                    walk.problem("no-such-path", item.span, "there is no such file or folder")
                        .help("paths begin at the folder of this file"),
                );
            }
            paths.push(pattern);
            continue;
        }
        // The folder of the file is a name, whatever characters it holds; only what was written is a pattern.
        let folder = walk.source.path.parent().map(|folder| glob::Pattern::escape(&folder.to_string_lossy()));
        let whole = match folder.filter(|folder| !folder.is_empty() && !text.starts_with('/')) {
            Some(folder) => format!("{folder}/{text}"),
            None => text.clone(),
        };
        match glob::glob(&whole) {
            Ok(found) => paths.extend(found.filter_map(Result::ok)),
            Err(error) => walk.tell(
                walk.problem("bad-pattern", item.span, format!("this is no pattern: {}", error.msg))
                    .help("such as `policies/*.yaml`, or `policies/**/*.yaml`"),
            ),
        }
    }
    Some(paths)
}

fn freezes(walk: &Walk<'_>, node: &Node) -> Option<Vec<Freeze>> {
    let mut freezes = Vec::new();
    for entry in walk.entries(node)? {
        if !scalar::is_name(&entry.key, false) {
            walk.tell(
                walk.problem("bad-name", entry.span, "this is no name").help("letters, digits, `.`, `_` and `-`"),
            );
        }
        if let Some(freeze) = freeze(walk, &entry.value, &entry.key) {
            freezes.push(freeze);
        }
    }
    Some(freezes)
}

fn freeze(walk: &Walk<'_>, node: &Node, name: &str) -> Option<Freeze> {
    let section = walk.section(node, &FREEZE)?;
    let from = section.need("from", "such as `from: 2026-12-20`").and_then(|node| moment(walk, node));
    let to_node = section.need("to", "the last day, such as `to: 2027-01-05`");
    let to = to_node.and_then(|node| moment(walk, node));
    let zone = section
        .need("timezone", "such as `timezone: Europe/Berlin`, or `timezone: UTC`")
        .and_then(|node| timezone(walk, node));
    section.done();
    let ((from, _), (to, timed)) = (from?, to?);
    // A bare date names the last frozen day; the model's end is excluded.
    let to = if timed { to } else { to.date().tomorrow().ok()?.to_datetime(jiff::civil::Time::midnight()) };
    if to <= from {
        walk.tell(
            walk.problem("empty-freeze", to_node?.span, "the freeze ends before it begins")
                .help("`to` comes after `from`"),
        );
        return None;
    }
    Some(Freeze { name: name.to_owned(), from, to, timezone: zone? })
}

fn moment(walk: &Walk<'_>, node: &Node) -> Option<(DateTime, bool)> {
    let moment = scalar::date_or_time(&walk.text(node)?);
    if moment.is_none() {
        walk.tell(
            walk.problem("bad-date", node.span, "this is no date")
                .help("such as `2026-12-20`, or `2026-12-20T18:00`; the zone stands in `timezone`"),
        );
    }
    moment
}

fn count(section: &Section<'_>, key: &'static str, otherwise: u32) -> Option<u32> {
    section.get(key).map_or(Some(otherwise), |node| {
        section.walk.integer(node, 1..=1_000).map(|n| u32::try_from(n).expect("within 1 and 1,000"))
    })
}

fn limits(walk: &Walk<'_>, node: &Node) -> Option<Limits> {
    let section = walk.section(node, &LIMITS)?;
    let plain = Limits::default();
    let rotations = count(&section, "rotations", plain.rotations);
    let per_target_node = section.get("per_target");
    let per_target = count(&section, "per_target", plain.per_target);
    section.done();
    let (rotations, per_target) = (rotations?, per_target?);
    if let Some(node) = per_target_node
        && per_target > rotations
    {
        walk.tell(
            walk.problem("out-of-range", node.span, "`per_target` is larger than `rotations`")
                .help("it is a part of them"),
        );
    }
    Some(Limits { rotations, per_target: per_target.min(rotations) })
}

const LONGEST_STEP: Duration = Duration::from_secs(600);

fn deadlines(walk: &Walk<'_>, node: &Node) -> Option<Deadlines> {
    let section = walk.section(node, &DEADLINES)?;
    let plain = Deadlines::default();
    let between = |key: &'static str, least: u64, otherwise: Duration| {
        let Some(node) = section.get(key) else { return Some(otherwise) };
        let given = walk.duration(node)?;
        if (Duration::from_secs(least)..=LONGEST_STEP).contains(&given) {
            return Some(given);
        }
        walk.tell(
            walk.problem("out-of-range", node.span, format!("expected a duration from {least}s to 10m"))
                .help(format!("such as `{key}: 30s`")),
        );
        None
    };
    let (step, lease) = (between("step", 1, plain.step), between("lease", 5, plain.lease));
    section.done();
    let deadlines = Deadlines { step: step?, lease: lease? };
    if deadlines.step * 3 >= deadlines.lease * 2 {
        walk.tell(
            walk.problem("out-of-range", node.span, "`step` must be less than two thirds of `lease`")
                .help("a lease is renewed each third of its length, and a step must end before it can be lost"),
        );
        return None;
    }
    Some(deadlines)
}
