//! The addresses that requests begin with.

use reqwest::Url;
use url::Host;

use super::Check;
use super::request::Scope;
use crate::document::Text;
use crate::template::{Template, Variable};

impl Check<'_> {
    /// An address of the declaration. What a policy gives of it is checked when the policy is read.
    pub(super) fn base(&mut self, text: &Text) -> Option<Template> {
        let template = self.template(text, Scope::Base)?;
        for variable in template.variables() {
            let Variable::Target(setting) = variable else { continue };
            if self.settings.iter().any(|spec| spec.name == *setting && !spec.names_target) {
                let message = format!("`{}` is part of an address, and another host has other keys", variable.name());
                let help = format!("write `names_target: true` into the setting `{setting}`");
                self.wrong(text.referenced, message, help);
            }
        }
        let stand_in = match template.after_address() {
            None => template.with_all("x"),
            Some((_, rest)) => format!("https://x.example{}", rest.with_all("x")),
        };
        match base_url(&stand_in) {
            Ok(_) => Some(template),
            Err(why) => {
                self.wrong(text.referenced, format!("the address {why}"), "such as `https://api.example.com`");
                None
            }
        }
    }
}

/// Reads a base address. Credentials travel there, so it is https, or http within this machine.
///
/// # Errors
/// Why it cannot be one, as the rest of a sentence.
pub(crate) fn base_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("is no address: {error}"))?;
    let local = match url.host() {
        None => return Err("has no host".to_owned()),
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
    };
    match url.scheme() {
        "https" => {}
        "http" if local => {}
        "http" => {
            return Err("is plain http to another machine, which would show the credentials on the way".to_owned());
        }
        other => return Err(format!("begins with `{other}:` instead of `https:`")),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("holds a user or password, which belong into `auth`".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("has a `?` or `#`, which belong into requests".to_owned());
    }
    Ok(url)
}
