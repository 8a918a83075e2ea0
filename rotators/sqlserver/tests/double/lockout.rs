//! The lock-out budget: our probes never lock an account out.

use std::time::Duration;

use keywheel_sdk::{Admin, Answer, Bundle, Retry, Rotator, Target};
use keywheel_sqlserver::SqlServerRotator;
use keywheel_sqlserver_double::{Effect, Encryption, Fault, Options, PasswordPolicy};
use serde_json::json;

use crate::scene::{Scene, Site, call, login, policy};

/// A server that locks out after three wrong passwords.
fn strict_site() -> Site {
    let password_policy = PasswordPolicy {
        lockout_threshold: 3,
        lockout_duration: Duration::from_secs(900),
        lockout_window: Duration::from_secs(900),
        ..policy()
    };
    Site::start(Options { password_policy, ..Options::default() }, Encryption::Offer)
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

/// Somebody else guesses, until the server has enough.
async fn lock_out(site: &Site, name: &str) {
    let settings = site.settings_with(json!({ "lockout_budget": 100 }));
    let target = Target { settings, strategy: crate::scene::in_place(name), admin: Admin::Own, generates: None };
    for _ in 0..3 {
        let guess = login(name, "Guessed-password-1");
        SqlServerRotator::new().probe(&call(&target), &guess, &[]).await;
    }
    let answer = SqlServerRotator::new().probe(&call(&target), &login(name, "Guessed-password-1"), &[]).await;
    assert!(matches!(&answer, Answer::Unknown(error) if error.code == "18486"), "{answer:?}");
}
