//! The program that starts a plugin's processes: its command line, as it is written and as it is read.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::confine::{Confinement, EnterError, enter};
use crate::guest::{ServeError, serve};
use crate::plugin::{Form, Plugin};

/// The first argument of a program that is to be a host.
pub const HOST: &str = "plugin-host";

/// Why a host did not become a plugin, or ends.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    #[error("these are not the arguments that the engine gives")]
    Arguments,
    #[error(transparent)]
    Enter(#[from] EnterError),
    #[error(transparent)]
    Serve(#[from] ServeError),
}

/// Is the host of a plugin: confines this process and becomes the plugin, or loads it and serves it until its input ends. `arguments`
/// are those after [`HOST`]. To be called before there are threads.
///
/// # Errors
/// See [`HostError`].
pub fn host(arguments: impl IntoIterator<Item = OsString>) -> Result<(), HostError> {
    let Asked { form, file, work, confinement } = read(arguments.into_iter()).ok_or(HostError::Arguments)?;
    match form {
        Form::Executable => match enter(&file, &work, &confinement)? {},
        Form::Library | Form::InProcess => Ok(serve(&file, &work, &confinement)?),
    }
}

/// What a host is to do.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    form: Form,
    file: PathBuf,
    work: PathBuf,
    confinement: Confinement,
}

/// What a host is told, [`HOST`] included.
pub(crate) fn arguments(plugin: &Plugin, file: &Path, work: &Path) -> Vec<OsString> {
    let confinement = &plugin.confinement;
    let form = match plugin.form {
        Form::Executable => "executable",
        Form::Library | Form::InProcess => "library",
    };
    let mut arguments: Vec<OsString> = vec![HOST.into(), form.into(), file.into(), work.into()];
    arguments.extend([confinement.memory_mib, confinement.cpu_seconds].map(|number| number.to_string().into()));
    arguments.extend(confinement.read.iter().flat_map(|path| ["read".into(), path.into()]));
    arguments.extend(confinement.connect.iter().flat_map(|port| ["connect".into(), port.to_string().into()]));
    arguments
}

fn read(mut arguments: impl Iterator<Item = OsString>) -> Option<Asked> {
    let form = match arguments.next()?.to_str()? {
        "executable" => Form::Executable,
        "library" => Form::Library,
        _ => return None,
    };
    let (file, work) = (arguments.next()?.into(), arguments.next()?.into());
    let memory_mib = arguments.next()?.to_str()?.parse().ok()?;
    let cpu_seconds = arguments.next()?.to_str()?.parse().ok()?;
    let mut confinement = Confinement { memory_mib, cpu_seconds, read: Vec::new(), connect: Vec::new() };
    while let Some(word) = arguments.next() {
        let value = arguments.next()?;
        match word.to_str()? {
            "read" => confinement.read.push(value.into()),
            "connect" => confinement.connect.push(value.to_str()?.parse().ok()?),
            _ => return None,
        }
    }
    Some(Asked { form, file, work, confinement })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_reads_what_it_is_told() {
        let confinement = Confinement {
            memory_mib: 64,
            cpu_seconds: 7,
            read: vec!["connect".into(), "/with space".into()],
            connect: vec![1, 65_535],
        };
        let plugin = Plugin {
            name: "lamp".to_owned(),
            form: Form::Library,
            file: "elsewhere".into(),
            sha256: String::new(),
            signature: None,
            confinement: confinement.clone(),
            host: "keywheel".into(),
        };
        let told = arguments(&plugin, Path::new("--file"), Path::new("work"));
        assert_eq!(told[0], HOST);
        let asked = Asked { form: Form::Library, file: "--file".into(), work: "work".into(), confinement };
        assert_eq!(read(told.iter().skip(1).cloned()), Some(asked));
        for short in 1..told.len() - 1 {
            let cut: Vec<_> = told[1..=short].to_vec();
            // Whole pairs of what it may read and reach can be missing, nothing else.
            assert_eq!(read(cut.into_iter()).is_some(), short >= 5 && short % 2 == 1, "{short}");
        }
    }
}
