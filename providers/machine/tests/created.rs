//! Replicas that are made, and whose programs are not started before somebody wants them.

#[path = "support/scripted.rs"]
#[expect(dead_code, reason = "shared with other tests")]
mod scripted;

use std::time::Duration;

use scripted::{Scene, Stage, only, plain};
use tidegate_core::FunctionId;
use tidegate_provider::{Depth, FunctionStatus, Phase, Provider, ReplicaId, ScaleTo};
use tokio::time::sleep;

/// Longer than any pause between two tries.
const LONG: Duration = Duration::from_secs(3600);

fn id(name: &str) -> FunctionId {
    FunctionId::parse(name).expect("a good name")
}

fn ids(status: &FunctionStatus) -> Vec<ReplicaId> {
    status.replicas.iter().map(|it| it.id.clone()).collect()
}

async fn created(scene: &Scene, function: &FunctionId) -> Vec<ReplicaId> {
    scene.to_zero(function, Depth::Created).await;
    let made = |status: &FunctionStatus| only(status, Phase::Created);
    let status = scene.until(function, made).await;
    let one = &status.replicas[0].id;
    scene.world.until(|facts| facts.replicas.get(one).is_some_and(|body| body.created)).await;
    ids(&status)
}

async fn woken(scene: &Scene, function: &FunctionId) -> Vec<ReplicaId> {
    scene.provider.scale(function, ScaleTo::replicas(1)).await.expect("deployed");
    let status = scene.until(function, |status| only(status, Phase::Ready)).await;
    ids(&status)
}

#[test]
fn it_is_started_once_and_only_when_it_is_wanted() {
    let stage = Stage::new(true);
    stage.scene(async |scene| {
        let function = scene.deployed(plain("ready"), 1).await;
        scene.freeze(&function).await;
        let made = created(&scene, &function).await;
        sleep(LONG).await;
        assert_eq!(scene.world.facts().starts, 1, "none but the first");
        assert_eq!(woken(&scene, &function).await, made);
        assert_eq!(scene.world.facts().starts, 2);
    });
}

#[test]
fn the_next_engine_goes_on_with_it() {
    let stage = Stage::new(true);
    let mut made = Vec::new();
    stage.scene(async |scene| {
        let function = scene.deployed(plain("kept"), 1).await;
        made = created(&scene, &function).await;
    });
    stage.scene(async |scene| {
        let status = scene.status(&id("kept")).await;
        assert_eq!((ids(&status), only(&status, Phase::Created)), (made.clone(), true));
        sleep(LONG).await;
        assert_eq!(scene.world.facts().makes, 2, "nothing was made anew");
        assert_eq!(woken(&scene, &id("kept")).await, made);
    });
}

#[test]
fn one_that_was_being_started_when_the_engine_was_killed_is_started() {
    let stage = Stage::new(true);
    stage.scene(async |scene| {
        let function = scene.deployed(plain("half"), 1).await;
        created(&scene, &function).await;
        // The count is kept before anything happens to the replica.
        scene.provider.scale(&function, ScaleTo::replicas(1)).await.expect("deployed");
    });
    stage.world.change(|facts| {
        for body in facts.replicas.values_mut() {
            (body.created, body.ready) = (true, false);
        }
    });
    stage.scene(async |scene| {
        scene.until(&id("half"), |status| only(status, Phase::Ready)).await;
        assert_eq!(scene.status(&id("half")).await.replicas.len(), 1);
    });
}

#[test]
fn what_cannot_be_made_or_is_lost_is_not_tried_for_ever() {
    let stage = Stage::new(false);
    stage.scene(async |scene| {
        let function = scene.deployed(plain("broken"), 1).await;
        scene.world.change(|facts| facts.make_fails = true);
        scene.to_zero(&function, Depth::Created).await;
        scene.until(&function, |status| status.replicas.is_empty()).await;
        sleep(LONG).await;
        assert_eq!(scene.world.facts().makes, 2, "once");
        scene.world.change(|facts| facts.make_fails = false);
        let made = created(&scene, &function).await;
        scene.world.crash(&made[0]);
        scene.until(&function, |status| status.replicas.is_empty()).await;
        sleep(LONG).await;
        assert_eq!(scene.world.facts().makes, 3);
        assert_ne!(woken(&scene, &function).await, made, "a call is answered all the same");
    });
}

#[test]
fn woken_while_it_is_lost_it_is_made_anew() {
    let stage = Stage::new(false);
    stage.scene(async |scene| {
        let function = scene.deployed(plain("unlucky"), 1).await;
        let made = created(&scene, &function).await;
        scene.world.crash(&made[0]);
        woken(&scene, &function).await;
    });
}
