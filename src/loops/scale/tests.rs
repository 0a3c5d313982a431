//! The loop's turns, one by one: what it acts for when functions come, go and come again.

use prometheus_client::registry::Registry;
use tidegate_core::{Replicas, labels};
use tidegate_gateway::Config;
use tidegate_idler::{Limits, Reading, Shortage};
use tidegate_provider::fake::{ECHO, FakeProvider};
use tidegate_provider::{Deployment, Depth, FunctionStatus, Pairs, Phase, ScaleTo};

use tokio::sync::oneshot;

use super::*;

struct World {
    scale: ScaleLoop,
    provider: Arc<FakeProvider>,
    function: FunctionId,
    _folder: tempfile::TempDir,
}

type Answered = oneshot::Receiver<Result<(), ScaleError>>;

impl World {
    /// One function that is deployed and in the table; nobody has told the loop.
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = Clock::new();
        let (table, _nudges) = Table::new(&Config::default(), clock.clone());
        let provider = Arc::new(FakeProvider::default());
        let scale = ScaleLoop::new(
            clock,
            provider.clone(),
            table,
            Autoscaler::new(tidegate_autoscaler::Config {
                can_freeze: true,
                can_create: true,
                ..tidegate_autoscaler::Config::default()
            }),
            Metrics::register(&mut Registry::default()),
            Memories::load(folder.path().join("scaling.json"), &BootTime::now()),
        );
        let function = FunctionId::new("cat", "openfaas-fn").expect("a good name");
        let world = Self { scale, provider, function, _folder: folder };
        world.deploy().await;
        world
    }

    async fn deploy(&self) {
        self.deploy_with(Pairs::default()).await;
    }

    async fn deploy_with(&self, labels: Pairs) {
        let deployment = Deployment {
            function: self.function.clone(),
            image: "example/cat:1".to_owned(),
            process: ECHO.to_owned(),
            env: Pairs::default(),
            secrets: Vec::new(),
            labels,
            annotations: Pairs::default(),
            constraints: Vec::new(),
            limits: None,
            requests: None,
            read_only_root: false,
        };
        self.provider.deploy(deployment, Replicas::new(1)).await.expect("deployed");
        self.scale.table.upsert(&self.status().await);
    }

    async fn delete(&self) {
        self.provider.delete(&self.function).await.expect("it was there");
        self.scale.table.remove(&self.function);
    }

    async fn status(&self) -> FunctionStatus {
        self.provider.get(&self.function).await.expect("it is there")
    }

    /// The function at zero, frozen, and the table knows it.
    async fn freeze(&self) {
        let zero = ScaleTo { depth: Depth::Frozen, ..ScaleTo::replicas(0) };
        self.provider.scale(&self.function, zero).await.expect("deployed");
        let status = self.status().await;
        self.scale.table.upsert(&status);
        self.scale.table.get(&self.function).expect("there").set_desired(Replicas::ZERO);
    }

    /// Memory is looked at, and of 1 GiB this much is available.
    fn reads(&mut self, mebibytes: u64) {
        let rest = 8 << 20;
        let reading = Reading { rest, available: Some(mebibytes << 20), stalled: None };
        self.scale.take_memory(&reading, &[(self.function.clone(), rest)]);
    }

    fn ask(&mut self, count: u32) -> Answered {
        let (answer, answered) = oneshot::channel();
        self.scale.ask(self.function.clone(), Ask::Operator(Replicas::new(count)), answer);
        answered
    }

    /// The call under way returns.
    async fn call_returns(&mut self) {
        let done = self.scale.calls.next().await.expect("a call is under way");
        self.scale.finish(done);
    }
}

fn is_not_deployed(mut answered: Answered) -> bool {
    let answer = answered.try_recv().expect("answered, and not by leaving");
    matches!(answer, Err(ScaleError::Provider(ProviderError::NotDeployed(_))))
}

#[tokio::test]
async fn a_function_that_nobody_told_of_is_scaled_at_once() {
    let mut world = World::new().await;
    let mut answered = world.ask(3);
    world.call_returns().await;
    assert!(matches!(answered.try_recv(), Ok(Ok(()))));
    assert_eq!(world.status().await.desired, Replicas::new(3));
}

