//! What no client should send: the line is closed, and the server serves the others as before.

use std::sync::Arc;

use keywheel_sqlserver_double::{Encryption, SqlServer, Version};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::encrypting;
use super::raw::{ATTENTION, BATCH, LAST, LOGIN, NO_ENCRYPTION, PRELOGIN, Raw, login, units};
use super::tiberius_client::{batch, sa};

#[tokio::test]
async fn nonsense_closes_the_line_and_no_other() {
    let server = SqlServer::start().unwrap();
    let mut other = sa(&server).await;
    let first_packets: [&[u8]; 8] = [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        &[0; 64],
        &[0xFF; 64],
        // Shorter than its own header, longer than agreed upon, and of no known kind.
        &[PRELOGIN, LAST, 0, 7, 0, 0, 0, 0],
        &[PRELOGIN, LAST, 0xFF, 0xFF, 0, 0, 0, 0],
        &[0x55, LAST, 0, 8, 0, 0, 0, 0],
        // A login before anything else, and TLS where there is no certificate.
        &[LOGIN, LAST, 0, 8, 0, 0, 0, 0],
        &[0x16, 3, 1, 0, 4, 1, 2, 3, 4],
    ];
    for bytes in first_packets {
        let mut raw = Raw::connect(&server).await;
        raw.write(bytes).await;
        assert_eq!(raw.receive().await, None, "{bytes:?}");
    }
    assert_eq!(batch(&mut other, "SELECT 1").await.unwrap().len(), 1);
    assert!(server.logins_heard().iter().all(|heard| heard.login == "sa"));
}

#[tokio::test]
async fn a_login_that_lies_about_itself_closes_the_line() {
    let server = SqlServer::start().unwrap();
    let sound = login("sa", &super::sa_password());
    for (at, byte) in [(0, 0xFF), (7, 0x71), (41, 0xFF), (43, 0xFF), (45, 0xFF)] {
        let mut raw = Raw::connect(&server).await;
        raw.send(PRELOGIN, LAST, &NO_ENCRYPTION).await;
        raw.receive().await.unwrap();
        let mut lying = sound.clone();
        lying[at] = byte;
        raw.send(LOGIN, LAST, &lying).await;
        assert_eq!(raw.receive().await, None, "{byte} at {at}");
    }
    assert_eq!(server.sessions("sa"), 0);
}

#[tokio::test]
async fn a_request_that_lies_about_itself_ends_the_session() {
    let server = SqlServer::start().unwrap();
    let requests: [(u8, &[u8]); 7] = [
        (BATCH, &[]),
        (BATCH, &[0xFF, 0xFF, 0xFF, 0xFF]),
        (BATCH, &[4, 0, 0, 0, 0x41]),
        (BATCH, &[4, 0, 0, 0, 0, 0xD8]),
        (0x03, &[4, 0, 0, 0, 0xFF, 0xFF, 10]),
        (0x03, &[4, 0, 0, 0, 9, 0, 0x41, 0]),
        (0x07, &[4, 0, 0, 0]),
    ];
    for (kind, content) in requests {
        let mut raw = Raw::logged_in(&server).await;
        raw.send(kind, LAST, content).await;
        assert_eq!(raw.receive().await, None, "{content:?}");
    }
    assert!(server.heard().is_empty());
}

/// What came before the handshake was not protected by it, so it must not count as if it were.
#[tokio::test]
async fn what_is_slipped_in_before_the_handshake_closes_the_line() {
    let (server, _) = encrypting(Encryption::Require, Version::V2022);
    for slipped_in in [&[0x01][..], &[ATTENTION, LAST, 0, 8, 0, 0, 0, 0]] {
        let mut raw = Raw::connect(&server).await;
        raw.write(&[&[PRELOGIN, LAST, 0, 15, 0, 0, 0, 0][..], &NO_ENCRYPTION, slipped_in].concat()).await;
        assert!(raw.receive().await.is_some(), "the server wishes for encryption");
        assert_eq!(raw.receive().await, None, "{slipped_in:?}");
    }
}

#[tokio::test]
async fn a_plain_login_where_encryption_is_required_is_not_looked_at() {
    let (server, _) = encrypting(Encryption::Require, Version::V2022);
    let mut raw = Raw::connect(&server).await;
    raw.send(PRELOGIN, LAST, &NO_ENCRYPTION).await;
    raw.receive().await.unwrap();
    raw.send(LOGIN, LAST, &login("sa", &super::sa_password())).await;
    assert_eq!(raw.receive().await, None);
    assert!(server.logins_heard().is_empty());
}

/// TLS first, and then no word of TDS 8.
#[tokio::test]
async fn strict_clients_say_what_they_speak() {
    let (server, identity) = encrypting(Encryption::Strict, Version::V2022);
    for (protocols, accepted) in [(vec![], false), (vec![b"tds/8.0".to_vec()], true)] {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(identity.certificate_pem.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut client = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        client.alpn_protocols = protocols;
        let stream = TcpStream::connect(("127.0.0.1", server.port())).await.unwrap();
        let name = "localhost".try_into().unwrap();
        let mut stream = TlsConnector::from(Arc::new(client)).connect(name, stream).await.unwrap();
        stream.write_all(&[&[PRELOGIN, LAST, 0, 15, 0, 0, 0, 0][..], &NO_ENCRYPTION].concat()).await.unwrap();
        assert_eq!(stream.read_u8().await.is_ok(), accepted);
    }
}

#[tokio::test]
async fn packets_of_two_messages_do_not_mix() {
    let server = SqlServer::start().unwrap();
    let mut raw = Raw::logged_in(&server).await;
    raw.send(BATCH, 0, &[&[4, 0, 0, 0][..], &units("SELECT")].concat()).await;
    raw.send(ATTENTION, LAST, &[]).await;
    assert_eq!(raw.receive().await, None);
}
