//! One request and its answer, in time and within bounds.

use std::time::{Duration, Instant};

use keywheel_sdk::{Call, Retry, RotatorError};
use reqwest::header::HeaderMap;
use reqwest::{Client, Response, Url, redirect, retry};
use zeroize::{Zeroize, Zeroizing};

/// The longest answer that is read, in bytes.
const LONGEST_ANSWER: usize = 1024 * 1024;
/// Until a connection stands. Its own limit, since a request that found no connection certainly did nothing.
const CONNECT: Duration = Duration::from_secs(10);

/// A request, ready to be sent.
pub(crate) struct Outgoing {
    pub name: &'static str,
    pub request: reqwest::Request,
}

/// What answers are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    Xml,
}

/// An answer. Its status is known even where its body is not.
pub(crate) struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub format: Format,
    /// Where it came from.
    pub url: Url,
    /// The body, or why it could not be read to its end.
    pub body: Result<Zeroizing<Vec<u8>>, String>,
}

/// There was no answer.
pub(crate) enum Failure {
    /// The request was certainly not read.
    NotSent(RotatorError),
    /// It may have been read.
    Lost { name: &'static str, why: String },
}

impl Failure {
    /// Of a request that changes something.
    pub fn of_change(self) -> RotatorError {
        match self {
            Failure::NotSent(error) => error,
            Failure::Lost { name, why } => RotatorError::unknown("lost-answer", lost(name, &why)),
        }
    }

    /// Of a request that changes nothing, so that nothing has happened in any case.
    pub fn of_question(self) -> RotatorError {
        match self {
            Failure::NotSent(error) => error,
            Failure::Lost { name, why } => RotatorError::not_done(Retry::Now, "no-answer", lost(name, &why)),
        }
    }
}

fn lost(name: &str, why: &str) -> String {
    format!("the provider's answer to `{name}` was lost: {why}")
}

/// A client that goes nowhere but where it is sent, and keeps nothing but idle connections.
///
/// # Errors
/// The system has no certificates to trust.
pub(crate) fn client() -> Result<Client, RotatorError> {
    Client::builder()
        .user_agent(concat!("keywheel/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .no_proxy()
        .referer(false)
        .connect_timeout(CONNECT)
        .pool_idle_timeout(Duration::from_secs(20))
        .build()
        .map_err(|error| RotatorError::not_done(Retry::Never, "no-client", format!("no HTTPS here: {}", chain(&error))))
}

/// Sends a request and reads the answer until `call.until` at most.
pub(crate) async fn send(
    client: &Client,
    call: &Call<'_>,
    outgoing: Outgoing,
    format: Format,
) -> Result<Reply, Failure> {
    let Outgoing { name, request } = outgoing;
    let left = call.left(Instant::now());
    if left.is_zero() {
        let message = format!("the time of this step was over before `{name}` was asked");
        return Err(Failure::NotSent(RotatorError::not_done(Retry::Now, "deadline", message)));
    }
    let answered = async {
        let response = client.execute(request).await.map_err(|error| failure(name, error))?;
        Ok(read(response, format).await)
    };
    match tokio::time::timeout(left, answered).await {
        Ok(answered) => answered,
        Err(_) => Err(Failure::Lost { name, why: "it did not come in time".to_owned() }),
    }
}

fn failure(name: &'static str, error: reqwest::Error) -> Failure {
    let error = error.without_url();
    let why = chain(&error);
    if error.is_connect() {
        let message = format!("no connection to the provider for `{name}`: {why}");
        return Failure::NotSent(RotatorError::not_done(Retry::Now, "no-connection", message));
    }
    if error.is_builder() {
        let message = format!("`{name}` makes no request: {why}");
        return Failure::NotSent(RotatorError::not_done(Retry::Never, "no-request", message));
    }
    Failure::Lost { name, why }
}

async fn read(mut response: Response, format: Format) -> Reply {
    let mut bytes = Zeroizing::new(Vec::new());
    let body = loop {
        match response.chunk().await {
            Ok(None) => break Ok(bytes),
            Ok(Some(chunk)) if bytes.len() + chunk.len() > LONGEST_ANSWER => {
                break Err(format!("it is longer than {} KiB", LONGEST_ANSWER / 1024));
            }
            Ok(Some(chunk)) => append(&mut bytes, &chunk),
            Err(error) => break Err(chain(&error.without_url())),
        }
    };
    let (status, url, headers) = (response.status().as_u16(), response.url().clone(), response.headers().clone());
    Reply { status, headers, format, url, body }
}

/// Appends without leaving a copy of what it outgrows.
fn append(bytes: &mut Zeroizing<Vec<u8>>, chunk: &[u8]) {
    if bytes.capacity() - bytes.len() < chunk.len() {
        let mut larger = Vec::with_capacity((bytes.len() + chunk.len()) * 2);
        larger.extend_from_slice(bytes);
        bytes.zeroize();
        **bytes = larger;
    }
    bytes.extend_from_slice(chunk);
}

/// An error with its causes, each once.
fn chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if !words.contains(&text) {
            words.push_str(": ");
            words.push_str(&text);
        }
        source = cause.source();
    }
    words
}
