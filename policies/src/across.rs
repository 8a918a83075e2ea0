//! Mistakes that show only when policies stand side by side.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use crate::catalogue::Catalogue;
use crate::model::Strategy;
use crate::policy::{Read, accounts};
use crate::problem::{Place, Problem, Problems};

/// A policy and the places to point at.
pub(crate) struct Placed {
    pub read: Read,
    pub name: Place,
    pub secret: Place,
    pub strategy: Place,
    /// The consumers that it names and that write files.
    pub files: Vec<(String, Place)>,
}

/// What two policies may not share.
struct Unique {
    code: &'static str,
    message: &'static str,
    help: &'static str,
}

const NAME: Unique = Unique {
    code: "duplicate-policy",
    message: "two policies have this name",
    help: "rename one; with `for_each` the name needs a variable, such as `orders-${user}`",
};
const SECRET: Unique = Unique {
    code: "duplicate-secret",
    message: "two policies write this secret",
    help: "each policy has a secret of its own; with `for_each` the name needs a variable",
};
const ACCOUNT: Unique = Unique {
    code: "duplicate-account",
    message: "two policies change the same account at the same target",
    help: "one account, one policy: they would lock each other's readers out",
};

const FILE: Unique = Unique {
    code: "duplicate-consumer",
    message: "two policies have this consumer write its file",
    help: "a file holds one secret: declare a consumer for each; with `for_each` the name needs a variable",
};

const KEYS: Unique = Unique {
    code: "duplicate-owner",
    message: "two policies have keys at this target, and one says `exclusive: true`",
    help: "who owns all keys of a target deletes those of others: give each policy a target of its own",
};
/// The setting that says that all keys of the target are the policy's own.
const EXCLUSIVE: &str = "exclusive";

impl Placed {
    fn name(&self) -> &str {
        match &self.read {
            Read::Whole(policy) => &policy.name,
            Read::Resting(claims) => &claims.name,
        }
    }

    fn secret(&self) -> &str {
        match &self.read {
            Read::Whole(policy) => &policy.secret.name,
            Read::Resting(claims) => &claims.secret,
        }
    }

    fn rotator(&self) -> &str {
        match &self.read {
            Read::Whole(policy) => &policy.rotator,
            Read::Resting(claims) => &claims.rotator,
        }
    }

    fn target(&self) -> &Map<String, Value> {
        match &self.read {
            Read::Whole(policy) => &policy.target,
            Read::Resting(claims) => &claims.target,
        }
    }

    fn strategy(&self) -> &Strategy {
        match &self.read {
            Read::Whole(policy) => &policy.strategy,
            Read::Resting(claims) => &claims.strategy,
        }
    }
}

/// Names, secrets and accounts belong to one policy each, also while it rests: it holds what it had.
pub(crate) fn check(policies: &[Placed], catalogue: &Catalogue) -> Problems {
    let mut problems = Problems::default();
    let mut told = HashSet::new();
    let mut names: HashMap<&str, &Place> = HashMap::new();
    let mut secrets: HashMap<&str, &Place> = HashMap::new();
    let mut owners: HashMap<(String, &str), &Place> = HashMap::new();
    let mut files: HashMap<&str, (&str, &Place)> = HashMap::new();
    let mut keys: HashMap<String, Vec<&Placed>> = HashMap::new();
    let mut tell = |unique: &Unique, place: &Place, first: &Place| {
        if told.insert((unique.code, place.clone())) {
            let problem = Problem::new(unique.code, place.clone(), unique.message).help(unique.help);
            // Two rounds of one `for_each` stand at the same place: pointing at it twice says nothing more.
            problems.push(if first == place { problem } else { problem.related(first.clone(), "the first is here") });
        }
    };
    let versions = versions(policies);
    for placed in policies {
        if let Some(first) = names.insert(placed.name(), &placed.name) {
            tell(&NAME, &placed.name, first);
        }
        if let Some(first) = secrets.insert(placed.secret(), &placed.secret) {
            tell(&SECRET, &placed.secret, first);
        }
        for (name, place) in &placed.files {
            // One policy may name it in both of its lists.
            let (policy, first) = *files.entry(name).or_insert((placed.name(), place));
            if policy != placed.name() {
                tell(&FILE, place, first);
            }
        }
        let target = identity(placed, catalogue, &versions);
        if *placed.strategy() == Strategy::Overlapping {
            let others = keys.entry(target.clone()).or_default();
            if let Some(other) = others.iter().find(|other| is_exclusive(other) || is_exclusive(placed)) {
                tell(&KEYS, &placed.strategy, &other.strategy);
            }
            others.push(placed);
        }
        for account in accounts(placed.strategy()) {
            if let Some(first) = owners.insert((target.clone(), account), &placed.strategy) {
                tell(&ACCOUNT, &placed.strategy, first);
            }
        }
    }
    problems
}

fn is_exclusive(placed: &Placed) -> bool {
    placed.target().get(EXCLUSIVE) == Some(&Value::Bool(true))
}

/// For each rotator a version of it that some policy has.
fn versions(policies: &[Placed]) -> HashMap<&str, &str> {
    let whole = policies.iter().filter_map(|placed| match &placed.read {
        Read::Whole(policy) => Some((policy.rotator.as_str(), policy.rotator_version.as_str())),
        Read::Resting(_) => None,
    });
    whole.collect()
}

/// What tells one server from another: accounts belong to servers, not to databases on them.
fn identity(placed: &Placed, catalogue: &Catalogue, versions: &HashMap<&str, &str>) -> String {
    let (rotator, target) = (placed.rotator(), placed.target());
    // Nobody knows what one that rests would say of its target; another version of it may.
    let version = match &placed.read {
        Read::Whole(policy) => Some(policy.rotator_version.as_str()),
        Read::Resting(_) => versions.get(rotator).copied(),
    };
    let spec = version.and_then(|version| catalogue.rotators.of(rotator, version));
    // Two declarations of one provider mean the same keys.
    if let Some(owner) = spec.and_then(|spec| spec.owner.of(target)) {
        return owner;
    }
    let text = |key: &str| target.get(key).and_then(Value::as_str);
    match text("host") {
        Some(host) => {
            // Of one that rests a variable may stand in it, as text.
            let number = |port: &Value| port.as_i64().or_else(|| port.as_str()?.parse().ok());
            let port = target.get("port").and_then(number).or_else(|| usual_port(rotator));
            format!("{rotator} {} {}", host.to_lowercase(), port.unwrap_or_default())
        }
        None => {
            let mut named = target.clone();
            if let Some(spec) = spec {
                named.retain(|name, _| {
                    spec.settings.iter().any(|setting| setting.name == *name && setting.names_target)
                });
            }
            format!("{rotator} {}", Value::Object(named))
        }
    }
}

/// So that a port that is written out is the same server as one that is not. IANA's registry of service names.
fn usual_port(rotator: &str) -> Option<i64> {
    match rotator {
        "postgres" => Some(5432),
        "mysql" => Some(3306),
        "sqlserver" => Some(1433),
        _ => None,
    }
}
