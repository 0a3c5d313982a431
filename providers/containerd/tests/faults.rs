//! What goes wrong with functions, networks and containerd itself, and what is then seen.

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/harness.rs"]
mod harness;
#[path = "support/images.rs"]
mod images;
#[path = "support/place.rs"]
mod place;

use std::time::Duration;

use harness::function;
use place::{Place, ask};
use tidegate_core::Replicas;
use tidegate_provider::{Address, Phase, Provider, ProviderError, Resources};
use tidegate_provider_containerd::{ContainerdProvider, import_images};
use tokio::net::TcpStream;
use tokio_util::task::TaskTracker;

const SHELL: &str = "serve shell";

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_never_ready_says_so_and_is_tried_again() {
    let Some(place) = Place::with(|it| it.settings.start_deadline = Duration::from_secs(2)).await
    else {
        return;
    };
    let function = place.deploy(function("never", "exec sleep 1000"), 1).await;
    let status = place.detail(&function, "was not ready within 2s").await;
    assert_eq!(status.ready(), Replicas::ZERO);
    place.until(&function, |it| it.replicas[0].restarts > 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_ignores_being_told_is_killed_with_its_children() {
    let Some(place) = Place::open().await else { return };
    let stubborn = "trap '' TERM; sleep 1000 & sleep 1000 & exec nc -ll -p 8080 -e /handler";
    let mut deployment = function("stubborn", stubborn);
    deployment.env.insert("grace_period".to_owned(), "1".to_owned());
    let function = place.deployed(deployment, 1).await;
    place.scale(&function, 0).await;
    place.ready(&function, 0).await;
    assert_eq!(place.ctr("openfaas-fn", &["tasks", "list", "-q"]), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_wants_too_much_memory_says_so() {
    let Some(place) = Place::open().await else { return };
    let mut deployment = function("greedy", SHELL);
    deployment.limits = Some(Resources { memory: Some("32Mi".to_owned()), cpu: None });
    let function = place.deployed(deployment, 1).await;
    let status = place.ready(&function, 1).await;
    // A child is killed, not the first process: the replica serves on.
    ask(&status.replicas[0], "tail -c 100000000 /dev/zero | wc -c").await;
    let status = place.detail(&function, "out of memory").await;
    assert!(status.replicas[0].detail.contains("32Mi"), "{status:?}");
    assert_eq!(ask(&status.replicas[0], "echo on").await, "on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_killed_comes_back_at_the_same_address() {
    let Some(place) = Place::open().await else { return };
    let function = place.deployed(function("killed", SHELL), 1).await;
    let before = place.ready(&function, 1).await;
    let task = place.ctr("openfaas-fn", &["tasks", "list", "-q"]);
    place.ctr("openfaas-fn", &["tasks", "kill", "--signal", "SIGKILL", &task]);
    place.until(&function, |it| it.replicas[0].restarts == 1).await;
    let after = place.ready(&function, 1).await;
    assert_eq!(after.replicas[0].address, before.replicas[0].address);
    assert_eq!(place.text(&function, "echo back").await, "back");
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_serve_while_containerd_is_away_and_all_is_well_when_it_is_back() {
    let Some(mut place) = Place::open().await else { return };
    let function = place.deployed(function("serves", SHELL), 1).await;
    let before = place.ready(&function, 1).await;
    place.harness.daemon.kill();
    let away = async {
        while !matches!(place.provider().list(None).await, Err(ProviderError::Unreachable { .. })) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), away).await.expect("its absence is noticed");
    let scaled = place.provider().scale(&function, tidegate_provider::ScaleTo::replicas(2)).await;
    assert!(matches!(scaled, Err(ProviderError::Unreachable { .. })), "{scaled:?}");
    assert_eq!(ask(&before.replicas[0], "echo serves").await, "serves");
    // It ends while nobody can hear of it.
    ask(&before.replicas[0], "(sleep 1; kill -9 -1) & echo soon").await;
    let Address::Tcp(address) = before.replicas[0].address.clone() else { panic!("an address") };
    let ended = async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), ended).await.expect("its program ends");

    place.harness.daemon.launch();
    let back = async {
        while place.provider().list(None).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), back).await.expect("its return is noticed");
    place.until(&function, |it| it.replicas[0].restarts > 0).await;
    place.ready(&function, 1).await;
    assert_eq!(place.text(&function, "echo again").await, "again");
    place.scale(&function, 3).await;
    place.ready(&function, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_replicas_than_addresses_say_so_and_the_others_serve() {
    let Some(place) = Place::with(|config| {
        let first = config.subnet.to_string().replace("/24", "/29");
        config.subnet = first.parse().expect("a good range");
        config.spare_networks = 0;
        config.settings.backoff_longest = Duration::from_secs(1);
    })
    .await
    else {
        return;
    };
    // Eight addresses: less the first and last, and the bridge's.
    let function = place.deploy(function("many", SHELL), 7).await;
    let status = place.detail(&function, "no address is free").await;
    assert!(status.ready().get() <= 5);
    place.until(&function, |it| it.ready().get() == 5).await;
    place.scale(&function, 2).await;
    place.ready(&function, 2).await;
    place.scale(&function, 4).await;
    place.ready(&function, 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_plugin_is_named_with_what_installs_it() {
    let Some(place) = Place::with(|it| it.plugin_dirs = vec!["/nowhere".into()]).await else {
        return;
    };
    let function = place.deploy(function("unplugged", SHELL), 1).await;
    let status = place.detail(&function, "CNI plugin \"bridge\" is not in /nowhere").await;
    assert!(status.replicas[0].detail.contains("containernetworking-plugins"));
    // Nothing of the tries is left but what the last one is about.
    place.scale(&function, 0).await;
    place.ready(&function, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_tidegate_on_the_same_functions_is_refused() {
    let Some(place) = Place::open().await else { return };
    let mut config = place.harness.config.clone();
    config.settings.state_dir = place.harness.daemon.path("other");
    let second = ContainerdProvider::open(config.clone(), TaskTracker::new()).await;
    let told = second.expect_err("the namespaces are taken").to_string();
    assert!(told.contains("another tidegate") && told.contains("namespace prefix"), "{told}");
    config.settings.state_dir = place.harness.config.settings.state_dir.clone();
    let second = ContainerdProvider::open(config, TaskTracker::new()).await;
    assert!(second.expect_err("the state is taken").to_string().contains("in use"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_image_leaves_the_old_revision_serving() {
    let Some(place) = Place::open().await else { return };
    let deployment = function("imaged", SHELL);
    let name = place.deployed(deployment.clone(), 1).await;
    let file = place.harness.daemon.path("bad.tar");
    for (image, config, told) in [
        ("empty:1", serde_json::json!({}), "does not say what to run"),
        ("stranger:1", serde_json::json!({"Entrypoint": ["/entry"], "User": "nobody"}), "nobody"),
        ("absent:1", serde_json::json!({"Entrypoint": ["/no/such/program"]}), "no such file"),
    ] {
        images::write_as(&file, &format!("docker.io/library/{image}"), &config, &[]);
        import_images(&place.harness.config, &file, None).await.expect("a good file");
        let mut update = deployment.clone();
        update.image = image.to_owned();
        match place.provider().update(update).await {
            Ok(()) => {
                let status = place.detail(&name, told).await;
                assert!(
                    status.replicas.iter().any(|it| it.phase == Phase::Ready),
                    "{image}: {status:#?}"
                );
            }
            Err(refused) => assert!(refused.to_string().contains(told), "{image}: {refused}"),
        }
        assert_eq!(place.text(&name, "echo old").await, "old");
    }
    let mut update = deployment;
    update.image = "nowhere:1".to_owned();
    let refused = place.provider().update(update).await;
    let told = |error: &ProviderError| matches!(error, ProviderError::Invalid(why) if why.contains("image import"));
    assert!(refused.as_ref().is_err_and(told), "{refused:?}");
}
