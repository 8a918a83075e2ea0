//! An availability group: the same password on every replica, or on none.

use keywheel_sdk::{Answer, Bundle, Check, Effect as Did, Rotator, Strategy, Target};
use keywheel_sqlserver::SqlServerRotator;
use keywheel_sqlserver_double::{Effect, Encryption, Fault, Options, Reply};
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
    let group = Group::with(growing(), "orders_b");
    let call = call(&group.target);
    group.rotator.apply(&call, &group.candidate, Some(&group.current)).await.unwrap();
    group.rotator.verify(&call, &group.candidate, Some(&group.current), &[Check::Login]).await.unwrap();
    let sids = sids(&group);
    assert!(sids.iter().all(|sid| *sid == sids[0]), "{sids:?}");
    assert_eq!(group.accepting(&group.candidate), [true; 3]);
}

/// Two logins that take turns, of which the second is made when it is needed.
fn growing() -> Strategy {
    Strategy::Alternating {
        users: ["orders".to_owned(), "orders_b".to_owned()],
        grant_parity: keywheel_sdk::GrantParity::Require,
        create_missing: true,
    }
}

fn sids(group: &Group) -> Vec<Vec<Reply>> {
    let sid = |site: &Site| site.server.execute("SELECT sid FROM sys.sql_logins WHERE name = N'orders_b'").unwrap();
    group.sites.iter().map(sid).collect()
}

#[tokio::test]
async fn a_sibling_that_is_on_some_replicas_gives_its_sid_to_the_others() {
    for cut in 1..3 {
        let group = Group::with(growing(), "orders_b");
        let call = call(&group.target);
        // The first CREATE is done; that of a later replica is cut.
        group.sites[cut].server.faults().arm(Fault::at_text("CREATE LOGIN", Effect::CloseBefore));
        let error = group.rotator.apply(&call, &group.candidate, Some(&group.current)).await.unwrap_err();
        assert_eq!(error.effect, Did::Unknown, "{error:?}");
        group.rotator.apply(&call, &group.candidate, Some(&group.current)).await.unwrap();
        group.rotator.verify(&call, &group.candidate, Some(&group.current), &[Check::Login]).await.unwrap();
        let sids = sids(&group);
        assert!(sids.iter().all(|sid| *sid == sids[0]), "{sids:?}");
    }
}

#[tokio::test]
async fn a_sibling_with_two_sids_gets_no_third() {
    let group = Group::with(growing(), "orders_b");
    for site in &group.sites[..2] {
        site.create_login("orders_b", "Idle-password-1");
    }
    let error = group.rotator.apply(&call(&group.target), &group.candidate, Some(&group.current)).await.unwrap_err();
    assert_eq!((error.effect, error.code.as_str()), (Did::None, "sid"), "{error:?}");
    let found = group.rotator.preflight(&call(&group.target), Some(&group.current)).await.unwrap();
    let different = |name: &str| {
        found.iter().any(|finding| finding.what.contains(&format!("`{name}` has different SIDs on the replicas")))
    };
    assert!(different("orders_b"), "{found:#?}");
}

/// A replica that is down: its sessions are cut, and nobody gets in.
fn down(site: &Site) {
    site.server.faults().arm(Fault::at_login(Effect::CloseBefore).times(1000));
    site.server.fail_over();
}

fn up(site: &Site) {
    site.server.faults().disarm();
}

#[tokio::test]
async fn a_replica_that_dies_after_apply_began_does_not_keep_the_doubt() {
    let group = Group::new();
    let call = call(&group.target);
    group.sites[1].server.faults().arm(Fault::at_verb("ALTER LOGIN", Effect::CloseBefore));
    group.rotator.apply(&call, &group.candidate, Some(&group.current)).await.unwrap_err();
    for dead in [1, 0] {
        down(&group.sites[dead]);
        // It is settled as not done, whoever is first in the list, …
        let answer = group.rotator.probe(&call, &group.candidate, &[&group.current]).await;
        assert!(matches!(answer, Answer::Partly { .. }), "{answer:?}");
        // … begun again, which changes nothing, …
        let error = group.rotator.apply(&call, &group.candidate, Some(&group.current)).await.unwrap_err();
        assert_eq!(error.effect, Did::None, "{error:?}");
        assert_eq!(group.accepting(&group.candidate), [true, false, false]);
        up(&group.sites[dead]);
    }
    down(&group.sites[1]);
    // … and rolled back on those that answer.
    let error = group.rotator.restore(&call, &group.candidate, Some(&group.current)).await.unwrap_err();
    assert_eq!(error.effect, Did::Unknown, "{error:?}");
    assert_eq!(group.accepting(&group.current), [true, true, true]);
    let answer = group.rotator.probe(&call, &group.candidate, &[&group.current]).await;
    assert!(matches!(&answer, Answer::Partly { reason } if reason.contains("refuses it")), "{answer:?}");
    up(&group.sites[1]);
    group.rotator.restore(&call, &group.candidate, Some(&group.current)).await.unwrap();
    let answer = group.rotator.probe(&call, &group.candidate, &[&group.current]).await;
    assert!(matches!(answer, Answer::No { .. }), "{answer:?}");
}

