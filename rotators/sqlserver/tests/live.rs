//! The exam against real servers, where `KEYWHEEL_TEST_MSSQL` names them.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write;

use async_trait::async_trait;
use keywheel_sdk::{Admin, Bundle, GrantParity, Rotator, Secret, Strategy, Target};
use keywheel_sqlserver::SqlServerRotator;
use keywheel_testkit::LiveSqlServer;
use keywheel_testkit::exam::{Candidate, Stage, Subject, sit};

struct Live {
    server: LiveSqlServer,
    /// The database whose users are rotated; `None` for logins.
    database: Option<String>,
    alternates: bool,
    who: Who,
    rotator: SqlServerRotator,
    /// Accounts that were made, to be dropped at the end.
    made: std::sync::Mutex<Vec<String>>,
    run: String,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Who {
    Admin,
    Itself,
}

fn login(name: &str, password: &str) -> Bundle {
    Bundle::login(name, Secret::new(password.to_owned()))
}

impl Live {
    async fn create(&self, password: &str) -> String {
        let name = {
            let mut made = self.made.lock().unwrap();
            let name = format!("keywheel_exam_{}_{}", self.run, made.len());
            made.push(name.clone());
            name
        };
        if self.database.is_some() {
            self.run(&format!("CREATE USER [{name}] WITH PASSWORD = N'{password}'")).await;
            return name;
        }
        // A server that remembers passwords would refuse to go back to one. Azure SQL Database has no such option.
        let policy = if self.server.is_azure().await { "" } else { ", CHECK_POLICY = OFF" };
        self.run(&format!("CREATE LOGIN [{name}] WITH PASSWORD = N'{password}'{policy}")).await;
        name
    }

    async fn run(&self, sql: &str) {
        self.server.sql_in(self.database.as_deref(), sql).await;
    }

    async fn drop_all(&self) {
        let made = std::mem::take(&mut *self.made.lock().unwrap());
        let kind = if self.database.is_some() { "USER" } else { "LOGIN" };
        for name in made {
            self.run(&format!("DROP {kind} [{name}]")).await;
        }
    }
}

#[async_trait]
impl Subject for Live {
    fn name(&self) -> String {
        let shape = if self.alternates { "alternating" } else { "in place" };
        let kind = if self.database.is_some() { "contained users" } else { "logins" };
        format!("{kind} {shape} at {}, {:?}", self.server.address(), self.who)
    }

    fn rotator(&self) -> &dyn Rotator {
        &self.rotator
    }

    async fn stage(&self) -> Stage {
        let first = self.create("Current-password-1").await;
        let second = if self.alternates { self.create("Idle-password-2").await } else { first.clone() };
        let strategy = || match self.alternates {
            true => Strategy::Alternating {
                users: [first.clone(), second.clone()],
                grant_parity: GrantParity::Require,
                create_missing: false,
            },
            false => Strategy::InPlace { user: first.clone() },
        };
        let (user, password) = self.server.admin();
        let target = |admin| {
            let mut settings = self.server.settings();
            settings.insert("lockout_budget".to_owned(), 50.into());
            if let Some(database) = &self.database {
                settings.insert("database".to_owned(), database.as_str().into());
                settings.insert("account".to_owned(), "contained-user".into());
            }
            Target { settings, strategy: strategy(), admin, generates: None }
        };
        let with = |password: &str| Admin::Credential(login(user, password));
        Stage {
            target: target(if self.who == Who::Admin { with(password) } else { Admin::Own }),
            current: login(&first, "Current-password-1"),
            candidate: Candidate::Given(login(&second, "Candidate-password-3")),
            wrong_admin: (self.who == Who::Admin).then(|| target(with("Not-the-admins-password-1"))),
            // The line is encrypted, so nobody can see where to break it.
            line: None,
            odd_passwords: vec![
                "it's \"quoted\" ''twice'' ]] and -- ; /* Aa1".to_owned(),
                "pässwörd-ÅØ-пароль-密码-🔑-A1".to_owned(),
                format!("{}Aa1", "x".repeat(125)),
            ],
        }
    }

    async fn accepts(&self, credential: &Bundle) -> bool {
        let password = credential.password().unwrap().expose(str::to_owned);
        self.server.accepts(&credential.username().unwrap(), &password, self.database.as_deref()).await
    }
}

#[tokio::test]
async fn real_servers_pass_the_exam() {
    let mut said = std::io::stderr();
    let servers = LiveSqlServer::named().len();
    if servers == 0 {
        writeln!(said, "not run: the exam against a real SQL Server (KEYWHEEL_TEST_MSSQL names none)").unwrap();
        return;
    }
    for number in 0..servers {
        let server = || LiveSqlServer::named().swap_remove(number);
        writeln!(said, "{}: {}", server().address(), server().about().await).unwrap();
        let mut databases = vec![None];
        match server().contained_database().await {
            Ok(name) => databases.push(Some(name.to_owned())),
            Err(why) => writeln!(said, "not applicable: contained users at {}: {why}", server().address()).unwrap(),
        }
        writeln!(said, "not applicable: a group at {}: the address is one server's", server().address()).unwrap();
        for database in databases {
            for (alternates, who, least) in [(false, Who::Admin, 16), (true, Who::Admin, 17), (false, Who::Itself, 15)]
            {
                let live = Live {
                    server: server(),
                    database: database.clone(),
                    alternates,
                    who,
                    rotator: SqlServerRotator::new(),
                    made: Default::default(),
                    run: format!("{}_{}_{alternates}_{who:?}", std::process::id(), database.is_some()),
                };
                let report = sit(&live).await;
                writeln!(said, "{report}").unwrap();
                live.drop_all().await;
                report.assert_passed();
                assert!(report.passed() >= least, "too many cases were skipped\n{report}");
            }
        }
    }
}
