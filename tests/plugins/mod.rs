//! Plugins: rotators of others, in processes of their own.

#[cfg(feature = "failpoints")]
mod daemon;
mod exam;
mod installing;
mod leaks;
mod liars;
mod library;
mod log;
mod newcomer;
mod own_target;
mod provider_made;
mod resting;
mod signed;
mod zoo;

use std::path::{Path, PathBuf};

use keywheel_plugin::{Confinement, Form, Plugin, sha256_of};

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
    formed(Form::Executable, name, file, confinement)
}

/// The same of any form.
fn formed(form: Form, name: &str, file: &Path, confinement: Confinement) -> Plugin {
    Plugin {
        name: name.to_owned(),
        form,
        file: file.to_owned(),
        sha256: sha256_of(file).expect("the plugin is readable"),
        signature: None,
        confinement,
        host: PathBuf::from(env!("CARGO_BIN_EXE_keywheel")),
    }
}
