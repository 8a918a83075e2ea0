//! Three doubles of SQL Server, for all tests of this binary. They end with the process.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use keywheel_sqlserver_double::{Encryption, Options, PasswordPolicy, ServerOptions, SqlServer, TlsIdentity};
use keywheel_testkit::Certificates;

/// The database of contained users.
pub const CONTAINED: &str = "shop";

/// What they have in common, and the three of them.
struct Doubles {
    authority: PathBuf,
    replicas: Vec<SqlServer>,
    _folder: tempfile::TempDir,
}

fn doubles() -> &'static Doubles {
    static DOUBLES: OnceLock<Doubles> = OnceLock::new();
    DOUBLES.get_or_init(|| {
        let certificates = Certificates::for_names(&["localhost", "127.0.0.1"]);
        // Not among the temporary files: what a static keeps is never dropped.
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the build's folder is writable");
        let authority = folder.path().join("authority.pem");
        std::fs::write(&authority, &certificates.authority).expect("the folder is writable");
        let replica = |server_name: &str| {
            let tls =
                TlsIdentity { certificate_pem: certificates.certificate.clone(), key_pem: certificates.key.clone() };
            let instance = Options {
                server_name: server_name.to_owned(),
                contained_authentication: true,
                // A server that remembers passwords refuses to go back to one, and one that locks accounts out does so to an
                // application that tries without a pause: both are a person's business.
                password_policy: PasswordPolicy { history: 0, lockout_threshold: 0, ..PasswordPolicy::default() },
                ..Options::default()
            };
            let options = ServerOptions { instance, tls: Some(tls), encryption: Encryption::Offer, port: 0 };
            let server = SqlServer::start_with(options).expect("a free port");
            server.execute(&format!("CREATE DATABASE {CONTAINED} CONTAINMENT = PARTIAL")).expect("it is new");
            server
        };
        Doubles { authority, replicas: ["SQL1", "SQL2", "SQL3"].map(replica).into(), _folder: folder }
    })
}

/// All three.
pub fn replicas() -> &'static [SqlServer] {
    &doubles().replicas
}

/// The authority that clients of the doubles must trust.
pub fn authority() -> &'static Path {
    &doubles().authority
}
