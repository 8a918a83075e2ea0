//! `keywheel doctor`: is everything in place for the next rotation?

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use keywheel_policies::{MasterKey, SecretStore, Settings, StateStore};
use keywheel_runtime::{Clock, SystemClock};
use keywheel_sdk::Severity;
use serde::Serialize;

use crate::exit::{Exit, Failure};
use crate::output::talk;
use crate::{Session, preflight, wire};

/// Check settings, stores, policies and targets
///
/// Exits with 7 if a rotation would fail. Nothing is changed at any target; stores that do not exist yet are made, empty.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Do not ask the targets
    #[arg(long)]
    offline: bool,
}

/// One finding as JSON. Stable.
#[derive(Serialize)]
struct Line {
    /// `settings`, `master-key`, `secret-store`, `state-store`, `policies`, `providers`, `clock`, or a policy's name.
    subject: String,
    /// `error`, `warning` or `fine`.
    severity: &'static str,
    what: String,
    hint: String,
}

fn line(subject: &str, severity: Severity, what: impl Into<String>, hint: impl Into<String>) -> Line {
    Line { subject: subject.to_owned(), severity: preflight::word(severity), what: what.into(), hint: hint.into() }
}

fn broken(subject: &str, failure: Failure) -> Line {
    line(subject, Severity::Error, failure.what, failure.hint.unwrap_or_default())
}

pub async fn run(args: &Args, cx: &mut Session) -> anyhow::Result<Exit> {
    let mut lines = vec![line("keywheel", Severity::Fine, concat!("version ", env!("CARGO_PKG_VERSION")), "")];
    lines.push(clock());
    match wire::settings(&cx.globals.settings) {
        Err(failure) => lines.push(broken("settings", failure)),
        Ok(settings) => {
            lines.push(line("settings", Severity::Fine, cx.globals.settings.display().to_string(), ""));
            look(&settings, args.offline, &mut lines).await;
        }
    }
    if cx.out.is_json() {
        cx.out.json(&lines)?;
    } else {
        let row =
            |line: &Line| vec![line.subject.clone(), line.severity.to_owned(), line.what.clone(), line.hint.clone()];
        cx.out.table(&["SUBJECT", "", "FOUND", "TO DO"], &lines.iter().map(row).collect::<Vec<_>>())?;
    }
    let errors = lines.iter().filter(|line| line.severity == "error").count();
    if errors > 0 {
        talk(&format!(
            "{errors} {} would keep a rotation from working",
            if errors == 1 { "finding" } else { "findings" }
        ));
        return Ok(Exit::Findings);
    }
    Ok(Exit::Done)
}

async fn look(settings: &Settings, offline: bool, lines: &mut Vec<Line>) {
    let SecretStore::Local { path, master_key } = &settings.secrets;
    let key = wire::keyring(master_key);
    let key_fits = key.is_ok();
    lines.push(match key {
        Ok(keyring) => {
            let place = match master_key {
                MasterKey::File(path) => path.display().to_string(),
                MasterKey::Env(name) => format!("the environment variable `{name}`"),
            };
            line("master-key", Severity::Fine, format!("{} from {place}", keyring.primary().id()), "")
        }
        Err(failure) => broken("master-key", failure),
    });
    if key_fits {
        lines.push(match wire::secrets(settings).await {
            Ok(_) => line("secret-store", Severity::Fine, format!("{} opens with this key", path.display()), ""),
            Err(failure) => broken("secret-store", failure),
        });
    }
    lines.extend(exposed("secret-store", path));
    let StateStore::Sqlite(path) = &settings.state;
    lines.push(match wire::state(settings).await {
        Ok(_) => line("state-store", Severity::Fine, format!("{} opens", path.display()), ""),
        Err(failure) => broken("state-store", failure),
    });
    lines.extend(exposed("state-store", path));
    let rotators = wire::rotators(Some(settings));
    let policies = match wire::policies(settings, &rotators) {
        Ok(policies) => policies,
        Err(failure) => return lines.push(broken("policies", failure)),
    };
    lines.push(match policies.usable.len() {
        0 => line("policies", Severity::Warning, "none", "nothing is rotated until there is one"),
        count => line("policies", Severity::Fine, format!("{count} without mistakes"), ""),
    });
    let impossible = lines.iter().any(|line| line.severity == "error");
    if policies.mistakes > 0 {
        lines.push(line("providers", Severity::Error, policies.told(), "mend them, or take them out of `providers:`"));
    } else if !policies.resting.is_empty() {
        lines.push(line("plugins", Severity::Error, policies.told(), "mend what `keywheel validate` shows"));
    }
    if offline || impossible {
        return;
    }
    let engine = match wire::engine(settings, &rotators, None).await {
        Ok(engine) => engine,
        Err(failure) => return lines.push(broken("engine", failure)),
    };
    for policy in &policies.usable {
        for finding in preflight::findings(&engine, policy).await {
            lines.push(line(&policy.name, finding.severity, finding.what, finding.hint));
        }
    }
}

