//! What a declaration says, for people who want to know before they use it.

use std::time::Duration;

use crate::provider::{Auth, Provider, Request};

/// A provider as its declaration describes it. Variables stand as they are written.
pub struct Outline {
    /// What all addresses begin with.
    pub base_url: String,
    /// What a policy gives under `target:`, in the order of the declaration.
    pub settings: Vec<SettingOutline>,
    /// What the secret holds.
    pub fields: Vec<String>,
    /// The name that each key gets.
    pub tag: String,
    /// In the order in which a rotation comes to them.
    pub requests: Vec<RequestOutline>,
    /// How long a new key may be refused at first.
    pub propagation: Duration,
}

/// One setting under `target:`.
pub struct SettingOutline {
    pub name: String,
    pub required: bool,
    pub default: Option<String>,
    /// One sentence for people who write policies.
    pub help: String,
    /// Another value means other keys.
    pub names_target: bool,
}

/// One request.
pub struct RequestOutline {
    /// Its word in the declaration.
    pub name: &'static str,
    pub method: String,
    /// Follows `base_url`.
    pub path: String,
    /// The kind of its credential: `bearer`, `basic`, `header NAME`, or `none` where its headers or its body hold it.
    pub auth: String,
    /// The statuses that mean success.
    pub expect: Vec<u16>,
}

impl Provider {
    /// What the declaration says.
    pub fn outline(&self) -> Outline {
        let setting = |spec: &crate::provider::SettingSpec| SettingOutline {
            name: spec.name.clone(),
            required: spec.required,
            default: spec.default.clone(),
            help: spec.help.clone(),
            names_target: spec.names_target,
        };
        let request = |request: &Request| RequestOutline {
            name: request.name,
            method: request.method.to_string(),
            path: request.path.to_string(),
            auth: match &request.auth {
                Auth::Nothing => "none".to_owned(),
                Auth::Bearer(_) => "bearer".to_owned(),
                Auth::Basic { .. } => "basic".to_owned(),
                Auth::Header { name, .. } => format!("header {name}"),
            },
            expect: request.expect.clone(),
        };
        Outline {
            base_url: self.base_url.to_string(),
            settings: self.settings.iter().map(setting).collect(),
            fields: self.fields.clone(),
            tag: self.tag.of("${rotation}"),
            requests: self.requests().map(request).collect(),
            propagation: self.propagation,
        }
    }

    /// All requests, in the order in which a rotation comes to them.
    pub(crate) fn requests(&self) -> impl Iterator<Item = &Request> {
        let disable = self.disable.as_ref().map(|disable| &disable.request);
        [&self.create.request, &self.list.request, &self.verify.request]
            .into_iter()
            .chain(disable)
            .chain([&self.delete.request])
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
        assert_eq!(outline.tag, "keywheel:${rotation}");
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
