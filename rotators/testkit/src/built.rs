//! Programs that Cargo builds beside a test.

use std::path::PathBuf;

/// An example of the test's own package, which Cargo builds with its tests.
///
/// # Panics
/// It is not there: `cargo test` with a choice of tests builds the tests only.
pub fn built_example(package: &str, name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the system knows this program");
    let profile = test.parent().and_then(|deps| deps.parent()).expect("Cargo keeps tests in `deps`");
    let file = profile.join("examples").join(name);
    assert!(file.exists(), "`{}` is not built: run `cargo build -p {package} --example {name}`", file.display());
    file
}
