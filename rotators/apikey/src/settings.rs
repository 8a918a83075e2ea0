//! The policy's `target:` map.

use keywheel_sdk::{Setting, SettingKind};
use serde_json::{Map, Value};

use crate::check::base_url;
use crate::provider::Provider;
use crate::template::{Place, Values};

/// What a policy may write, for its schema and messages.
pub(crate) fn schema(provider: &Provider) -> Vec<Setting> {
    let declared = provider.settings.iter().map(|spec| Setting {
        name: spec.name.clone(),
        kind: SettingKind::Text,
        required: spec.required,
        help: spec.help.clone(),
        names_target: spec.names_target,
    });
    declared.collect()
}

/// Reads and checks the map, and the address that it makes. The error names the setting and what to write instead.
pub(crate) fn check(provider: &Provider, map: &Map<String, Value>) -> Result<(), String> {
    for (name, value) in map {
        if !provider.settings.iter().any(|spec| spec.name == *name) {
            return Err(format!("`target.{name}` is not a setting of this rotator"));
        }
        let text = value.as_str().ok_or_else(|| format!("`target.{name}` must be a text"))?;
        check_text(text).map_err(|why| format!("`target.{name}` {why}"))?;
    }
    if let Some(spec) = provider.settings.iter().find(|spec| spec.required && !map.contains_key(&spec.name)) {
        return Err(format!("`target.{}` is missing: {}", spec.name, spec.help));
    }
    address(provider, map).map(drop)
}

/// The address that all requests begin with.
pub(crate) fn address(provider: &Provider, map: &Map<String, Value>) -> Result<reqwest::Url, String> {
    let values = Values { settings: &provider.settings, target: map, admin: None, key: None, rotation: "", tag: "" };
    let place = if provider.base_url.is_one_variable() { Place::Whole } else { Place::Host };
    let text = provider.base_url.fill(&values, place).map_err(|error| error.message)?;
    base_url(&text).map_err(|why| match provider.base_url.variables().next() {
        Some(variable) if provider.base_url.is_one_variable() => format!("`{}` {why}", variable.name()),
        _ => format!("the provider's address {why}"),
    })
}

/// Where keys are made, and what they are called there.
pub(crate) fn place(provider: &Provider, map: &Map<String, Value>) -> String {
    let address = address(provider, map).map(String::from).unwrap_or_default();
    format!("at={address};tag={}", provider.tag.of("*"))
}

/// Whether a text can be a setting. The error is the rest of a sentence.
pub(crate) fn check_text(text: &str) -> Result<(), &'static str> {
    match text {
        "" => Err("is empty"),
        text if text.chars().any(char::is_control) => Err("has control characters"),
        _ => Ok(()),
    }
}
