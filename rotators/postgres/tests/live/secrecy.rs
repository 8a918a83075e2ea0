//! No password reaches the server's log or statistics.

use keywheel_sdk::{Check, GrantParity, RevokeHow, Rotator};

use crate::scene::{CANARY, Pair, accepts, server};

#[tokio::test]
async fn neither_log_nor_statistics_hold_a_password() {
    let pair = Pair::new(GrantParity::Require).await;
    let call = pair.call();
    pair.rotator.preflight(&call, Some(&pair.current)).await.unwrap();
    pair.rotator.apply(&call, &pair.candidate, Some(&pair.current)).await.unwrap();
    pair.rotator.verify(&call, &pair.candidate, Some(&pair.current), &[Check::Login]).await.unwrap();
    pair.rotator.restore(&call, &pair.candidate, Some(&pair.current)).await.unwrap();
    pair.rotator.apply(&call, &pair.candidate, Some(&pair.current)).await.unwrap();
    let how = RevokeHow { disable: true, terminate_sessions: true };
    pair.rotator.revoke(&call, &pair.current, &pair.candidate, how).await.unwrap();
    assert!(accepts(&pair.candidate).await);

    let log = server().log().await;
    let changes = format!("ALTER ROLE \"{}\" PASSWORD 'SCRAM-SHA-256$", pair.idle());
    assert!(log.contains(&changes), "every statement is logged, the change too");
    assert!(!log.contains(CANARY), "the candidate's password is in the log");
    let statistics = server().sql("SELECT query FROM pg_stat_statements").await;
    assert!(statistics.iter().flatten().flatten().any(|query| query.contains("ALTER ROLE")), "the change is counted");
    assert!(!statistics.iter().flatten().flatten().any(|query| query.contains(CANARY)));
}
