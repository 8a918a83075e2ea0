//! One POST, and what its answer means.

use std::path::Path;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, RETRY_AFTER};
use reqwest::{Certificate, Client, redirect, retry};

use super::SendError;

/// From the first byte to the last of the answer.
const WHOLE: Duration = Duration::from_secs(30);
/// Of an answer that refuses, so much is shown.
const WORDS: usize = 200;

/// Posts JSON. `url` is shown in no error.
pub(super) async fn post(
    url: &str,
    ca_file: Option<&Path>,
    headers: Vec<(&'static str, String)>,
    body: String,
) -> Result<(), SendError> {
    let mut lines = HeaderMap::new();
    for (name, value) in headers {
        let value = value.parse().map_err(|_| SendError::new(format!("`{name}` cannot be sent as a header")))?;
        lines.insert(HeaderName::from_static(name), value);
    }
    let request = client(ca_file).await?.post(url).headers(lines).header(CONTENT_TYPE, "application/json").body(body);
    let answer = request.send().await.map_err(|error| SendError::new(chain(error.without_url())))?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let retry_after = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let said = answer.text().await.unwrap_or_default();
    let said: String = said.chars().filter(|c| !c.is_control()).take(WORDS).collect();
    let colon = if said.is_empty() { "" } else { ": " };
    Err(SendError {
        message: format!("answered {status}{colon}{said}"),
        retry_after: retry_after.map(Duration::from_secs),
    })
}

async fn client(ca_file: Option<&Path>) -> Result<Client, SendError> {
    // A message goes where it was told to: no proxy of the environment, no other address by a redirect.
    let mut builder = Client::builder()
        .user_agent(concat!("keywheel/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .no_proxy()
        .referer(false)
        .timeout(WHOLE);
    if let Some(path) = ca_file {
        let own = Certificate::from_pem_bundle(&authority(path).await?)
            .map_err(|error| SendError::new(format!("`{}` holds no certificates: {error}", path.display())))?;
        builder = builder.tls_certs_merge(own);
    }
    builder.build().map_err(|error| SendError::new(format!("no HTTPS here: {}", chain(error))))
}

/// The bytes of a file with certificates.
pub(super) async fn authority(path: &Path) -> Result<Vec<u8>, SendError> {
    tokio::fs::read(path)
        .await
        .map_err(|error| SendError::new(format!("cannot read the authorities in `{}`: {error}", path.display())))
}

/// An error with its causes.
pub(super) fn chain(error: impl std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let further = error.to_string();
        if !text.contains(&further) {
            text = format!("{text}: {further}");
        }
        cause = error.source();
    }
    text
}
