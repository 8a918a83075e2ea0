//! Doubles of SQL Server: three for all tests of this binary, which end with the process, and others for a case of its own.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use keywheel_sqlserver_double::{Encryption, Options, PasswordPolicy, ServerOptions, SqlServer, TlsIdentity};
use keywheel_testkit::Certificates;

/// The database of contained users.
pub const CONTAINED: &str = "shop";

/// A certificate for all doubles, and the authority that clients must trust.
struct Trust {
    tls: TlsIdentity,
    authority: PathBuf,
    _folder: tempfile::TempDir,
}

fn trust() -> &'static Trust {
    static TRUST: OnceLock<Trust> = OnceLock::new();
    TRUST.get_or_init(|| {
        let certificates = Certificates::for_names(&["localhost", "127.0.0.1"]);
        // Not among the temporary files: what a static keeps is never dropped.
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the build's folder is writable");
        let authority = folder.path().join("authority.pem");
        std::fs::write(&authority, &certificates.authority).expect("the folder is writable");
        let tls = TlsIdentity { certificate_pem: certificates.certificate, key_pem: certificates.key };
        Trust { tls, authority, _folder: folder }
    })
}

/// The authority that clients of the doubles must trust.
pub fn authority() -> &'static Path {
    &trust().authority
}

/// A double that ends when it is dropped.
pub fn double(instance: Options) -> SqlServer {
    let options = ServerOptions { instance, tls: Some(trust().tls.clone()), encryption: Encryption::Offer, port: 0 };
    SqlServer::start_with(options).expect("a free port")
}

/// The policy's lines about rotator, target and admin; `more` are further settings.
pub fn lines(more: &str) -> String {
    let authority = authority().display();
    format!(
        "rotator: sqlserver\ntarget: {{ host: localhost, {more}, ca_file: {authority} }}\nadmin: {{ secret: sql/admin }}"
    )
}

/// The three.
pub fn replicas() -> &'static [SqlServer] {
    static REPLICAS: OnceLock<Vec<SqlServer>> = OnceLock::new();
    REPLICAS.get_or_init(|| {
        let replica = |server_name: &str| {
            let server = double(Options {
                server_name: server_name.to_owned(),
                contained_authentication: true,
                // A server that remembers passwords refuses to go back to one, and one that locks accounts out does so to an
                // application that tries without a pause: both are a person's business.
                password_policy: PasswordPolicy { history: 0, lockout_threshold: 0, ..PasswordPolicy::default() },
                ..Options::default()
            });
            server.execute(&format!("CREATE DATABASE {CONTAINED} CONTAINMENT = PARTIAL")).expect("it is new");
            server
        };
        ["SQL1", "SQL2", "SQL3"].map(replica).into()
    })
}
