//! What fails half-way is undone, and what is slow holds up nobody else.

#[path = "support/scripted.rs"]
mod scripted;

use std::time::Duration;

use futures_util::StreamExt;
use scripted::{Scene, Stage, only, plain};
use tidegate_core::{DEFAULT_NAMESPACE, FunctionId, Replicas};
use tidegate_provider::{
    FunctionStatus, LogLine, LogQuery, Namespace, Phase, Provider, ProviderError, ScaleTo, Secret,
    SecretName,
};
use tidegate_provider_machine::logs::collect;
use tokio::time::{Instant, sleep, timeout};

fn id(name: &str) -> FunctionId {
    FunctionId::parse(name).expect("a good name")
}

fn secret(name: &str) -> Secret {
    let name = SecretName::new(name, DEFAULT_NAMESPACE).expect("a good name");
    Secret { name, value: b"secret".to_vec() }
}

fn disk_is_full(result: Result<(), ProviderError>) {
    assert!(matches!(result, Err(ProviderError::Failed { .. })), "{result:?}");
}

/// What a client sees of a function, but for the time.
fn seen(status: &FunctionStatus) -> (u64, Replicas, usize) {
    (status.revision, status.desired, status.replicas.len())
}

#[test]
fn a_store_that_fails_leaves_nothing_half_done() {
    let stage = Stage::new(false);
    stage.scene(async |scene| {
        let function = scene.deployed(plain("there"), 2).await;
        let kept = scene.world.facts().functions.clone();
        scene.world.change(|facts| facts.store_fails = true);
        let provider = &scene.provider;

        disk_is_full(provider.deploy(plain("new"), Replicas::ONE).await);
        let missing = provider.get(&id("new")).await;
        assert!(matches!(missing, Err(ProviderError::NotDeployed(_))), "{missing:?}");
        disk_is_full(provider.update(plain("there")).await);
        disk_is_full(provider.delete(&function).await);
        disk_is_full(provider.scale(&function, ScaleTo::replicas(7)).await);
        disk_is_full(provider.scale(&function, ScaleTo::replicas(0)).await);
        disk_is_full(provider.create_secret(secret("a")).await);
        let namespace = Namespace { name: "made".to_owned(), ..Namespace::default() };
        disk_is_full(provider.create_namespace(namespace).await);

        let status = scene.until(&function, |status| status.replicas.len() == 2).await;
        assert_eq!((status.revision, status.desired), (1, Replicas::new(2)));
        assert_eq!(provider.secrets(DEFAULT_NAMESPACE).await.expect("a list"), []);
        assert_eq!(provider.namespaces().await.expect("a list").len(), 1);
        assert_eq!(scene.world.facts().functions, kept);

        // And all of it works when there is room again.
        scene.world.change(|facts| facts.store_fails = false);
        scene.deployed(plain("new"), 1).await;
        provider.update(plain("there")).await.expect("there is room");
        let status = scene.until(&function, |status| status.ready().get() == 2).await;
        assert_eq!(status.revision, 2);
        provider.create_secret(secret("a")).await.expect("there is room");
    });
}

#[test]
fn a_replica_that_cannot_be_thawed_is_replaced() {
    let stage = Stage::new(false);
    stage.scene(async |scene| {
        let function = scene.deployed(plain("solid"), 1).await;
        let before = scene.status(&function).await.replicas[0].id.clone();
        scene.freeze(&function).await;
        scene.world.change(|facts| facts.thaw_fails = true);
        scene.provider.scale(&function, ScaleTo::replicas(1)).await.expect("deployed");
        // At once, and not when the old one has ended.
        let status = scene.status(&function).await;
        let phases: Vec<Phase> = status.replicas.iter().map(|it| it.phase).collect();
        assert_eq!(phases, [Phase::Stopping, Phase::Starting]);
        let status = scene.until(&function, |status| only(status, Phase::Ready)).await;
        assert_eq!(status.replicas.len(), 1);
        assert_ne!(status.replicas[0].id, before);
    });
}

