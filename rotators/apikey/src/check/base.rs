//! The address that all requests of a provider begin with.

use reqwest::Url;
use url::Host;

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
