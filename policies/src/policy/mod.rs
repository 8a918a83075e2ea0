//! One policy file becomes one policy, or with `for_each` many.

mod admin;
mod age;
mod consumers;
mod ending;
mod fleet;
mod generate;
mod heartbeat;
mod schedule;
mod strategy;
mod target;

use std::collections::BTreeMap;

use crate::catalogue::{Catalogue, Chosen, RotatorSpec};
use crate::load::Resting;
use crate::model::{Adopt, Check, Policy, SecretSpec, Strategy};
use crate::notify;
use crate::pin::Pinned;
use crate::problem::Problem;
use crate::scalar;
use crate::source::Source;
use crate::tree::{Node, Span};
use crate::walk::{Keys, Section, Walk};

pub(crate) use admin::credential;
pub(crate) use schedule::{cron, timezone};
#[cfg(test)]
pub(crate) use {
    admin::ADMIN,
    ending::{EXHAUSTED, ON_DEADLINE, ON_FAILURE, REVOKE, REVOKE_WHEN},
    generate::{CHARSETS, CLASSES, CUSTOM, FIRST, GENERATE},
    heartbeat::{HEARTBEAT, ON_DRIFT},
    schedule::{DAYS, SCHEDULE, WINDOW},
    strategy::{ALTERNATING, GRANT_PARITY, IN_PLACE, STRATEGY},
};

pub(crate) const POLICY: Keys = Keys {
    name: "a policy",
    keys: &[
        "version",
        "policy",
        "owner",
        "labels",
        "rotator",
        "target",
        "admin",
        "strategy",
        "secret",
        "adopt",
        "schedule",
        "max_age",
        "generate",
        "verify",
        "revoke",
        "on_failure",
        "for_each",
        "after_promote",
        "before_revoke",
        "heartbeat",
        "notify",
    ],
};
pub(crate) const SECRET: Keys = Keys { name: "secret", keys: &["name", "fields"] };
pub(crate) const CHECK: Keys = Keys { name: "a check", keys: &["sql"] };
/// The checks that are a word; the others are maps.
pub(crate) const CHECKS: [(&str, Check); 1] = [("login", Check::Login)];
pub(crate) const ADOPT: [(&str, Adopt); 2] = [("keep", Adopt::Keep), ("rotate", Adopt::Rotate)];

/// The code of a policy's problem whose mistakes are in the declaration of its rotator, or in the file of its plugin.
pub const BROKEN_ROTATOR: &str = "broken-rotator";
const UNPINNED: &str = "unpinned-rotator";
const UNFIT: &str = "no-such-version";

/// The codes of problems for which the policy rests, where it has no other ones, and which others do not have to wait for: which rotator
/// acts is not clear, and may become clear by another file.
pub const RESTING: [&str; 3] = [BROKEN_ROTATOR, UNPINNED, UNFIT];

const NAME_HELP: &str = "letters, digits, `.`, `_` and `-`";

/// A policy with the places that other policies' mistakes may have to point at.
pub(crate) struct Draft {
    pub read: Read,
    pub name: Span,
    pub secret: Span,
    pub strategy: Span,
    /// The consumers that it names and that write files.
    pub files: Vec<(String, Span)>,
}

/// What was read of one policy.
pub(crate) enum Read {
    Whole(Box<Policy>),
    /// It rests, and what it claims is its own all the same: nobody else may have it meanwhile.
    Resting(Claims),
}

/// What belongs to one policy.
pub(crate) struct Claims {
    pub name: String,
    pub secret: String,
    pub rotator: String,
    pub target: serde_json::Map<String, serde_json::Value>,
    pub strategy: Strategy,
}

/// All policies of one file.
pub(crate) fn read(
    source: &Source,
    walk: &Walk<'_>,
    root: &Node,
    catalogue: &Catalogue,
    resting: &mut Vec<Resting>,
) -> Vec<Draft> {
    let digest = source.digest();
    let reader = Reader { source, catalogue, digest: &digest, gaps: age::Gaps::default() };
    let mut drafts = Vec::new();
    for round in fleet::rounds(walk, root) {
        walk.begin(round);
        drafts.extend(reader.policy(walk, root, resting));
        if walk.exhausted() {
            return Vec::new();
        }
    }
    drafts
}

