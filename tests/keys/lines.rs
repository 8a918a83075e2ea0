//! A provider on its bad days: it did what it was asked, and its answer never arrived; or it answers what helps nobody.

use keywheel_keyservice::{Effect, Fault, Route};

use super::{Case, Key, Kind};
use crate::crash::End;
use crate::house::say;

/// One request goes wrong, and the daemon alone brings the rotation to this end.
async fn goes_wrong(key: Key, name: &str, route: Route, effect: &Effect, times: usize, end: End) {
    let mut case = Case::ordered(Kind::done(key), name).await;
    case.kind.end = end;
    let struck = case.service.faults().arm(Fault::at(route, effect.clone()).times(times));
    let when = format!("{effect:?} at {route:?}");
    case.settle().await;
    assert_eq!(struck.count(), times as u64, "{when}: it struck");
    case.check_end(&when).await;
}

/// A lost or late answer of each kind to one kind of request.
async fn troubled(key: Key, name: &str, route: Route) {
    let troubles = [
        Effect::ExecuteThenCut,
        Effect::ExecuteThenStall,
        Effect::ExecuteThenAnswer { status: 500 },
        Effect::CutBefore,
        Effect::Stall,
        Effect::Answer { status: 503, retry_after: Some(1) },
        Effect::Answer { status: 429, retry_after: Some(1) },
    ];
    for (number, effect) in troubles.iter().enumerate() {
        goes_wrong(key, &format!("{name}_{number}"), route, effect, 1, End::Done).await;
    }
    say(&format!("keys: {} answers to {name} lost or late, each ended as Done", troubles.len()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_to_a_creation_ends_right() {
    troubled(Key::Issued, "create", Route::Create).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_to_a_list_ends_right() {
    troubled(Key::Issued, "list", Route::List).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_to_disabling_ends_right() {
    troubled(Key::Issued, "disable", Route::Disable).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_to_a_deletion_ends_right() {
    troubled(Key::Issued, "delete", Route::Delete).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_to_a_use_ends_right() {
    troubled(Key::Issued, "use", Route::WhoAmI).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_to_a_put_ends_right() {
    troubled(Key::InPlace, "put_in_place", Route::PutSlot).await;
    troubled(Key::Alternating, "put_alternating", Route::PutSlot).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_to_the_deletion_of_a_slot_ends_right() {
    troubled(Key::Alternating, "delete_slot", Route::DeleteSlot).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_to_a_token_or_a_webhook_ends_right() {
    troubled(Key::InPlace, "token", Route::WhoAmI).await;
    troubled(Key::Alternating, "webhook", Route::Webhook).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_none_is_not_asked_for_again() {
    const NO_KEY: &str = "{\"error\": \"none of this is a key\"}";
    const STRANGER: &str = "<html>";
    // A key was made, and the provider does not say which: who asked again and again would make more. And what is readable,
    // and not where the declaration says, will not be there the next time.
    for (number, (route, body)) in
        [(Route::Create, NO_KEY), (Route::Create, STRANGER), (Route::List, NO_KEY)].into_iter().enumerate()
    {
        goes_wrong(Key::Issued, &format!("none_{number}"), route, &Effect::Body(body.to_owned()), 1, End::RolledBack)
            .await;
    }
    // A page of whoever stands between passes, and asking for a list changes nothing.
    goes_wrong(Key::Issued, "stranger", Route::List, &Effect::Body(STRANGER.to_owned()), 1, End::Done).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_never_answers_a_creation_leaves_no_orphan() {
    for (number, effect) in [Effect::ExecuteThenCut, Effect::ExecuteThenAnswer { status: 500 }].iter().enumerate() {
        goes_wrong(Key::Issued, &format!("orphan_{number}"), Route::Create, effect, 3, End::RolledBack).await;
    }
}
