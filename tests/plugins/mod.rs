//! Plugins: rotators of others, in processes of their own.

mod exam;
mod installing;
mod leaks;
mod log;
mod zoo;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use keywheel_plugin::{Confinement, Plugin, sha256_of};

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/plugins").join(name)
}

/// The example in Python.
#[cfg(feature = "failpoints")]
pub fn slots_in_python() -> PathBuf {
    example("slots.py")
}

/// The settings' lines about this plugin, which may connect to the service and nowhere else.
#[cfg(feature = "failpoints")]
pub fn plugged(file: &Path, service: &keywheel_keyservice::KeyService) -> String {
    format!(
        "plugins: {{ slots: {{ file: \"{}\", sha256: \"{}\", connect: [{}] }} }}\n",
        file.display(),
        sha256_of(file).expect("the plugin is readable"),
        service.port()
    )
}

/// A plugin under this name, hosted by the real program.
fn plugin(name: &str, file: &Path, confinement: Confinement) -> Plugin {
    let host = |file: &Path, work: &Path, confinement: &Confinement| {
        let mut arguments: Vec<OsString> = vec!["plugin-host".into(), file.into(), work.into()];
        arguments.extend(["--memory-mib".into(), confinement.memory_mib.to_string().into()]);
        arguments.extend(["--cpu-seconds".into(), confinement.cpu_seconds.to_string().into()]);
        arguments.extend(confinement.read.iter().flat_map(|path| ["--read".into(), path.into()]));
        arguments.extend(confinement.connect.iter().flat_map(|port| ["--connect".into(), port.to_string().into()]));
        (PathBuf::from(env!("CARGO_BIN_EXE_keywheel")), arguments)
    };
    Plugin {
        name: name.to_owned(),
        file: file.to_owned(),
        sha256: sha256_of(file).expect("the plugin is readable"),
        signature: None,
        confinement,
        host: Arc::new(host),
    }
}