/// What others on this machine can learn from a store's files, or lead elsewhere. No rotation fails for it.
fn exposed(subject: &str, store: &Path) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut warn = |what, hint| lines.push(line(subject, Severity::Warning, what, hint));
    // SQLite keeps its other files beside the file that a link leads to.
    let database = std::fs::canonicalize(store).unwrap_or_else(|_| store.to_owned());
    if std::fs::symlink_metadata(store).is_ok_and(|found| found.is_symlink()) {
        warn(
            format!("{} is a symbolic link to {}", store.display(), database.display()),
            "name the file itself in the settings: whoever can change the link can put another store in its place"
                .into(),
        );
    }
    for suffix in ["", "-wal", "-shm"] {
        let mut path = database.clone().into_os_string();
        path.push(suffix);
        let path = Path::new(&path);
        // A file that is not there is found by opening the store, or is not needed.
        let Ok(found) = std::fs::symlink_metadata(path) else { continue };
        if found.is_symlink() {
            warn(
                format!("{} is a symbolic link", path.display()),
                "end keywheel, and put the file itself there".into(),
            );
            continue;
        }
        let mode = found.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            warn(
                format!("{} is open to others than its owner (mode {mode:04o})", path.display()),
                format!("run `chmod 600 {}`", path.display()),
            );
        }
    }
    lines
}

/// Whether times can be relied on: a clock that was never set would make everything due, or nothing.
fn clock() -> Line {
    let now = SystemClock.now();
    let year = now.to_zoned(jiff::tz::TimeZone::UTC).year();
    if !(2026..2100).contains(&year) {
        let what = format!("the system's clock says {}", crate::output::instant(now));
        return line("clock", Severity::Error, what, "set the clock: schedules are computed from it");
    }
    // https://data.iana.org/time-zones/tz-link.html: the compact form begins with a comment that names the version.
    let zones = std::fs::read_to_string("/usr/share/zoneinfo/tzdata.zi").ok();
    let zones = zones.as_deref().and_then(|text| text.lines().next()).and_then(|line| line.strip_prefix("# version "));
    let zones =
        zones.map_or_else(|| "bundled or of unknown version".to_owned(), |version| format!("the system's {version}"));
    line("clock", Severity::Fine, format!("{}; time zones: {zones}", crate::output::instant(now)), "")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::fs::Permissions;

    use super::*;

    #[test]
    fn files_of_a_store_that_others_can_read_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("secrets.db");
        let files = ["secrets.db", "secrets.db-wal", "secrets.db-shm"].map(|name| folder.path().join(name));
        assert!(exposed("secret-store", &store).is_empty(), "nothing is there");
        for file in &files {
            std::fs::write(file, "").unwrap();
            std::fs::set_permissions(file, Permissions::from_mode(0o600)).unwrap();
        }
        assert!(exposed("secret-store", &store).is_empty());
        for (file, mode) in files.iter().zip([0o640, 0o604, 0o666]) {
            std::fs::set_permissions(file, Permissions::from_mode(mode)).unwrap();
            let lines = exposed("secret-store", &store);
            assert_eq!(lines.len(), 1);
            assert!(lines[0].severity == "warning" && lines[0].hint == format!("run `chmod 600 {}`", file.display()));
            std::fs::set_permissions(file, Permissions::from_mode(0o600)).unwrap();
        }
        let link = folder.path().join("link.db");
        std::os::unix::fs::symlink(&store, &link).unwrap();
        std::fs::set_permissions(&files[1], Permissions::from_mode(0o644)).unwrap();
        let lines = exposed("secret-store", &link);
        assert!(lines.len() == 2 && lines[0].what.contains("link.db is a symbolic link"), "{}", lines[0].what);
        assert!(lines[1].what.contains("secrets.db-wal is open"), "{}", lines[1].what);
        std::fs::remove_file(&files[1]).unwrap();
        std::os::unix::fs::symlink(&files[2], &files[1]).unwrap();
        assert!(exposed("secret-store", &store)[0].what.contains("secrets.db-wal is a symbolic link"));
    }
}
