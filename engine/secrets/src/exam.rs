//! The exam that every secret store sits: what the interface promises, one named case each.
//!
//! A new implementation is a test of a few lines: call [`run`] with a function that makes an empty store.

mod cases;

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::FutureExt;

use crate::SecretStore;

/// A case: panics where the store does not keep the interface's promise.
pub type Case = fn(Arc<dyn SecretStore>) -> Pin<Box<dyn Future<Output = ()> + Send>>;

macro_rules! cases {
    ($($case:ident),* $(,)?) => {
        /// All cases with their names.
        pub const CASES: &[(&str, Case)] = &[$((stringify!($case), |store| Box::pin(cases::$case(store)))),*];
    };
}

cases![
    unknown_secrets_have_no_labels,
    staging_makes_pending,
    staging_again_is_fine,
    staging_another_value_is_refused,
    staging_replaces_the_earlier_pending,
    staging_what_was_promoted_is_refused,
    the_first_promotion_replaces_nothing,
    promotion_moves_both_labels,
    promotion_destroys_the_older_previous,
    promotion_from_another_current_is_refused,
    promotion_of_what_is_not_pending_is_refused,
    promoting_again_is_fine,
    promoting_again_is_refused_once_the_labels_moved,
    one_of_many_promotions_wins,
    many_may_stage_the_same,
    discarding_pending_and_previous,
    discarding_current_is_refused,
    discarding_what_is_gone_is_fine,
    putting_makes_current_at_once,
    putting_again_is_fine,
    putting_during_a_rotation_is_refused,
    putting_on_another_current_is_refused,
    putting_a_used_version_is_refused,
    versions_are_newest_first,
    lists_are_in_name_order,
    times_are_kept_and_decide_nothing,
    the_end_of_a_value_is_told_without_the_value,
    secrets_do_not_touch_each_other,
    odd_names_and_values_survive,
    big_values_survive,
    bad_names_and_sizes_are_refused,
    older_workers_change_nothing,
    the_same_fence_may_write_again,
    every_write_raises_the_fence,
    a_late_stage_leaves_the_live_pending,
    refused_writes_raise_no_fence,
    fences_outlive_versions_and_are_of_one_secret,
];

/// Runs every case, each on a store of its own from `make`.
///
/// # Panics
/// After all cases, if any of them failed, with the names of those.
pub async fn run<F>(mut make: impl FnMut() -> F)
where
    F: Future<Output = Arc<dyn SecretStore>>,
{
    let mut failed = Vec::new();
    for (name, case) in CASES {
        let store = make().await;
        if AssertUnwindSafe(case(store)).catch_unwind().await.is_err() {
            failed.push(*name);
        }
    }
    assert!(failed.is_empty(), "{} of {} cases failed: {failed:?}", failed.len(), CASES.len());
}
