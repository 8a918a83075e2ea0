//! The exam, for each kind of account, shape, admin and server.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use keywheel_plugin::{Confinement, Form, Plugin, PluginRotator, sha256_of};
use keywheel_sdk::{Admin, Bundle, Rotator, Strategy, Target};
use keywheel_sqlserver::SqlServerRotator;
use keywheel_sqlserver_double::{Effect, Encryption, Fault, Options, PasswordPolicy, SqlServer, Strikes, Version};
use keywheel_testkit::built_example;
use keywheel_testkit::exam::{Candidate, Line, Stage, Subject, Through, sit};
use serde_json::{Map, Value, json};

use crate::scene::{CONTAINED, Site, alternating, fresh, in_place, login, policy, sa};
use crate::sessions::sql_in;

/// Who changes the accounts.
#[derive(Clone, Copy, PartialEq)]
enum Who {
    /// A member of sysadmin, who may compare passwords.
    Sysadmin,
    /// Whoever may change logins (or users), and not more: probes are logins.
    Least,
    Itself,
}

struct Examined {
    name: &'static str,
    /// One server, or the replicas of a group.
    sites: Vec<Site>,
    contained: bool,
    /// Azure SQL Database: the logins work in a database of their own.
    azure: bool,
    alternates: bool,
    who: Who,
    /// `lockout_budget`, where it is not the usual one.
    budget: Option<u32>,
    rotator: SqlServerRotator,
}

impl Examined {
    fn on(name: &'static str, site: Site, alternates: bool, who: Who) -> Self {
        let rotator = SqlServerRotator::new();
        // The exam asks for more failed logins of one account than the usual budget has.
        let budget = Some(50);
        Examined { name, sites: vec![site], contained: false, azure: false, alternates, who, budget, rotator }
    }

    fn azure(name: &'static str, alternates: bool, who: Who) -> Self {
        let site = Site::of(Version::AzureSqlDatabase);
        site.sql(&format!("CREATE DATABASE {CONTAINED}"));
        Examined { azure: true, ..Self::on(name, site, alternates, who) }
    }

    /// With the usual budget, on a server that locks out at five.
    fn within_the_budget(self) -> Self {
        Examined { budget: None, ..self }
    }

    fn contained(name: &'static str, alternates: bool, who: Who) -> Self {
        let site = Site::of(Version::V2022);
        site.sql(&format!("CREATE DATABASE {CONTAINED} CONTAINMENT = PARTIAL"));
        Examined { contained: true, ..Self::on(name, site, alternates, who) }
    }

    fn group(name: &'static str, alternates: bool) -> Self {
        let sites: Vec<Site> = ["SQL1", "SQL2", "SQL3"].map(replica).into();
        Examined { sites, ..Self::on(name, replica("UNUSED"), alternates, Who::Sysadmin) }
    }

    fn settings(&self) -> Map<String, Value> {
        let mut settings = self.plain_settings();
        if let Some(budget) = self.budget {
            settings.insert("lockout_budget".to_owned(), budget.into());
        }
        if self.budget.is_none() {
            settings.insert("lockout_threshold".to_owned(), 5.into());
        }
        settings
    }

    fn plain_settings(&self) -> Map<String, Value> {
        let first = &self.sites[0];
        if self.contained {
            return first.settings_with(json!({ "account": "contained-user", "database": CONTAINED }));
        }
        if self.azure {
            return first.settings_with(json!({ "database": CONTAINED }));
        }
        let replicas: Vec<String> = self.sites.iter().map(|site| format!("localhost:{}", site.server.port())).collect();
        if replicas.len() > 1 {
            // All show certificates of their own, so each authority must be trusted.
            return first.settings_with(json!({ "replicas": replicas, "ca_file": bundle_of(&self.sites) }));
        }
        first.settings()
    }

    fn database(&self) -> Option<&str> {
        self.contained.then_some(CONTAINED)
    }

