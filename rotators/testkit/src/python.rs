//! Clients that others wrote, in Python.

use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A Python that has this module: the one named by the environment variable `KEYWHEEL_TEST_PYTHON`, or else the first on `PATH`
/// or the distribution's. `None` where there is none; a test then says what it did not run.
pub fn python_with(module: &str) -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "whoever runs the tests says which Python to take")]
    let named = std::env::var_os("KEYWHEEL_TEST_PYTHON").map(PathBuf::from);
    let usual = ["python3", "/usr/bin/python3"].map(PathBuf::from);
    named.into_iter().chain(usual).find(|python| {
        let import = ["-c", &format!("import {module}")].map(str::to_owned);
        let run = Command::new(python).args(import).stdout(Stdio::null()).stderr(Stdio::null()).status();
        run.is_ok_and(|status| status.success())
    })
}
