//! The shared servers, and fresh accounts on them.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use keywheel_sdk::{Admin, Bundle, Call, GrantParity, Secret, Strategy, Target};
use keywheel_sqlserver::SqlServerRotator;
use keywheel_sqlserver_double::{Encryption, Options, PasswordPolicy, ServerOptions, SqlServer, TlsIdentity, Version};
use keywheel_testkit::Certificates;
use serde_json::{Map, Value, json};

/// Planted as candidate in all tests that search for leaks.
pub const CANARY: &str = "Canary-7fQ2xV9-never-to-be-seen";
/// The database in which contained users live.
pub const CONTAINED: &str = "shop";

/// A running double, with the authority that clients must trust.
pub struct Site {
    pub server: SqlServer,
    pub authority: PathBuf,
    strict: bool,
    _folder: tempfile::TempDir,
}

impl Site {
    pub fn start(instance: Options, encryption: Encryption) -> Self {
        let certificates = Certificates::for_names(&["localhost", "127.0.0.1"]);
        // Not among the temporary files: a site that a static keeps is never dropped.
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let authority = folder.path().join("authority.pem");
        std::fs::write(&authority, &certificates.authority).unwrap();
        let identity = TlsIdentity { certificate_pem: certificates.certificate, key_pem: certificates.key };
        let strict = encryption == Encryption::Strict;
        let server =
            SqlServer::start_with(ServerOptions { instance, tls: Some(identity), encryption, port: 0 }).unwrap();
        Site { server, authority, strict, _folder: folder }
    }

    /// A server without a lock-out, whose password policy is Windows' usual one.
    pub fn of(version: Version) -> Self {
        Self::start(
            Options { version, password_policy: policy(), contained_authentication: true, ..Options::default() },
            Encryption::Offer,
        )
    }

    pub fn sql(&self, sql: &str) {
        self.server.execute(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// `target:` for this server.
    pub fn settings(&self) -> Map<String, Value> {
        let mut settings = json!({ "host": "localhost", "port": self.server.port(), "ca_file": self.authority });
        if self.strict {
            settings["encryption"] = json!("strict");
        }
        settings.as_object().unwrap().clone()
    }

    pub fn settings_with(&self, more: Value) -> Map<String, Value> {
        let mut settings = self.settings();
        settings.extend(more.as_object().unwrap().clone());
        settings
    }

    pub fn accepts(&self, credential: &Bundle, database: Option<&str>) -> bool {
        let password = credential.password().unwrap().expose(str::to_owned);
        self.server.accepts(&credential.username().unwrap(), &password, database)
    }

    /// A fresh login that may manage other logins, and as little else as its right says.
    pub fn admin(&self, rights: &[&str]) -> Bundle {
        let name = fresh("rotator");
        self.sql(&format!("CREATE LOGIN {name} WITH PASSWORD = N'Rotators-own-password-1'"));
        for right in rights {
            self.sql(&format!("GRANT {right} TO {name}"));
        }
        login(&name, "Rotators-own-password-1")
    }

    pub fn create_login(&self, name: &str, password: &str) {
        self.sql(&format!("CREATE LOGIN {} WITH PASSWORD = {}", quoted(name), literal(password)));
    }

    pub fn create_contained_user(&self, name: &str, password: &str) {
        self.sql(&format!("USE {CONTAINED}; CREATE USER {} WITH PASSWORD = {}", quoted(name), literal(password)));
    }
}

/// Windows' policy as on a server in a domain, without history and lock-out.
pub fn policy() -> PasswordPolicy {
    PasswordPolicy { min_length: 8, complexity: true, history: 0, lockout_threshold: 0, ..PasswordPolicy::default() }
}

/// The server of most tests. It ends with the process.
pub fn site() -> &'static Site {
    static SITE: OnceLock<Site> = OnceLock::new();
    SITE.get_or_init(|| {
        let site = Site::of(Version::V2022);
        site.sql(&format!("CREATE DATABASE {CONTAINED} CONTAINMENT = PARTIAL"));
        site
    })
}

pub fn sa() -> Bundle {
    login("sa", &Options::default().sa_password)
}

/// A name that no other test has, and that is not the beginning of another one: faults are armed by it.
pub fn fresh(prefix: &str) -> String {
    static NUMBER: AtomicU64 = AtomicU64::new(1);
    format!("{prefix}_{}_", NUMBER.fetch_add(1, Ordering::Relaxed))
}

pub fn quoted(name: &str) -> String {
    format!("[{}]", name.replace(']', "]]"))
}

pub fn literal(text: &str) -> String {
    format!("N'{}'", text.replace('\'', "''"))
}

pub fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

pub fn login(name: &str, password: &str) -> Bundle {
    Bundle::login(name, secret(password))
}

pub fn in_place(user: &str) -> Strategy {
    Strategy::InPlace { user: user.to_owned() }
}

pub fn alternating(first: &str, second: &str) -> Strategy {
    Strategy::Alternating {
        users: [first.to_owned(), second.to_owned()],
        grant_parity: GrantParity::Require,
        create_missing: false,
    }
}

pub fn target(settings: Map<String, Value>, strategy: Strategy, admin: Bundle) -> Target {
    Target { settings, strategy, admin: Admin::Credential(admin), generates: None }
}

pub fn call(target: &Target) -> Call<'_> {
    within(target, Duration::from_secs(30))
}

pub fn within(target: &Target, left: Duration) -> Call<'_> {
    Call { target, rotation: "rotation-1", fence: 1, until: Instant::now() + left }
}

/// A login in place on the shared server, live with `First-password-1`, with sa as admin.
pub struct Scene {
    pub target: Target,
    pub current: Bundle,
    pub candidate: Bundle,
    pub rotator: SqlServerRotator,
}

impl Scene {
    pub fn in_place(site: &Site) -> Self {
        Self::named(site, &fresh("orders"))
    }

    pub fn named(site: &Site, name: &str) -> Self {
        site.create_login(name, "First-password-1");
        Scene {
            target: target(site.settings(), in_place(name), sa()),
            current: login(name, "First-password-1"),
            candidate: login(name, CANARY),
            rotator: SqlServerRotator::new(),
        }
    }

    /// Two logins with the same rights: the first one live, the second one idle.
    pub fn alternating(site: &Site) -> Self {
        let (first, second) = (fresh("orders_a"), fresh("orders_b"));
        site.create_login(&first, "First-password-1");
        site.create_login(&second, "Idle-password-2");
        Scene {
            target: target(site.settings(), alternating(&first, &second), sa()),
            current: login(&first, "First-password-1"),
            candidate: login(&second, CANARY),
            rotator: SqlServerRotator::new(),
        }
    }

    pub fn call(&self) -> Call<'_> {
        call(&self.target)
    }

    pub fn live(&self) -> String {
        self.current.username().unwrap()
    }

    pub fn idle(&self) -> String {
        self.candidate.username().unwrap()
    }
}