#[test]
fn a_replica_that_died_frozen_is_never_called() {
    let stage = Stage::new(false);
    stage.scene(async |scene| {
        let function = scene.deployed(plain("died"), 1).await;
        let before = scene.status(&function).await.replicas[0].id.clone();
        scene.freeze(&function).await;
        scene.world.crash(&before);
        // It is known, and not cleaned up yet.
        sleep(Duration::from_millis(1)).await;
        scene.provider.scale(&function, ScaleTo::replicas(1)).await.expect("deployed");
        assert!(scene.status(&function).await.ready().is_zero());
        let status = scene.until(&function, |status| only(status, Phase::Ready)).await;
        assert_ne!((&status.replicas[0].id, scene.world.facts().starts), (&before, 1));
    });
}

#[test]
fn a_crash_loop_waits_longer_each_time_up_to_a_limit() {
    let stage = Stage::new(false);
    stage.world.change(|facts| facts.all_crash = true);
    stage.scene(async |scene| {
        let function = id("loops");
        scene.provider.deploy(plain("loops"), Replicas::ONE).await.expect("a good function");
        let mut starts = Vec::new();
        for count in 1..=12 {
            scene.world.until(|facts| facts.starts == count).await;
            #[expect(clippy::disallowed_methods, reason = "virtual time")]
            starts.push(Instant::now());
        }
        let pauses: Vec<u128> = starts
            .windows(2)
            .map(|pair| (pair[1] - pair[0] - scripted::START - scripted::CLEANING).as_millis())
            .collect();
        // In steps of the timer's milliseconds.
        let near = |pause: u128, wanted: u128| (wanted..wanted + 5).contains(&pause);
        let wanted = [0, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000];
        assert!(
            pauses.iter().zip(wanted).all(|(pause, wanted)| near(*pause, wanted)),
            "{pauses:?}"
        );
        let status = scene.status(&function).await;
        assert_eq!(seen(&status), (1, Replicas::ONE, 1));
    });
}

#[test]
fn a_slow_check_holds_up_nobody_and_what_it_names_is_looked_at_again() {
    let stage = Stage::new(false);
    stage.scene(async |scene| {
        scene.provider.create_secret(secret("used")).await.expect("a new secret");
        scene.world.change(|facts| facts.check_waits = true);
        let mut slow = plain("slow");
        slow.secrets.push("used".to_owned());
        let (provider, deploying) = (scene.provider.clone(), slow.clone());
        let deploying =
            tokio::spawn(async move { provider.deploy(deploying, Replicas::ONE).await });
        sleep(Duration::from_millis(1)).await;

        let twice = scene.provider.deploy(slow, Replicas::ONE).await;
        assert!(matches!(twice, Err(ProviderError::AlreadyDeployed(_))), "{twice:?}");
        scene.provider.create_secret(secret("other")).await.expect("a new secret");
        scene.provider.delete_secret(&secret("used").name).await.expect("nobody uses it yet");
        scene.world.change(|facts| facts.check_waits = false);
        let refused = deploying.await.expect("it does not panic");
        assert!(matches!(refused, Err(ProviderError::Invalid(_))), "{refused:?}");
        assert!(scene.world.facts().functions.is_empty());
    });
}

#[test]
fn a_backend_that_is_away_says_so() {
    let stage = Stage::new(false);
    stage.scene(async |scene| {
        scene.world.change(|facts| facts.unreachable = true);
        let list = scene.provider.list(None).await;
        assert!(matches!(list, Err(ProviderError::Unreachable { .. })), "{list:?}");
        assert!(scene.provider.info().await.is_err());
    });
}

