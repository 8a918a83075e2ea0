//! Files and folders become policies and problems.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::across::{self, Placed};
use crate::catalogue::Catalogue;
use crate::model::{Notify, Policy};
use crate::policy::{self, Read};
use crate::problem::{Place, Problem, Problems};
use crate::source::Source;
use crate::tree;
use crate::walk::Walk;

/// What was read.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The policies without mistakes, in the order of files. Act on them only where `problems` is empty.
    pub policies: Vec<Policy>,
    /// The policies whose one mistake is that it is not clear which rotator acts. Each has its problem, with a code of
    /// [`crate::RESTING`].
    pub resting: Vec<Resting>,
    pub problems: Problems,
}

/// A policy that nobody can act on until its rotator is mended.
#[derive(Debug, Clone)]
pub struct Resting {
    pub policy: String,
    pub owner: Option<String>,
    /// The name of its secret.
    pub secret: String,
    /// As the policy's own: what is late stays late while it rests.
    pub max_age: Option<Duration>,
    /// As the policy's own.
    pub notify: Option<Notify>,
    pub rotator: String,
    /// The file in which that is mended: the rotator's declaration, the plugin, or the policy's own.
    pub declaration: String,
    /// What is wrong, as a fragment.
    pub why: String,
}

/// Folders in folders further down than this are taken for a loop.
const MAX_FOLDER_DEPTH: usize = 16;
/// More files than this are not read.
const MAX_FILES: usize = 100_000;

/// Reads policies from files, and from folders with all that is in them: `*.yaml` and `*.yml`, in the order of names,
/// without what begins with a dot.
///
/// Nothing but the files named is touched; it may be repeated.
pub fn load(paths: &[PathBuf], catalogue: &Catalogue) -> Loaded {
    let mut finder = Finder { files: Vec::new(), entered: BTreeSet::new(), problems: Problems::default() };
    for path in paths {
        finder.find(path, true, MAX_FOLDER_DEPTH);
    }
    let Finder { mut files, mut problems, .. } = finder;
    let mut seen = BTreeSet::new();
    files.retain(|file| seen.insert(file.canonicalize().unwrap_or_else(|_| file.clone())));
    let sources =
        files.iter().filter_map(|file| Source::read(file).map_err(|problem| problems.push(*problem)).ok()).collect();
    read_all(sources, catalogue, problems)
}

/// Reads one policy file's text. `name` stands for the file in messages.
pub fn load_text(name: &str, text: &str, catalogue: &Catalogue) -> Loaded {
    let mut problems = Problems::default();
    let source = Source::of_text(name, Path::new(name), text).map_err(|problem| problems.push(*problem));
    read_all(source.into_iter().collect(), catalogue, problems)
}

fn read_all(sources: Vec<Source>, catalogue: &Catalogue, mut problems: Problems) -> Loaded {
    let (mut placed, mut resting) = (Vec::new(), Vec::new());
    for source in &sources {
        match tree::parse(source) {
            Err(problem) => problems.push(*problem),
            Ok(root) => {
                let walk = Walk::new(source);
                for draft in policy::read(source, &walk, &root, catalogue, &mut resting) {
                    placed.push(Placed {
                        name: walk.place(draft.name),
                        secret: walk.place(draft.secret),
                        strategy: walk.place(draft.strategy),
                        files: draft.files.into_iter().map(|(name, span)| (name, walk.place(span))).collect(),
                        read: draft.read,
                    });
                }
                problems.append(walk.finish());
            }
        }
    }
    problems.append(across::check(&placed, catalogue));
    illustrate(&mut problems, &sources);
    let whole = placed.into_iter().filter_map(|placed| match placed.read {
        Read::Whole(policy) => Some(*policy),
        Read::Resting(_) => None,
    });
    Loaded { policies: whole.collect(), resting, problems }
}

/// Gives each problem its lines, now that everything that must not be shown is known, and puts them in order.
pub(crate) fn illustrate(problems: &mut Problems, sources: &[Source]) {
    let by_name: HashMap<Arc<str>, &Source> = sources.iter().map(|source| (Arc::clone(&source.name), source)).collect();
    let show = |place: &mut Place| {
        // Where the text became no tree, nobody knows where a secret ends.
        let is_safe = |source: &&&Source| source.is_understood() || !source.names_secrets();
        if let Some(source) = by_name.get(&place.file).filter(is_safe) {
            source.illustrate(place);
        }
    };
    for problem in problems.iter_mut() {
        show(&mut problem.place);
        if let Some((place, _)) = &mut problem.related {
            show(place);
        }
    }
    problems.sort();
}

/// Finds files, and goes on where something is wrong.
struct Finder {
    files: Vec<PathBuf>,
    /// Folders that were entered: a link that leads back ends there.
    entered: BTreeSet<PathBuf>,
    problems: Problems,
}

impl Finder {
    fn tell(&mut self, path: &Path, code: &'static str, message: String, help: &str) {
        self.problems.push(Problem::new(code, Place::of_file(path.display().to_string()), message).help(help));
    }

    fn unreadable(&mut self, path: &Path, error: &std::io::Error) {
        self.tell(path, "unreadable", format!("cannot read this: {}", error.kind()), "look at its name and its rights");
    }

    fn find(&mut self, path: &Path, named: bool, depth: usize) {
        let is_folder = match std::fs::metadata(path) {
            Ok(metadata) => metadata.is_dir(),
            Err(error) => return self.unreadable(path, &error),
        };
        if is_folder {
            return self.enter(path, depth);
        }
        let yaml = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
        if named || yaml {
            self.files.push(path.to_owned());
        }
    }

    fn enter(&mut self, folder: &Path, depth: usize) {
        if !self.entered.insert(folder.canonicalize().unwrap_or_else(|_| folder.to_owned())) {
            return;
        }
        if depth == 0 || self.files.len() >= MAX_FILES {
            let message = format!("more than {MAX_FILES} files, or folders nested deeper than {MAX_FOLDER_DEPTH}");
            return self.tell(folder, "too-many", message, "name the folders that hold policies");
        }
        let entries = std::fs::read_dir(folder)
            .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>());
        let mut entries = match entries {
            Ok(entries) => entries,
            Err(error) => return self.unreadable(folder, &error),
        };
        entries.sort();
        for entry in entries {
            let hidden = entry.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
            if !hidden {
                self.find(&entry, false, depth - 1);
            }
        }
    }
}
