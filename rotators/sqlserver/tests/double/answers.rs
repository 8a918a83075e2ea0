//! What the server says, and what follows: each case with its classification, and how the account ends.

use std::time::Duration;

use keywheel_sdk::{Answer, Bundle, Check, Effect as Did, Retry, Rotator, RotatorError};
use keywheel_sqlserver_double::{Effect, Encryption, Fault, Message, Options, PasswordPolicy};

use crate::scene::{CANARY, Scene, Site, fresh, login, policy, site, within};

fn message(number: i32, class: u8) -> Message {
    Message { class, ..Message::error(number, format!("said with number {number}")) }
}

async fn apply(scene: &Scene) -> Result<(), RotatorError> {
    scene.rotator.apply(&scene.call(), &scene.candidate, Some(&scene.current)).await
}

async fn accepted(scene: &Scene, credential: &Bundle) -> bool {
    let answer = scene.rotator.probe(&scene.call(), credential, &[&scene.current]).await;
    let accepted = site().accepts(credential, None);
    assert_eq!(matches!(answer, Answer::Yes), accepted, "the probe and the server say different things: {answer:?}");
    accepted
}

#[tokio::test]
async fn committed_and_then_cut() {
    let scene = Scene::in_place(site());
    let struck = site().server.faults().arm(Fault::at_text(scene.live(), Effect::ApplyThenClose).skip(1));
    let error = apply(&scene).await.unwrap_err();
    assert_eq!((error.effect, error.retry, struck.count()), (Did::Unknown, Retry::Now, 1), "{error:?}");
    assert!(accepted(&scene, &scene.candidate).await);
}

#[tokio::test]
async fn committed_and_then_silent_past_the_deadline() {
    let scene = Scene::in_place(site());
    let struck = site().server.faults().arm(Fault::at_text(scene.live(), Effect::ApplyThenStall).skip(1));
    let call = within(&scene.target, Duration::from_secs(5));
    let error = scene.rotator.apply(&call, &scene.candidate, Some(&scene.current)).await.unwrap_err();
    assert_eq!((error.effect, error.code.as_str(), struck.count()), (Did::Unknown, "timeout", 1), "{error:?}");
    assert!(accepted(&scene, &scene.candidate).await);
}

#[tokio::test]
async fn answers_to_the_change_are_read_as_the_table_says() {
    let now = Retry::Now;
    for (number, class, effect, retry) in [
        (1205, 13, Did::Unknown, now),
        (1222, 16, Did::Unknown, now),
        (15118, 16, Did::None, Retry::NewCandidate),
        (15116, 16, Did::None, Retry::NewCandidate),
        (33062, 16, Did::None, Retry::NewCandidate),
        (40632, 16, Did::None, Retry::NewCandidate),
        (15151, 16, Did::None, Retry::Never),
        (4613, 16, Did::None, Retry::Never),
        (4624, 16, Did::None, Retry::Never),
        (15247, 16, Did::None, Retry::Never),
        (15113, 16, Did::None, Retry::After(Duration::from_secs(300))),
        (15114, 16, Did::None, Retry::After(Duration::from_secs(86_400))),
        (15120, 16, Did::None, Retry::After(Duration::from_secs(30))),
        (15434, 16, Did::None, Retry::After(Duration::from_secs(30))),
        (15156, 16, Did::None, Retry::Never),
        (40613, 17, Did::Unknown, Retry::After(Duration::from_secs(30))),
        (596, 21, Did::Unknown, now),
        (64_000, 16, Did::Unknown, now),
        (64_000, 20, Did::Unknown, now),
    ] {
        let scene = Scene::in_place(site());
        let fault = Fault::at_text(scene.live(), Effect::FailWith(message(number, class))).skip(1);
        let struck = site().server.faults().arm(fault);
        let error = apply(&scene).await.unwrap_err();
        assert_eq!(struck.count(), 1, "{number}");
        assert_eq!((error.effect, error.retry, error.code), (effect, retry, number.to_string()), "{number}");
        assert!(accepted(&scene, &scene.current).await && !accepted(&scene, &scene.candidate).await, "{number}");
        apply(&scene).await.unwrap();
        assert!(accepted(&scene, &scene.candidate).await, "{number}");
    }
}

