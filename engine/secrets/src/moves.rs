//! What may happen to labels, as pure decisions. A store looks, asks here, and writes, all in one transaction.

use crate::Labels;

/// What is left to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// The change is to be made.
    Due,
    /// The labels show that this very change was made already.
    Happened,
}

/// A new `PENDING` version. `Happened` if it is there; its value is still to be compared.
pub(crate) fn stage(labels: &Labels, version: &str) -> Result<Progress, String> {
    if labels.current.as_deref() == Some(version) || labels.previous.as_deref() == Some(version) {
        return Err(format!("version `{version}` was promoted already"));
    }
    if labels.pending.as_deref() == Some(version) {
        return Ok(Progress::Happened);
    }
    Ok(Progress::Due)
}

/// `PENDING` becomes `CURRENT`, if both are where the caller believes.
pub(crate) fn promote(labels: &Labels, version: &str, replaces: Option<&str>) -> Result<Progress, String> {
    if happened(labels, version, replaces) {
        return Ok(Progress::Happened);
    }
    if labels.current.as_deref() != replaces {
        return Err(elsewhere("CURRENT", &labels.current, replaces));
    }
    if labels.pending.as_deref() != Some(version) {
        return Err(elsewhere("PENDING", &labels.pending, Some(version)));
    }
    Ok(Progress::Due)
}

/// A new `CURRENT` version from a person's hand. `Happened` if it is there; its value is still to be compared.
pub(crate) fn put(labels: &Labels, version: &str, replaces: Option<&str>) -> Result<Progress, String> {
    if happened(labels, version, replaces) {
        return Ok(Progress::Happened);
    }
    if let Some(pending) = &labels.pending {
        return Err(format!("version `{pending}` is PENDING: a rotation is under way"));
    }
    if labels.current.as_deref() != replaces {
        return Err(elsewhere("CURRENT", &labels.current, replaces));
    }
    if labels.current.as_deref() == Some(version) || labels.previous.as_deref() == Some(version) {
        return Err(format!("version `{version}` exists already"));
    }
    Ok(Progress::Due)
}

/// Anything but `CURRENT` may go.
pub(crate) fn discard(labels: &Labels, version: &str) -> Result<(), String> {
    if labels.current.as_deref() == Some(version) {
        return Err(format!("version `{version}` is CURRENT"));
    }
    Ok(())
}

/// A write of an older lease than one that was seen before comes too late.
pub(crate) fn fence(seen: u64, fence: u64) -> Result<(), String> {
    if fence < seen {
        return Err(format!("a newer worker has taken over: its fence is {seen}, this one's {fence}"));
    }
    Ok(())
}

fn happened(labels: &Labels, version: &str, replaces: Option<&str>) -> bool {
    labels.current.as_deref() == Some(version) && labels.previous.as_deref() == replaces
}

fn elsewhere(label: &str, found: &Option<String>, expected: Option<&str>) -> String {
    let say = |version: Option<&str>| version.map_or("no version".to_owned(), |version| format!("`{version}`"));
    format!("{label} is on {}, not on {}", say(found.as_deref()), say(expected))
}
