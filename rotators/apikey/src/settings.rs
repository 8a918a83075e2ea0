//! The policy's `target:` map.

use keywheel_sdk::{Place as TargetPlace, Setting, SettingKind};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::check::base_url;
use crate::duration;
use crate::provider::{Auth, Made, Provider, SettingSpec, ValueKind};
use crate::template::{Place, Template, Values, setting};

/// What a policy writes where keys hold no tag.
pub(crate) const EXCLUSIVE: &str = "exclusive";
const OWNS: &str = "the engine owns all keys of this target, and deletes those that are neither current nor previous";

/// What a policy may write, for its schema and messages.
pub(crate) fn schema(provider: &Provider) -> Vec<Setting> {
    let declared = provider.settings.iter().map(|spec| Setting {
        name: spec.name.clone(),
        kind: match spec.kind {
            ValueKind::Text => SettingKind::Text,
            ValueKind::Texts => SettingKind::Texts,
            ValueKind::Integer { min, max } => SettingKind::Integer { min, max },
            ValueKind::Duration => SettingKind::Duration,
            ValueKind::Json => SettingKind::Json,
        },
        required: spec.required,
        help: spec.help.clone(),
        names_target: spec.names_target,
    });
    let exclusive = provider.is_exclusive().then(|| Setting {
        name: EXCLUSIVE.to_owned(),
        kind: SettingKind::Boolean,
        required: true,
        help: format!("`true`: {OWNS}"),
        names_target: false,
    });
    declared.chain(exclusive).collect()
}

/// Reads and checks the map, and the addresses that it makes. The error names the setting and what to write instead.
pub(crate) fn check(provider: &Provider, map: &Map<String, Value>) -> Result<(), String> {
    if provider.is_exclusive() && map.get(EXCLUSIVE) != Some(&Value::Bool(true)) {
        return Err(format!("`target.{EXCLUSIVE}` must be `true`: {OWNS}"));
    }
    for (name, value) in map.iter().filter(|(name, _)| !provider.is_exclusive() || *name != EXCLUSIVE) {
        let Some(spec) = provider.settings.iter().find(|spec| spec.name == *name) else {
            return Err(format!("`target.{name}` is not a setting of this rotator"));
        };
        check_value(spec.kind, value).map_err(|why| format!("`target.{name}` {why}"))?;
    }
    if let Some(spec) = provider.settings.iter().find(|spec| spec.required && !map.contains_key(&spec.name)) {
        return Err(format!("`target.{}` is missing: {}", spec.name, spec.help));
    }
    let own = provider.requests().flat_map(|request| {
        let token = match &request.auth {
            Auth::OAuth2(grant) => Some(&grant.token_url),
            Auth::Nothing
            | Auth::Bearer(_)
            | Auth::Basic { .. }
            | Auth::Headers(_)
            | Auth::SigV4(_)
            | Auth::Webhook(_) => None,
        };
        request.base.iter().chain(token)
    });
    own.chain([&provider.base_url]).try_for_each(|base| address(provider, base, map).map(drop))
}

/// An address that requests begin with.
pub(crate) fn address(
    provider: &Provider,
    template: &Template,
    map: &Map<String, Value>,
) -> Result<reqwest::Url, String> {
    let (settings, none) = (provider.settings.as_slice(), "");
    let values = Values { settings, target: map, admin: None, key: None, rotation: none, tag: none, expiry: None };
    let fill = |template: &Template, place| template.fill(&values, place).map_err(|error| error.message);
    let text = match template.after_address() {
        None => fill(template, Place::Host)?,
        Some((address, rest)) => {
            let whole = fill(&address, Place::Whole)?;
            base_url(&whole).map_err(|why| match address.only() {
                Some(variable) => format!("`{}` {why}", variable.name()),
                None => why,
            })?;
            // With nothing behind it, it may be the whole address of a request, and a slash part of that.
            let before = if rest.is_empty() { whole.as_str() } else { whole.trim_end_matches('/') };
            Zeroizing::new(format!("{before}{}", *fill(&rest, Place::Host)?))
        }
    };
    base_url(&text).map_err(|why| format!("the provider's address {why}"))
}

/// Where keys are made and for whom, with defaults filled in, and what they are called there. Where the engine makes the value it
/// is who puts it that counts: by whatever request two policies see that it is accepted, it is one account.
pub(crate) fn place(provider: &Provider, map: &Map<String, Value>) -> TargetPlace {
    let making = provider.requests().next().and_then(|request| request.base.as_ref());
    let base = making.unwrap_or(&provider.base_url);
    let says_where = |name: &str| match &provider.made {
        Made::Provider(_) => true,
        Made::Engine(put) => {
            [&put.request, &provider.delete.request].iter().any(|request| request.uses(name))
                || provider.headers.iter().any(|(_, template)| template.uses(name))
        }
    };
    let address = address(provider, base, map).map(String::from).unwrap_or_default();
    let mut owner = vec![address.trim_end_matches('/').to_owned()];
    let part_of_address = |name: &str| base.variables().any(|variable| variable.name() == format!("target.{name}"));
    let further = |spec: &&SettingSpec| spec.names_target && !part_of_address(&spec.name) && says_where(&spec.name);
    for spec in provider.settings.iter().filter(further) {
        if let Some(value) = setting(&provider.settings, map, &spec.name) {
            owner.push(format!("{}={}", spec.name, value.as_str().map_or_else(|| value.to_string(), str::to_owned)));
        }
    }
    let mark = match &provider.made {
        Made::Provider(issue) => issue.tag.as_ref().map_or_else(|| EXCLUSIVE.to_owned(), |tag| tag.of("*")),
        Made::Engine(_) => String::new(),
    };
    TargetPlace { owner: owner.join(" "), mark }
}

/// Whether a value can be a setting of this kind. The error is the rest of a sentence.
pub(crate) fn check_value(kind: ValueKind, value: &Value) -> Result<(), String> {
    match kind {
        ValueKind::Text => check_text(value),
        ValueKind::Texts => match value.as_array() {
            Some(items) if items.is_empty() => Err("is an empty list".to_owned()),
            Some(items) => {
                items.iter().try_for_each(|item| check_text(item).map_err(|why| format!("has an item that {why}")))
            }
            None => Err("must be a list of texts".to_owned()),
        },
        ValueKind::Integer { min, max } => match value.as_i64() {
            Some(number) if (min..=max).contains(&number) => Ok(()),
            _ => Err(match (min, max) {
                (i64::MIN, i64::MAX) => "must be a whole number".to_owned(),
                (i64::MIN, max) => format!("must be a whole number of at most {max}"),
                (min, i64::MAX) => format!("must be a whole number of at least {min}"),
                (min, max) => format!("must be a whole number from {min} to {max}"),
            }),
        },
        ValueKind::Duration => match value.as_str().and_then(duration::parse) {
            Some(duration) if duration.is_zero() => Err("is no time at all".to_owned()),
            Some(_) => Ok(()),
            None => Err("must be a duration, such as `24h`, `90d` or `1d12h`".to_owned()),
        },
        ValueKind::Json => Ok(()),
    }
}

fn check_text(value: &Value) -> Result<(), String> {
    match value.as_str() {
        None => Err("must be a text".to_owned()),
        Some("") => Err("is empty".to_owned()),
        Some(text) if text.chars().any(char::is_control) => Err("has control characters".to_owned()),
        Some(_) => Ok(()),
    }
}