#[test]
fn while_the_backend_is_away_counts_stay_but_what_is_frozen_thaws() {
    let stage = Stage::new(true);
    stage.scene(async |scene| {
        let (cold, warm) = (plain("cold").function, plain("warm").function);
        scene.deployed(plain("cold"), 1).await;
        scene.deployed(plain("warm"), 1).await;
        scene.freeze(&cold).await;
        scene.world.change(|facts| (facts.unreachable, facts.store_fails) = (true, true));
        for (function, count) in [(&warm, 0), (&warm, 2), (&cold, 2)] {
            let scaled = scene.provider.scale(function, ScaleTo::replicas(count)).await;
            assert!(matches!(scaled, Err(ProviderError::Unreachable { .. })), "{scaled:?}");
        }
        let bodies = |scene: &Scene| -> Vec<bool> {
            scene.world.facts().replicas.values().map(|body| body.frozen).collect()
        };
        assert_eq!(bodies(&scene), [true, false]);
        scene.provider.scale(&cold, ScaleTo::replicas(1)).await.expect("it thaws");
        assert_eq!(bodies(&scene), [false, false]);

        scene.world.change(|facts| (facts.unreachable, facts.store_fails) = (false, false));
        // Until what is kept has changed.
        let before = scene.world.facts().functions[&cold].to_json();
        scene.world.until(|facts| facts.functions[&cold].to_json() != before).await;
        assert!(only(&scene.status(&cold).await, Phase::Ready));
        assert_eq!(scene.world.facts().starts, 2);
    });
}

/// Writes what a replica says in a process of its own.
fn says(folder: &std::path::Path, replica: &str, out: &str, err: &str) {
    let path = folder.join(format!("{replica}.log"));
    collect(&path, 4096, out.as_bytes(), err.as_bytes()).expect("a log");
}

async fn next(lines: &mut tidegate_provider::LogStream) -> LogLine {
    let line = timeout(Duration::from_secs(60), lines.next()).await.expect("it comes");
    line.expect("the function is there").expect("a readable log")
}

#[test]
fn logs_that_others_write_are_followed_and_their_last_words_told() {
    let stage = Stage::new(true);
    stage.scene(async |scene| {
        let function = scene.deployed(plain("talks"), 1).await;
        let status = scene.status(&function).await;
        let replica = status.replicas[0].id.clone();
        let created = status.created.duration_since(std::time::UNIX_EPOCH).expect("after 1970");
        let folder = stage.logs(&function).join(created.as_nanos().to_string());

        let query = LogQuery {
            function: function.clone(),
            instance: None,
            since: None,
            tail: None,
            follow: true,
        };
        let mut lines = scene.provider.logs(query).await.expect("deployed");
        says(&folder, replica.as_str(), "one\ntwo\n", "");
        assert_eq!(next(&mut lines).await.text, "one");
        assert_eq!(next(&mut lines).await.text, "two");
        // Nobody tells of these, across files that are turned over.
        let long = "x".repeat(3000);
        for number in 0..4 {
            let later = async {
                sleep(Duration::from_secs(1)).await;
                says(&folder, replica.as_str(), &format!("{number} {long}\n"), "");
            };
            let (line, ()) = tokio::join!(next(&mut lines), later);
            assert!(line.text.starts_with(&number.to_string()), "{}", line.text);
        }

        // A look between the two steps of turning a file over reads nothing twice.
        let file = folder.join(format!("{replica}.log"));
        let turned = async {
            std::fs::rename(&file, file.with_extension("log.1")).expect("a log");
            sleep(Duration::from_secs(1)).await;
            says(&folder, replica.as_str(), "turned\n", "");
        };
        let (line, ()) = tokio::join!(next(&mut lines), turned);
        assert_eq!(line.text, "turned");

        says(&folder, replica.as_str(), "", "no such table\n");
        assert_eq!(next(&mut lines).await.text, "no such table");
        scene.world.crash(&replica);
        let status = scene.until(&function, |status| status.replicas[0].restarts == 1).await;
        assert_eq!(status.replicas[0].id, replica);
        let told = next(&mut lines).await;
        assert!(told.text.contains("exited with code 7: no such table"), "{}", told.text);
        scene.provider.delete(&function).await.expect("deployed");
        let end = timeout(Duration::from_secs(60), lines.next()).await.expect("it ends");
        assert!(end.is_none(), "{end:?}");
    });
}
