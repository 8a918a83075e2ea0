//! Writes a file anew: whoever reads it sees the one before or this one, and nothing between.

use std::ffi::OsString;
use std::fs::{self, OpenOptions, Permissions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::Path;

use keywheel_policies::{File, FileSignal, Part, Signal, parts};
use keywheel_sdk::Bundle;
use nix::unistd::{Group, User};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::process::{Pid, kill_process};
use zeroize::Zeroizing;

use super::{Version, json};

pub(super) async fn write(file: &File, version: &Version<'_>) -> Result<(), String> {
    let content = match &file.template {
        Some(template) => filled(template, version.fields)?,
        None => json(version.fields),
    };
    let spec = file.clone();
    let written = tokio::task::spawn_blocking(move || {
        replace(&spec, content.as_bytes())?;
        spec.signal.as_ref().map_or(Ok(()), signal)
    });
    written.await.map_err(|error| format!("writing `{}` failed badly: {error}", file.path.display()))?
}

/// The template with the fields' values.
fn filled(template: &str, fields: &Bundle) -> Result<Zeroizing<String>, String> {
    let mut text = Zeroizing::new(String::with_capacity(template.len() + 4096));
    for part in parts(template) {
        match part {
            Part::Plain(plain) => text.push_str(plain),
            Part::Variable(name) => fields
                .get(name)
                .map_err(|_| format!("the secret has no field `{name}`, which the template names"))?
                .expose(|value| text.push_str(value)),
        }
    }
    Ok(text)
}

/// Writes beside the file, and then takes its place. What a crash left there is overwritten.
fn replace(file: &File, content: &[u8]) -> Result<(), String> {
    let path = file.path.as_path();
    let failed = |what: &str, error: &dyn std::fmt::Display| format!("`{}` {what}: {error}", path.display());
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(format!("`{}` is no file in a folder", path.display()));
    };
    // A bare name is in this process's folder.
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let mut hidden = OsString::from(".");
    hidden.push(name);
    hidden.push(".keywheel");
    let beside = folder.join(hidden);
    match fs::remove_file(&beside) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(failed("is not written: what stands beside it cannot be removed", &error)),
    }
    let placed = write_and_rename(file, content, &beside).map_err(|error| failed("cannot be written", &error));
    if placed.is_err() {
        let _ = fs::remove_file(&beside);
        return placed;
    }
    // The new name is durable with its folder.
    fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| failed("may not be durable", &error))
}

fn write_and_rename(file: &File, content: &[u8], beside: &Path) -> Result<(), String> {
    let text = |error: std::io::Error| error.to_string();
    let mut open = OpenOptions::new().write(true).create_new(true).mode(0o600).open(beside).map_err(text)?;
    open.write_all(content).map_err(text)?;
    let (owner, group) = (file.owner.as_deref().map(user).transpose()?, file.group.as_deref().map(group).transpose()?);
    if owner.is_some() || group.is_some() {
        fchown(&open, owner, group).map_err(text)?;
    }
    open.set_permissions(Permissions::from_mode(file.mode)).map_err(text)?;
    open.sync_all().map_err(text)?;
    fs::rename(beside, &file.path).map_err(text)
}

fn user(name: &str) -> Result<u32, String> {
    match User::from_name(name) {
        Ok(Some(user)) => Ok(user.uid.as_raw()),
        Ok(None) => Err(format!("there is no account `{name}` here")),
        Err(error) => Err(format!("the account `{name}` cannot be looked up: {error}")),
    }
}

fn group(name: &str) -> Result<u32, String> {
    match Group::from_name(name) {
        Ok(Some(group)) => Ok(group.gid.as_raw()),
        Ok(None) => Err(format!("there is no group `{name}` here")),
        Err(error) => Err(format!("the group `{name}` cannot be looked up: {error}")),
    }
}

/// A process that does not run needs no signal: it reads the file as it starts. The file with its number may belong to the
/// application, so it is read with care, and says only which of its own processes is meant; root's may say any.
fn signal(to: &FileSignal) -> Result<(), String> {
    let path = to.pid_file.display();
    let failed = |what: &dyn std::fmt::Display| format!("the file is written, but not signalled: `{path}` {what}");
    let open = OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(&to.pid_file);
    let open = match open {
        Ok(open) => open,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(&format!("cannot be read: {error}"))),
    };
    let metadata = open.metadata().map_err(|error| failed(&error))?;
    if !metadata.is_file() {
        return Err(failed(&"is no regular file"));
    }
    let mut text = String::new();
    open.take(32).read_to_string(&mut text).map_err(|error| failed(&error))?;
    // 1 and what is below it would be everybody.
    let number = text.trim().parse::<i32>().ok().filter(|number| *number > 1);
    let Some(process) = number.and_then(Pid::from_raw) else {
        return Err(failed(&"holds no number of a process"));
    };
    let Ok(running) = fs::metadata(format!("/proc/{}", process.as_raw_nonzero())) else { return Ok(()) };
    if metadata.uid() != 0 && metadata.uid() != running.uid() {
        return Err(failed(&"belongs to another account than the process that it names"));
    }
    let signal = match to.signal {
        Signal::Hup => rustix::process::Signal::HUP,
        Signal::Usr1 => rustix::process::Signal::USR1,
        Signal::Usr2 => rustix::process::Signal::USR2,
    };
    match kill_process(process, signal) {
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(error) => Err(failed(&format!("names a process that cannot be signalled: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use keywheel_sdk::Secret;

    use super::*;

    fn fields() -> Bundle {
        Bundle::login("app", Secret::new("pa$s\"w\\ord".to_owned()))
    }

    #[test]
    fn templates_are_filled() {
        let filled = |template| filled(template, &fields()).map(|text| text.to_string());
        assert_eq!(filled("u=${username} p=${password}\n").unwrap(), "u=app p=pa$s\"w\\ord\n");
        assert_eq!(filled("$${username} $ $x").unwrap(), "${username} $ $x");
        assert!(filled("${token}").unwrap_err().contains("no field `token`"));
        let parsed: serde_json::Value = serde_json::from_str(&json(&fields())).unwrap();
        assert_eq!(parsed, serde_json::json!({ "username": "app", "password": "pa$s\"w\\ord" }));
    }

    #[test]
    fn a_file_is_replaced_whole_and_for_few() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db.env");
        let spec = File { path: path.clone(), template: None, mode: 0o640, owner: None, group: None, signal: None };
        fs::write(folder.path().join(".db.env.keywheel"), "what a crash left, much longer than what follows").unwrap();
        fs::write(&path, "before").unwrap();
        let mut reader = fs::File::open(&path).unwrap();
        replace(&spec, b"after").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "after");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o640);
        let mut text = String::new();
        std::io::Read::read_to_string(&mut reader, &mut text).unwrap();
        assert_eq!(text, "before", "who was reading reads on");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
        // A link beside it leads nowhere.
        let elsewhere = folder.path().join("elsewhere");
        std::os::unix::fs::symlink(&elsewhere, folder.path().join(".db.env.keywheel")).unwrap();
        replace(&spec, b"again").unwrap();
        assert!(!elsewhere.exists());
        let nobody = File { owner: Some("nobody-of-that-name".to_owned()), ..spec };
        let error = replace(&nobody, b"never").unwrap_err();
        assert!(error.contains("no account `nobody-of-that-name`"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "again");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
