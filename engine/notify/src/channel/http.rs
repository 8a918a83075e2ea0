//! One POST, and what its answer means.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, RETRY_AFTER};
use reqwest::{Certificate, Client, Response, StatusCode, redirect, retry};

use super::{SendError, Sent};

/// From the first byte to the last of the answer.
const WHOLE: Duration = Duration::from_secs(30);
/// Of an answer that refuses, so many bytes are read, and so many characters shown.
const READ: usize = 4096;
const WORDS: usize = 200;

/// What is posted, and where to. The address is shown in no error.
pub(super) struct Post<'a> {
    pub url: &'a str,
    pub ca_file: Option<&'a Path>,
    pub headers: Vec<(&'static str, String)>,
    /// JSON.
    pub body: String,
    /// What is answered may be shown: the address, which an answer may repeat, is no secret.
    pub is_quoted: bool,
}

impl Post<'_> {
    pub async fn send(self, now: Timestamp) -> Result<Sent, SendError> {
        let mut lines = HeaderMap::new();
        for (name, value) in self.headers {
            let value =
                value.parse().map_err(|_| SendError::untaken(format!("`{name}` cannot be sent as a header")))?;
            lines.insert(HeaderName::from_static(name), value);
        }
        let client = client(self.ca_file).await?;
        let request = client.post(self.url).headers(lines).header(CONTENT_TYPE, "application/json").body(self.body);
        let answer = request.send().await.map_err(|error| {
            let untaken = error.is_connect() || error.is_builder();
            SendError { untaken, ..SendError::unknown(chain(error.without_url())) }
        })?;
        let status = answer.status();
        if status.is_success() {
            return Ok(Sent::default());
        }
        let retry_after = retry_after(&answer, now);
        let said = if self.is_quoted { said(answer).await } else { String::new() };
        Err(SendError {
            message: format!("answered {status}{said}"),
            retry_after,
            // What a server refuses as the client's mistake, it has not taken.
            untaken: status.is_client_error() || status.is_redirection(),
            of_content: matches!(status, StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY),
            has: Vec::new(),
        })
    }
}

/// Seconds, or a date (RFC 9110, 10.2.3).
fn retry_after(answer: &Response, now: Timestamp) -> Option<Duration> {
    let text = answer.headers().get(RETRY_AFTER)?.to_str().ok()?;
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = rfc2822::parse(text).ok()?.timestamp();
    Duration::try_from(date.duration_since(now)).ok()
}

/// The beginning of an answer, however long it is.
async fn said(mut answer: Response) -> String {
    let mut bytes = Vec::new();
    while let Ok(Some(chunk)) = answer.chunk().await
        && bytes.len() < READ
    {
        bytes.extend_from_slice(&chunk[..chunk.len().min(READ - bytes.len())]);
    }
    let text = String::from_utf8_lossy(&bytes);
    let shown: String = text.chars().filter(|c| !c.is_control()).take(WORDS).collect();
    if shown.is_empty() { shown } else { format!(": {shown}") }
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
            .map_err(|error| SendError::untaken(format!("`{}` holds no certificates: {error}", path.display())))?;
        builder = builder.tls_certs_merge(own);
    }
    builder.build().map_err(|error| SendError::untaken(format!("no HTTPS here: {}", chain(error))))
}

/// The bytes of a file with certificates.
pub(super) async fn authority(path: &Path) -> Result<Vec<u8>, SendError> {
    tokio::fs::read(path)
        .await
        .map_err(|error| SendError::untaken(format!("cannot read the authorities in `{}`: {error}", path.display())))
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
