//! An availability group: the same password on every replica, or on none.

use keywheel_sdk::{Answer, Bundle, Check, Effect as Did, Rotator, Strategy, Target};
use keywheel_sqlserver::SqlServerRotator;
use keywheel_sqlserver_double::{Effect, Encryption, Fault, Options};
use serde_json::json;

use crate::scene::{Site, call, in_place, login, policy, sa, target};

/// Three replicas with one login each.
struct Group {
    sites: Vec<Site>,
    target: Target,
    current: Bundle,
    candidate: Bundle,
    rotator: SqlServerRotator,
}

impl Group {
    fn new() -> Self {
        Self::with(in_place("orders"), "orders")
    }

    fn with(strategy: Strategy, idle: &str) -> Self {
        let sites: Vec<Site> = ["SQL1", "SQL2", "SQL3"]
            .map(|server_name| {
                let instance =
                    Options { server_name: server_name.to_owned(), password_policy: policy(), ..Options::default() };
                Site::start(instance, Encryption::Offer)
            })
            .into();
        for site in &sites {
            site.create_login("orders", "First-password-1");
        }
        let file = sites[0].authority.with_file_name("all.pem");
        let all: String = sites.iter().map(|site| std::fs::read_to_string(&site.authority).unwrap()).collect();
        std::fs::write(&file, all).unwrap();
        let replicas: Vec<String> = sites.iter().map(|site| format!("localhost:{}", site.server.port())).collect();
        let settings = sites[0].settings_with(json!({ "replicas": replicas, "ca_file": file }));
        Group {
            target: target(settings, strategy, sa()),
            sites,
            current: login("orders", "First-password-1"),
            candidate: login(idle, "Candidate-password-2"),
            rotator: SqlServerRotator::new(),
        }
    }

    fn accepting(&self, credential: &Bundle) -> Vec<bool> {
        self.sites.iter().map(|site| site.accepts(credential, None)).collect()
    }
}

#[tokio::test]
async fn a_line_cut_at_the_second_replica_is_brought_forward() {
    let group = Group::new();
    group.sites[1].server.faults().arm(Fault::at_verb("ALTER LOGIN", Effect::CloseBefore));
    let call = call(&group.target);
    let error = group.rotator.apply(&call, &group.candidate, Some(&group.current)).await.unwrap_err();
    assert_eq!(error.effect, Did::Unknown, "{error:?}");
    assert_eq!(group.accepting(&group.candidate), [true, false, false]);
    let answer = group.rotator.probe(&call, &group.candidate, &[]).await;
    assert!(matches!(&answer, Answer::Partly { reason } if reason.contains("another password")), "{answer:?}");
    let error = group.rotator.verify(&call, &group.candidate, Some(&group.current), &[Check::Login]).await.unwrap_err();
    assert_eq!(error.effect, Did::None, "{error:?}");
    group.rotator.apply(&call, &group.candidate, Some(&group.current)).await.unwrap();
    group.rotator.verify(&call, &group.candidate, Some(&group.current), &[Check::Login]).await.unwrap();
    assert_eq!((group.accepting(&group.candidate), group.accepting(&group.current)), (vec![true; 3], vec![false; 3]));
}

#[tokio::test]
async fn a_line_cut_at_the_second_replica_is_brought_back() {
    let group = Group::new();
    group.sites[1].server.faults().arm(Fault::at_verb("ALTER LOGIN", Effect::ApplyThenClose));
    let call = call(&group.target);
    group.rotator.apply(&call, &group.candidate, Some(&group.current)).await.unwrap_err();
    assert_eq!(group.accepting(&group.candidate), [true, true, false]);
    group.rotator.restore(&call, &group.candidate, Some(&group.current)).await.unwrap();
    assert_eq!((group.accepting(&group.candidate), group.accepting(&group.current)), (vec![false; 3], vec![true; 3]));
}

#[tokio::test]
async fn a_replica_that_is_down_stops_the_rotation_before_anything_is_changed() {
    let mut group = Group::new();
    drop(group.sites.pop());
    let call = call(&group.target);
    let error = group.rotator.apply(&call, &group.candidate, Some(&group.current)).await.unwrap_err();
    assert_eq!(error.effect, Did::None, "{error:?}");
    assert_eq!((group.accepting(&group.candidate), group.accepting(&group.current)), (vec![false; 2], vec![true; 2]));
}

