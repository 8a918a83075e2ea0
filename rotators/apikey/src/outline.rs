//! What a declaration says, for people who want to know before they use it.

use std::time::Duration;

use serde_json::Value;

use crate::provider::{Auth, Provider, Request, SettingSpec, ValueKind};

/// A provider as its declaration describes it. Variables stand as they are written.
pub struct Outline {
    /// What all addresses begin with.
    pub base_url: String,
    /// What a policy gives under `target:`, in the order of the declaration.
    pub settings: Vec<SettingOutline>,
    /// What the secret holds.
    pub fields: Vec<String>,
    /// The engine makes the value, and not the provider.
    pub engine_made: bool,
    /// The name that each key gets.
    pub tag: Option<String>,
    /// All that there are.
    pub requests: Vec<RequestOutline>,
    /// How long a new key may be refused at first.
    pub propagation: Duration,
}

/// One setting under `target:`.
pub struct SettingOutline {
    pub name: String,
    /// `text`, `texts`, `integer`, `duration` or `json`.
    pub kind: &'static str,
    /// Of an integer.
    pub min: Option<i64>,
    pub max: Option<i64>,
    pub required: bool,
    pub default: Option<Value>,
    /// One sentence for people who write policies.
    pub help: String,
    /// Another value means other keys.
    pub names_target: bool,
}

/// One request.
pub struct RequestOutline {
    /// Its word in the declaration.
    pub name: &'static str,
    /// An address of its own, instead of the provider's.
    pub base_url: Option<String>,
    pub method: String,
    /// Follows the address.
    pub path: String,
    /// The kind of its credential: `bearer`, `basic`, `headers` with their names, `oauth2`, `sigv4`, `webhook`, or `none` where its
    /// headers or its body hold it.
    pub auth: String,
    /// The statuses that mean success.
    pub expect: Vec<u16>,
}

impl Provider {
    /// What the declaration says.
    pub fn outline(&self) -> Outline {
        let setting = |spec: &SettingSpec| SettingOutline {
            name: spec.name.clone(),
            kind: match spec.kind {
                ValueKind::Text => "text",
                ValueKind::Texts => "texts",
                ValueKind::Integer { .. } => "integer",
                ValueKind::Duration => "duration",
                ValueKind::Json => "json",
            },
            min: bounds(spec.kind).0,
            max: bounds(spec.kind).1,
            required: spec.required,
            default: spec.default.clone(),
            help: spec.help.clone(),
            names_target: spec.names_target,
        };
        let request = |request: &Request| RequestOutline {
            name: request.name,
            base_url: request.base.as_ref().map(ToString::to_string),
            method: request.method.to_string(),
            path: request.path.to_string(),
            auth: match &request.auth {
                Auth::Nothing => "none".to_owned(),
                Auth::Bearer(_) => "bearer".to_owned(),
                Auth::Basic { .. } => "basic".to_owned(),
                Auth::Headers(headers) => {
                    let names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
                    format!("headers {}", names.join(" "))
                }
                Auth::OAuth2(_) => "oauth2".to_owned(),
                Auth::SigV4(_) => "sigv4".to_owned(),
                Auth::Webhook(_) => "webhook".to_owned(),
            },
            expect: request.expect.clone(),
        };
        Outline {
            base_url: self.base_url.to_string(),
            settings: self.settings.iter().map(setting).collect(),
            fields: self.fields.clone(),
            engine_made: self.issue().is_none(),
            tag: self.tag().map(|tag| tag.of("${rotation}")),
            requests: self.requests().map(request).collect(),
            propagation: self.propagation,
        }
    }
}

/// The least and the greatest number, where there are such.
fn bounds(kind: ValueKind) -> (Option<i64>, Option<i64>) {
    match kind {
        ValueKind::Integer { min, max } => {
            (Some(min).filter(|min| *min != i64::MIN), Some(max).filter(|max| *max != i64::MAX))
        }
        ValueKind::Text | ValueKind::Texts | ValueKind::Duration | ValueKind::Json => (None, None),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn it_says_what_the_declaration_says() {
        let text = include_str!("../tests/keyservice.yaml");
        let outline = Provider::parse("keyservice.yaml", text).map_err(|mistakes| format!("{mistakes:?}")).unwrap();
        let outline = outline.outline();
        assert_eq!(outline.base_url, "${target.url}");
        assert_eq!(outline.tag.as_deref(), Some("keywheel:${rotation}"));
        assert_eq!(outline.fields, ["key_id", "key"]);
        let names: Vec<_> = outline.requests.iter().map(|request| request.name).collect();
        assert_eq!(names, ["create", "list", "verify", "disable", "delete"]);
        let create = &outline.requests[0];
        assert_eq!((create.method.as_str(), create.path.as_str()), ("POST", "/v1/users/${target.user}/keys"));
        assert_eq!((create.auth.as_str(), create.expect.as_slice()), ("bearer", &[201][..]));
        let user = outline.settings.iter().find(|setting| setting.name == "user").unwrap();
        assert!(user.required && user.names_target && user.default.is_none());
        assert_eq!(user.help, "whose keys");
    }
}