    async fn admin(&self) -> Option<Bundle> {
        match self.who {
            Who::Sysadmin => Some(sa()),
            // Sessions are the server's, so it is a login with a user in the database.
            Who::Least if self.contained && self.alternates => {
                let admin = self.sites[0].admin(&["VIEW SERVER STATE", "ALTER ANY CONNECTION"]);
                let name = admin.username().unwrap();
                self.sites[0].sql(&format!(
                    "USE {CONTAINED}; CREATE USER {name} FOR LOGIN {name}; \
                     GRANT ALTER ANY USER TO {name}; GRANT VIEW DEFINITION TO {name}"
                ));
                Some(admin)
            }
            Who::Least if self.contained => {
                let name = fresh("keeper");
                self.sites[0].create_contained_user(&name, "Keepers-own-password-1");
                self.sites[0]
                    .sql(&format!("USE {CONTAINED}; GRANT ALTER ANY USER TO {name}; GRANT VIEW DEFINITION TO {name}"));
                Some(login(&name, "Keepers-own-password-1"))
            }
            Who::Least if self.azure => {
                let admin = self.sites[0].admin(&[]);
                let name = admin.username().unwrap();
                self.sites[0]
                    .sql(&format!("CREATE USER {name} FOR LOGIN {name}; ALTER ROLE loginmanager ADD MEMBER {name}"));
                let rights = "VIEW DATABASE STATE, KILL DATABASE CONNECTION, VIEW DEFINITION";
                let sql = format!("CREATE USER {name} FOR LOGIN {name}; GRANT {rights} TO {name}");
                sql_in(&self.sites[0], CONTAINED, &sql).await;
                Some(admin)
            }
            // To end sessions takes more than to change passwords; so does comparing what the server keeps secret.
            Who::Least if self.alternates => Some(self.sites[0].admin(&[
                "ALTER ANY LOGIN",
                "ALTER ANY CONNECTION",
                "VIEW SERVER STATE",
                "VIEW ANY DEFINITION",
                "CONNECT ANY DATABASE",
            ])),
            Who::Least => Some(self.sites[0].admin(&["ALTER ANY LOGIN"])),
            Who::Itself => None,
        }
    }

    async fn create(&self, name: &str, password: &str) {
        for site in &self.sites {
            match self.contained {
                true => site.create_contained_user(name, password),
                false => site.create_login(name, password),
            }
            if self.azure {
                sql_in(site, CONTAINED, &format!("CREATE USER {name} FOR LOGIN {name}")).await;
            }
        }
    }
}

fn replica(server_name: &str) -> Site {
    let instance = Options { server_name: server_name.to_owned(), password_policy: policy(), ..Options::default() };
    Site::start(instance, Encryption::Offer)
}

/// One file with all authorities, beside the first one's.
fn bundle_of(sites: &[Site]) -> std::path::PathBuf {
    let file = sites[0].authority.with_file_name("all.pem");
    let all: String = sites.iter().map(|site| std::fs::read_to_string(&site.authority).unwrap()).collect();
    std::fs::write(&file, all).unwrap();
    file
}

/// Breaks at the statement that changes the account: of a group, where it tells most. An acknowledgement is lost by the last
/// replica, when all is done; a request by the first, when nothing is.
struct Wire {
    first: &'static SqlServer,
    last: &'static SqlServer,
    verb: &'static str,
    struck: Mutex<Vec<Strikes>>,
    /// How many changes were executed whose answers never come.
    silent: Arc<AtomicU64>,
}

impl Wire {
    fn arm(&self, server: &SqlServer, effect: Effect) {
        self.struck.lock().unwrap().push(server.faults().arm(Fault::at_verb(self.verb, effect)));
    }
}

impl Line for Wire {
    fn lose_next_acknowledgement(&self) {
        self.arm(self.last, Effect::ApplyThenClose);
    }
    fn cut_before_next_change(&self) {
        self.arm(self.first, Effect::CloseBefore);
    }
    fn stall_next_change(&self) {
        self.arm(self.first, Effect::StallBefore);
    }
    fn stall_after_next_change(&self) {
        // The fault itself counts before the statement is executed, so this one's executions are counted instead.
        let silent = Arc::clone(&self.silent);
        let count = move || {
            silent.fetch_add(1, Ordering::SeqCst);
        };
        self.last.faults().arm(Fault::at_verb(self.verb, Effect::CallAfter(Arc::new(count))));
        self.last.faults().arm(Fault::at_verb(self.verb, Effect::ApplyThenStall));
    }
    fn strikes(&self) -> u64 {
        let others: u64 = self.struck.lock().unwrap().iter().map(Strikes::count).sum();
        others + self.silent.load(Ordering::SeqCst)
    }
}

