//! The habits of this repository that a program can see. Each test lists all that offends, not the first.

mod arrows;
mod documents;
mod files;
mod source;
mod words;

use std::path::{Path, PathBuf};

/// One text file of the repository.
struct File {
    /// From the root of the repository, with `/`.
    path: String,
    text: String,
}

impl File {
    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Lines with their numbers, from 1.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// One file that must be there.
fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every text file that is or could be committed, in the order of paths.
fn all_files() -> Vec<File> {
    let mut files = Vec::new();
    let mut folders = vec![root().to_owned()];
    while let Some(folder) = folders.pop() {
        for found in std::fs::read_dir(&folder).expect("the repository is readable") {
            let path = found.expect("the repository is readable").path();
            match path.file_name().and_then(|name| name.to_str()) {
                Some("target" | ".git") => {}
                _ if path.is_symlink() => {}
                _ if path.is_dir() => folders.push(path),
                _ => files.extend(file(path)),
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(files.len() > 50, "the repository was not found at {}", root().display());
    files
}

fn file(path: PathBuf) -> Option<File> {
    // Databases and pictures are nobody's prose.
    let text = std::fs::read_to_string(&path).ok()?;
    let path = path.strip_prefix(root()).expect("found below the root").to_string_lossy().replace('\\', "/");
    Some(File { path, text })
}

fn rust_files() -> Vec<File> {
    all_files().into_iter().filter(File::is_rust).collect()
}

/// Fails with all that offends.
fn must_be_empty(what: &str, offences: Vec<String>) {
    assert!(offences.is_empty(), "{what}:\n  {}", offences.join("\n  "));
}
