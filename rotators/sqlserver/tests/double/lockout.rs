//! The lock-out budget: our probes never lock an account out.

use std::time::Duration;

use keywheel_sdk::{Admin, Answer, Bundle, Effect as Did, Retry, Rotator, Target};
use keywheel_sqlserver::SqlServerRotator;
use keywheel_sqlserver_double::{Effect, Encryption, Fault, Options, PasswordPolicy};
use serde_json::json;

use crate::scene::{Scene, Site, call, login, policy};

/// A server that locks out after three wrong passwords.
fn strict_site() -> Site {
    Site::start(Options { password_policy: strict_policy(), ..Options::default() }, Encryption::Offer)
}

fn strict_policy() -> PasswordPolicy {
    PasswordPolicy {
        lockout_threshold: 3,
        lockout_duration: Duration::from_secs(900),
        lockout_window: Duration::from_secs(900),
        ..policy()
    }
}

/// Somebody else tries a wrong password that many times.
async fn guess(site: &Site, name: &str, times: usize) {
    let settings = site.settings_with(json!({ "lockout_budget": 100 }));
    let target = Target { settings, strategy: crate::scene::in_place(name), admin: Admin::Own, generates: None };
    for _ in 0..times {
        SqlServerRotator::new().probe(&call(&target), &login(name, "Guessed-password-1"), &[]).await;
    }
}

fn wrong(scene: &Scene) -> Bundle {
    login(&scene.live(), "Not-this-one-1")
}

#[tokio::test]
async fn a_sysadmins_probes_cost_nothing() {
    let site = strict_site();
    let scene = Scene::in_place(&site);
    for _ in 0..10 {
        let answer = scene.rotator.probe(&scene.call(), &wrong(&scene), &[]).await;
        assert!(matches!(answer, Answer::No { .. }), "{answer:?}");
    }
    assert!(site.accepts(&scene.current, None));
    assert!(site.server.logins_heard().iter().all(|heard| heard.login == "sa"), "nobody else logged in");
}

#[tokio::test]
async fn probes_by_login_stop_two_below_the_threshold() {
    let site = strict_site();
    let mut scene = Scene::in_place(&site);
    let settings = site.settings_with(json!({ "lockout_threshold": 3 }));
    let least = site.admin(&["ALTER ANY LOGIN"]);
    scene.target = crate::scene::target(settings, scene.target.strategy.clone(), least);
    let first = scene.rotator.probe(&scene.call(), &wrong(&scene), &[]).await;
    assert!(matches!(first, Answer::No { .. }), "{first:?}");
    for rotator in [&scene.rotator, &SqlServerRotator::new()] {
        // The second one is another process: it counts nothing itself, but the server does.
        let next = rotator.probe(&scene.call(), &wrong(&scene), &[]).await;
        assert!(matches!(&next, Answer::Unknown(error) if error.code == "lockout-budget"), "{next:?}");
    }
    assert!(site.accepts(&scene.current, None), "two more are left for people");
}

#[tokio::test]
async fn an_account_that_manages_itself_needs_room_for_two() {
    let site = strict_site();
    let scene = Scene::in_place(&site);
    let settings = site.settings_with(json!({ "lockout_threshold": 3 }));
    let target = Target { settings, strategy: scene.target.strategy.clone(), admin: Admin::Own, generates: None };
    let answer = scene.rotator.probe(&call(&target), &wrong(&scene), &[&scene.current]).await;
    assert!(matches!(&answer, Answer::Unknown(error) if error.code == "settings"), "{answer:?}");
    assert!(site.server.logins_heard().is_empty(), "nobody logged in");
}

#[tokio::test]
async fn verify_does_not_lock_the_live_account_out() {
    let site = strict_site();
    let mut scene = Scene::in_place(&site);
    let settings = site.settings_with(json!({ "lockout_threshold": 3 }));
    scene.target = crate::scene::target(settings, scene.target.strategy.clone(), crate::scene::sa());
    // Not applied, as on an instance that was failed over to.
    for retry in [Retry::Now, Retry::Never, Retry::Never, Retry::Never] {
        let error = scene.rotator.verify(&scene.call(), &wrong(&scene), None, &[]).await.unwrap_err();
        assert_eq!(error.retry, retry, "{error:?}");
    }
    assert!(site.accepts(&scene.current, None));
}

