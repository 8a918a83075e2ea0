//! Who still uses a credential, and ending those sessions.

use keywheel_sdk::{Effect, GrantParity, Retry, RevokeHow, Rotator, Usage};

use crate::scene::{Pair, accepts, role_admin, server};

#[tokio::test]
async fn open_sessions_are_counted_and_ended_on_revoke() {
    let pair = Pair::new(GrantParity::Ignore).await;
    let call = pair.call();
    pair.rotator.apply(&call, &pair.candidate, Some(&pair.current)).await.unwrap();
    assert_eq!(pair.rotator.usage(&call, &pair.current).await, Ok(Usage { sessions: 0 }));
    let mut first = server().connect(&pair.live(), "first-password").await.unwrap();
    let second = server().connect(&pair.live(), "first-password").await.unwrap();
    assert_eq!(pair.rotator.usage(&call, &pair.current).await, Ok(Usage { sessions: 2 }));

    // Without `terminate_sessions` they live on, though nobody new gets in.
    let gently = RevokeHow { disable: false, terminate_sessions: false };
    pair.rotator.revoke(&call, &pair.current, &pair.candidate, gently).await.unwrap();
    assert!(!accepts(&pair.current).await);
    sqlx::raw_sql("SELECT 1").execute(&mut first).await.unwrap();

    let hard = RevokeHow { disable: true, terminate_sessions: true };
    pair.rotator.revoke(&call, &pair.current, &pair.candidate, hard).await.unwrap();
    sqlx::raw_sql("SELECT 1").execute(&mut first).await.expect_err("the session was ended");
    drop(second);
}

#[tokio::test]
async fn an_admin_that_may_not_end_sessions_says_which_right_it_needs() {
    let mut pair = Pair::new(GrantParity::Ignore).await;
    let admin = role_admin(&[&pair.live(), &pair.idle()]).await;
    pair.target.admin = keywheel_sdk::Admin::Credential(admin);
    let session = server().connect(&pair.live(), "first-password").await.unwrap();
    let call = pair.call();
    pair.rotator.apply(&call, &pair.candidate, Some(&pair.current)).await.unwrap();
    assert_eq!(
        pair.rotator.usage(&call, &pair.current).await,
        Ok(Usage { sessions: 1 }),
        "seen without further rights"
    );
    let hard = RevokeHow { disable: true, terminate_sessions: true };
    let error = pair.rotator.revoke(&call, &pair.current, &pair.candidate, hard).await.unwrap_err();
    assert_eq!((error.effect, error.retry), (Effect::Unknown, Retry::Never), "the password is gone: {error:?}");
    assert!(error.message.contains("pg_signal_backend"), "{error:?}");
    assert!(!accepts(&pair.current).await);
    drop(session);
}
