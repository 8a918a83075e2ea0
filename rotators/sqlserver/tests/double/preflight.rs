//! What `preflight` finds.

use keywheel_sdk::{Finding, Generates, Rotator, Severity, Target};
use keywheel_sqlserver::SqlServerRotator;
use keywheel_sqlserver_double::{Encryption, Options, PasswordPolicy, Version};
use serde_json::json;

use crate::scene::{Scene, Site, call, login, policy, sa, site};

async fn findings(target: &Target, scene: &Scene) -> Vec<Finding> {
    SqlServerRotator::new().preflight(&call(target), Some(&scene.current)).await.unwrap()
}

fn has(findings: &[Finding], severity: Severity, part: &str) -> bool {
    findings.iter().any(|finding| finding.severity == severity && finding.what.contains(part))
}

#[tokio::test]
async fn a_sound_target_is_fine() {
    let scene = Scene::alternating(site());
    let found = findings(&scene.target, &scene).await;
    assert!(!found.iter().any(|finding| finding.severity == Severity::Error), "{found:#?}");
    for part in ["certificate is verified", "SQL Server 16", "can compare passwords", "have the same rights"] {
        assert!(has(&found, Severity::Fine, part), "{part}: {found:#?}");
    }
}

#[tokio::test]
async fn missing_rights_come_with_the_grant_that_helps() {
    let scene = Scene::in_place(site());
    let nobody = site().admin(&[]);
    let target = crate::scene::target(site().settings(), scene.target.strategy.clone(), nobody);
    let found = findings(&target, &scene).await;
    assert!(has(&found, Severity::Error, "may not change logins"), "{found:#?}");
    assert!(has(&found, Severity::Error, "or the admin may not see it"), "{found:#?}");
    assert!(has(&found, Severity::Warning, "cannot see other accounts' sessions"), "{found:#?}");
    assert!(has(&found, Severity::Warning, "cannot end sessions"), "{found:#?}");
    assert!(found.iter().any(|finding| finding.hint.contains("GRANT ALTER ANY LOGIN")), "{found:#?}");
}

#[tokio::test]
async fn a_login_of_sysadmin_needs_a_stronger_admin() {
    let scene = Scene::in_place(site());
    site().sql(&format!("ALTER SERVER ROLE sysadmin ADD MEMBER {}", scene.live()));
    let least = site().admin(&["ALTER ANY LOGIN", "VIEW ANY DEFINITION"]);
    let target = crate::scene::target(site().settings(), scene.target.strategy.clone(), least);
    let found = findings(&target, &scene).await;
    assert!(has(&found, Severity::Error, "member of sysadmin"), "{found:#?}");
    let error = scene.rotator.apply(&call(&target), &scene.candidate, Some(&scene.current)).await.unwrap_err();
    assert_eq!((error.effect, error.code.as_str()), (keywheel_sdk::Effect::None, "15151"), "{error:?}");
}

#[tokio::test]
async fn the_state_of_an_account_is_told() {
    let remembering = PasswordPolicy { history: 7, ..policy() };
    let own = Site::start(Options { password_policy: remembering, ..Options::default() }, Encryption::Offer);
    let scene = Scene::in_place(&own);
    let name = scene.live();
    for (change, severity, part) in [
        (format!("ALTER LOGIN {name} DISABLE"), Severity::Error, "is disabled"),
        (
            format!(
                "ALTER LOGIN {name} ENABLE; ALTER LOGIN {name} WITH CHECK_EXPIRATION = ON; \
                 ALTER LOGIN {name} WITH PASSWORD = N'Second-password-1' MUST_CHANGE"
            ),
            Severity::Error,
            "must be changed first",
        ),
        (format!("DROP LOGIN {name}"), Severity::Error, "there is no account"),
    ] {
        own.sql(&change);
        let found = findings(&scene.target, &scene).await;
        assert!(has(&found, severity, part), "{change}: {found:#?}");
    }
}

#[tokio::test]
async fn the_policy_is_held_against_what_is_generated() {
    let scene = Scene::in_place(site());
    for (generates, severity) in [
        (Generates { length: 40, classes: 4, required: 3, base64: false }, None),
        (Generates { length: 40, classes: 4, required: 0, base64: false }, None),
        (Generates { length: 12, classes: 4, required: 0, base64: false }, Some(Severity::Warning)),
        (Generates { length: 40, classes: 2, required: 0, base64: false }, Some(Severity::Error)),
        (Generates { length: 7, classes: 4, required: 4, base64: false }, Some(Severity::Error)),
    ] {
        let admin = keywheel_sdk::Admin::Credential(sa());
        let target = Target {
            settings: site().settings(),
            strategy: scene.target.strategy.clone(),
            admin,
            generates: Some(generates),
        };
        let found = findings(&target, &scene).await;
        let about =
            found.iter().find(|finding| finding.hint.contains("require: [lower")).map(|finding| finding.severity);
        assert_eq!(about, severity, "{generates:?}: {found:#?}");
    }
}