#[tokio::test]
async fn a_stale_admin_credential_does_not_lock_the_admin_out() {
    let site = strict_site();
    let mut scene = Scene::in_place(&site);
    let admin = site.admin(&["ALTER ANY LOGIN"]);
    let name = admin.username().unwrap();
    let strategy = scene.target.strategy.clone();
    scene.target = crate::scene::target(site.settings(), strategy.clone(), login(&name, "Stale-password-1"));
    for _ in 0..6 {
        scene.rotator.probe(&scene.call(), &scene.current, &[]).await;
    }
    assert!(site.accepts(&admin, None));
    // The credential that is right is tried at once.
    scene.target = crate::scene::target(site.settings(), strategy, admin);
    let answer = scene.rotator.probe(&scene.call(), &scene.current, &[]).await;
    assert!(matches!(answer, Answer::Yes), "{answer:?}");
}

#[tokio::test]
async fn a_login_whose_answer_was_lost_counts() {
    let site = strict_site();
    let mut scene = Scene::in_place(&site);
    let settings = site.settings_with(json!({ "lockout_budget": 2 }));
    let least = site.admin(&["ALTER ANY LOGIN"]);
    scene.target = crate::scene::target(settings, scene.target.strategy.clone(), least);
    let lost = site.server.faults().arm(Fault::at_login(Effect::ApplyThenClose).only_login(scene.live()).times(9));
    for _ in 0..6 {
        let answer = scene.rotator.probe(&scene.call(), &wrong(&scene), &[]).await;
        assert!(matches!(answer, Answer::Unknown(_)), "{answer:?}");
    }
    assert!(lost.count() <= 2, "tried {} times", lost.count());
    site.server.faults().disarm();
    assert!(site.accepts(&scene.current, None));
}

#[tokio::test]
async fn a_login_that_is_locked_out_is_waited_for_and_an_idle_one_unlocked() {
    let site = strict_site();
    let scene = Scene::in_place(&site);
    lock_out(&site, &scene.live()).await;
    let answer = scene.rotator.probe(&scene.call(), &scene.current, &[]).await;
    assert!(
        matches!(&answer, Answer::Unknown(error) if error.code == "18486" && matches!(error.retry, Retry::After(_))),
        "{answer:?}"
    );
    site.server.advance(Duration::from_secs(1000));
    let answer = scene.rotator.probe(&scene.call(), &scene.current, &[]).await;
    assert!(matches!(answer, Answer::Yes), "{answer:?}");

    let pair = Scene::alternating(&site);
    lock_out(&site, &pair.idle()).await;
    pair.rotator.apply(&pair.call(), &pair.candidate, Some(&pair.current)).await.unwrap();
    pair.rotator.verify(&pair.call(), &pair.candidate, Some(&pair.current), &[]).await.unwrap();
}

#[tokio::test]
async fn an_application_that_knocks_with_the_previous_password_does_not_keep_the_doubt() {
    // The server counts, and locks out late: the application may go on for as long as its open sessions work.
    let password_policy = PasswordPolicy { lockout_threshold: 50, ..strict_policy() };
    let site = Site::start(Options { password_policy, ..Options::default() }, Encryption::Offer);
    let mut scene = Scene::in_place(&site);
    let least = site.admin(&["ALTER ANY LOGIN"]);
    scene.target = crate::scene::target(site.settings(), scene.target.strategy.clone(), least);
    site.server.faults().arm(Fault::at_text(scene.live(), Effect::ApplyThenClose).skip(1));
    let error = scene.rotator.apply(&scene.call(), &scene.candidate, Some(&scene.current)).await.unwrap_err();
    assert_eq!(error.effect, Did::Unknown, "{error:?}");
    guess(&site, &scene.live(), 10).await;
    let answer = scene.rotator.probe(&scene.call(), &scene.candidate, &[&scene.current]).await;
    assert!(matches!(answer, Answer::Yes), "{answer:?}");
    // Near a threshold that the policy names nobody is asked, whoever has spent the tries.
    let settings = site.settings_with(json!({ "lockout_threshold": 12 }));
    let Admin::Credential(admin) = &scene.target.admin else { panic!("there is an admin") };
    scene.target = crate::scene::target(settings, scene.target.strategy.clone(), admin.duplicate());
    guess(&site, &scene.live(), 10).await;
    let answer = scene.rotator.probe(&scene.call(), &scene.candidate, &[&scene.current]).await;
    assert!(matches!(&answer, Answer::Unknown(error) if error.code == "lockout-budget"), "{answer:?}");
}

