//! Watching: the latest state of each function, never a jam.

use futures_util::StreamExt;
use tidegate_core::FunctionId;

use super::stage::{Stage, ready_replicas};
use crate::{Change, FunctionStatus, Watch};

async fn next(stage: &Stage, watch: &mut Watch) -> Change {
    stage.soon("a change", watch.next()).await.expect("a watch goes on")
}

/// Reads changes until `fits`.
async fn until(
    stage: &Stage,
    watch: &mut Watch,
    fits: impl Fn(&FunctionStatus) -> bool,
) -> FunctionStatus {
    loop {
        if let Change::Function(status) = next(stage, watch).await
            && fits(&status)
        {
            return status;
        }
    }
}

/// What is told before the first `Synced`.
async fn initial(stage: &Stage, watch: &mut Watch) -> Vec<FunctionId> {
    let mut told = Vec::new();
    loop {
        match next(stage, watch).await {
            Change::Function(status) => told.push(status.function().clone()),
            Change::Gone(function) => panic!("{function} is gone before it was told of"),
            Change::Synced => return told,
        }
    }
}

/// All that is there, `Synced` once, then what changes.
pub async fn a_watch_tells_all_then_synced_then_changes(stage: &mut Stage) {
    let here = stage.deployed(stage.harness.echo("here"), 1).await;
    let also = stage.deployed(stage.harness.echo("also"), 0).await;
    let mut watch = stage.provider.watch();
    let mut told = initial(stage, &mut watch).await;
    told.sort();
    assert_eq!(told, [also.clone(), here.clone()]);

    stage.scale(&here, 2).await;
    let grown = |it: &FunctionStatus| *it.function() == here && it.ready().get() == 2;
    let status = until(stage, &mut watch, grown).await;
    for replica in ready_replicas(&status) {
        // What a watch calls ready answers.
        stage.echoes_one(replica).await;
    }
    let later = stage.deployed(stage.harness.echo("later"), 1).await;
    until(stage, &mut watch, |it| *it.function() == later && it.ready().get() == 1).await;
}

/// Told once, after it was told of.
pub async fn a_watch_tells_what_is_gone(stage: &mut Stage) {
    let function = stage.deployed(stage.harness.echo("goes"), 1).await;
    let mut watch = stage.provider.watch();
    initial(stage, &mut watch).await;
    stage.provider.delete(&function).await.expect("a deployed function is removed");
    loop {
        match next(stage, &mut watch).await {
            Change::Gone(gone) => {
                assert_eq!(gone, function);
                return;
            }
            Change::Function(status) => assert_eq!(status.function(), &function),
            Change::Synced => panic!("synced twice"),
        }
    }
}

/// An empty beginning is a beginning.
pub async fn a_watch_of_nothing_is_synced_at_once(stage: &mut Stage) {
    let mut watch = stage.provider.watch();
    assert_eq!(next(stage, &mut watch).await, Change::Synced);
}

/// One that does not read holds nobody up; when it reads, it is told how things are, not how they were.
pub async fn a_slow_watcher_holds_nobody_up_and_is_told_the_latest(stage: &mut Stage) {
    let function = stage.deployed(stage.harness.echo("busy"), 1).await;
    let mut slow = stage.provider.watch();
    initial(stage, &mut slow).await;
    for round in 0..50 {
        stage.scale(&function, 1 + round % 2).await;
    }
    stage.scale(&function, 3).await;
    let settled = stage.ready(&function, 3).await;
    // The last states may be skipped down to one, but the latest comes.
    until(stage, &mut slow, |status| *status == settled).await;
}