struct Reader<'r> {
    source: &'r Source,
    catalogue: &'r Catalogue,
    digest: &'r str,
    gaps: age::Gaps,
}

impl Reader<'_> {
    fn policy(&self, walk: &Walk<'_>, root: &Node, resting: &mut Vec<Resting>) -> Option<Draft> {
        let top = walk.section(root, &POLICY)?;
        version(&top);
        let _ = top.entry("for_each");
        let name_node = top.need("policy", "give it a name: `policy: orders-db`");
        let name = name_node.and_then(|node| {
            walk.checked(node, "bad-name", "policy name", NAME_HELP, |text| scalar::is_name(text, false))
        });
        let owner = top.get("owner").and_then(|node| walk.text(node));
        let labels = top.get("labels").map(|node| labels(walk, node)).unwrap_or_default();
        let rotator = self.rotator(&top);
        let spec = match rotator.as_ref().and_then(|(_, chosen)| chosen.as_ref()) {
            Some(Chosen::One(spec)) => Some(*spec),
            Some(Chosen::Broken(_) | Chosen::Unpinned(_) | Chosen::Unfit(_)) | None => None,
        };
        let rotator_node = top.get("rotator");
        let target_node = top.get("target");
        let target = target::read(&top, spec);
        let strategy_node =
            top.need("strategy", "such as `strategy: { alternating: { users: [orders_a, orders_b] } }`");
        let strategy = strategy_node.and_then(|node| strategy::read(walk, node, spec));
        let admin = admin::read(&top, spec, strategy.as_ref());
        let secret_node = top.need("secret", "such as `secret: { name: prod/orders/db }`");
        let secret = secret_node.and_then(|node| secret(walk, node, spec));
        let adopt = top.get("adopt").map_or(Some(Adopt::Keep), |node| walk.choice(node, &ADOPT));
        let schedule = top
            .need("schedule", "such as `schedule: { every: 30d }`, or `schedule: { manual: true }`")
            .and_then(|node| schedule::read(walk, node, &self.catalogue.freezes, spec));
        let generate = generate::read(&top, spec);
        let verify = top.get("verify").map_or(Some(vec![Check::Login]), |node| checks(walk, node, spec));
        let revoke = ending::revoke(&top, spec, strategy.as_ref());
        let on_failure = ending::on_failure(&top);
        let mut files = Vec::new();
        let mut consumers = |key| consumers::read(&top, key, self.catalogue, secret.as_ref(), spec, &mut files);
        let (after_promote, before_revoke) = (consumers("after_promote"), consumers("before_revoke"));
        let heartbeat = top.get("heartbeat").map(|node| heartbeat::read(walk, node, schedule.as_ref(), admin.as_ref()));
        let notify = top.get("notify").and_then(|node| notify::read(walk, node, &self.catalogue.notifiers));
        let max_age_node = top.get("max_age");
        let max_age = max_age_node.map(|node| walk.duration(node));
        if let (Some(node), Some(Some(max_age)), Some(schedule), Some(revoke), Some(strategy)) =
            (max_age_node, max_age, &schedule, &revoke, &strategy)
        {
            age::check(walk, node.span, max_age, schedule, revoke, strategy, &self.gaps);
        }
        if let (Some(secret), Some(crate::model::AdminSource::Secret(admin)), Some(node)) =
            (&secret, &admin, top.get("admin"))
            && secret.name == *admin
        {
            walk.tell(
                walk.problem("admin-is-itself", node.span, "the admin's secret is the secret that is rotated")
                    .help("write `admin: self` where the account changes its own password"),
            );
        }
        top.done();
        let unclear = match &rotator {
            Some((kind, Some(chosen))) => self.unclear(walk, rotator_node?.span, kind, chosen),
            Some((_, None)) | None => None,
        };
        if let Some((problem, file)) = unclear {
            let target = target_node.map(|node| target::as_it_stands(walk, node)).unwrap_or_default();
            let is_all = !walk.failed();
            let why = problem.message.clone();
            // What is broken is another file's mistake, and mended there.
            if is_all || problem.code != BROKEN_ROTATOR {
                walk.tell(problem);
            }
            if !is_all {
                return None;
            }
            let (name, secret, rotator) = (name?, secret?.name, rotator?.0);
            resting.push(Resting {
                policy: name.clone(),
                owner,
                secret: secret.clone(),
                max_age: max_age.flatten(),
                notify,
                rotator: rotator.clone(),
                declaration: file,
                why,
            });
            let claims = Claims { name, secret, rotator, target, strategy: strategy? };
            let (name, secret, strategy) = (name_node?.span, secret_node?.span, strategy_node?.span);
            return Some(Draft { read: Read::Resting(claims), name, secret, strategy, files });
        }
        if walk.failed() {
            return None;
        }
        let (name_span, secret_span, strategy_span) = (name_node?.span, secret_node?.span, strategy_node?.span);
        let policy = Policy {
            name: name?,
            owner,
            labels,
            rotator_version: spec?.version.clone(),
            rotator: rotator?.0,
            target: target?,
            admin: admin?,
            strategy: strategy?,
            secret: secret?,
            adopt: adopt?,
            schedule: schedule?,
            max_age: max_age.flatten(),
            generate: generate?,
            verify: verify?,
            revoke: revoke?,
            on_failure: on_failure?,
            after_promote: after_promote?,
            before_revoke: before_revoke?,
            heartbeat: heartbeat.map_or(Some(None), |heartbeat| heartbeat.map(Some))?,
            notify,
            file: self.source.path.clone(),
            digest: self.digest.to_owned(),
        };
        Some(Draft {
            read: Read::Whole(Box::new(policy)),
            name: name_span,
            secret: secret_span,
            strategy: strategy_span,
            files,
        })
    }

    /// The kind, and what it means with its pin.
    fn rotator(&self, top: &Section<'_>) -> Option<(String, Option<Chosen<'_>>)> {
        let walk = top.walk;
        let known = || self.catalogue.rotators.kinds();
        let node = top.need("rotator", format!("one of {}", scalar::list_words(known())))?;
        let pinned = match Pinned::parse(&walk.text(node)?) {
            Ok(pinned) => pinned,
            Err(kind) => {
                walk.tell(walk.problem("bad-version", node.span, "this is no version to ask for").help(PIN_HELP));
                return Some((kind, None));
            }
        };
        let chosen = self.catalogue.rotators.choose(&pinned);
        let kind = pinned.kind;
        if chosen.is_none() {
            let problem = walk.problem("unknown-rotator", node.span, "there is no rotator of this kind");
            walk.tell(match scalar::closest(&kind, known()) {
                Some(word) => problem.help(format!("did you mean `{word}`?")),
                None => problem.help(format!("known: {}", scalar::list_words(known()))),
            });
        }
        Some((kind, chosen))
    }

    /// Why it is not clear which rotator acts, and the file in which that is mended.
    fn unclear(&self, walk: &Walk<'_>, at: Span, kind: &str, chosen: &Chosen<'_>) -> Option<(Problem, String)> {
        let there = |versions: &[String]| scalar::list_words(versions.iter().map(String::as_str));
        let own_file = || self.source.name.to_string();
        match chosen {
            Chosen::One(_) => None,
            Chosen::Broken(broken) => {
                let problem = walk.problem(BROKEN_ROTATOR, at, broken.why.clone());
                Some((problem.help(format!("mend `{}`", broken.file)), broken.file.clone()))
            }
            Chosen::Unpinned(versions) => {
                let highest = versions.last().map_or("1", String::as_str);
                let problem = walk.problem(UNPINNED, at, format!("`{kind}` is there in several versions"));
                let there = there(versions);
                let help = format!("say which, such as `rotator: {kind}@^{highest}`; there is {there}");
                Some((problem.help(help), own_file()))
            }
            Chosen::Unfit(versions) => {
                let problem = walk.problem(UNFIT, at, format!("no version of `{kind}` fits this"));
                Some((problem.help(format!("there is {}", there(versions))), own_file()))
            }
        }
    }
}

