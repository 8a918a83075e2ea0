//! The server's side of TLS: inside of packets (TDS 7), and before everything (TDS 8, "strict").

use std::io;
use std::sync::Arc;

use rustls::SupportedProtocolVersion;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::wrapped::Wrapped;
use crate::server::TlsIdentity;

/// What a client of TDS 8 must name in its ALPN.
const TDS_8: &[u8] = b"tds/8.0";

/// TLS with a server's certificate.
pub(crate) struct Tls {
    wrapped: TlsAcceptor,
    strict: TlsAcceptor,
}

impl Tls {
    pub(crate) fn new(identity: &TlsIdentity) -> io::Result<Self> {
        // As the real server: inside of packets there is no TLS 1.3.
        let wrapped = acceptor(identity, &[&TLS12], Vec::new())?;
        let strict = acceptor(identity, &[&TLS13, &TLS12], vec![TDS_8.to_vec()])?;
        Ok(Tls { wrapped, strict })
    }

    /// A handshake inside of PRELOGIN packets.
    pub(crate) async fn accept_wrapped(&self, stream: TcpStream) -> io::Result<TlsStream<Wrapped>> {
        let mut stream = self.wrapped.accept(Wrapped::new(stream, true)).await?;
        stream.get_mut().0.unwrap_rest();
        Ok(stream)
    }

    /// A handshake before everything. Refuses clients that do not speak TDS 8.
    pub(crate) async fn accept_strict(&self, stream: TcpStream) -> io::Result<TlsStream<Wrapped>> {
        let stream = self.strict.accept(Wrapped::new(stream, false)).await?;
        if stream.get_ref().1.alpn_protocol() != Some(TDS_8) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(stream)
    }
}

fn acceptor(
    identity: &TlsIdentity,
    versions: &[&'static SupportedProtocolVersion],
    protocols: Vec<Vec<u8>>,
) -> io::Result<TlsAcceptor> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(identity.certificate_pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(io::Error::other)?;
    let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).map_err(io::Error::other)?;
    let mut server = rustls::ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .map_err(io::Error::other)?;
    // A ticket comes after the handshake, where some clients take what comes for the answer to their login.
    server.send_tls13_tickets = 0;
    server.alpn_protocols = protocols;
    Ok(TlsAcceptor::from(Arc::new(server)))
}