#[tokio::test]
async fn what_was_deployed_again_is_scaled_from_its_own_count() {
    let mut world = World::new().await;
    let _first = world.ask(3);
    world.call_returns().await;
    world.delete().await;
    world.deploy().await;
    // For the earlier one this count would be nothing new.
    let mut answered = world.ask(3);
    world.call_returns().await;
    assert!(matches!(answered.try_recv(), Ok(Ok(()))));
    assert_eq!(world.status().await.desired, Replicas::new(3));
    let entry = world.scale.table.get(&world.function).expect("it is there");
    assert_eq!(entry.desired(), Replicas::new(3));
}

#[tokio::test]
async fn who_waits_behind_a_call_is_told_when_the_function_goes() {
    let mut world = World::new().await;
    let (first, second) = (world.ask(3), world.ask(4));
    world.delete().await;
    world.scale.see(Seen::Changed(world.function.clone()));
    assert!(is_not_deployed(second));
    world.call_returns().await;
    assert!(is_not_deployed(first));
    assert!(is_not_deployed(world.ask(5)));
}

#[tokio::test]
async fn a_call_for_the_earlier_one_ends_without_touching_the_later() {
    let mut world = World::new().await;
    let _earlier = world.ask(3);
    world.delete().await;
    world.deploy().await;
    let mut later = world.ask(2);
    assert_eq!(world.scale.calls.len(), 2);
    world.call_returns().await;
    world.call_returns().await;
    assert!(matches!(later.try_recv(), Ok(Ok(()))));
    assert_eq!(world.scale.table.get(&world.function).expect("there").desired(), Replicas::new(2));
}

#[tokio::test]
async fn a_schedule_holds_as_soon_as_it_is_deployed_and_until_it_ends() {
    let mut world = World::new().await;
    world.delete().await;
    // Begins each minute and lasts longer than one: it is always open.
    let always = (labels::SCHEDULE, "* * * * * for 2m: 3");
    world.deploy_with([always].into_iter().collect()).await;
    world.scale.see(Seen::Changed(world.function.clone()));
    world.call_returns().await;
    assert_eq!(world.status().await.desired, Replicas::new(3));
    assert!(world.scale.floors.due().is_some());
    world.delete().await;
    world.deploy().await;
    world.scale.see(Seen::Changed(world.function.clone()));
    let entry = world.scale.table.get(&world.function).expect("it is there");
    assert_eq!(entry.desired(), Replicas::new(1));
}

#[tokio::test]
async fn short_of_memory_what_is_frozen_goes_and_is_told_why() {
    let mut world = World::new().await;
    world.scale.limit_memory(Limits { available: Some(512 << 20), ..Limits::default() });
    world.delete().await;
    let zero = [(labels::ZERO, "true"), (labels::CREATED_DURATION, "1h")];
    world.deploy_with(zero.into_iter().collect()).await;
    world.freeze().await;
    world.reads(300);
    assert!(world.scale.calls.is_empty(), "a spike");
    world.reads(300);
    assert_eq!(world.scale.uses.short(), Some(Shortage::Available));
    world.call_returns().await;
    let status = world.status().await;
    assert_eq!((status.count(Phase::Created), status.replicas.len()), (Replicas::ONE, 1));
    let told = world.scale.explain(&world.function.clone(), None).expect("it is known");
    let last = told["decisions"].as_array().and_then(|all| all.last()).expect("one").clone();
    assert_eq!((&last["by"], &last["reason"]), (&"memory".into(), &"evicted".into()));
    world.reads(900);
    assert_eq!(world.scale.uses.short(), None);
}

#[tokio::test]
async fn what_serves_gives_up_nothing() {
    let mut world = World::new().await;
    world.scale.limit_memory(Limits { available: Some(512 << 20), ..Limits::default() });
    for _ in 0..9 {
        world.reads(1);
    }
    assert!(world.scale.calls.is_empty());
    assert_eq!(world.status().await.ready(), Replicas::ONE);
}
