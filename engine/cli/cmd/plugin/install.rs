//! `keywheel plugin install`: a file is heard, copied beside the settings, and listed in them.

mod placing;

use std::path::{Path, PathBuf};

use keywheel_policies::{NewPlugin, PluginForm, PluginSignature, PluginSpec, Settings, is_version, with_plugin};
use keywheel_sdk::Descriptor;
use serde::Serialize;

use placing::Placing;

use super::show::told;
use crate::exit::{Exit, Failure, NOTHING_CHANGED};
use crate::output::{printable, talk};
use crate::{Session, wire};

/// Copy a plugin beside the settings, and list it in them with its hash
///
/// The file is started once, also with `--dry-run`, confined as it will be, to hear what it is; files of the same name that are listed
/// already are started, too. With `--signature` it is started only if it is signed. Its copy is `plugins/NAME-VERSION`; comments and order of the
/// settings stay as they are. Whoever wrote it is not asked, so look at what is printed, and use `--dry-run` first.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The plugin
    file: PathBuf,
    /// It is a dynamic library
    #[arg(long)]
    library: bool,
    /// What it must say that it is
    #[arg(long)]
    name: Option<String>,
    /// A TCP port that it may connect to; may be repeated
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    connect: Vec<u16>,
    /// A file or folder that it may read; may be repeated
    #[arg(long, value_name = "PATH")]
    read: Vec<PathBuf>,
    /// What `minisign -S` wrote; its copy stands beside the plugin's
    #[arg(long, value_name = "FILE", requires = "public_key")]
    signature: Option<PathBuf>,
    /// Whose signature that must be: the line of `minisign.pub` that begins with `RW`
    #[arg(long, value_name = "KEY", requires = "signature")]
    public_key: Option<String>,
    /// Start it and show what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// What was done, as JSON. Stable.
#[derive(Serialize)]
struct Installed {
    name: String,
    /// What it says of itself; null where it was there already and was not started.
    descriptor: Option<Descriptor>,
    /// The copy.
    file: String,
    sha256: String,
    /// `installed`, `there-already` or `dry-run`.
    outcome: &'static str,
    /// Other files have its name, so that policies must say which version they take.
    beside_others: bool,
}

