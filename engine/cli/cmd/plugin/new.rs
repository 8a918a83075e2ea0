//! `keywheel plugin new`: a project for a plugin that passes the exam as it is.

use std::fs::{DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::made::Made;
use crate::Session;
use crate::exit::{Exit, Failure, NOTHING_CHANGED};
use crate::output::talk;

/// What is true when not all that was made could be taken away again.
const LEFT_OVER: &str = "the plugin's folder was begun, and something is left of it";

/// Begin a plugin
///
/// Writes a folder with a plugin for the practice target, which passes `keywheel plugin exam` as it is: what talks with the target is
/// yours to replace. Nothing that exists is changed.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What policies will say after `rotator:`
    name: String,
    #[arg(long, value_name = "LANGUAGE")]
    lang: Lang,
    /// Where its folder is made
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// For `rust`: where keywheel's sources are, since its crates are not published
    #[arg(long, value_name = "PATH", required_if_eq("lang", "rust"))]
    sdk: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Lang {
    /// An executable of one file, without a dependency
    Python,
    /// A dynamic library; needs a C compiler and jansson
    C,
    /// A dynamic library; needs Rust and keywheel's sources
    Rust,
}

/// A file of the project: its path, what stands in it, and whether it can be run.
struct Written {
    path: String,
    text: String,
    runs: bool,
}

pub fn run(args: &Args, _cx: &mut Session) -> anyhow::Result<Exit> {
    let name = args.name.as_str();
    if !is_name(name) {
        return Err(Failure::input(format!("`{name}` is no name for a plugin"))
            .hint("a letter, then letters, digits, `-` and `_`, 64 at most")
            .into());
    }
    let folder = args.dir.join(name);
    let files = files(args, name)?;
    DirBuilder::new().mode(0o755).create(&folder).map_err(|error| {
        let what = if error.kind() == std::io::ErrorKind::AlreadyExists {
            format!("`{}` is there already", folder.display())
        } else {
            format!("cannot make `{}`: {error}", folder.display())
        };
        Failure::input(what).hint("another name, or another folder by `--dir`")
    })?;
    let mut made = Made::default();
    made.folder(&folder);
    if let Err(failure) = files.iter().try_for_each(|file| write_new(&folder, file, &mut made)) {
        let changed = if made.undone() { NOTHING_CHANGED } else { LEFT_OVER };
        return Err(Failure { changed, ..failure }.into());
    }
    let names: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
    talk(&format!("made `{}` with {}", folder.display(), names.join(", ")));
    talk("its README.md says how to build, examine and use it");
    Ok(Exit::Done)
}

fn is_name(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

fn files(args: &Args, name: &str) -> Result<Vec<Written>, Failure> {
    let word = name.replace('-', "_");
    let (plugin, key, build) = match args.lang {
        Lang::Python => (format!("{name}.py"), "file", "chmod +x @NAME@.py   # there is nothing to build"),
        Lang::C => (format!("{name}.so"), "library", "make"),
        Lang::Rust => (format!("target/release/lib{word}.so"), "library", "cargo build --release"),
    };
    let mut replaced = vec![
        // First what has marks in it.
        ("@BUILD@", build.to_owned()),
        ("@PLUGIN@", plugin),
        ("@KEY@", key.to_owned()),
        ("@NAME@", name.to_owned()),
        ("@TYPE@", type_name(name)),
    ];
    let mut sources = match args.lang {
        Lang::Python => vec![(format!("{name}.py"), include_str!("../../../../examples/plugins/new/plugin.py"), true)],
        Lang::C => vec![
            (format!("{name}.c"), include_str!("../../../../examples/plugins/new/plugin.c"), false),
            ("Makefile".to_owned(), include_str!("../../../../examples/plugins/new/Makefile"), false),
            ("keywheel_plugin.h".to_owned(), include_str!("../../../../rotators/sdk/include/keywheel_plugin.h"), false),
        ],
        Lang::Rust => {
            let sdk = args.sdk.as_deref().unwrap_or(Path::new("."));
            replaced.push(("@SDK@", sources_of_keywheel(sdk)?));
            vec![
                ("Cargo.toml".to_owned(), include_str!("../../../../examples/plugins/new/Cargo.toml.in"), false),
                ("src/lib.rs".to_owned(), include_str!("../../../../examples/plugins/new/plugin.rs.in"), false),
            ]
        }
    };
    sources.push(("README.md".to_owned(), include_str!("../../../../examples/plugins/new/README.md.in"), false));
    sources.push(("policy.yaml".to_owned(), include_str!("../../../../examples/plugins/new/policy.yaml"), false));
    let fill = |text: &str| replaced.iter().fold(text.to_owned(), |text, (mark, value)| text.replace(mark, value));
    Ok(sources.into_iter().map(|(path, text, runs)| Written { path, text: fill(text), runs }).collect())
}

/// The absolute path of keywheel's sources, as it stands in a manifest.
fn sources_of_keywheel(given: &Path) -> Result<String, Failure> {
    let found = given.join("rotators/sdk/Cargo.toml").exists();
    let path = std::path::absolute(given).ok().and_then(|path| path.to_str().map(str::to_owned));
    match path {
        Some(path) if found && !path.contains(['"', '\\', '\n', '@']) => Ok(path),
        _ => Err(Failure::input(format!("`{}` does not hold keywheel's sources", given.display()))
            .hint("`--sdk` names the folder with ARCHITECTURE.md and rotators/sdk in it")),
    }
}

/// `lamp-post` becomes `LampPostRotator`.
fn type_name(name: &str) -> String {
    let parts = name.split(['-', '_']).filter(|part| !part.is_empty());
    parts.map(|part| part[..1].to_ascii_uppercase() + &part[1..]).collect::<String>() + "Rotator"
}

/// Writes one file of the project, with its folder, and notes what it made.
fn write_new(project: &Path, file: &Written, made: &mut Made) -> Result<(), Failure> {
    let path = project.join(&file.path);
    let failed = |error: std::io::Error| Failure {
        exit: Exit::Unexpected,
        ..Failure::input(format!("cannot write `{}`: {error}", path.display()))
    };
    if let Some(folder) = path.parent().filter(|folder| !folder.exists()) {
        DirBuilder::new().mode(0o755).create(folder).map_err(failed)?;
        made.folder(folder);
    }
    let mode = if file.runs { 0o755 } else { 0o644 };
    let mut opened = OpenOptions::new().write(true).create_new(true).mode(mode).open(&path).map_err(failed)?;
    made.file(&path);
    opened.write_all(file.text.as_bytes()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_words() {
        for right in ["lamp", "Lamp-2", "a_b"] {
            assert!(is_name(right), "{right}");
        }
        for wrong in ["", "2lamp", "-lamp", "a/b", "..", "a b", "lämp", &"x".repeat(65)] {
            assert!(!is_name(wrong), "{wrong}");
        }
        assert_eq!(type_name("lamp-post_2a"), "LampPost2aRotator");
    }
}
