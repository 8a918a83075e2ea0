//! The throwaway server and the breaking line do what they promise.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use keywheel_testkit::{CutProxy, Fault, PostgresServer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

#[tokio::test]
async fn a_server_asks_for_passwords_logs_everything_and_leaves_nothing() {
    let server = PostgresServer::start().unwrap();
    server.sql("CREATE ROLE somebody LOGIN PASSWORD 'right'").await;
    assert!(server.accepts("somebody", "right").await);
    assert!(!server.accepts("somebody", "wrong").await);
    assert!(server.log().await.contains("CREATE ROLE somebody"));
    let (folder, port) = (server.socket_dir().to_owned(), server.port());
    assert!(folder.exists());
    drop(server);
    assert!(!folder.exists(), "the folder is removed");
    assert!(TcpStream::connect(("127.0.0.1", port)).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn a_server_ends_when_the_test_panics() {
    let started = tokio::task::spawn_blocking(PostgresServer::start).await.unwrap().unwrap();
    let folder = started.socket_dir().to_owned();
    let panicked = tokio::spawn(async move {
        let _server = started;
        panic!("on purpose");
    });
    assert!(panicked.await.unwrap_err().is_panic());
    assert!(!folder.exists());
}

/// A server that answers each message with `ok`, and tells what it has received.
async fn answering_server() -> (std::net::SocketAddr, mpsc::UnboundedReceiver<Vec<u8>>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (received, seen) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut line, _)) = listener.accept().await {
            let received = received.clone();
            tokio::spawn(async move {
                let mut bytes = [0; 1024];
                while let Ok(count) = line.read(&mut bytes).await {
                    if count == 0 || received.send(bytes[..count].to_vec()).is_err() {
                        return;
                    }
                    line.write_all(b"ok").await.ok();
                }
            });
        }
    });
    (address, seen)
}

async fn ask(line: &mut TcpStream, message: &[u8]) -> std::io::Result<[u8; 2]> {
    line.write_all(message).await?;
    let mut answer = [0; 2];
    line.read_exact(&mut answer).await?;
    Ok(answer)
}

#[tokio::test]
async fn a_line_breaks_at_the_marker_and_only_there() {
    let (address, mut seen) = answering_server().await;
    let proxy = CutProxy::start(address).await.unwrap();
    for (fault, arrives) in [
        (Fault::CutAfterEffect { marker: b"CHANGE".to_vec() }, true),
        (Fault::CutBeforeEffect { marker: b"CHANGE".to_vec() }, false),
    ] {
        let strikes = proxy.strikes();
        proxy.arm(fault);
        let mut line = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(&ask(&mut line, b"hello").await.unwrap(), b"ok");
        assert_eq!(seen.recv().await.unwrap(), b"hello");
        assert_eq!(proxy.strikes(), strikes);
        ask(&mut line, b"the CHANGE").await.expect_err("the line is cut");
        proxy.wait_for_strikes(strikes + 1).await;
        // Sound again, so what comes next shows whether the change was there before it.
        let mut line = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(&ask(&mut line, b"after").await.unwrap(), b"ok");
        if arrives {
            assert_eq!(seen.recv().await.unwrap(), b"the CHANGE");
        }
        assert_eq!(seen.recv().await.unwrap(), b"after");
    }
}

#[tokio::test]
async fn of_several_markers_the_first_that_comes_breaks_the_line_once() {
    let (address, _seen) = answering_server().await;
    let proxy = CutProxy::start(address).await.unwrap();
    for first in [b"MAKE", b"KILL"] {
        let strikes = proxy.strikes();
        proxy.arm_one_of([b"MAKE", b"KILL"].map(|marker| Fault::CutBeforeEffect { marker: marker.to_vec() }).into());
        let mut line = TcpStream::connect(proxy.address()).await.unwrap();
        ask(&mut line, first).await.expect_err("the line is cut");
        // The other one is taken back.
        let mut line = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(&ask(&mut line, b"MAKE and KILL").await.unwrap(), b"ok");
        assert_eq!(proxy.strikes(), strikes + 1);
    }
}

#[tokio::test]
async fn a_stalled_line_forwards_nothing_and_stays_open() {
    let (address, mut seen) = answering_server().await;
    let proxy = CutProxy::start(address).await.unwrap();
    proxy.arm(Fault::Stall { marker: b"CHANGE".to_vec() });
    let mut line = TcpStream::connect(proxy.address()).await.unwrap();
    let mut answer = [0; 1];
    line.write_all(b"CHANGE").await.unwrap();
    tokio::select! {
        biased;
        read = line.read(&mut answer) => panic!("nothing may come back, but {read:?} did"),
        () = proxy.wait_for_strikes(1) => {}
    }
    let mut second = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(&ask(&mut second, b"after").await.unwrap(), b"ok");
    assert_eq!(seen.recv().await.unwrap(), b"after", "the change never arrived");
}

/// Clients of HTTP send a request's head and its body one after the other.
#[tokio::test]
async fn a_lost_answer_is_that_of_the_whole_request() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let proxy = CutProxy::start(listener.local_addr().unwrap()).await.unwrap();
    proxy.arm(Fault::CutAfterEffect { marker: b"CHANGE".to_vec() });
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    let (mut server, _) = listener.accept().await.unwrap();
    let mut seen = [0; 6];
    client.write_all(b"CHANGE").await.unwrap();
    server.read_exact(&mut seen).await.unwrap();
    client.write_all(b" it all").await.unwrap();
    let mut rest = [0; 7];
    server.read_exact(&mut rest).await.unwrap();
    assert_eq!(&rest, b" it all");
    server.write_all(b"done").await.unwrap();
    proxy.wait_for_strikes(1).await;
    assert_eq!(client.read(&mut seen).await.unwrap_or(0), 0, "the answer is lost");
}