#[tokio::test]
async fn replicas_that_die_in_turn_are_all_restored_in_the_end() {
    let group = Group::new();
    let call = call(&group.target);
    group.rotator.apply(&call, &group.candidate, Some(&group.current)).await.unwrap();
    down(&group.sites[0]);
    group.rotator.restore(&call, &group.candidate, Some(&group.current)).await.unwrap_err();
    assert_eq!(group.accepting(&group.current), [false, true, true]);
    up(&group.sites[0]);
    down(&group.sites[1]);
    let answer = group.rotator.probe(&call, &group.candidate, &[&group.current]).await;
    assert!(matches!(answer, Answer::Partly { .. }), "{answer:?}");
    group.rotator.restore(&call, &group.candidate, Some(&group.current)).await.unwrap_err();
    assert_eq!(group.accepting(&group.current), [true, true, true]);
    up(&group.sites[1]);
    group.rotator.restore(&call, &group.candidate, Some(&group.current)).await.unwrap();
}

#[tokio::test]
async fn a_replica_that_hangs_takes_none_of_the_others_time() {
    let group = turns();
    let call = call(&group.target);
    group.rotator.apply(&call, &group.candidate, Some(&group.current)).await.unwrap();
    group.sites[0].server.faults().arm(Fault::at_login(Effect::StallBefore).times(1000));
    group.sites[0].server.fail_over();
    let brief = || crate::scene::within(&group.target, std::time::Duration::from_secs(5));
    let answer = group.rotator.probe(&brief(), &group.candidate, &[&group.current]).await;
    assert!(matches!(answer, Answer::Partly { .. }), "the successor of a revoke is not known to work: {answer:?}");
    let error =
        group.rotator.revoke(&brief(), &group.current, &group.candidate, crate::sessions::KEEP).await.unwrap_err();
    assert_eq!(error.effect, Did::Unknown, "{error:?}");
    assert_eq!(group.accepting(&group.current), [true, false, false]);
}

#[tokio::test]
async fn a_proof_that_lacks_a_replica_does_not_say_that_the_credential_still_works() {
    let group = Group::new();
    let call = call(&group.target);
    group.rotator.apply(&call, &group.candidate, Some(&group.current)).await.unwrap();
    down(&group.sites[1]);
    let error = group.rotator.revoke(&call, &group.current, &group.candidate, crate::sessions::KEEP).await.unwrap_err();
    assert_eq!(error.effect, Did::None, "{error:?}");
    assert!(error.message.contains("could not be seen everywhere"), "{error:?}");
}

#[tokio::test]
async fn a_group_whose_database_nobody_looked_into_has_no_parity() {
    let mut group = turns();
    for site in &group.sites {
        site.create_login("keeper", "Guarded-word-of-its-own-1");
        site.sql("GRANT ALTER ANY LOGIN TO keeper; GRANT VIEW SERVER STATE TO keeper");
    }
    group.target.settings.insert("database".to_owned(), "shop".into());
    let (settings, strategy) = (group.target.settings.clone(), group.target.strategy.clone());
    let target = crate::scene::target(settings, strategy, login("keeper", "Guarded-word-of-its-own-1"));
    let blind = async || {
        let found = group.rotator.preflight(&call(&target), Some(&group.current)).await.unwrap();
        found.iter().any(|finding| finding.what.contains("cannot look into `shop`"))
    };
    assert!(blind().await, "it is nowhere");
    // It is the first one's alone, as it would be the primary's.
    group.sites[0].sql("CREATE DATABASE shop");
    for user in ["orders", "orders_b"] {
        group.sites[0].sql(&format!("USE shop; CREATE USER {user} FOR LOGIN {user}"));
    }
    assert!(blind().await, "it cannot be looked into");
    group.sites[0].sql("USE shop; CREATE USER keeper FOR LOGIN keeper; GRANT VIEW DEFINITION TO keeper");
    assert!(!blind().await);
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
