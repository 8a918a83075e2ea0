//! Every fault: what the client sees, and what was executed.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use keywheel_keyservice::{Effect, Fault, Route};
use reqwest::{Method, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::{Caller, answer, text};

/// What a client sees of a creation on a connection of its own.
async fn bytes_of_creation(caller: &Caller) -> std::io::Result<Vec<u8>> {
    let body = r#"{"name":"a"}"#;
    let request = format!(
        "POST /v1/users/ann/keys HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        caller.token,
        body.len()
    );
    let mut stream = TcpStream::connect(("127.0.0.1", caller.service.port())).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut seen = Vec::new();
    let end = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut seen)).await;
    end.expect("the line is closed").map(|_| seen)
}

#[tokio::test]
async fn an_answer_without_execution() {
    let caller = Caller::new().await;
    let effect = Effect::Answer { status: 429, retry_after: Some(7) };
    let struck = caller.service.faults().arm(Fault::at(Route::Create, effect).skip(1).times(2));
    caller.create("passes").await;
    assert_eq!(struck.count(), 0);
    for count in 1..=2 {
        let response = caller.creation("b").send().await.unwrap();
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(response.headers()["retry-after"], "7");
        assert!(response.text().await.unwrap().contains("\"too_many_requests\""));
        assert_eq!((struck.count(), caller.names().await.len()), (count, 1));
    }
    caller.create("passes again").await;
    assert_eq!((struck.count(), caller.service.faults().armed()), (2, 0));
}

#[tokio::test]
async fn another_answer_after_execution() {
    let caller = Caller::new().await;
    let struck = caller.service.faults().arm(Fault::at(Route::Create, Effect::ExecuteThenAnswer { status: 500 }));
    let (status, body) = answer(caller.creation("a")).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(body["error"]["code"], "internal_server_error");
    assert_eq!((struck.count(), caller.names().await), (1, vec!["a".to_owned()]));
}

#[tokio::test]
async fn a_line_is_cut_before_execution() {
    let caller = Caller::new().await;
    let struck = caller.service.faults().arm(Fault::at(Route::Create, Effect::CutBefore).times(2));
    let seen = bytes_of_creation(&caller).await;
    assert!(seen.as_ref().map_or_else(|error| error.kind() == ErrorKind::ConnectionReset, Vec::is_empty), "{seen:?}");
    let error = caller.creation("a").send().await.unwrap_err();
    assert!(error.is_request() && error.status().is_none(), "{error:?}");
    assert_eq!((struck.count(), caller.names().await.len()), (2, 0));
    assert_eq!(caller.service.most_keys("ann"), 0);
}

#[tokio::test]
async fn a_line_is_cut_after_execution() {
    let caller = Caller::new().await;
    let struck = caller.service.faults().arm(Fault::at(Route::Create, Effect::ExecuteThenCut).times(2));
    let seen = bytes_of_creation(&caller).await;
    assert!(seen.as_ref().map_or_else(|error| error.kind() == ErrorKind::ConnectionReset, Vec::is_empty), "{seen:?}");
    assert_eq!((struck.count(), caller.names().await.len()), (1, 1));
    let error = caller.creation("b").send().await.unwrap_err();
    assert!(error.is_request() && error.status().is_none(), "{error:?}");
    assert_eq!((struck.count(), caller.names().await.len()), (2, 2), "the client did not send it again");
}

#[tokio::test]
async fn one_line_is_cut_and_the_others_are_not() {
    let caller = Caller::new().await;
    let (id, _) = caller.create("a").await;
    let faults = caller.service.faults();
    let stalls = faults.arm(Fault::at(Route::Get, Effect::Stall));
    faults.arm(Fault::at(Route::Delete, Effect::CutBefore));
    let path = format!("/v1/users/ann/keys/{id}");
    let stalled = tokio::spawn(caller.request(Method::GET, &path).send());
    stalls.wait_for(1).await;
    assert!(caller.request(Method::DELETE, &path).send().await.is_err());
    assert!(!stalled.is_finished());
    assert_eq!(caller.call(Method::GET, &path).await.0, StatusCode::OK);
}

#[tokio::test]
async fn no_answer_without_execution() {
    let caller = Caller::new().await;
    let struck = caller.service.faults().arm(Fault::at(Route::Create, Effect::Stall));
    let creation = tokio::spawn(caller.creation("a").send());
    struck.wait_for(1).await;
    caller.create("another").await;
    assert!(!creation.is_finished());
    creation.abort();
    assert_eq!(caller.names().await, ["another"]);
}

