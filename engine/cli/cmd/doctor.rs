//! `keywheel doctor`: is everything in place for the next rotation?

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
    /// `settings`, `master-key`, `secret-store`, `state-store`, `policies`, `clock`, or a policy's name.
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
    let StateStore::Sqlite(path) = &settings.state;
    lines.push(match wire::state(settings).await {
        Ok(_) => line("state-store", Severity::Fine, format!("{} opens", path.display()), ""),
        Err(failure) => broken("state-store", failure),
    });
    let policies = match wire::policies(settings) {
        Ok(policies) => policies,
        Err(failure) => return lines.push(broken("policies", failure)),
    };
    lines.push(match policies.len() {
        0 => line("policies", Severity::Warning, "none", "nothing is rotated until there is one"),
        count => line("policies", Severity::Fine, format!("{count} without mistakes"), ""),
    });
    if offline || lines.iter().any(|line| line.severity == "error") {
        return;
    }
    let engine = match wire::engine(settings, None).await {
        Ok(engine) => engine,
        Err(failure) => return lines.push(broken("engine", failure)),
    };
    for policy in &policies {
        for finding in preflight::findings(&engine, policy).await {
            lines.push(line(&policy.name, finding.severity, finding.what, finding.hint));
        }
    }
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