#[tokio::test]
async fn all_policies_share_one_count_of_an_admins_failures() {
    let site = strict_site();
    let scene = Scene::in_place(&site);
    let admin = site.admin(&["ALTER ANY LOGIN"]);
    let stale = || login(&admin.username().unwrap(), "Stale-password-1");
    for connections in 1..30 {
        // Each has settings of its own, and with them sessions of its own.
        let settings = site.settings_with(json!({ "max_connections": connections }));
        let target = crate::scene::target(settings, scene.target.strategy.clone(), stale());
        scene.rotator.probe(&call(&target), &scene.current, &[]).await;
    }
    assert!(site.accepts(&admin, None), "the admin is not locked out");
    // Neither is it by two policies, one of which has the right credential.
    for _ in 0..4 {
        for credential in [stale(), admin.duplicate()] {
            let target = crate::scene::target(site.settings(), scene.target.strategy.clone(), credential);
            scene.rotator.probe(&call(&target), &scene.current, &[]).await;
        }
    }
    let tried = site.server.logins_heard().iter().filter(|heard| heard.login == admin.username().unwrap()).count();
    assert!(site.accepts(&admin, None) && tried <= 2 + 4, "tried {tried} times");
}

#[tokio::test]
async fn a_locked_account_is_not_given_a_password_that_lets_nobody_in() {
    let site = strict_site();
    let scene = Scene::in_place(&site);
    lock_out(&site, &scene.live()).await;
    let error = scene.rotator.apply(&scene.call(), &scene.candidate, Some(&scene.current)).await.unwrap_err();
    assert_eq!((error.effect, error.code.as_str()), (Did::None, "18486"), "{error:?}");
    assert_eq!(error.retry, Retry::After(Duration::from_secs(300)));
    site.server.advance(Duration::from_secs(1000));
    scene.rotator.apply(&scene.call(), &scene.candidate, Some(&scene.current)).await.unwrap();
    // What is locked when it is restored, is unlocked: whoever goes on with CURRENT gets in again.
    lock_out(&site, &scene.live()).await;
    scene.rotator.restore(&scene.call(), &scene.candidate, Some(&scene.current)).await.unwrap();
    assert!(site.accepts(&scene.current, None));
}

#[tokio::test]
async fn a_locked_account_is_revoked_and_scrambled_all_the_same() {
    let site = strict_site();
    let least = site.admin(&["ALTER ANY LOGIN"]);
    for admin in [crate::scene::sa(), least] {
        let mut pair = Scene::alternating(&site);
        pair.target = crate::scene::target(site.settings(), pair.target.strategy.clone(), admin);
        pair.rotator.apply(&pair.call(), &pair.candidate, Some(&pair.current)).await.unwrap();
        lock_out(&site, &pair.live()).await;
        pair.rotator.revoke(&pair.call(), &pair.current, &pair.candidate, crate::sessions::KEEP).await.unwrap();
        lock_out(&site, &pair.idle()).await;
        pair.rotator.restore(&pair.call(), &pair.candidate, Some(&pair.current)).await.unwrap();
        assert!(!site.accepts(&pair.current, None) && !site.accepts(&pair.candidate, None));
    }
}

#[tokio::test]
async fn an_account_that_manages_itself_does_not_knock_while_it_is_locked_out() {
    let site = strict_site();
    let scene = Scene::in_place(&site);
    let (settings, strategy) = (site.settings(), scene.target.strategy.clone());
    let target = Target { settings, strategy, admin: Admin::Own, generates: None };
    lock_out(&site, &scene.live()).await;
    let knocks = || site.server.logins_heard().iter().filter(|heard| heard.login == scene.live()).count();
    let before = knocks();
    for _ in 0..5 {
        let answer = scene.rotator.probe(&call(&target), &scene.current, &[&scene.candidate]).await;
        assert!(matches!(answer, Answer::Unknown(_)), "{answer:?}");
    }
    assert_eq!(knocks(), before + 1, "one to see that it is locked out");
}

/// Somebody else guesses, until the server has enough.
async fn lock_out(site: &Site, name: &str) {
    let settings = site.settings_with(json!({ "lockout_budget": 100 }));
    let target = Target { settings, strategy: crate::scene::in_place(name), admin: Admin::Own, generates: None };
    guess(site, name, 3).await;
    let answer = SqlServerRotator::new().probe(&call(&target), &login(name, "Guessed-password-1"), &[]).await;
    assert!(matches!(&answer, Answer::Unknown(error) if error.code == "18486"), "{answer:?}");
}