#[tokio::test]
async fn no_answer_after_execution() {
    let caller = Caller::new().await;
    let struck = caller.service.faults().arm(Fault::at(Route::Create, Effect::ExecuteThenStall));
    let creation = tokio::spawn(caller.creation("a").send());
    struck.wait_for(1).await;
    assert_eq!(caller.names().await, ["a"]);
    assert!(!creation.is_finished());
}

#[tokio::test]
async fn a_late_answer_is_the_true_one() {
    let caller = Caller::new().await;
    let delay = Duration::from_millis(300);
    let struck = caller.service.faults().arm(Fault::at(Route::Create, Effect::Slow(delay)));
    let begin = Instant::now();
    let creation = tokio::spawn(answer(caller.creation("a")));
    struck.wait_for(1).await;
    assert_eq!(caller.names().await, ["a"], "it is only the answer that is late");
    let (status, key) = creation.await.unwrap();
    assert!(begin.elapsed() >= delay, "{:?}", begin.elapsed());
    assert_eq!(status, StatusCode::CREATED);
    assert!(caller.service.accepts(&text(&key, "key")).await);
}

#[tokio::test]
async fn another_body_after_execution() {
    let caller = Caller::new().await;
    caller.service.faults().arm(Fault::at(Route::Create, Effect::Body("<html>".to_owned())));
    let response = caller.creation("a").send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.text().await.unwrap(), "<html>");
    assert_eq!(caller.names().await, ["a"]);
}

#[tokio::test]
async fn each_route_has_faults_of_its_own() {
    let caller = Caller::new().await;
    let (id, value) = caller.create("a").await;
    let key = format!("/v1/users/ann/keys/{id}");
    let verb = |verb: &str| caller.request(Method::POST, &format!("{key}/{verb}"));
    let whoami = caller.client.get(format!("{}/v1/whoami", caller.service.url())).bearer_auth(&value);
    for (route, request) in [
        (Route::Create, caller.creation("b")),
        (Route::List, caller.request(Method::GET, "/v1/users/ann/keys")),
        (Route::Get, caller.request(Method::GET, &key)),
        (Route::Delete, caller.request(Method::DELETE, &key)),
        (Route::Disable, verb("disable")),
        (Route::Enable, verb("enable")),
        (Route::Rotate, verb("rotate")),
        (Route::WhoAmI, whoami),
    ] {
        let before = caller.service.keys("ann").await;
        let struck = caller.service.faults().arm(Fault::at(route, Effect::Answer { status: 503, retry_after: None }));
        assert_eq!(answer(request).await.0, StatusCode::SERVICE_UNAVAILABLE, "{route:?}");
        assert_eq!((struck.count(), caller.service.faults().armed()), (1, 0), "{route:?}");
        assert_eq!(caller.service.keys("ann").await, before, "{route:?}");
    }
    assert!(caller.service.accepts(&value).await);
    assert_eq!(caller.service.refused(), 0, "a fault is no refusal of the key");
}

#[tokio::test]
async fn a_fault_is_taken_back() {
    let caller = Caller::new().await;
    caller.service.faults().arm(Fault::at(Route::Create, Effect::CutBefore));
    caller.service.faults().disarm();
    caller.create("a").await;
}

/// Neither idle lines nor half a request nor one that is never answered keep the service from its end.
#[tokio::test]
async fn a_service_stops_at_once() {
    let caller = Caller::new().await;
    let stalls = caller.service.faults().arm(Fault::at(Route::Create, Effect::Stall));
    let stalled = tokio::spawn(caller.creation("a").send());
    stalls.wait_for(1).await;
    caller.call(Method::GET, "/v1/users/ann/keys").await;
    let mut half = TcpStream::connect(("127.0.0.1", caller.service.port())).await.unwrap();
    half.write_all(b"POST /v1/users/ann/keys HTTP/1.1\r\nContent-Length: 9\r\n\r\n{").await.unwrap();

    let port = caller.service.port();
    tokio::time::timeout(Duration::from_secs(10), caller.service.stop()).await.expect("it stops");
    assert!(stalled.await.unwrap().is_err());
    let end = half.read_u8().await.unwrap_err();
    assert!(matches!(end.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset), "{end:?}");
    let refused = TcpStream::connect(("127.0.0.1", port)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}
