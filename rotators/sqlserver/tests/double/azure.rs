//! Azure SQL Database: sessions are seen from their own database only, and the server has no rights to ask for.

use keywheel_sdk::{Bundle, Effect as Did, Finding, Rotator, Severity, Strategy, Target};
use keywheel_sqlserver::SqlServerRotator;
use keywheel_sqlserver_double::{Effect, Fault, Message, Version};
use serde_json::json;
use tiberius::Client;
use tokio::net::TcpStream;
use tokio_util::compat::Compat;

use crate::scene::{Site, alternating, call, fresh, login, sa, target};
use crate::sessions::{END, application_in, sql_in};

/// Two logins with users in the application's database.
struct Cloud {
    site: Site,
    database: String,
    current: Bundle,
    candidate: Bundle,
}

impl Cloud {
    async fn new() -> Self {
        let site = Site::of(Version::AzureSqlDatabase);
        let (database, first, second) = (fresh("orders"), fresh("app_a"), fresh("app_b"));
        site.sql(&format!("CREATE DATABASE {database}"));
        for (name, password) in [(&first, "First-password-1"), (&second, "Idle-password-2")] {
            site.create_login(name, password);
            sql_in(&site, &database, &format!("CREATE USER {name} FOR LOGIN {name}")).await;
        }
        Cloud {
            site,
            database,
            current: login(&first, "First-password-1"),
            candidate: login(&second, "Candidate-password-3"),
        }
    }

    fn target(&self, database: &str, admin: Bundle) -> Target {
        let settings = self.site.settings_with(json!({ "database": database }));
        target(settings, self.strategy(), admin)
    }

    fn strategy(&self) -> Strategy {
        alternating(&self.current.username().unwrap(), &self.candidate.username().unwrap())
    }

    /// A login that is not the one who made the server.
    async fn manager(&self, rights: &str) -> Bundle {
        let manager = self.site.admin(&[]);
        let name = manager.username().unwrap();
        self.site.sql(&format!("CREATE USER {name} FOR LOGIN {name}; ALTER ROLE loginmanager ADD MEMBER {name}"));
        sql_in(&self.site, &self.database, &format!("CREATE USER {name} FOR LOGIN {name}")).await;
        if !rights.is_empty() {
            sql_in(&self.site, &self.database, &format!("GRANT {rights} TO {name}")).await;
        }
        manager
    }

    async fn application(&self) -> Client<Compat<TcpStream>> {
        application_in(&self.site, &self.current.username().unwrap(), "First-password-1", &self.database).await
    }

    async fn findings(&self, target: &Target) -> Vec<Finding> {
        SqlServerRotator::new().preflight(&call(target), Some(&self.current)).await.unwrap()
    }
}

#[tokio::test]
async fn sessions_are_counted_and_ended_in_the_database_where_they_are() {
    let cloud = Cloud::new().await;
    for admin in [sa(), cloud.manager("VIEW DATABASE STATE, KILL DATABASE CONNECTION, VIEW DEFINITION").await] {
        let (target, rotator) = (cloud.target(&cloud.database, admin), SqlServerRotator::new());
        cloud.site.sql(&format!("ALTER LOGIN {} ENABLE", cloud.current.username().unwrap()));
        cloud
            .site
            .sql(&format!("ALTER LOGIN {} WITH PASSWORD = N'First-password-1'", cloud.current.username().unwrap()));
        let mut kept = cloud.application().await;
        let count = async || rotator.usage(&call(&target), &cloud.current).await.unwrap().sessions;
        assert_eq!(count().await, 1);
        rotator.apply(&call(&target), &cloud.candidate, Some(&cloud.current)).await.unwrap();
        rotator.revoke(&call(&target), &cloud.current, &cloud.candidate, END).await.unwrap();
        assert_eq!(count().await, 0);
        assert!(kept.simple_query("SELECT 1").await.is_err(), "the session is gone");
    }
}

#[tokio::test]
async fn nobody_says_that_there_are_no_sessions_where_they_cannot_be_seen() {
    let cloud = Cloud::new().await;
    let _kept = cloud.application().await;
    let in_master = cloud.target("master", sa());
    let rotator = SqlServerRotator::new();
    let error = rotator.usage(&call(&in_master), &cloud.current).await.unwrap_err();
    assert_eq!((error.effect, error.code.as_str()), (Did::None, "sessions"), "{error:?}");
    let blind = cloud.target(&cloud.database, cloud.manager("").await);
    let error = rotator.usage(&call(&blind), &cloud.current).await.unwrap_err();
    assert_eq!((error.effect, error.code.as_str()), (Did::None, "300"), "{error:?}");
}

