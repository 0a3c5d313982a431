//! What a provider promises, as tests that every backend passes unchanged.
//!
//! ```text
//! tests/conformance.rs of a backend:   tidegate_provider::conformance!(MyHarness::new());
//!                                      one #[tokio::test] for each promise, each with a fresh harness
//! ```
//!
//! Nothing here knows what a replica is made of. Tests wait for conditions, each with [`Harness::patience`].

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::{Deployment, Provider};

pub mod deploying;
pub mod http;
pub mod logs;
pub mod namespaces;
pub mod restarting;
pub mod scaling;
pub mod secrets;
mod stage;
pub mod updating;
pub mod usage;
pub mod watching;
pub mod zero;

pub use stage::Stage;

/// What a backend gives the suite.
#[async_trait]
pub trait Harness: Send {
    /// Opens the provider: over an empty state the first time, then over what was there at the crash.
    async fn open(&mut self) -> Arc<dyn Provider>;

    /// Ends the control plane as `kill -9` would, so that nothing of it runs when this returns.
    async fn crash(&mut self);

    /// A function that answers each call with its body, which it also writes to its log as a line.
    fn echo(&self, name: &str) -> Deployment;

    /// A function that starts and never becomes ready.
    fn never_ready(&self, name: &str) -> Deployment;

    /// A function whose replicas end by themselves right after their start.
    fn crashing(&self, name: &str) -> Deployment;

    /// A function that names this secret and answers each call with its value as it is then.
    fn tells_secret(&self, name: &str, secret: &str) -> Deployment;

    /// A function that this backend can see at once that it can never run, if there is such a thing.
    fn impossible(&self, name: &str) -> Option<Deployment>;

    /// Longest that anything may take.
    fn patience(&self) -> Duration {
        Duration::from_secs(30)
    }
}

/// Makes a test of each promise. The argument is an expression that makes a fresh [`Harness`].
#[macro_export]
macro_rules! conformance {
    ($harness:expr) => {
        $crate::conformance_cases! { $harness;
            deploying::a_new_function_is_told_word_for_word
            deploying::a_deployed_function_answers
            deploying::deploying_twice_is_refused
            deploying::of_two_deploys_at_the_same_time_one_wins
            deploying::deploying_at_zero_starts_nothing
            deploying::a_removed_function_is_gone_with_its_replicas
            deploying::a_removed_function_may_be_deployed_anew
            deploying::lists_are_in_order_and_by_namespace
            deploying::a_crashing_function_says_why_and_is_tried_again
            deploying::a_function_that_is_never_ready_can_be_removed
            deploying::what_can_never_run_is_refused_and_leaves_nothing
            deploying::amounts_that_are_none_are_refused
            updating::updating_what_is_not_deployed_is_refused
            updating::an_update_replaces_all_that_was_said
            updating::an_update_never_leaves_the_function_without_a_replica
            updating::a_bad_update_leaves_the_old_revision_serving
            updating::a_refused_update_changes_nothing
            updating::an_update_at_zero_starts_nothing
            scaling::a_count_is_told_at_once_and_reached
            scaling::fewer_replicas_end_the_others
            scaling::named_victims_are_the_ones_that_go
            scaling::a_victim_at_the_same_count_is_replaced
            scaling::victims_that_are_gone_are_ignored
            scaling::the_same_count_changes_nothing
            scaling::scaling_what_is_not_deployed_is_refused
            scaling::calls_at_the_same_time_end_in_one_count
            zero::zero_keeps_the_function
            zero::zero_can_be_left_again
            zero::frozen_replicas_do_not_count_and_thaw
            zero::frozen_replicas_are_removed_when_zero_deepens
            zero::a_frozen_function_can_be_removed
            zero::created_replicas_do_not_count_and_start
            zero::created_replicas_stay_one_and_the_same
            zero::frozen_replicas_give_way_to_created_ones_and_those_to_none
            zero::a_created_function_can_be_removed_or_updated
            secrets::secrets_are_listed_by_name_alone
            secrets::a_function_reads_its_secret_and_its_next_value
            secrets::secrets_that_are_missing_or_there_already_are_told
            secrets::a_secret_in_use_stays
            secrets::a_function_with_an_unknown_secret_is_refused
            namespaces::the_default_namespace_is_always_there
            namespaces::a_namespace_is_made_changed_and_removed
            namespaces::a_namespace_with_functions_stays
            namespaces::the_same_name_in_two_namespaces_is_two_functions
            namespaces::an_unknown_namespace_is_refused
            logs::what_a_function_writes_is_told
            logs::the_last_lines_of_all_replicas_are_told
            logs::lines_before_a_time_are_left_out
            logs::one_replica_can_be_asked_for
            logs::who_follows_is_told_of_lines_to_come
            logs::logs_of_what_is_not_deployed_are_refused
            watching::a_watch_tells_all_then_synced_then_changes
            watching::a_watch_tells_what_is_gone
            watching::a_watch_of_nothing_is_synced_at_once
            watching::a_slow_watcher_holds_nobody_up_and_is_told_the_latest
            usage::running_replicas_use_something
            usage::a_function_at_zero_uses_nothing
            restarting::functions_and_counts_survive_a_crash
            restarting::what_was_removed_stays_removed
            restarting::secrets_and_namespaces_survive_a_crash
            restarting::a_created_function_wakes_after_a_crash
            restarting::a_bad_update_leaves_the_old_revision_serving_after_a_crash
        }
    };
}

/// One test for each case; [`conformance!`] lists the cases.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_cases {
    ($harness:expr; $($theme:ident :: $case:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let mut stage = $crate::conformance::Stage::new(Box::new($harness)).await;
                $crate::conformance::$theme::$case(&mut stage).await;
                stage.end().await;
            }
        )*
    };
}