#[tokio::test]
async fn a_replica_that_is_down_does_not_keep_the_others_from_being_restored() {
    let mut group = Group::new();
    let call = call(&group.target);
    group.rotator.apply(&call, &group.candidate, Some(&group.current)).await.unwrap();
    drop(group.sites.remove(0));
    let error = group.rotator.restore(&call, &group.candidate, Some(&group.current)).await.unwrap_err();
    assert_eq!(error.effect, Did::Unknown, "{error:?}");
    assert_eq!(group.accepting(&group.current), [true, true]);
}

#[tokio::test]
async fn a_sibling_gets_one_sid_on_all_replicas() {
    let strategy = Strategy::Alternating {
        users: ["orders".to_owned(), "orders_b".to_owned()],
        grant_parity: keywheel_sdk::GrantParity::Require,
        create_missing: true,
    };
    let group = Group::with(strategy, "orders_b");
    let call = call(&group.target);
    group.rotator.apply(&call, &group.candidate, Some(&group.current)).await.unwrap();
    group.rotator.verify(&call, &group.candidate, Some(&group.current), &[Check::Login]).await.unwrap();
    let sids: Vec<_> = group
        .sites
        .iter()
        .map(|site| site.server.execute("SELECT sid FROM sys.sql_logins WHERE name = N'orders_b'").unwrap())
        .collect();
    assert!(sids.iter().all(|sid| *sid == sids[0]), "{sids:?}");
    assert_eq!(group.accepting(&group.candidate), [true; 3]);
}

#[tokio::test]
async fn one_instance_under_two_names_is_found() {
    let mut group = Group::new();
    let port = group.sites[0].server.port();
    let twice = json!([format!("localhost:{port}"), format!("127.0.0.1:{port}")]);
    group.target.settings.insert("replicas".to_owned(), twice);
    let findings = group.rotator.preflight(&call(&group.target), Some(&group.current)).await.unwrap();
    assert!(findings.iter().any(|finding| finding.what.contains("lead to one instance, `SQL1`")), "{findings:#?}");
    let error = group.rotator.apply(&call(&group.target), &group.candidate, Some(&group.current)).await.unwrap_err();
    assert_eq!((error.effect, error.code.as_str()), (Did::None, "replicas"), "{error:?}");
}

/// Two logins that take turns on three replicas; the idle one is there already.
fn turns() -> Group {
    let group = Group::with(crate::scene::alternating("orders", "orders_b"), "orders_b");
    for site in &group.sites {
        site.create_login("orders_b", "Idle-password-1");
    }
    group
}

#[tokio::test]
async fn sessions_are_counted_and_ended_on_every_replica() {
    let group = turns();
    let call = call(&group.target);
    let _one = crate::sessions::application(&group.sites[1], "orders", "First-password-1").await;
    let _two = crate::sessions::application(&group.sites[2], "orders", "First-password-1").await;
    assert_eq!(group.rotator.usage(&call, &group.current).await.unwrap().sessions, 2);
    group.rotator.apply(&call, &group.candidate, Some(&group.current)).await.unwrap();
    group.rotator.revoke(&call, &group.current, &group.candidate, crate::sessions::END).await.unwrap();
    assert_eq!(group.rotator.usage(&call, &group.current).await.unwrap().sessions, 0);
}

#[tokio::test]
async fn a_replica_that_fails_does_not_keep_the_others_from_being_revoked() {
    let group = turns();
    let call = call(&group.target);
    group.rotator.apply(&call, &group.candidate, Some(&group.current)).await.unwrap();
    group.sites[0].server.faults().arm(Fault::at_verb("ALTER LOGIN", Effect::CloseBefore));
    let error = group.rotator.revoke(&call, &group.current, &group.candidate, crate::sessions::KEEP).await.unwrap_err();
    assert_eq!(error.effect, Did::Unknown, "{error:?}");
    assert_eq!(group.accepting(&group.current), [true, false, false]);
    group.rotator.revoke(&call, &group.current, &group.candidate, crate::sessions::KEEP).await.unwrap();
    assert_eq!((group.accepting(&group.current), group.accepting(&group.candidate)), (vec![false; 3], vec![true; 3]));
}
