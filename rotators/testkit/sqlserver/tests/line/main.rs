//! The line as clients see it: tiberius, FreeTDS in two programs, and raw bytes that no client would send.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod encryption;
mod faults;
mod foreign;
mod group;
mod hostile;
mod raw;
mod sessions;
mod tiberius_client;
mod values;

use keywheel_sqlserver_double::{Encryption, Options, ServerOptions, SqlServer, TlsIdentity, Version};

/// The password of `sa` that servers have if nothing else is said.
fn sa_password() -> String {
    Options::default().sa_password
}

/// A certificate that signs itself, which is at once what a client trusts.
fn identity() -> TlsIdentity {
    let signed = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    TlsIdentity { certificate_pem: signed.cert.pem(), key_pem: signed.signing_key.serialize_pem() }
}

/// A server with a certificate, and that certificate.
fn encrypting(encryption: Encryption, version: Version) -> (SqlServer, TlsIdentity) {
    let identity = identity();
    let instance = Options { version, ..Options::default() };
    let options = ServerOptions { instance, tls: Some(identity.clone()), encryption, port: 0 };
    (SqlServer::start_with(options).unwrap(), identity)
}
