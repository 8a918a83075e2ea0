//! keywheel as a library: a pair of SQL Server logins, rotated by the policy beside this file.
//!
//! `cargo run --example sqlserver-login`. The server is the double of this repository, not Microsoft's; for a real one, write
//! its address into the policy. A program of your own keeps its state and secrets in files: `SqliteState`, `LocalStore`.

#![expect(clippy::print_stdout, reason = "an example talks to people")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use keywheel::policies::{Catalogue, Policy};
use keywheel::runtime::{Clock, Engine, Limits, NoConsumers, Order, Redacted, Registry, Stop, SystemClock};
use keywheel::sdk::{Bundle, Secret};
use keywheel::secrets::memory::MemoryStore;
use keywheel::secrets::{Label, SecretStore, Selector};
use keywheel::state::memory::MemoryState;
use keywheel_sqlserver_double::{Encryption, Options, ServerOptions, SqlServer, TlsIdentity};
use keywheel_testkit::Certificates;
use tokio_util::sync::CancellationToken;

const POLICY: &str = include_str!("policy.yaml");
const FIRST: &str = "First-password-1";

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = double(folder.path());
    server.execute(&format!("CREATE LOGIN orders_a WITH PASSWORD = N'{FIRST}'")).expect("the login is new");

    let rotators =
        Registry::new().with(Arc::new(Redacted::new(Arc::new(keywheel::sqlserver::SqlServerRotator::new()))));
    let policy = policy(folder.path(), server.port(), &rotators);
    let secrets = Arc::new(MemoryStore::new());
    put(&*secrets, "sql/admin", "sa", &Options::default().sa_password).await;
    put(&*secrets, "shop/orders", "orders_a", FIRST).await;
    let engine = Engine {
        state: Arc::new(MemoryState::new()),
        secrets: Arc::clone(&secrets) as Arc<dyn SecretStore>,
        rotators,
        consumers: Arc::new(NoConsumers),
        clock: Arc::new(SystemClock),
        environment: Arc::new(|_| None),
        limits: Limits { rotations: 4, per_target: 4, step: Duration::from_secs(30), lease: Duration::from_secs(90) },
        observer: None,
    };

    for _ in 0..3 {
        let before = login(&*secrets).await;
        let order = Order::Now { by: "the example".to_owned(), reason: None };
        let turned = engine.turn(&policy, &order, 0, &CancellationToken::new()).await.expect("turned");
        let (rotation, stop) = turned.expect("there was something to turn");
        assert_eq!(stop, Stop::Done, "{rotation:?}");
        let after = login(&*secrets).await;
        let accepts = |(user, password): &(String, String)| server.accepts(user, password, None);
        println!(
            "CURRENT was a login of {} (accepted now: {}), and is one of {} (accepted now: {})",
            before.0,
            accepts(&before),
            after.0,
            accepts(&after)
        );
        assert!(accepts(&after) && !accepts(&before));
    }
}

/// The policy, as the engine takes it.
fn policy(folder: &Path, port: u16, rotators: &Registry) -> Policy {
    let authority = folder.join("authority.pem");
    let text = POLICY.replace("1433", &port.to_string()).replace("authority.pem", &authority.display().to_string());
    let file = folder.join("policy.yaml");
    std::fs::write(&file, text).expect("the folder is writable");
    let loaded = keywheel::policies::load(&[file], &Catalogue { rotators: rotators.specs(), ..Catalogue::default() });
    assert!(loaded.problems.is_empty(), "{}", loaded.problems.render(false));
    loaded.policies.into_iter().next().expect("the file holds a policy")
}

/// What `keywheel secret put` does: the value is `CURRENT` at once.
async fn put(secrets: &dyn SecretStore, secret: &str, user: &str, password: &str) {
    let bundle = Bundle::login(user, Secret::new(password.to_owned()));
    secrets.put(secret, "by-hand", &bundle, None, SystemClock.now(), 0).await.expect("the secret is new");
}

/// What an application reads.
async fn login(secrets: &dyn SecretStore) -> (String, String) {
    let current = secrets.read("shop/orders", Selector::Label(Label::Current)).await.expect("readable");
    let bundle = current.expect("there is a CURRENT").bundle;
    let password = bundle.password().expect("a login").expose(str::to_owned);
    (bundle.username().expect("a login"), password)
}

/// A double of the server; the authority that signed its certificate is put into the folder.
fn double(folder: &Path) -> SqlServer {
    let certificates = Certificates::for_names(&["localhost"]);
    std::fs::write(folder.join("authority.pem"), &certificates.authority).expect("the folder is writable");
    let tls = TlsIdentity { certificate_pem: certificates.certificate, key_pem: certificates.key };
    let options = ServerOptions { tls: Some(tls), encryption: Encryption::Require, ..ServerOptions::default() };
    SqlServer::start_with(options).expect("a free port")
}
