//! Where a secret may not stand: in words, and where every user of the machine can read.

use std::collections::BTreeSet;
use std::fs;

use keywheel_sdk::{Admin, Bundle, Secret};

use super::super::Candidate;
use super::super::overheard::stands_in;
use super::super::sitting::{KEEP, Sitting, Verdict, expect};
use super::breaking::introduce;
use super::killing::until_struck;

/// Where a process was given a secret that others can see: its number, and which file of it tells.
type Exposed = BTreeSet<(u32, &'static str)>;

/// While the call hangs, so that whatever it started is there to be seen.
pub(super) async fn processes(sitting: &Sitting<'_>) -> Verdict {
    let (target, line) = sitting.line()?;
    let secrets = secrets(sitting);
    let before = exposed(&secrets);
    line.stall_next_change();
    let call = sitting.call_on(target);
    let after = until_struck(line, introduce(sitting, &call), || exposed(&secrets)).await?;
    let found: Vec<String> =
        after.difference(&before).map(|(process, file)| format!("/proc/{process}/{file}")).collect();
    expect(found.is_empty(), || {
        format!("no secret in arguments or the environment of processes, found one in {found:?}")
    })
}

/// All secrets of the stage that a process may have been given.
fn secrets<'a>(sitting: &Sitting<'a>) -> Vec<&'a Secret> {
    let stage = sitting.stage;
    let candidate = match &stage.candidate {
        Candidate::Given(candidate) => Some(candidate),
        Candidate::Generated => None,
    };
    let admin = match &stage.target.admin {
        Admin::Credential(admin) => Some(admin),
        Admin::Own => None,
    };
    let bundles = [Some(&stage.current), candidate, admin].into_iter().flatten();
    let fields = bundles.flat_map(Bundle::fields);
    fields.filter(|(field, _)| !sitting.subject.is_public(field)).map(|(_, value)| value).collect()
}

/// Looks at all processes but this one.
fn exposed(secrets: &[&Secret]) -> Exposed {
    let own = std::process::id();
    let names = fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.file_name());
    let processes = names.filter_map(|name| name.to_str()?.parse::<u32>().ok()).filter(|process| *process != own);
    let files = processes.flat_map(|process| ["cmdline", "environ"].map(|file| (process, file)));
    // Those of other users cannot be read, and those that end meanwhile are gone.
    let holds = |(process, file): &(u32, &str)| {
        let text = fs::read(format!("/proc/{process}/{file}")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        secrets.iter().any(|secret| stands_in(secret, &text))
    };
    files.filter(holds).collect()
}

/// The words that a rotator has for what goes wrong, and for what it finds: these, and all of the exam before.
pub(super) async fn words(sitting: &Sitting<'_>) -> Verdict {
    let (rotator, stage) = (sitting.subject.rotator(), sitting.stage);
    let (call, current) = (sitting.call(), &stage.current);
    let candidate = sitting.unaccepted().await?;
    // What comes of them is heard; how they end is for other cases.
    sitting.verify_in_vain(&candidate, current).await.ok();
    rotator.revoke(&call, current, current, KEEP).await.ok();
    rotator.preflight(&call, Some(&candidate)).await.ok();
    rotator.probe(&call, &candidate, &[current]).await;
    if let Some(target) = &stage.wrong_admin {
        let call = sitting.call_on(target);
        rotator.apply(&sitting.call_in_vain(target), &candidate, None).await.ok();
        rotator.generate(&call, Some(current)).await.ok();
        rotator.sweep(&call, &[], &[current]).await.ok();
        rotator.preflight(&call, Some(current)).await.ok();
    }
    let said = sitting.overheard.said();
    expect(said.is_empty(), || format!("no secret in errors, reasons and findings, found {}", said.join(", ")))
}

/// What the exam does not see itself, such as the standard error of a process.
pub(super) async fn elsewhere(sitting: &Sitting<'_>) -> Verdict {
    let leaked = sitting.overheard.leaked();
    expect(leaked == 0, || format!("no secret in what it wrote, one had to be taken out {leaked} times"))
}