pub fn run(args: &Args, cx: &mut Session) -> anyhow::Result<Exit> {
    let path = cx.globals.settings.clone();
    let settings = wire::settings(&path)?;
    if args.file.metadata().is_ok_and(|metadata| !metadata.is_file()) {
        return Err(Failure::input(format!("`{}` is no regular file", args.file.display())).into());
    }
    let unread = |error: wire::FileError| Failure::input(error.to_string());
    let sha256 = wire::hashed(&args.file).map_err(unread)?;
    let spec = spec(args, &sha256);
    // Before anything of it runs.
    wire::verified(&spec).map_err(unread)?;
    let is_it =
        |plugin: &&PluginSpec| plugin.sha256 == sha256 && args.name.as_ref().is_none_or(|name| *name == plugin.name);
    if let Some(there) =
        settings.plugins.iter().find(is_it).filter(|there| wire::hashed(&there.file).is_ok_and(|found| found == sha256))
    {
        if spec.signature.is_some() && key(there) != key(&spec) {
            let what = format!("`{}` lists this file already, and not with this key", there.name);
            return Err(Failure::input(what).hint("add `signature` and `public_key` to it by hand").into());
        }
        let installed = Installed {
            name: there.name.clone(),
            descriptor: None,
            file: there.file.display().to_string(),
            beside_others: has_others(&settings, &there.name, &sha256),
            sha256,
            outcome: "there-already",
        };
        return print(cx, installed);
    }
    if let Some(name) = &args.name {
        has_key_of(&settings, name, &spec)?;
    }
    let descriptor = wire::heard(&spec).map_err(|why| Failure::input(why).hint("a plugin answers lines of JSON"))?;
    fits(args, &settings, &descriptor, &spec)?;
    has_key_of(&settings, &descriptor.kind, &spec)?;

    let name = descriptor.kind.clone();
    let end = if args.library { ".so" } else { "" };
    let relative = format!("plugins/{name}-{}{end}", descriptor.version);
    let copy = folder(&path).join(&relative);
    let is_listed = settings.plugins.iter().any(|plugin| plugin.sha256 == sha256 && plugin.file == copy);
    let new = NewPlugin {
        name,
        form: spec.form,
        signature: spec.signature.as_ref().map(|signature| PluginSignature {
            file: PathBuf::from(format!("{relative}.minisig")),
            public_key: signature.public_key.clone(),
        }),
        file: relative,
        sha256,
        read: spec.read.clone(),
        connect: spec.connect.clone(),
    };
    let beside_others = has_others(&settings, &new.name, &new.sha256);
    let text = if is_listed { None } else { Some(listed(&path, &new, beside_others)?) };
    placing::look(&copy, &new.sha256)?;
    let signature = match spec.signature.as_ref().zip(new.signature.as_ref()) {
        Some((from, to)) => Some((&from.file, folder(&path).join(&to.file), wire::hashed(&from.file).map_err(unread)?)),
        None => None,
    };
    if let Some((_, to, sha256)) = &signature {
        placing::look(to, sha256)?;
    }
    if !args.dry_run {
        let mut placing = Placing::begin(&folder(&path))?;
        let placed = (|| {
            placing.copy(&args.file, &copy, &new.sha256, 0o755)?;
            if let Some((from, to, sha256)) = &signature {
                placing.copy(from, to, sha256, 0o644)?;
            }
            match text {
                Some((before, after)) => placing.replace(&path, &before, &after).inspect_err(|_| {
                    if !placing.is_listed() {
                        by_hand(&new, beside_others);
                    }
                }),
                None => Ok(()),
            }
        })();
        placed.map_err(|failure| placing.undone(failure))?;
    }
    let installed = Installed {
        name: new.name,
        descriptor: Some(descriptor),
        file: copy.display().to_string(),
        sha256: new.sha256,
        outcome: if args.dry_run { "dry-run" } else { "installed" },
        beside_others,
    };
    print(cx, installed)
}

fn has_others(settings: &Settings, name: &str, sha256: &str) -> bool {
    settings.plugins.iter().any(|other| other.name == name && other.sha256 != sha256)
}

/// The file as it would be listed. It has no name yet but that of its file, under which its log is written.
fn spec(args: &Args, sha256: &str) -> PluginSpec {
    let form = if args.library { PluginForm::Library } else { PluginForm::Executable };
    let called = args.file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    // The settings are read from other folders, too.
    let whole = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
    let signature = args.signature.clone().zip(args.public_key.clone());
    PluginSpec {
        signature: signature.map(|(file, public_key)| PluginSignature { file, public_key }),
        read: args.read.iter().map(whole).collect(),
        connect: args.connect.clone(),
        ..PluginSpec::of_file(args.name.as_ref().unwrap_or(&called), form, args.file.clone(), sha256.to_owned())
    }
}

fn key(spec: &PluginSpec) -> Option<&str> {
    spec.signature.as_ref().map(|signature| signature.public_key.as_str())
}

/// Who asks for an author's signature of one version asks for it of the next one.
fn has_key_of(settings: &Settings, name: &str, spec: &PluginSpec) -> Result<(), Failure> {
    let mut keys = settings.plugins.iter().filter(|plugin| plugin.name == name).filter_map(key).peekable();
    let Some(first) = keys.peek().copied() else { return Ok(()) };
    if key(spec).is_some_and(|own| keys.any(|other| other == own)) {
        return Ok(());
    }
    let what = format!("`{name}` is listed with a signature, and this file is not signed with the same key");
    Err(Failure::input(what).hint(format!("say `--signature FILE --public-key {first}`")))
}