#[tokio::test]
async fn committed_and_then_an_error_is_unknown() {
    // As from a trigger on the change, which raises an error and does not undo it.
    for (number, class) in [(50_000, 16), (40_143, 16), (102, 15), (3609, 16)] {
        let scene = Scene::in_place(site());
        let fault = Fault::at_text(scene.live(), Effect::ExecuteThenFailWith(message(number, class))).skip(1);
        let struck = site().server.faults().arm(fault);
        let error = apply(&scene).await.unwrap_err();
        assert_eq!((error.effect, struck.count()), (Did::Unknown, 1), "{number}: {error:?}");
        assert!(accepted(&scene, &scene.candidate).await, "{number}");
    }
}

#[tokio::test]
async fn an_error_that_a_trigger_raises_proves_nothing_whatever_its_number() {
    for number in [15118, 15151, 4613, 15247] {
        let scene = Scene::in_place(site());
        let raised = message(number, 16).raised_by("on_alter_login");
        let fault = Fault::at_text(scene.live(), Effect::ExecuteThenFailWith(raised)).skip(1);
        let struck = site().server.faults().arm(fault);
        let error = apply(&scene).await.unwrap_err();
        assert_eq!((error.effect, struck.count()), (Did::Unknown, 1), "{number}: {error:?}");
        assert!(accepted(&scene, &scene.candidate).await, "{number}");
    }
}

#[tokio::test]
async fn a_gateway_sends_us_on_once() {
    let (gateway, scene) = (Site::start(Options::default(), Encryption::Offer), Scene::in_place(site()));
    let onwards = || Effect::Route { host: "localhost".to_owned(), port: site().server.port() };
    let mut settings = gateway.settings();
    let both = gateway.authority.with_file_name("both.pem");
    let read = |site: &Site| std::fs::read_to_string(&site.authority).unwrap();
    std::fs::write(&both, read(&gateway) + &read(site())).unwrap();
    settings.insert("ca_file".to_owned(), both.to_str().unwrap().into());
    let target = keywheel_sdk::Target {
        settings,
        ..crate::scene::target(Default::default(), scene.target.strategy.clone(), crate::scene::sa())
    };
    // As with Azure's gateways, it sends on whom it knows.
    gateway.create_login(&scene.live(), CANARY);
    let struck = gateway.server.faults().arm(Fault::at_login(onwards()).times(9));
    let call = crate::scene::call(&target);
    scene.rotator.apply(&call, &scene.candidate, Some(&scene.current)).await.unwrap();
    scene.rotator.verify(&call, &scene.candidate, Some(&scene.current), &[Check::Login]).await.unwrap();
    assert!(site().accepts(&scene.candidate, None) && struck.count() >= 2, "the admin and the candidate were sent on");
    // A loop is no endless one.
    gateway.server.faults().disarm();
    let back = || Effect::Route { host: "localhost".to_owned(), port: gateway.server.port() };
    gateway.server.faults().arm(Fault::at_login(back()).times(9));
    let error = scene.rotator.verify(&call, &scene.candidate, None, &[]).await.unwrap_err();
    assert_eq!((error.effect, error.code.as_str()), (Did::None, "routing"), "{error:?}");
}

#[tokio::test]
async fn a_failover_between_apply_and_verify_is_a_new_session() {
    let own = Site::start(Options { password_policy: policy(), ..Options::default() }, Encryption::Offer);
    let scene = Scene::in_place(&own);
    apply(&scene).await.unwrap();
    own.server.fail_over();
    let checks = [Check::Login, Check::Sql("SELECT 1".to_owned())];
    scene.rotator.verify(&scene.call(), &scene.candidate, Some(&scene.current), &checks).await.unwrap();
    scene.rotator.revoke(&scene.call(), &scene.current, &scene.candidate, crate::sessions::KEEP).await.unwrap();
}

