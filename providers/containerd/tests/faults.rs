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

use daemon::Daemon;
use harness::{ContainerdHarness, function};
use place::{Place, ask};
use tidegate_core::Replicas;
use tidegate_provider::{
    Address, CrashReason, FunctionStatus, Phase, Provider, ProviderError, Resources, Secret,
    SecretName,
};
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
    let status = place.until(&function, |it| it.replicas[0].restarts > 0).await;
    assert!(status.crashes.count(CrashReason::NotReady) > 0, "{status:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_ends_at_once_says_how_and_is_tried_again_with_pauses() {
    let Some(place) = Place::open().await else { return };
    let function = place.deploy(function("short", "echo this cannot work >&2; exit 3"), 1).await;
    let status = place.until(&function, |it| it.crashes.count(CrashReason::ExitCode) >= 3).await;
    let crash = status.crashes.last().next().expect("there were three");
    assert_eq!(crash.detail, "exited with code 3: this cannot work");
    assert_eq!(crash.replica, status.replicas[0].id, "one replica, one container");
    let logged = place.logs(&function).await;
    assert!(logged.iter().any(|line| line.contains("starts again in 10ms")), "{logged:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_ignores_being_told_is_killed_with_its_children() {
    let Some(place) = Place::open().await else { return };
    let stubborn = "trap '' TERM; sleep 1000 & sleep 1000 & exec nc -ll -p 8080 -e /handler";
    let mut deployment = function("stubborn", stubborn);
    deployment.env.insert("grace_period".to_owned(), "1".to_owned());
    let function = place.deployed(deployment, 1).await;
    let processes = place.processes();
    assert!(processes.len() >= 3, "{processes:?}");
    place.scale(&function, 0).await;
    place.ready(&function, 0).await;
    assert_eq!(place.ctr("openfaas-fn", &["tasks", "list", "-q"]), "");
    assert_eq!(place.living(&processes), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn children_end_with_the_first_process_also_those_that_went_their_own_way() {
    let Some(place) = Place::open().await else { return };
    // Grandchildren in sessions of their own, whose parents have gone.
    let forks = "(setsid sleep 1000 &); (setsid sh -c 'trap \"\" TERM; sleep 1000' &); \
        exec nc -ll -p 8080 -e /handler";
    let function = place.deployed(function("forks", forks), 1).await;
    let before = place.processes();
    assert!(before.len() >= 3, "{before:?}");
    let task = place.ctr("openfaas-fn", &["tasks", "list", "-q"]);
    place.ctr("openfaas-fn", &["tasks", "kill", "--signal", "SIGKILL", &task]);
    place.until(&function, |it| it.replicas[0].restarts == 1).await;
    place.ready(&function, 1).await;
    assert_eq!(place.living(&before), Vec::<String>::new());
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
    assert_eq!(status.crashes.count(CrashReason::OutOfMemory), 0, "it serves on");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_whose_first_process_wants_too_much_memory_is_started_anew_and_says_why() {
    let Some(place) = Place::open().await else { return };
    let mut deployment = function("glutton", "exec tail -c 100000000 /dev/zero");
    deployment.limits = Some(Resources { memory: Some("32Mi".to_owned()), cpu: None });
    let function = place.deploy(deployment, 1).await;
    let status = place.until(&function, |it| it.crashes.count(CrashReason::OutOfMemory) >= 2).await;
    let crash = status.crashes.last().next().expect("there were two");
    assert!(crash.detail.contains("at the limit of 32Mi; was killed by SIGKILL"), "{crash:?}");
    assert!(status.replicas[0].restarts >= 1, "{status:#?}");
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
    assert_eq!(after.crashes.count(CrashReason::Signal), 1);
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
    let Some(Address::Inside { address, .. }) = before.replicas[0].address.clone() else {
        panic!("an address")
    };
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
async fn what_is_no_program_is_refused_before_functions_need_it_to_start() {
    let Some(harness) = ContainerdHarness::new() else { return };
    let mut config = harness.config.clone();
    config.oci_runtime = Some("/etc/passwd".to_owned());
    let refused = ContainerdProvider::open(config, TaskTracker::new()).await;
    let told = refused.expect_err("nothing could be started").to_string();
    assert!(told.contains("/etc/passwd is no program") && told.contains("unset"), "{told}");
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
        ("absent:1", serde_json::json!({"Entrypoint": ["/no/such/program"]}), "o such file"),
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

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full_is_said_leaves_nothing_half_done_and_may_have_room_later() {
    let Some(daemon) = Daemon::start_small(40) else { return };
    let place = Place::over(ContainerdHarness::on(daemon), |_| {}).await;
    let name = place.deployed(function("small", SHELL), 1).await;
    // The one that starts are made under.
    let standing = place.ctr("openfaas-fn", &["leases", "list", "-q"]);
    let file = place.harness.daemon.path("big.tar");
    let config = serde_json::json!({"Entrypoint": ["/entry"], "Env": ["PATH=/bin"]});
    // There is room for its bytes, and not for the same once more.
    let bytes = vec![b'x'; 18 << 20];
    images::write_as(&file, "docker.io/library/big:1", &config, &[("bin/more", bytes)]);
    import_images(&place.harness.config, &file, None).await.expect("a good file");
    let mut big = function("big", SHELL);
    big.image = "big:1".to_owned();
    let mut update = big.clone();
    update.function = name.clone();
    let deployed = place.provider().deploy(big.clone(), Replicas::ONE).await;
    let updated = place.provider().update(update).await;
    for refused in [deployed, updated] {
        let told = chain(&refused.expect_err("there is no room"));
        assert!(told.contains("the disk of containerd is full"), "{told}");
    }
    assert_eq!(place.text(&name, "echo old").await, "old");
    let snapshots = place.ctr("openfaas-fn", &["snapshots", "list"]);
    assert!(!snapshots.contains("extract-"), "{snapshots}");
    let leases = place.ctr("openfaas-fn", &["leases", "list", "-q"]);
    assert_eq!(leases, standing);
    let images = place.ctr("openfaas-fn", &["images", "list", "-q"]);
    assert!(!images.contains("big@"), "{images}");

    place.harness.daemon.grow(100);
    let name = place.deployed(big, 1).await;
    assert_eq!(place.text(&name, "wc -c </bin/more").await, (18 << 20).to_string());
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let cause = error.source().map(|cause| format!(": {}", chain(cause)));
    format!("{error}{}", cause.unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_reboot_every_function_is_back_with_its_count() {
    let Some(mut place) = Place::open().await else { return };
    let secret = SecretName::new("word", "openfaas-fn").expect("a good name");
    let secret = Secret { name: secret, value: b"sesame".to_vec() };
    place.provider().create_secret(secret).await.expect("a new secret");
    let mut deployment = function("steady", "secret word");
    deployment.secrets.push("word".to_owned());
    let steady = place.deployed(deployment, 2).await;
    let resting = place.deployed(function("resting", SHELL), 1).await;
    place.freeze(&resting).await;
    let before = place.ready(&steady, 2).await;
    let processes = place.processes();

    place.crash();
    let run = place.harness.config.run_dir.clone();
    place.harness.daemon.reboot(&run);
    assert_eq!(place.living(&processes), Vec::<String>::new(), "it was a reboot");
    place.reopen().await;

    let after = place.ready(&steady, 2).await;
    assert_eq!((after.revision, after.created), (before.revision, before.created));
    for replica in &after.replicas {
        assert_eq!(ask(replica, "").await, "sesame");
    }
    let status = place.provider().get(&resting).await.expect("it is deployed");
    assert_eq!((status.desired, status.replicas.len()), (Replicas::ZERO, 0), "{status:#?}");
    place.scale(&resting, 1).await;
    assert_eq!(place.text(&resting, "echo awake").await, "awake");
}

/// A program of 96 bytes for 32-bit x86, octal for `printf`: it ends with status 7.
#[cfg(target_arch = "x86_64")]
const THIRTY_TWO_BIT: &str = r"\177ELF\001\001\001\000\000\000\000\000\000\000\000\000\002\000\003\000\001\000\000\000\124\200\004\010\064\000\000\000\000\000\000\000\000\000\000\000\064\000\040\000\001\000\000\000\000\000\000\000\001\000\000\000\000\000\000\000\000\200\004\010\000\200\004\010\140\000\000\000\140\000\000\000\005\000\000\000\000\020\000\000\270\001\000\000\000\273\007\000\000\000\315\200";

#[cfg(target_arch = "x86_64")]
#[tokio::test(flavor = "multi_thread")]
async fn a_32_bit_program_runs_where_that_is_allowed_and_else_is_killed_with_a_hint() {
    let Some(place) = Place::open().await else { return };
    let run = format!("printf '{THIRTY_TWO_BIT}' > /tmp/it; chmod +x /tmp/it; exec /tmp/it");
    let function_with = |name: &str, annotations: &[(&str, &str)]| {
        let mut deployment = function(name, &run);
        let pairs = annotations.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        deployment.annotations = pairs.collect::<std::collections::BTreeMap<_, _>>().into();
        deployment
    };
    let name = place.deploy(function_with("refused", &[]), 1).await;
    let status = place.until(&name, |it| it.crashes.count(CrashReason::Signal) > 0).await;
    let crash = status.crashes.last().next().expect("there was one");
    let hint = "was killed by SIGSYS (signal 31): a 32-bit program needs the annotation com.tidegate.allow-32bit: \"true\"";
    assert_eq!(crash.detail, hint);
    let allowed = function_with("allowed", &[("com.tidegate.allow-32bit", "true")]);
    let name = place.deploy(allowed, 1).await;
    let status = place.until(&name, |it| it.crashes.count(CrashReason::ExitCode) > 0).await;
    let crash = status.crashes.last().next().expect("there was one");
    assert_eq!(crash.detail, "exited with code 7");
}

#[tokio::test(flavor = "multi_thread")]
async fn when_a_shim_dies_its_replicas_come_back_and_those_of_others_go_on() {
    let two = std::num::NonZeroUsize::new(2);
    let Some(place) = Place::with(|it| it.shims = two).await else { return };
    let one = place.deployed(function("one", SHELL), 4).await;
    let other = place.deployed(function("other", SHELL), 2).await;
    let shims = place.harness.daemon.shims();
    assert_eq!(shims.len(), 2, "six containers, two shims: {shims:?}");
    let listening = daemon::socket(shims[0]);
    daemon::end(shims[0]);
    let hit = |status: &FunctionStatus| status.replicas.iter().filter(|it| it.restarts > 0).count();
    let status = place.until(&one, |it| hit(it) >= 2).await;
    let crash = status.crashes.last().next().expect("there was one").detail.clone();
    assert!(crash.contains("SIGKILL"), "containerd told at once, and nobody had to look: {crash}");
    let status = place.ready(&one, 4).await;
    assert_eq!(hit(&status), 2, "those of the other shim go on: {status:#?}");
    place.ready(&other, 2).await;
    assert_eq!(place.text(&other, "echo back").await, "back");
    // What the dead shim left is gone, and so are its containers' processes, when nothing is wanted any more.
    place.scale(&one, 0).await;
    place.scale(&other, 0).await;
    place.ready(&one, 0).await;
    place.ready(&other, 0).await;
    let ended = || place.harness.daemon.shims().is_empty();
    assert!(tokio::task::block_in_place(|| daemon::within(Duration::from_secs(30), ended)));
    assert_eq!(place.processes(), Vec::<String>::new());
    assert!(!std::path::Path::new(&listening).exists(), "{listening}");
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_that_come_and_go_at_one_shim_do_not_end_each_other() {
    let one = std::num::NonZeroUsize::new(1);
    let Some(place) = Place::with(|it| it.shims = one).await else { return };
    let names = ["first", "second"];
    let turns = names.map(|name| async {
        let name = place.deploy(function(name, SHELL), 0).await;
        for _ in 0..20 {
            place.scale(&name, 1).await;
            place.ready(&name, 1).await;
            place.scale(&name, 0).await;
            place.ready(&name, 0).await;
        }
        let status = place.ready(&name, 0).await;
        assert_eq!(status.crashes.last().len(), 0, "{status:#?}");
    });
    futures_util::future::join_all(turns).await;
}