const PIN_HELP: &str = "such as `lamp@^1.4`, `lamp@=1.4.2` or `lamp@>=1, <3`";

/// Only the first version of the language exists.
pub(crate) fn version(top: &Section<'_>) {
    let walk = top.walk;
    if let Some(node) = top.need("version", "begin with `version: 1`")
        && !matches!(node.kind, crate::tree::Kind::Integer(1))
    {
        walk.tell(
            walk.problem("unsupported-version", node.span, "this version of the language is not known")
                .help("write `version: 1`"),
        );
    }
}

fn labels(walk: &Walk<'_>, node: &Node) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    for entry in walk.entries(node).unwrap_or_default() {
        if !scalar::is_name(&entry.key, true) {
            walk.tell(walk.problem("bad-name", entry.span, "this is no label").help(NAME_HELP));
        }
        if let Some(value) = walk.text(&entry.value) {
            labels.insert(entry.key.clone(), value);
        }
    }
    labels
}

fn secret(walk: &Walk<'_>, node: &Node, spec: Option<&RotatorSpec>) -> Option<SecretSpec> {
    if node.kind.as_map().is_none() {
        // A value may stand here by mistake.
        walk.hide(node);
    }
    let section = walk.section(node, &SECRET)?;
    let name = section.need("name", "such as `name: prod/orders/db`").and_then(|node| {
        let help = "letters, digits, `.`, `_` and `-`, with `/` between parts";
        walk.checked(node, "bad-name", "secret name", help, |text| scalar::is_name(text, true))
    });
    let fields = match section.get("fields") {
        None => Some(needed(spec)),
        Some(node) => fields(walk, node, spec),
    };
    section.done();
    Some(SecretSpec { name: name?, fields: fields? })
}

