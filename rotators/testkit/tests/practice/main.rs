//! The practice target, a rotator of its accounts that passes the exam, and liars that each fail the cases about their lie.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod liars;
mod rotator;

use std::sync::Arc;

use keywheel_sdk::{PASSWORD, Rotator, Secret, Shape};
use keywheel_testkit::exam::{PracticeSubject, PracticeTarget, Report, sit};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use rotator::PracticeRotator;

/// Lets a rotator sit the exam against a target of its own.
async fn sat(name: &str, rotator: impl Rotator + 'static, shape: Shape) -> Report {
    let target = PracticeTarget::start(0).await.unwrap();
    sit(&PracticeSubject::new(name, Arc::new(rotator), target, shape)).await
}

#[tokio::test]
async fn the_honest_one_passes() {
    for (shape, fit) in [(Shape::InPlace, 30), (Shape::Alternating, 34)] {
        let report = sat(shape.word(), PracticeRotator, shape).await;
        report.assert_passed();
        assert!(report.fit() >= fit, "too many cases were skipped\n{report}");
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["passed"], json["fit"]);
        assert_eq!(json["cases"][0]["outcome"], "passed");
    }
}

async fn asked(port: u16, bytes: &[u8]) -> String {
    let mut line = BufReader::new(TcpStream::connect(("127.0.0.1", port)).await.unwrap());
    line.write_all(bytes).await.unwrap();
    let mut answer = String::new();
    line.read_line(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn what_is_sent_wrongly_is_refused_and_the_target_goes_on() {
    let target = PracticeTarget::start(0).await.unwrap();
    let port = target.port();
    assert_eq!(asked(port, b"\xff\xfe\n").await, "{\"ok\":false,\"why\":\"no message\"}\n");
    assert_eq!(asked(port, &[b'x'; 70_000]).await, "{\"ok\":false,\"why\":\"line too long\"}\n");
    let deep = [&[b'['; 60_000][..], b"\n"].concat();
    assert_eq!(asked(port, &deep).await, "{\"ok\":false,\"why\":\"no message\"}\n");
    // Half a message, and gone.
    TcpStream::connect(("127.0.0.1", port)).await.unwrap().write_all(b"{\"do\":").await.unwrap();
    let admin = target.admin().get(PASSWORD).unwrap().expose(str::to_owned);
    let set = format!("{{\"do\":\"set\",\"user\":\"a\",\"password\":\"pä\",\"admin\":\"{admin}\"}}\n");
    assert_eq!(asked(port, set.as_bytes()).await, "{\"ok\":true}\n");
    assert!(target.accepts("a", &Secret::new("pä".to_owned())));
    drop(target);
    let mut rest = Vec::new();
    if let Ok(mut line) = TcpStream::connect(("127.0.0.1", port)).await {
        line.read_to_end(&mut rest).await.ok();
    }
    assert!(rest.is_empty(), "it ends with its owner");
}
