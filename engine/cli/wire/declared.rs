//! Declarations of providers: those of this build, and those in the files that the settings name. A broken one hides no other.

use std::collections::BTreeSet;
use std::fs::Metadata;
use std::io::{Error, ErrorKind, Read};
use std::path::{Path, PathBuf};

use keywheel_apikey::{Mistake, Provider};
use keywheel_policies::{BrokenRotator, Place, Problem};

/// The code of a mistake in a declaration.
const DECLARATION: &str = "declaration";

/// One declaration, right or wrong.
pub struct Declaration {
    /// The word after `rotator:`; `None` where the text does not say.
    pub name: Option<String>,
    pub origin: Origin,
    /// What it says, or its mistakes: at least one.
    pub read: Result<Provider, Vec<Mistake>>,
}

/// Where a declaration comes from.
pub enum Origin {
    /// It is part of this build.
    Shipped,
    File(PathBuf),
}

impl Declaration {
    /// What a policy may name, and not use.
    pub fn broken(&self) -> Option<(&str, BrokenRotator)> {
        let (kind, mistakes) = (self.name.as_deref()?, self.read.as_ref().err()?);
        let why = format!("the declaration of `{kind}` has mistakes");
        Some((kind, BrokenRotator { why, file: mistakes.first()?.file.clone() }))
    }

    /// Its mistakes, as those of policies are told.
    pub fn problems(&self) -> impl Iterator<Item = Problem> {
        self.read.as_ref().err().into_iter().flatten().map(|mistake| {
            let count = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
            let place = Place::at(mistake.file.as_str(), count(mistake.line), count(mistake.column));
            let problem = Problem::new(DECLARATION, place, mistake.message.clone());
            match &mistake.help {
                Some(help) => problem.help(help.clone()),
                None => problem,
            }
        })
    }
}

/// Whether a problem is in a declaration, and in no policy.
pub fn is_in_declaration(problem: &Problem) -> bool {
    problem.code == DECLARATION
}

/// What is shipped.
pub fn shipped() -> impl Iterator<Item = Declaration> {
    keywheel_apikey::shipped().iter().map(|shipped| Declaration {
        name: Some(shipped.name.to_owned()),
        origin: Origin::Shipped,
        read: Ok(shipped.provider()),
    })
}

/// Those in files, and in all YAML files of folders, in the order in which they are named.
///
/// `taken` are the names that a declaration cannot have, since rotators of this build have them. Of two files with one name
/// neither is used: nobody could tell which one a policy means.
pub fn in_files(paths: &[PathBuf], taken: &BTreeSet<String>) -> Vec<Declaration> {
    let mut all: Vec<Declaration> = Vec::new();
    for path in paths {
        all.extend(files(path).into_iter().map(|file| file.map_or_else(|broken| broken, read)));
    }
    let names: Vec<Option<String>> = all.iter().map(|one| one.name.clone()).collect();
    for declaration in &mut all {
        let Some(name) = declaration.name.clone() else { continue };
        if taken.contains(&name) {
            // Whoever names it means the one of this build.
            declaration.name = None;
        }
        if declaration.read.is_err() {
            continue;
        }
        let flaw = if taken.contains(&name) {
            format!("a rotator of this build is called `{name}` already")
        } else if names.iter().flatten().filter(|other| **other == name).count() > 1 {
            format!("two declarations are called `{name}`, so neither is used")
        } else {
            continue;
        };
        let Origin::File(file) = &declaration.origin else { continue };
        let mistake = whole(file, flaw, "give the provider another name in its declaration");
        declaration.read = Err(vec![mistake]);
    }
    all
}

/// The file, or those of the folder; what cannot be read is a broken declaration.
fn files(path: &Path) -> Vec<Result<PathBuf, Declaration>> {
    if !path.is_dir() {
        return vec![Ok(path.to_owned())];
    }
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) => return vec![Err(unreadable(path.to_owned(), &error))],
    };
    let yaml = |path: &PathBuf| path.extension().is_some_and(|end| end == "yaml" || end == "yml");
    let mut found: Vec<PathBuf> = entries.filter_map(Result::ok).map(|entry| entry.path()).filter(yaml).collect();
    found.sort();
    found.into_iter().map(Ok).collect()
}

fn read(file: PathBuf) -> Declaration {
    let text = match text(&file) {
        Ok(text) => text,
        Err(error) => return unreadable(file, &error),
    };
    let read = Provider::parse(&file.display().to_string(), &text);
    let name = match &read {
        Ok(provider) => Some(provider.name().to_owned()),
        Err(_) => Provider::name_in(&text),
    };
    Declaration { name, origin: Origin::File(file), read }
}

/// What a regular file holds, and of one that is too long as much as tells that.
fn text(file: &Path) -> std::io::Result<String> {
    // Asked before it is opened, since opening a pipe waits for its other end; and after, since the name may be another's by then.
    see_regular(&std::fs::metadata(file)?)?;
    let opened = std::fs::File::open(file)?;
    see_regular(&opened.metadata()?)?;
    let mut bytes = Vec::new();
    opened.take(Provider::LONGEST as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > Provider::LONGEST {
        // The cut may go through a character.
        return Ok(String::from_utf8_lossy(&bytes).into_owned());
    }
    String::from_utf8(bytes).map_err(|_| Error::new(ErrorKind::InvalidData, "it is no UTF-8 text"))
}

fn see_regular(metadata: &Metadata) -> std::io::Result<()> {
    if metadata.is_file() { Ok(()) } else { Err(Error::new(ErrorKind::InvalidInput, "it is no regular file")) }
}

fn unreadable(path: PathBuf, error: &std::io::Error) -> Declaration {
    let mistake = whole(&path, format!("cannot read this: {error}"), "look at its name and its rights");
    Declaration { name: None, origin: Origin::File(path), read: Err(vec![mistake]) }
}

/// A mistake of the file as a whole.
fn whole(file: &Path, message: String, help: &str) -> Mistake {
    Mistake { file: file.display().to_string(), line: 0, column: 0, message, help: Some(help.to_owned()) }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn mistake(path: &Path) -> Mistake {
        let all = in_files(&[path.to_owned()], &BTreeSet::new());
        let mistakes = all.into_iter().next_back().unwrap().read.err().unwrap();
        assert_eq!(mistakes.len(), 1, "{mistakes:?}");
        mistakes.into_iter().next().unwrap()
    }

    #[cfg(unix)]
    #[test]
    fn a_device_is_not_read() {
        let mistake = mistake(Path::new("/dev/null"));
        assert!(mistake.message.ends_with("it is no regular file"), "{mistake}");
    }

    #[test]
    fn of_a_long_file_no_more_is_read_than_tells_that() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("long.yaml");
        // Sparse: read whole, it would fill the memory.
        std::fs::File::create(&path).unwrap().set_len(1 << 40).unwrap();
        let mistake = mistake(&path);
        assert!(mistake.message.contains("longer than 256 KiB"), "{mistake}");
    }
}