#[tokio::test]
async fn preflight_asks_for_the_rights_that_azure_has() {
    let cloud = Cloud::new().await;
    let enough = cloud.manager("VIEW DATABASE STATE, KILL DATABASE CONNECTION, VIEW DEFINITION").await;
    for admin in [sa(), enough] {
        let found = cloud.findings(&cloud.target(&cloud.database, admin)).await;
        let troubles: Vec<_> = found
            .iter()
            .filter(|finding| finding.severity != Severity::Fine && !finding.what.contains("compare passwords"))
            .collect();
        assert!(troubles.is_empty(), "{troubles:#?}");
    }
    let has = |found: &[Finding], part: &str| found.iter().any(|finding| finding.hint.contains(part));
    let found = cloud.findings(&cloud.target(&cloud.database, cloud.manager("VIEW DEFINITION").await)).await;
    assert!(has(&found, "GRANT VIEW DATABASE STATE") && has(&found, "GRANT KILL DATABASE CONNECTION"), "{found:#?}");
    let found = cloud.findings(&cloud.target("master", sa())).await;
    assert!(has(&found, "name the application's database"), "{found:#?}");
    let stranger = cloud.site.admin(&[]);
    let name = stranger.username().unwrap();
    sql_in(&cloud.site, &cloud.database, &format!("CREATE USER {name} FOR LOGIN {name}")).await;
    let found = cloud.findings(&cloud.target(&cloud.database, stranger)).await;
    assert!(has(&found, "`loginmanager`"), "{found:#?}");
}

#[tokio::test]
async fn a_login_manager_tells_a_missing_account_from_a_hidden_one() {
    let cloud = Cloud::new().await;
    let target = cloud.target(&cloud.database, cloud.manager("VIEW DEFINITION").await);
    cloud.site.sql(&format!("DROP LOGIN {}", cloud.candidate.username().unwrap()));
    let answer = SqlServerRotator::new().probe(&call(&target), &cloud.candidate, &[&cloud.current]).await;
    let said = format!("{answer:?}");
    assert!(said.contains("no such account"), "{said}");
    let logins = cloud.site.server.logins_heard();
    assert!(!logins.iter().any(|heard| heard.login == cloud.candidate.username().unwrap()), "nobody knocked");
}

#[tokio::test]
async fn a_database_that_does_not_know_the_candidate_yet_is_waited_for() {
    let cloud = Cloud::new().await;
    let (target, rotator) = (cloud.target(&cloud.database, sa()), SqlServerRotator::new());
    rotator.apply(&call(&target), &cloud.candidate, Some(&cloud.current)).await.unwrap();
    let refusal = Message { class: 14, ..Message::error(18456, "Login failed.") };
    let late = |times| {
        let fault = Fault::at_login(Effect::FailWith(refusal.clone()));
        cloud.site.server.faults().arm(fault.only_login(cloud.candidate.username().unwrap()).times(times))
    };
    let stale = late(3);
    rotator.verify(&call(&target), &cloud.candidate, Some(&cloud.current), &[]).await.unwrap();
    assert_eq!(stale.count(), 3);
    // Not for ever.
    let wrong = late(100);
    let error = rotator.verify(&call(&target), &cloud.candidate, Some(&cloud.current), &[]).await.unwrap_err();
    assert_eq!((error.code.as_str(), wrong.count()), ("18456", 6), "{error:?}");
}

#[tokio::test]
async fn a_sibling_is_not_promised_where_none_is_made() {
    let cloud = Cloud::new().await;
    cloud.site.sql(&format!("DROP LOGIN {}", cloud.candidate.username().unwrap()));
    let mut target = cloud.target(&cloud.database, sa());
    if let Strategy::Alternating { create_missing, .. } = &mut target.strategy {
        *create_missing = true;
    }
    let found = cloud.findings(&target).await;
    let error = found.iter().find(|finding| finding.what.contains("create it by hand"));
    assert_eq!(error.map(|finding| finding.severity), Some(Severity::Error), "{found:#?}");
}
