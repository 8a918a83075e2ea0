//! From names on the command line to policies, with a suggestion where a name is almost right.

use std::sync::Arc;

use keywheel_policies::{Policy, Resting};

use crate::exit::Failure;

/// The policies of the settings.
pub struct Policies {
    /// Those that can be acted on.
    pub usable: Vec<Arc<Policy>>,
    /// Those whose rotator cannot be used, or is not clear. Nothing is done for them.
    pub resting: Vec<Resting>,
    /// How many mistakes there are in declarations of providers.
    pub mistakes: usize,
}

impl Policies {
    /// What is wrong with rotators, and what follows.
    pub fn told(&self) -> String {
        let (mistakes, resting) = (self.mistakes, self.resting.len());
        let rest = if resting == 1 { "policy rests" } else { "policies rest" };
        if mistakes == 0 {
            return format!("{resting} {rest}, for want of a rotator; `keywheel validate` shows why");
        }
        format!(
            "{mistakes} {} in declarations of providers, so {resting} {rest}; `keywheel validate` shows them",
            if mistakes == 1 { "mistake" } else { "mistakes" },
        )
    }

    /// Of all policies, or of those that these names mean, the ones that can be acted on and the ones that rest.
    ///
    /// # Errors
    /// A name means nothing.
    pub fn all_or_named(&self, names: &[String]) -> Result<(Vec<Arc<Policy>>, Vec<&Resting>), Failure> {
        if names.is_empty() {
            return Ok((self.usable.clone(), self.resting.iter().collect()));
        }
        let (resting, others): (Vec<String>, Vec<String>) =
            names.iter().cloned().partition(|name| self.resting.iter().any(|resting| rests(resting, name)));
        let resting = self.resting.iter().filter(|one| resting.iter().any(|name| rests(one, name)));
        Ok((by_name(&self.usable, &others)?, resting.collect()))
    }

    /// The policies that these names mean.
    ///
    /// # Errors
    /// A name means nothing, or a policy that rests.
    pub fn named(&self, names: &[String]) -> Result<Vec<Arc<Policy>>, Failure> {
        match self.resting.iter().find(|resting| names.iter().any(|name| rests(resting, name))) {
            None => by_name(&self.usable, names),
            Some(Resting { policy, declaration, why, .. }) => {
                Err(Failure::input(format!("policy `{policy}` rests: {why}"))
                    .hint(format!("mend `{declaration}`; `keywheel validate` shows what is wrong there")))
            }
        }
    }

    /// The one policy that a name means.
    pub fn one(&self, name: &str) -> Result<Arc<Policy>, Failure> {
        let mut found = self.named(&[name.to_owned()])?;
        match found.len() {
            1 => Ok(found.swap_remove(0)),
            _ => Err(Failure::input(format!("`{name}` is a policy and another policy's secret"))
                .hint("name the other one of the two")),
        }
    }
}

fn rests(resting: &Resting, name: &str) -> bool {
    resting.policy == name || resting.secret == name
}

/// The policies that these names (of a policy or of its secret) mean, in the order of files, each once.
///
/// # Errors
/// All names that mean nothing, in one message.
fn by_name(policies: &[Arc<Policy>], names: &[String]) -> Result<Vec<Arc<Policy>>, Failure> {
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

/// `did you mean …?` for the nearest of the known names, if one is near.
pub fn suggestion<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    const NEAR: f64 = 0.8;
    known
        .map(|other| (strsim::jaro_winkler(name, other), other))
        .filter(|(likeness, _)| *likeness >= NEAR)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, other)| format!("did you mean `{other}`?"))
}