/// Whether it may be listed as what it says that it is.
fn fits(args: &Args, settings: &Settings, descriptor: &Descriptor, spec: &PluginSpec) -> Result<(), Failure> {
    let Descriptor { kind, version, .. } = descriptor;
    if let Some(name) = args.name.as_ref().filter(|name| *name != kind) {
        return Err(Failure::input(format!("it says that it is `{}`, and not `{name}`", printable(kind))));
    }
    for (what, word, is_possible) in
        [("name", kind, is_part(kind) && !kind.contains('+')), ("version", version, is_part(version))]
    {
        if !is_possible {
            let word = printable(word);
            return Err(Failure::input(format!(
                "it says that its {what} is `{word}`, of which no file's name can be made"
            )));
        }
    }
    if !is_version(version) {
        let what = format!("it says that its version is `{version}`, which no policy can ask for");
        return Err(Failure::input(what).hint("versions are such as `1.4.2`, as https://semver.org has them"));
    }
    if wire::is_of_build(kind) {
        return Err(Failure::input(format!("a rotator of this build is called `{kind}` already")));
    }
    let others = settings.plugins.iter().filter(|other| other.name == *kind && other.sha256 != spec.sha256);
    // Which version a file is that does not start, nobody can say: `keywheel plugin list` does.
    let twin = others.into_iter().find(|other| wire::opened(other).is_ok_and(|other| other.version == *version));
    twin.map_or(Ok(()), |twin| {
        let twin = twin.file.display();
        let what = format!("version {version} of `{kind}` is listed already, and it is another file: `{twin}`");
        Err(Failure::input(what).hint("remove that one from the settings first, or give this one another version"))
    })
}

/// What names a file on every system, and no other folder.
fn is_part(word: &str) -> bool {
    let usual = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '+');
    word.len() <= 64 && word.chars().all(usual) && word.starts_with(|c: char| c.is_ascii_alphanumeric())
}

/// The text of the settings as it is, and with the plugin in it.
fn listed(path: &Path, new: &NewPlugin, beside: bool) -> Result<(String, String), Failure> {
    let before = std::fs::read_to_string(path)
        .map_err(|error| Failure::input(format!("cannot read `{}`: {error}", path.display())))?;
    match with_plugin(path, &before, new) {
        Some(after) => Ok((before, after)),
        None => {
            by_hand(new, beside);
            Err(Failure::input(format!("`{}` is not written line by line where this belongs", path.display())))
        }
    }
}

fn by_hand(new: &NewPlugin, beside: bool) {
    talk("add these lines to the settings, and say the same again:");
    // Line by line: what is printed is to be copied.
    new.lines(beside).lines().for_each(talk);
}

fn folder(settings: &Path) -> PathBuf {
    settings.parent().map(Path::to_owned).unwrap_or_default()
}

fn print(cx: &mut Session, installed: Installed) -> anyhow::Result<Exit> {
    if cx.out.is_json() {
        cx.out.json(&installed)?;
        return Ok(Exit::Done);
    }
    for line in installed.descriptor.iter().flat_map(told) {
        cx.out.line(&printable(&line))?;
    }
    cx.out.line(&format!("sha256: {}", installed.sha256))?;
    cx.out.line(&format!("file: {}", printable(&installed.file)))?;
    let Installed { name, outcome, .. } = &installed;
    match *outcome {
        "there-already" => talk(&format!("`{name}` is there with this file; {NOTHING_CHANGED}")),
        "dry-run" => talk(&format!("`{name}` would be installed; {NOTHING_CHANGED}")),
        _ => talk(&format!("`{name}` is installed; a policy uses it by `rotator: {name}`")),
    }
    if let (true, Some(Descriptor { version, .. })) = (installed.beside_others, &installed.descriptor) {
        talk(&format!(
            "it stands beside others: policies must say which version, such as `rotator: {name}@^{version}`"
        ));
    }
    Ok(Exit::Done)
}