fn fields(walk: &Walk<'_>, node: &Node, spec: Option<&RotatorSpec>) -> Option<Vec<String>> {
    let mut fields: Vec<String> = Vec::new();
    for item in walk.list(node)? {
        let field = walk.text(item)?;
        let extra = spec.map(|spec| spec.fields.as_slice());
        let usual = if spec.is_some_and(|spec| spec.provider_made) { &[][..] } else { &USUAL };
        let known = || usual.iter().copied().chain(extra.into_iter().flatten().map(String::as_str));
        if fields.contains(&field) {
            walk.tell(walk.problem("repeated", item.span, "this field is given twice").help("remove one"));
        } else if extra.is_some() && !known().any(|word| word == field) {
            let problem = walk.problem("unknown-field", item.span, "this rotator makes no such field");
            walk.tell(match scalar::closest(&field, known()) {
                Some(word) => problem.help(format!("did you mean `{word}`?")),
                None => problem.help(format!("it makes {}", scalar::list_words(known()))),
            });
        }
        fields.push(field);
    }
    let all = needed(spec);
    for needed in all.iter().filter(|needed| !fields.contains(needed)) {
        walk.tell(
            walk.problem("missing-field", node.span, format!("every secret has the field `{needed}`"))
                .help(format!("such as `fields: [{}]`", all.join(", "))),
        );
    }
    Some(fields)
}

const USUAL: [&str; 2] = ["username", "password"];

/// The fields that each secret of this rotator has.
fn needed(spec: Option<&RotatorSpec>) -> Vec<String> {
    match spec {
        // Nobody knows what it makes.
        None => Vec::new(),
        Some(spec) if spec.provider_made => spec.fields.clone(),
        Some(_) => USUAL.map(str::to_owned).to_vec(),
    }
}

fn checks(walk: &Walk<'_>, node: &Node, spec: Option<&RotatorSpec>) -> Option<Vec<Check>> {
    const HELP: &str = "`login`, or `sql: \"SELECT 1\"`";
    let mut checks = Vec::new();
    for item in walk.list(node)? {
        checks.push(if item.kind.as_map().is_some() {
            let section = walk.section(item, &CHECK)?;
            let statement = section.need("sql", HELP).and_then(|node| walk.text(node));
            if let (Some(spec), Some(entry)) = (spec.filter(|spec| spec.provider_made), section.entry("sql")) {
                let what = format!("`{}` makes keys, and no key runs SQL", spec.kind);
                walk.tell(walk.problem("unsupported", entry.span, what).help("write `login`: the key is tried"));
            }
            section.done();
            Check::Sql(statement?)
        } else {
            walk.choice(item, &CHECKS)?
        });
    }
    Some(checks)
}

/// The accounts that a strategy manages.
pub(crate) fn accounts(strategy: &Strategy) -> &[String] {
    match strategy {
        Strategy::InPlace { user } => std::slice::from_ref(user),
        Strategy::Alternating { users, .. } => users,
        Strategy::Overlapping => &[],
    }
}
