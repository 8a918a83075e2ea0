//! `target:` the rotator's own settings, checked against what it declares.

use serde_json::{Map, Number, Value};

use crate::catalogue::{RotatorSpec, SettingKind, SettingSpec};
use crate::scalar;
use crate::source::url_password_on;
use crate::tree::{Kind, Node, Span};
use crate::walk::{Section, Walk};

/// Reads `target:`. Without a known rotator only its form is looked at.
pub(crate) fn read(top: &Section<'_>, spec: Option<&RotatorSpec>) -> Option<Map<String, Value>> {
    let walk = top.walk;
    let node = top.need("target", "where the account is: `target: { host: pg1.internal, database: orders }`")?;
    let entries = walk.entries(node)?;
    let spec = spec?;
    let mut target = Map::new();
    let mut whole = true;
    for entry in entries {
        match spec.settings.iter().find(|setting| setting.name == entry.key) {
            Some(setting) => match value(walk, &entry.value, setting) {
                Some(value) => drop(target.insert(entry.key.clone(), value)),
                None => whole = false,
            },
            None => {
                whole = false;
                walk.unknown_key(entry, "target", spec.settings.iter().map(|setting| setting.name.as_str()));
            }
        }
    }
    for setting in spec.settings.iter().filter(|setting| setting.required) {
        if !entries.iter().any(|entry| entry.key == setting.name) {
            whole = false;
            walk.tell(
                walk.problem("missing-key", node.span, format!("target has no `{}`", setting.name))
                    .help(setting.help.clone()),
            );
        }
    }
    if spec.settings.iter().any(|setting| setting.name == "tls") {
        let place = entries.iter().find(|entry| entry.key == "tls").map_or(node.span, |entry| entry.value.span);
        whole &= refuse_unverified_lines(walk, place, &target);
    }
    if whole && let Err(what) = spec.check.of(&target) {
        walk.tell(
            walk.problem("settings", node.span, what).help("the settings do not fit together; nothing was tried"),
        );
    }
    Some(target)
}

/// As it stands, where no rotator says what its settings are.
pub(crate) fn as_it_stands(walk: &Walk<'_>, node: &Node) -> Map<String, Value> {
    let entries = node.kind.as_map().unwrap_or_default();
    entries.iter().filter_map(|entry| Some((entry.key.clone(), json(walk, &entry.value)?))).collect()
}

fn value(walk: &Walk<'_>, node: &Node, setting: &SettingSpec) -> Option<Value> {
    match &setting.kind {
        SettingKind::Text => text(walk, node).map(Value::from),
        SettingKind::Texts => {
            let nodes = walk.list(node)?;
            if nodes.is_empty() {
                walk.tell(walk.problem("empty-list", node.span, "this list is empty").help(setting.help.clone()));
            }
            nodes.iter().map(|node| text(walk, node).map(Value::from)).collect::<Option<Vec<_>>>().map(Value::from)
        }
        SettingKind::Boolean => walk.boolean(node).map(Value::from),
        SettingKind::Integer { min, max } => walk.integer(node, *min..=*max).map(Value::from),
        SettingKind::Choice(words) => {
            let text = walk.text(node)?;
            if words.contains(&text) {
                return Some(Value::from(text));
            }
            let known = || words.iter().map(String::as_str);
            let problem = walk.problem("unknown-word", node.span, format!("expected {}", scalar::list_words(known())));
            walk.tell(match scalar::closest(&text, known()) {
                Some(word) => problem.help(format!("did you mean `{word}`?")),
                None => problem,
            });
            None
        }
        SettingKind::Duration => {
            walk.duration(node)?;
            walk.text(node).map(Value::from)
        }
        SettingKind::Json => json(walk, node),
    }
}

/// Any value. Unlike a text of its own, one inside may be empty.
fn json(walk: &Walk<'_>, node: &Node) -> Option<Value> {
    let number = |number: Option<Number>| {
        if number.is_none() {
            walk.tell(walk.problem("out-of-range", node.span, "JSON has no such number").help("put it in quotes"));
        }
        number.map(Value::Number)
    };
    match &node.kind {
        Kind::Null => Some(Value::Null),
        Kind::Boolean(value) => Some(Value::Bool(*value)),
        Kind::Integer(value) => number(Number::from_i128(*value)),
        Kind::Float(value) => number(Number::from_f64(*value)),
        Kind::Text(written) if written.is_empty() => Some(Value::from("")),
        Kind::Text(_) => text(walk, node).map(Value::from),
        Kind::List(_) => {
            let items: Vec<_> = walk.list(node)?.iter().map(|item| json(walk, item)).collect();
            items.into_iter().collect::<Option<Vec<_>>>().map(Value::from)
        }
        Kind::Map(_) => {
            let entries: Vec<_> =
                walk.entries(node)?.iter().map(|entry| Some((entry.key.clone(), json(walk, &entry.value)?))).collect();
            entries.into_iter().collect::<Option<Map<_, _>>>().map(Value::from)
        }
    }
}

fn text(walk: &Walk<'_>, node: &Node) -> Option<String> {
    let text = walk.text(node)?;
    if url_password_on(&text).is_some() || text.contains("password=") {
        walk.hide(node);
        walk.tell(
            walk.problem("secret-in-clear", node.span, "this text holds a password in the clear")
                .help("leave it out: the admin's credential comes from `admin`; if it is real, change it now"),
        );
        return None;
    }
    Some(text)
}

/// A password that crosses a network in the clear, or to a stranger, is a password that is known. Whether the line is fine.
fn refuse_unverified_lines(walk: &Walk<'_>, place: Span, target: &Map<String, Value>) -> bool {
    let text = |key: &str| target.get(key).and_then(Value::as_str);
    let insecure = target.get("insecure").and_then(Value::as_bool).unwrap_or(false);
    let Some(host) = text("host") else { return true };
    let tls = text("tls");
    if host.starts_with('/') {
        if tls != Some("disable") {
            walk.tell(walk.problem("tls-on-socket", place, "a local socket has no TLS").help("write `tls: disable`"));
            return false;
        }
        return true;
    }
    let verified = match tls {
        // With `verify-ca` any certificate would do that the system trusts for any host: `ca_file` adds an authority, and
        // takes none away.
        Some("disable" | "require" | "verify-ca") => false,
        Some(_) | None => true,
    };
    if !verified && !insecure && !scalar::is_loopback(host) {
        walk.tell(
            walk.problem("tls-unverified", place, "without verified TLS the credential can be read on the way")
                .help("use `tls: verify-full`; less is for loopback, or with `insecure: true` beside it"),
        );
        return false;
    }
    true
}