#[tokio::test]
async fn a_disabled_login_in_place_is_a_persons_business() {
    let scene = Scene::in_place(site());
    site().sql(&format!("ALTER LOGIN {} DISABLE", scene.live()));
    let error = apply(&scene).await.unwrap_err();
    assert_eq!((error.effect, error.retry, error.code.as_str()), (Did::None, Retry::Never, "disabled"), "{error:?}");
    site().sql(&format!("ALTER LOGIN {} ENABLE", scene.live()));
    apply(&scene).await.unwrap();
}

#[tokio::test]
async fn a_password_that_must_be_changed_is_replaced() {
    let scene = Scene::in_place(site());
    let name = scene.live();
    site().sql(&format!(
        "ALTER LOGIN {name} WITH CHECK_EXPIRATION = ON; \
         ALTER LOGIN {name} WITH PASSWORD = N'First-password-1' MUST_CHANGE"
    ));
    let answer = scene.rotator.probe(&scene.call(), &scene.current, &[]).await;
    assert!(matches!(&answer, Answer::Unknown(error) if error.retry == Retry::Never), "{answer:?}");
    apply(&scene).await.unwrap();
    scene.rotator.verify(&scene.call(), &scene.candidate, None, &[]).await.unwrap();
}

#[tokio::test]
async fn an_expired_password_is_replaced() {
    let aged = PasswordPolicy { max_age: Some(Duration::from_secs(42 * 86_400)), ..policy() };
    let own = Site::start(Options { password_policy: aged, ..Options::default() }, Encryption::Offer);
    let scene = Scene::in_place(&own);
    own.sql(&format!("ALTER LOGIN {} WITH CHECK_EXPIRATION = ON", scene.live()));
    own.server.advance(Duration::from_secs(50 * 86_400));
    let answer = scene.rotator.probe(&scene.call(), &scene.current, &[]).await;
    assert!(matches!(&answer, Answer::Unknown(error) if error.code == "18487"), "{answer:?}");
    apply(&scene).await.unwrap();
    scene.rotator.verify(&scene.call(), &scene.candidate, None, &[]).await.unwrap();
}

#[tokio::test]
async fn a_reused_password_needs_another_candidate_and_a_repeated_apply_does_not() {
    let remembering = PasswordPolicy { history: 5, ..policy() };
    let own = Site::start(Options { password_policy: remembering, ..Options::default() }, Encryption::Offer);
    let least = own.admin(&["ALTER ANY LOGIN"]);
    for admin in [crate::scene::sa(), least] {
        let mut scene = Scene::in_place(&own);
        scene.target = crate::scene::target(own.settings(), scene.target.strategy.clone(), admin);
        apply(&scene).await.unwrap();
        // The same again, as after a lost answer.
        apply(&scene).await.unwrap();
        let again = login(&scene.live(), "First-password-1");
        let error = scene.rotator.apply(&scene.call(), &again, Some(&scene.candidate)).await.unwrap_err();
        assert_eq!((error.effect, error.retry), (Did::None, Retry::NewCandidate), "{error:?}");
        assert!(own.accepts(&scene.candidate, None));
        // What cannot be set again cannot be restored either, and that only a person can mend.
        let error = scene.rotator.restore(&scene.call(), &scene.candidate, Some(&scene.current)).await.unwrap_err();
        assert_eq!((error.effect, error.retry), (Did::None, Retry::Never), "{error:?}");
        assert!(error.message.contains("CHECK_POLICY"), "{error:?}");
        assert!(own.accepts(&scene.candidate, None), "the candidate stays, and PENDING holds it");
    }
}

#[tokio::test]
async fn the_longest_password_works_and_a_longer_one_is_refused_before_it_is_sent() {
    for (password, works) in [
        (format!("Aa1{}", "x".repeat(125)), true),
        (format!("Aa1{}", "x".repeat(126)), false),
        (format!("Aa1x{}", "🔑".repeat(62)), true),
        (format!("Aa1xy{}", "🔑".repeat(62)), false),
    ] {
        let mut scene = Scene::in_place(site());
        scene.candidate = login(&scene.live(), &password);
        let applied = apply(&scene).await;
        assert_eq!(applied.is_ok(), works, "{applied:?}");
        if let Err(error) = applied {
            assert_eq!((error.effect, error.retry, error.code.as_str()), (Did::None, Retry::Never, "password"));
        }
        let live = if works { &scene.candidate } else { &scene.current };
        assert!(site().accepts(live, None));
    }
}

