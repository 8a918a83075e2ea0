//! A provider on its bad days: it did what it was asked, and its answer never arrived; or it answers what helps nobody.

use std::time::Duration;

use keywheel_keyservice::{Effect, Fault, Route};

use super::{Case, Key, Kind};
use crate::crash::End;
use crate::house::say;

/// One request goes wrong, and the daemon alone brings the rotation to this end.
async fn goes_wrong(key: Key, name: &str, route: Route, effect: &Effect, times: usize, end: End) {
    let mut case = Case::ordered(Kind::done(key), name).await;
    case.kind.end = end;
    struck(&case, Fault::at(route, effect.clone()).times(times), times, &format!("{effect:?} at {route:?}")).await;
}

/// The fault strikes so often, and the rotation ends as it is to.
async fn struck(case: &Case, fault: Fault, times: usize, when: &str) {
    let struck = case.service.faults().arm(fault);
    case.settle().await;
    assert_eq!(struck.count(), times as u64, "{when}: it struck");
    case.check_end(when).await;
}

/// A lost answer, and a lost request, each time that a rotation sends one kind of request: the first is seldom the one that matters.
async fn at_each_passing(kind: Kind, name: &str, route: Route, at_least: usize) {
    let undisturbed = Case::ordered(kind, &format!("{name}_count")).await;
    let counted = undisturbed.service.faults().arm(Fault::at(route, Effect::Slow(Duration::ZERO)).times(usize::MAX));
    undisturbed.settle().await;
    let passings = usize::try_from(counted.count()).expect("a few");
    undisturbed.check_end("undisturbed").await;
    assert!(passings >= at_least, "{route:?} is passed {passings} times");
    for nth in 0..passings {
        for (number, effect) in [Effect::ExecuteThenCut, Effect::CutBefore].into_iter().enumerate() {
            let case = Case::ordered(kind, &format!("{name}_{nth}_{number}")).await;
            let when = format!("{effect:?} at {route:?} (passing {nth})");
            struck(&case, Fault::at(route, effect).skip(nth), 1, &when).await;
        }
    }
    let end = kind.end;
    say(&format!("keys: {name} lost at each of {passings} passings, each ended as {end:?}"));
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

/// The control, the look after the change, `verify`, and the looks before and after the end of the value before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_to_any_use_of_a_put_key_ends_right() {
    at_each_passing(Kind::done(Key::InPlace), "token_passing", Route::WhoAmI, 6).await;
    at_each_passing(Kind::done(Key::Alternating), "webhook_passing", Route::Webhook, 6).await;
}

/// Rolling back puts the value before again, or deletes the new one, and looks at both.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_on_the_way_back_ends_right() {
    at_each_passing(Kind::rolled_back(Key::InPlace), "put_passing", Route::PutSlot, 2).await;
    at_each_passing(Kind::rolled_back(Key::Alternating), "delete_passing", Route::DeleteSlot, 1).await;
    at_each_passing(Kind::rolled_back(Key::InPlace), "token_back", Route::WhoAmI, 4).await;
    at_each_passing(Kind::rolled_back(Key::Alternating), "webhook_back", Route::Webhook, 3).await;
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