/// The exam keeps its parts as long as it runs; the servers end with the process.
struct Kept(&'static Examined);

#[async_trait]
impl Subject for Kept {
    fn name(&self) -> String {
        self.0.name.to_owned()
    }

    fn rotator(&self) -> &dyn Rotator {
        &self.0.rotator
    }

    async fn stage(&self) -> Stage {
        let examined = self.0;
        for site in &examined.sites {
            site.server.faults().disarm();
        }
        let (first, second) = (fresh("app"), fresh("app"));
        examined.create(&first, "Current-password-1").await;
        if examined.alternates {
            examined.create(&second, "Idle-password-2").await;
        }
        let strategy =
            || -> Strategy { if examined.alternates { alternating(&first, &second) } else { in_place(&first) } };
        let admin = examined.admin().await;
        let target = |admin| Target { settings: examined.settings(), strategy: strategy(), admin, generates: None };
        let authorised = || match &admin {
            Some(admin) => Admin::Credential(admin.duplicate()),
            None => Admin::Own,
        };
        let wrong = admin.as_ref().map(|admin| login(&admin.username().unwrap(), "Not-the-admins-password-1"));
        let wire = Wire {
            first: &examined.sites[0].server,
            last: &examined.sites[examined.sites.len() - 1].server,
            verb: if examined.contained { "ALTER USER" } else { "ALTER LOGIN" },
            struck: Mutex::default(),
            silent: Arc::default(),
        };
        Stage {
            target: target(authorised()),
            current: login(&first, "Current-password-1"),
            candidate: Candidate::Given(login(
                if examined.alternates { &second } else { &first },
                "Candidate-password-3",
            )),
            wrong_admin: wrong.map(|wrong| target(Admin::Credential(wrong))),
            line: Some((target(authorised()), Box::new(wire))),
            odd_passwords: odd_passwords(),
        }
    }

    async fn accepts(&self, credential: &Bundle) -> bool {
        let answers: Vec<bool> = self.0.sites.iter().map(|site| site.accepts(credential, self.0.database())).collect();
        assert!(answers.iter().all(|answer| *answer == answers[0]), "the replicas disagree: {answers:?}");
        answers[0]
    }
}

fn odd_passwords() -> Vec<String> {
    vec![
        "it's \"quoted\" ''twice'' ]] and -- ; /* Aa1".to_owned(),
        "pässwörd-ÅØ-пароль-密码-🔑-A1".to_owned(),
        " Leading and trailing 1 ".to_owned(),
        "{Braces};and=equals 1".to_owned(),
        format!("{}Aa1", "x".repeat(125)),
        // 128 UTF-16 units, which are 66 characters.
        format!("{}Aa1x", "🔑".repeat(62)),
    ]
}

async fn examine(examined: Examined, at_least: usize) {
    let kept = Kept(Box::leak(Box::new(examined)));
    let report = sit(&kept).await;
    report.assert_passed();
    assert!(report.passed() >= at_least, "too many cases were skipped\n{report}");
}

/// The same rotator as a plugin in a confined process.
async fn examine_as_plugin(examined: Examined, at_least: usize) {
    let kept = Kept(Box::leak(Box::new(examined)));
    let file = built_example("keywheel-sqlserver", "sqlserver_plugin");
    let plugin = Plugin {
        name: "sqlserver".to_owned(),
        form: Form::Executable,
        sha256: sha256_of(&file).unwrap(),
        signature: None,
        host: file.clone(),
        file,
        confinement: Confinement {
            connect: kept.0.sites.iter().map(|site| site.server.port()).collect(),
            // The folder of certificates, where that of all authorities is, too.
            read: kept.0.sites[0].authority.parent().map(std::path::Path::to_owned).into_iter().collect(),
            ..Confinement::default()
        },
    };
    let rotator = PluginRotator::open(plugin).unwrap();
    let report = sit(&Through::new(&kept, rotator, "as a plugin")).await;
    report.assert_passed();
    assert!(report.passed() >= at_least, "too many cases were skipped\n{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn in_place_as_a_plugin() {
    examine_as_plugin(Examined::on("in place", Site::of(Version::V2022), false, Who::Sysadmin), 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn by_itself_as_a_plugin() {
    examine_as_plugin(Examined::on("in place, self-managed", Site::of(Version::V2019), false, Who::Itself), 19).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn alternating_as_a_plugin() {
    examine_as_plugin(Examined::on("alternating", Site::of(Version::V2019), true, Who::Least), 21).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_as_a_plugin() {
    examine_as_plugin(Examined::group("three replicas in place", false), 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_azure_as_a_plugin() {
    examine_as_plugin(Examined::azure("in place, Azure SQL Database", false, Who::Sysadmin), 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn contained_alternating_as_a_plugin() {
    examine_as_plugin(Examined::contained("contained users alternating", true, Who::Sysadmin), 21).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_place_with_a_sysadmin() {
    examine(Examined::on("in place, sysadmin", Site::of(Version::V2022), false, Who::Sysadmin), 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_place_with_the_least_right() {
    examine(Examined::on("in place, ALTER ANY LOGIN", Site::of(Version::V2017), false, Who::Least), 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_place_by_itself() {
    examine(Examined::on("in place, self-managed", Site::of(Version::V2019), false, Who::Itself), 19).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn alternating_with_a_sysadmin() {
    examine(Examined::on("alternating, sysadmin", Site::of(Version::V2025), true, Who::Sysadmin), 21).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn alternating_with_the_least_right() {
    examine(Examined::on("alternating, least rights", Site::of(Version::V2019), true, Who::Least), 21).await;
}

/// Locks out after five wrong passwords.
fn locking() -> Site {
    let password_policy = PasswordPolicy { lockout_threshold: 5, ..policy() };
    Site::start(Options { password_policy, ..Options::default() }, Encryption::Offer)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_usual_budget_is_enough_for_the_least_right() {
    examine(Examined::on("in place, least right, budget of 2", locking(), false, Who::Least).within_the_budget(), 20)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_usual_budget_is_enough_for_an_account_by_itself() {
    examine(Examined::on("self-managed, budget of 2", locking(), false, Who::Itself).within_the_budget(), 19).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn alternating_over_strict_encryption() {
    let instance = Options { password_policy: policy(), ..Options::default() };
    let site = Site::start(instance, Encryption::Strict);
    examine(Examined::on("alternating, TDS 8.0", site, true, Who::Sysadmin), 21).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_place_on_azure() {
    examine(Examined::azure("in place, Azure SQL Database", false, Who::Sysadmin), 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn alternating_on_azure() {
    examine(Examined::azure("alternating, Azure SQL Database", true, Who::Sysadmin), 21).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn alternating_on_azure_with_the_least_right() {
    examine(Examined::azure("alternating, Azure SQL Database, loginmanager", true, Who::Least), 21).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn contained_in_place() {
    examine(Examined::contained("contained user in place", false, Who::Sysadmin), 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn contained_in_place_with_the_least_right() {
    examine(Examined::contained("contained user in place, ALTER ANY USER", false, Who::Least), 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn contained_by_itself() {
    examine(Examined::contained("contained user, self-managed", false, Who::Itself), 19).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn contained_alternating() {
    examine(Examined::contained("contained users alternating", true, Who::Sysadmin), 21).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn contained_alternating_with_the_least_right() {
    // It may not take CONNECT away: the idle user is shut by its password alone.
    examine(Examined::contained("contained users alternating, ALTER ANY USER", true, Who::Least), 21).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_in_place() {
    examine(Examined::group("three replicas in place", false), 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_alternating() {
    examine(Examined::group("three replicas alternating", true), 21).await;
}