#[tokio::test]
async fn names_stay_inside_their_brackets() {
    for name in
        ["we]ird", "o'brien", "Ünï-пользователь", "🔑 with space", "a;DROP LOGIN sa--", "[already]", "\"quoted\""]
    {
        let name = format!("{name} {}", fresh("n"));
        let scene = Scene::named(site(), &name);
        apply(&scene).await.unwrap();
        scene.rotator.verify(&scene.call(), &scene.candidate, Some(&scene.current), &[Check::Login]).await.unwrap();
        scene.rotator.revoke(&scene.call(), &scene.current, &scene.candidate, crate::sessions::KEEP).await.unwrap();
        assert!(site().accepts(&scene.candidate, None) && !site().accepts(&scene.current, None), "{name}");
    }
    for bad in ["", "nul\0", "CORP\\person", "ends with a space ", &"x".repeat(129)] {
        let scene = Scene::in_place(site());
        let target = crate::scene::target(site().settings(), crate::scene::in_place(bad), crate::scene::sa());
        let applied = scene.rotator.apply(&crate::scene::call(&target), &login(bad, "Some-password-1"), None).await;
        let error = applied.unwrap_err();
        assert_eq!((error.effect, error.retry, error.code.as_str()), (Did::None, Retry::Never, "account"), "{bad:?}");
    }
}

#[tokio::test]
async fn checks_run_as_the_candidate_and_leave_nothing() {
    let scene = Scene::in_place(site());
    let table = fresh("t");
    let (name, database) = (scene.live(), fresh("db"));
    site().sql(&format!(
        "CREATE DATABASE {database}; USE {database}; CREATE USER {name} FOR LOGIN {name}; CREATE TABLE dbo.{table} (id int); \
         GRANT SELECT ON OBJECT::dbo.{table} TO {name}"
    ));
    let settings = site().settings_with(serde_json::json!({ "database": database }));
    let target = crate::scene::target(settings, scene.target.strategy.clone(), crate::scene::sa());
    let call = crate::scene::call(&target);
    scene.rotator.apply(&call, &scene.candidate, Some(&scene.current)).await.unwrap();
    let verify =
        async |sql: String| scene.rotator.verify(&call, &scene.candidate, None, &[Check::Login, Check::Sql(sql)]).await;
    verify(format!("SELECT TOP 1 1 FROM dbo.{table}")).await.unwrap();
    let error = verify("SELECT 1 FROM dbo.nothing_of_this_name".to_owned()).await.unwrap_err();
    assert_eq!((error.effect, error.retry, error.code.as_str()), (Did::None, Retry::Never, "208"), "{error:?}");
    let error = verify("SELEKT 1".to_owned()).await.unwrap_err();
    assert!(error.message.starts_with("check 2 failed"), "{error:?}");
}

#[tokio::test]
async fn an_account_that_changes_itself_waits_for_the_minimum_age() {
    let young = PasswordPolicy { min_age: Duration::from_secs(86_400), ..policy() };
    let own = Site::start(Options { password_policy: young, ..Options::default() }, Encryption::Offer);
    let scene = Scene::in_place(&own);
    let (settings, strategy) = (own.settings(), scene.target.strategy.clone());
    let itself = keywheel_sdk::Target { settings, strategy, admin: keywheel_sdk::Admin::Own, generates: None };
    let call = crate::scene::call(&itself);
    let error = scene.rotator.apply(&call, &scene.candidate, Some(&scene.current)).await.unwrap_err();
    let day = Retry::After(Duration::from_secs(86_400));
    assert_eq!((error.effect, error.retry, error.code.as_str()), (Did::None, day, "15114"), "{error:?}");
    assert!(error.message.contains("admin: self") && own.accepts(&scene.current, None), "{error:?}");
    // For an admin it is a reset, which has no minimum age.
    apply(&scene).await.unwrap();
    assert!(own.accepts(&scene.candidate, None));
}
