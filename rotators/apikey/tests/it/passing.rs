//! What stands between us and the provider for a while: it is waited out, and parks nothing.

use keywheel_sdk::{Answer, Effect, Retry, Rotator, RotatorError};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::fake::{DECLARATION, Fake, Fault, call};

/// What each question is answered by.
enum Stranger {
    /// This status and body.
    Page(u16, &'static str),
    /// The beginning of a good answer, then the connection is gone.
    Cut,
}

const STRANGERS: [Stranger; 6] = [
    Stranger::Page(200, "<html>sign in to this network"),
    Stranger::Page(200, ""),
    Stranger::Page(302, "<html>over there"),
    Stranger::Page(307, ""),
    Stranger::Page(206, "{}"),
    Stranger::Cut,
];

/// A declaration in which each question is one request of its own.
fn declaration() -> String {
    let oauth2 =
        "auth: { oauth2: { token_url: \"${target.url}/token\", client_id: c, client_secret: \"${admin.password}\" } }";
    let last_used = "  last_used:
    method: GET
    path: \"/v1/users/${target.user}/keys/${key.key_id}/usage\"
    expect: [200]
    at: \"$.used\"
propagation";
    DECLARATION
        .replace("auth: { bearer: \"${admin.password}\" }\nheaders", &format!("{oauth2}\nheaders"))
        .replace("propagation", last_used)
        .replace("    refused: [401, 403]\n", "    refused: [401, 403]\n    holds: \"$.user\"\n")
}

/// Where all that is asked is answered by half of an answer.
async fn cut() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let half = b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"keys\": [";
            if stream.read(&mut request).await.is_ok() && stream.write_all(half).await.is_ok() {
                stream.shutdown().await.ok();
            }
        }
    });
    url
}

async fn asked(name: &'static str, stranger: &Stranger) -> RotatorError {
    let declaration = if name == "token" { declaration() } else { declaration_without_token() };
    let fake = Fake::with(&declaration).await;
    let key = fake.has("live", None);
    let url = match stranger {
        Stranger::Page(status, body) => {
            let headers = [("location", "http://127.0.0.1:1/".to_owned())];
            fake.fault(name, Fault::Instead(*status, Vec::leak(headers.to_vec()), (*body).to_owned()));
            fake.url.clone()
        }
        Stranger::Cut => cut().await,
    };
    let target = fake.target(json!({ "url": url }));
    match name {
        "verify" => match fake.rotator.probe(&call(&target), &key, &[]).await {
            Answer::Unknown(error) => error,
            answer @ (Answer::Yes | Answer::No { .. } | Answer::Partly { .. }) => panic!("{answer:?}"),
        },
        "last_used" => fake.rotator.last_used(&call(&target), &key).await.unwrap_err(),
        _ => fake.rotator.sweep(&call(&target), &[], &[]).await.unwrap_err(),
    }
}

fn declaration_without_token() -> String {
    let bearer = "auth: { bearer: \"${admin.password}\" }";
    declaration()
        .lines()
        .map(|line| if line.starts_with("auth: { oauth2") { bearer } else { line })
        .collect::<Vec<_>>()
        .join("\n")
}

#[tokio::test]
async fn a_question_that_a_stranger_answered_is_asked_again() {
    for name in ["list", "token", "verify", "last_used"] {
        for (case, stranger) in STRANGERS.iter().enumerate() {
            let error = asked(name, stranger).await;
            assert_eq!((error.effect, error.retry), (Effect::None, Retry::Now), "{name} {case}: {error}");
        }
    }
}

#[tokio::test]
async fn what_the_provider_says_otherwise_than_declared_it_says_again() {
    for (name, body) in [
        ("list", "{}"),
        ("list", "{\"keys\": [{}]}"),
        ("token", "{}"),
        ("last_used", "{}"),
        ("last_used", "{\"used\": []}"),
    ] {
        let error = asked(name, &Stranger::Page(200, body)).await;
        let expected = (Effect::None, Retry::Never, "unexpected-answer");
        assert_eq!((error.effect, error.retry, error.code.as_str()), expected, "{name} {body}: {error}");
    }
}
