//! From names on the command line to policies, with a suggestion where a name is almost right.

use std::sync::Arc;

use keywheel_policies::Policy;

use crate::exit::Failure;

/// The policies that these names (of a policy or of its secret) mean, in the order of files, each once.
///
/// # Errors
/// All names that mean nothing, in one message.
pub fn by_name(policies: &[Arc<Policy>], names: &[String]) -> Result<Vec<Arc<Policy>>, Failure> {
    let means = |policy: &Policy, name: &str| policy.name == name || policy.secret.name == name;
    let unknown: Vec<&String> =
        names.iter().filter(|name| !policies.iter().any(|policy| means(policy, name))).collect();
    if let Some(first) = unknown.first() {
        let list: Vec<String> = unknown.iter().map(|name| format!("`{name}`")).collect();
        let known = policies.iter().flat_map(|policy| [policy.name.as_str(), policy.secret.name.as_str()]);
        return Err(Failure::input(format!("no policy or secret is named {}", list.join(", ")))
            .hint(suggestion(first, known).unwrap_or_else(|| "`keywheel status` lists all".to_owned())));
    }
    Ok(policies.iter().filter(|policy| names.iter().any(|name| means(policy, name))).cloned().collect())
}

/// The one policy that a name means.
pub fn one(policies: &[Arc<Policy>], name: &str) -> Result<Arc<Policy>, Failure> {
    let mut found = by_name(policies, &[name.to_owned()])?;
    match found.len() {
        1 => Ok(found.swap_remove(0)),
        _ => Err(Failure::input(format!("`{name}` is a policy and another policy's secret"))
            .hint("name the other one of the two")),
    }
}

/// `did you mean …?` for the nearest of the known names, if one is near.
pub fn suggestion<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    const NEAR: f64 = 0.8;
    known
        .map(|other| (strsim::jaro_winkler(name, other), other))
        .filter(|(likeness, _)| *likeness >= NEAR)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, other)| format!("did you mean `{other}`?"))
}
