//! Replicas that outlive the engine: after it was killed, or let go, the next one goes on with them.

#[path = "support/scripted.rs"]
#[expect(dead_code, reason = "shared with other tests")]
mod scripted;

use scripted::{Stage, only, plain};
use tidegate_core::{FunctionId, Replicas};
use tidegate_provider::{CrashReason, Phase, Provider, ReplicaId, ScaleTo};

fn id(name: &str) -> FunctionId {
    FunctionId::parse(name).expect("a good name")
}

fn replicas(stage: &Stage) -> Vec<ReplicaId> {
    stage.world.facts().replicas.keys().cloned().collect()
}

#[test]
fn after_a_kill_replicas_serve_on_and_are_not_started_anew() {
    let stage = Stage::new(true);
    stage.scene(async |scene| {
        scene.deployed(plain("stays"), 2).await;
    });
    let before = replicas(&stage);
    stage.scene(async |scene| {
        // At once: nothing is waited for.
        let status = scene.status(&id("stays")).await;
        let ids: Vec<ReplicaId> = status.replicas.iter().map(|it| it.id.clone()).collect();
        assert_eq!((ids, only(&status, Phase::Ready)), (before, true));
        let address = status.replicas[0].address.as_ref().map(ToString::to_string);
        assert_eq!(address.as_deref(), Some("10.62.0.7:8080"));
        // And they are replicas like others: counted, watched, ended.
        scene.provider.scale(&id("stays"), ScaleTo::replicas(3)).await.expect("deployed");
        scene.until(&id("stays"), |status| status.ready().get() == 3).await;
        assert_eq!(scene.world.facts().starts, 3);
        let crashed = status.replicas[1].id.clone();
        scene.world.crash(&crashed);
        let status = scene
            .until(&id("stays"), |status| {
                status.ready().get() == 3 && status.replicas[1].restarts == 1
            })
            .await;
        assert_eq!(status.replicas[1].id, crashed);
        scene.provider.delete(&id("stays")).await.expect("deployed");
        scene.world.until(|facts| facts.replicas.is_empty()).await;
    });
}

#[test]
fn a_release_lets_them_go_and_ends_those_that_do_not_outlive_us() {
    for outlives in [true, false] {
        let stage = Stage::new(outlives);
        stage.scene(async |scene| {
            scene.deployed(plain("some"), 2).await;
            scene.provider.release().await;
            // What comes too late changes nothing.
            let late = scene.provider.scale(&id("some"), ScaleTo::replicas(5)).await;
            assert!(late.is_err(), "{late:?}");
        });
        assert_eq!(replicas(&stage).len(), if outlives { 2 } else { 0 });
    }
}

#[test]
fn frozen_ones_stay_frozen_until_they_are_wanted() {
    let stage = Stage::new(true);
    stage.scene(async |scene| {
        let function = scene.deployed(plain("cold"), 1).await;
        scene.freeze(&function).await;
    });
    stage.scene(async |scene| {
        let status = scene.status(&id("cold")).await;
        assert!(only(&status, Phase::Frozen), "{status:?}");
        assert_eq!(scene.world.facts().thaws, 0);
        scene.provider.scale(&id("cold"), ScaleTo::replicas(1)).await.expect("deployed");
        assert!(only(&scene.status(&id("cold")).await, Phase::Ready));
        let facts = scene.world.facts();
        assert_eq!((facts.thaws, facts.starts), (1, 1));
    });
}

#[test]
fn one_that_ended_while_nobody_looked_counts_as_crashed() {
    let stage = Stage::new(true);
    stage.scene(async |scene| {
        scene.deployed(plain("fell"), 1).await;
    });
    let before = replicas(&stage);
    stage.world.crash(&before[0]);
    stage.scene(async |scene| {
        let status = scene.status(&id("fell")).await;
        assert_eq!(status.replicas[0].phase, Phase::Backoff);
        assert_eq!(status.replicas[0].detail, "exited with code 7");
        let status = scene.until(&id("fell"), |status| only(status, Phase::Ready)).await;
        assert_eq!((&status.replicas[0].id, status.replicas[0].restarts), (&before[0], 1));
        let crash = status.crashes.last().next().expect("it was told");
        assert_eq!((&crash.replica, crash.detail.as_str()), (&before[0], "exited with code 7"));
        assert_eq!(status.crashes.count(CrashReason::ExitCode), 1);
    });
}

#[test]
fn what_belongs_to_nothing_is_cleared() {
    let stage = Stage::new(true);
    stage.scene(async |scene| {
        scene.deployed(plain("kept"), 1).await;
        scene.deployed(plain("gone"), 1).await;
    });
    let kept = replicas(&stage)[1].clone();
    assert!(kept.as_str().starts_with("kept-"));
    stage.world.change(|facts| {
        // Removed, and another of an earlier deployment of the same name.
        facts.functions.remove(&id("gone"));
        let mut stranger = facts.replicas[&kept].clone();
        stranger.generation.created -= std::time::Duration::from_secs(1);
        facts.replicas.insert(ReplicaId::new("kept-earlier-1-1"), stranger);
        assert_eq!(facts.replicas.len(), 3);
    });
    stage.scene(async |scene| {
        scene.world.until(|facts| facts.replicas.len() == 1).await;
        let status = scene.status(&id("kept")).await;
        assert_eq!((status.replicas.len(), &status.replicas[0].id), (1, &kept));
    });
}

#[test]
fn a_roll_out_goes_on_after_a_kill() {
    let stage = Stage::new(true);
    stage.scene(async |scene| {
        scene.deployed(plain("rolls"), 2).await;
        let mut update = plain("rolls");
        update.image = "rolls:new".to_owned();
        scene.provider.update(update).await.expect("a good update");
    });
    stage.scene(async |scene| {
        let status = scene
            .until(&id("rolls"), |status| {
                status.ready().get() == 2
                    && status.replicas.len() == 2
                    && status.replicas.iter().all(|it| !it.id.as_str().ends_with("-1-1"))
            })
            .await;
        assert_eq!((status.revision, status.desired), (2, Replicas::new(2)));
        // Its digest was kept with it.
        assert_eq!(
            scene.world.facts().pins,
            [Some("digest of rolls:new".to_owned()), Some("digest of rolls:latest".to_owned())]
        );
        let facts = scene.world.facts();
        assert!(facts.replicas.values().all(|body| body.generation.revision == 2));
    });
}

#[test]
fn usage_of_a_replica_found_counts_from_then_on() {
    let stage = Stage::new(true);
    stage.scene(async |scene| {
        scene.deployed(plain("busy"), 1).await;
    });
    stage.scene(async |scene| {
        // Its task has had its say, and time has passed.
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        let usage = scene.provider.usage(&id("busy")).await.expect("deployed");
        assert_eq!((usage[0].cpu_millis, usage[0].cpu_millicores), (5000, 0.0));
    });
}