#[tokio::test]
async fn an_unverified_line_and_an_old_server_are_said_aloud() {
    let scene = Scene::in_place(site());
    let mut settings = site().settings_with(json!({ "trust_server_certificate": true, "insecure": true }));
    settings.remove("ca_file");
    let target = crate::scene::target(settings, scene.target.strategy.clone(), sa());
    let found = findings(&target, &scene).await;
    assert!(has(&found, Severity::Warning, "any certificate is accepted"), "{found:#?}");
}

#[tokio::test]
async fn an_admin_that_cannot_log_in_is_a_finding() {
    let scene = Scene::in_place(site());
    let target =
        crate::scene::target(site().settings(), scene.target.strategy.clone(), login("sa", "Wrong-password-1"));
    let found = findings(&target, &scene).await;
    assert!(has(&found, Severity::Error, "could not log in as the admin"), "{found:#?}");
}

#[tokio::test]
async fn a_group_whose_replicas_are_not_named_is_an_error() {
    // (The view knows contained groups from 2022 on.)
    for version in [Version::V2017, Version::V2022] {
        let group = keywheel_sqlserver_double::AvailabilityGroup::new();
        let sites = ["SQL1", "SQL2"].map(|server_name| {
            let (server_name, group) = (server_name.to_owned(), Some(group.clone()));
            Site::start(
                Options { version, server_name, group, password_policy: policy(), ..Options::default() },
                Encryption::Offer,
            )
        });
        let scene = Scene::in_place(&sites[0]);
        let found = findings(&scene.target, &scene).await;
        assert!(has(&found, Severity::Error, "in an availability group with SQL1, SQL2"), "{found:#?}");
        // One of the two is named.
        let replicas = json!([format!("127.0.0.1:{}", sites[0].server.port())]);
        let settings = sites[0].settings_with(json!({ "replicas": replicas }));
        let found = findings(&crate::scene::target(settings, scene.target.strategy.clone(), sa()), &scene).await;
        assert!(
            has(&found, Severity::Error, "the instance `SQL2` of the availability group is not among"),
            "{found:#?}"
        );
    }
}

#[tokio::test]
async fn a_contained_user_is_not_promised() {
    let (first, second) = (crate::scene::fresh("held_a"), crate::scene::fresh("held_b"));
    site().create_contained_user(&first, "First-password-1");
    let settings = site().settings_with(json!({ "account": "contained-user", "database": crate::scene::CONTAINED }));
    let mut target = crate::scene::target(settings, crate::scene::alternating(&first, &second), sa());
    if let keywheel_sdk::Strategy::Alternating { create_missing, .. } = &mut target.strategy {
        *create_missing = true;
    }
    let current = login(&first, "First-password-1");
    let found = SqlServerRotator::new().preflight(&call(&target), Some(&current)).await.unwrap();
    assert!(has(&found, Severity::Error, "contained users are not copied"), "{found:#?}");
}

#[tokio::test]
async fn the_right_to_shut_a_contained_user_is_asked_for() {
    let (first, second, keeper) =
        (crate::scene::fresh("shut_a"), crate::scene::fresh("shut_b"), crate::scene::fresh("keeper"));
    let database = crate::scene::CONTAINED;
    for name in [&first, &second, &keeper] {
        site().create_contained_user(name, "First-password-1");
    }
    site().sql(&format!("USE {database}; GRANT ALTER ANY USER, VIEW DEFINITION TO {keeper}"));
    let settings = site().settings_with(json!({ "account": "contained-user", "database": database }));
    let strategy = crate::scene::alternating(&first, &second);
    let target = crate::scene::target(settings, strategy, login(&keeper, "First-password-1"));
    let current = login(&first, "First-password-1");
    let shuts = async || {
        let found = SqlServerRotator::new().preflight(&call(&target), Some(&current)).await.unwrap();
        !found.iter().any(|finding| finding.hint.contains("db_accessadmin"))
    };
    assert!(!shuts().await);
    site().sql(&format!("USE {database}; ALTER ROLE db_accessadmin ADD MEMBER {keeper}"));
    assert!(shuts().await);
}

#[tokio::test]
async fn azure_is_known() {
    let azure = Site::of(Version::AzureSqlDatabase);
    let scene = Scene::in_place(&azure);
    let found = findings(&scene.target, &scene).await;
    assert!(has(&found, Severity::Fine, "Azure SQL Database"), "{found:#?}");
    assert!(!found.iter().any(|finding| finding.severity == Severity::Error), "{found:#?}");
}
