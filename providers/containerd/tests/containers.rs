//! What a container is: user, files, limits, names; and that it outlives the control plane.

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/harness.rs"]
mod harness;
#[path = "support/images.rs"]
mod images;
#[path = "support/place.rs"]
mod place;

use std::path::Path;

use harness::function;
use place::{Place, ask};
use tidegate_provider::conformance::http::call;
use tidegate_provider::{Namespace, Phase, Provider, Resources, Secret, SecretName};
use tidegate_provider_containerd::{doctor, import_images};

/// A function whose calls are commands.
const SHELL: &str = "serve shell";

#[tokio::test(flavor = "multi_thread")]
async fn a_container_has_what_was_said_and_nothing_else() {
    let Some(place) = Place::open().await else { return };
    let mut deployment = function("strict", SHELL);
    deployment.read_only_root = true;
    deployment.env.insert("GREETING".to_owned(), "a=b c".to_owned());
    deployment.limits =
        Some(Resources { memory: Some("64Mi".to_owned()), cpu: Some("500m".to_owned()) });
    let function = place.deployed(deployment, 1).await;
    let text = |command: &'static str| place.text(&function, command);

    // The image's user, by name; no capabilities, no way to get any, system calls filtered.
    assert_eq!(text("id -u; id -g").await, "1000\n1000");
    let status = text("cat /proc/self/status").await;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.map(|it| it.trim_start_matches(':').trim().to_owned())
    };
    for set in ["CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb"] {
        assert_eq!(field(set).as_deref(), Some("0000000000000000"), "{set}");
    }
    assert_eq!(field("NoNewPrivs").as_deref(), Some("1"));
    assert_eq!(field("Seccomp").as_deref(), Some("2"));
    assert!(text("unshare -U true 2>&1 || echo refused").await.contains("refused"));

    // Only /tmp can be written.
    assert!(text("touch /home/app/x 2>&1 || echo refused").await.contains("refused"));
    assert_eq!(text("touch /tmp/x && echo done").await, "done");

    let env = text("env; hostname; pwd").await;
    for line in ["GREETING=a=b c", "FROM_IMAGE=yes", "OPENFAAS_NAME=strict", "strict", "/home/app"]
    {
        assert!(env.lines().any(|it| it == line), "{line}: {env}");
    }
    let hosts = text("cat /etc/hosts").await;
    let gateway = place.harness.config.subnet.gateway();
    assert!(
        hosts.lines().any(|line| line == format!("{gateway} gateway gateway.openfaas")),
        "{hosts}"
    );

    // Its processes are those of nobody else, and its limits those that were asked for.
    assert_eq!(text("ls /proc | grep -c '^1$'").await, "1");
    let id = place.ctr("openfaas-fn", &["tasks", "list", "-q"]);
    let group = format!("{}openfaas-fn/{id}", place.harness.daemon.prefix());
    let one = format!("/sys/fs/cgroup/memory/{group}/memory.limit_in_bytes");
    let two = format!("/sys/fs/cgroup/{group}/memory.max");
    let limit = [one, two].iter().find_map(|path| std::fs::read_to_string(path).ok());
    assert_eq!(limit.as_deref().map(str::trim), Some("67108864"));
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_reach_the_machine_but_not_each_other() {
    let Some(place) = Place::open().await else { return };
    let function = place.deployed(function("apart", SHELL), 2).await;
    let status = place.ready(&function, 2).await;
    let other = status.replicas[1].address.as_ref().expect("a ready replica has one").to_string();
    let other = other.split(':').next().expect("an address");
    let command =
        format!("nc -w 2 {other} 8080 </dev/null >/dev/null && echo reached || echo apart");
    let told = ask(&status.replicas[0], &command).await;
    assert!(told.ends_with("apart"), "{told}");
    let listener = std::net::TcpListener::bind((place.harness.config.subnet.gateway(), 0))
        .expect("the bridge's address");
    let port = listener.local_addr().expect("an address").port();
    let command = format!("nc -w 2 gateway {port} </dev/null && echo reached");
    let accepting = tokio::task::spawn_blocking(move || listener.accept().map(drop));
    assert_eq!(ask(&status.replicas[0], &command).await, "reached");
    accepting.await.expect("no panic").expect("a connection");
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_outlive_a_crash_of_the_control_plane() {
    let Some(mut place) = Place::open().await else { return };
    let serving = place.deployed(function("serving", SHELL), 2).await;
    let resting = place.deployed(function("resting", SHELL), 1).await;
    let before = place.ready(&serving, 2).await;
    let frozen = place.freeze(&resting).await;
    ask(&before.replicas[0], "echo mine >/tmp/mark").await;
    // A call that is under way meanwhile.
    let other = before.replicas[1].clone();
    let slow = tokio::spawn(async move { call(&other, b"sleep 2; echo still here").await });

    place.crash_and_reopen().await;

    let after = place.ready(&serving, 2).await;
    assert_eq!(after.replicas, before.replicas);
    assert_eq!(ask(&after.replicas[0], "cat /tmp/mark").await, "mine");
    let slow = slow.await.expect("no panic").expect("an answer");
    assert_eq!(String::from_utf8_lossy(&slow.body).trim(), "still here");
    let status = place.provider().get(&resting).await.expect("deployed");
    assert_eq!((status.replicas.len(), status.replicas[0].phase), (1, Phase::Frozen));
    assert_eq!(status.replicas[0].id, frozen.replicas[0].id);
    place.scale(&resting, 1).await;
    assert_eq!(place.text(&resting, "echo thawed").await, "thawed");
    assert_eq!(place.ready(&resting, 1).await.replicas[0].id, frozen.replicas[0].id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_created_replica_is_taken_over_and_started() {
    let Some(mut place) = Place::open().await else { return };
    let waiting = place.deployed(function("waiting", SHELL), 1).await;
    place.freeze(&waiting).await;
    let created = place.create(&waiting).await;
    let task = || place.ctr("openfaas-fn", &["tasks", "list"]);
    let before = task();
    assert!(!before.contains("RUNNING"), "what was frozen is gone: {before}");
    // What it takes is told: its program has no memory yet.
    let used = place.provider().usage(&waiting).await.expect("deployed");
    assert!(used.len() == 1 && used[0].memory_bytes < 16 << 20, "{used:?}");

    place.crash_and_reopen().await;

    let status = place.provider().get(&waiting).await.expect("deployed");
    assert_eq!(status.ready().get(), 0);
    assert_eq!((status.replicas.len(), status.replicas[0].phase), (1, Phase::Created));
    assert_eq!(status.replicas[0].id, created.replicas[0].id);
    assert_eq!(place.ctr("openfaas-fn", &["tasks", "list"]), before, "the same process waits");
    place.scale(&waiting, 1).await;
    assert_eq!(place.text(&waiting, "echo started").await, "started");
    assert_eq!(place.ready(&waiting, 1).await.replicas[0].id, created.replicas[0].id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_created_replica_that_is_killed_is_gone_and_a_call_gets_another() {
    let Some(place) = Place::open().await else { return };
    let waiting = place.deployed(function("killed", SHELL), 1).await;
    place.create(&waiting).await;
    let task = place.ctr("openfaas-fn", &["tasks", "list", "-q"]);
    place.ctr("openfaas-fn", &["tasks", "kill", "--signal", "SIGKILL", &task]);
    place.ready(&waiting, 0).await;
    place.scale(&waiting, 1).await;
    assert_eq!(place.text(&waiting, "echo anew").await, "anew");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_crashed_while_nobody_looked_is_started_again() {
    let Some(mut place) = Place::open().await else { return };
    let function = place.deployed(function("unseen", SHELL), 1).await;
    let before = place.ready(&function, 1).await;
    place.crash();
    // Its first process ends a moment after the call was answered.
    let asking = call(&before.replicas[0], b"(sleep 1; kill -9 -1) & echo soon");
    let asked = tokio::time::timeout(std::time::Duration::from_secs(30), asking).await;
    asked.expect("it ends at the latest with its replica").ok();
    daemon::within(std::time::Duration::from_secs(30), || {
        place.ctr("openfaas-fn", &["tasks", "list"]).contains("STOPPED")
    });
    place.reopen().await;
    let status = place.ready(&function, 1).await;
    assert_eq!(status.replicas[0].id, before.replicas[0].id);
    assert!(status.replicas[0].restarts > 0);
    assert_eq!(place.text(&function, "echo back").await, "back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_leaves_functions_running_and_their_logs_written() {
    let Some(mut place) = Place::open().await else { return };
    let function = place.deployed(function("stays", "serve"), 1).await;
    let before = place.ready(&function, 1).await;
    place.provider().release().await;
    assert_eq!(ask(&before.replicas[0], "while tidegate is away").await, "while tidegate is away");
    place.crash();
    place.reopen().await;
    assert_eq!(place.ready(&function, 1).await.replicas, before.replicas);
    let query = tidegate_provider::LogQuery {
        function,
        instance: None,
        since: None,
        tail: None,
        follow: false,
    };
    let lines = place.provider().logs(query).await.expect("a deployed function");
    let lines: Vec<_> = futures_util::StreamExt::collect(lines).await;
    let told = |line: &Result<tidegate_provider::LogLine, _>| {
        line.as_ref().is_ok_and(|line| line.text.contains("while tidegate is away"))
    };
    assert!(lines.iter().any(told), "{lines:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_of_all_replicas_are_followed_while_their_files_turn_over() {
    const LIMIT: u64 = 8 << 10;
    let opening = Place::with(|config| config.settings.log_bytes = LIMIT);
    let Some(place) = opening.await else { return };
    let function = place.deployed(function("chatty", "serve"), 2).await;
    let status = place.ready(&function, 2).await;
    let query = tidegate_provider::LogQuery {
        function: function.clone(),
        instance: None,
        since: None,
        tail: None,
        follow: true,
    };
    let mut lines = place.provider().logs(query).await.expect("a deployed function");
    let story: String = (0..1000).map(|number| format!("chapter {number}, at length\n")).collect();
    for replica in &status.replicas {
        for _ in 0..10 {
            ask(replica, &story).await;
        }
        ask(replica, "the end").await;
    }
    let mut ended = std::collections::BTreeSet::new();
    let reading = async {
        while ended.len() < 2 {
            let line = futures_util::StreamExt::next(&mut lines).await.expect("it is deployed");
            let line = line.expect("a log that can be read");
            if line.text.contains("the end") {
                ended.insert(line.instance);
            }
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), reading).await.expect("all is told");
    let ids = status.replicas.iter().map(|replica| replica.id.clone()).collect();
    assert_eq!(ended, ids);
    let files = place.log_files();
    assert_eq!(files.len(), 4, "a file and the one before it, of each: {files:?}");
    // What was read at once, up to what a pipe holds and its stamps, is in one file.
    assert!(files.iter().all(|(_, size)| *size <= LIMIT + (128 << 10)), "{files:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn namespaces_are_containerds_and_keep_their_secrets_to_themselves() {
    let Some(place) = Place::open().await else { return };
    let team = Namespace { name: "team".to_owned(), labels: [].into(), annotations: [].into() };
    place.provider().create_namespace(team).await.expect("a new namespace");
    for (namespace, value) in [("openfaas-fn", "ours"), ("team", "theirs")] {
        let name = SecretName::new("word", namespace).expect("a good name");
        let secret = Secret { name, value: value.into() };
        place.provider().create_secret(secret).await.expect("a new secret");
    }
    let name = SecretName::new("own", "openfaas-fn").expect("a good name");
    let secret = Secret { name, value: b"own".to_vec() };
    place.provider().create_secret(secret).await.expect("a new secret");

    for (name, value) in [("tells", "ours"), ("tells.team", "theirs")] {
        let mut deployment = function(name, SHELL);
        deployment.secrets.push("word".to_owned());
        let function = place.deployed(deployment, 1).await;
        let told = place.text(&function, "cd /var/openfaas/secrets && ls && cat word").await;
        assert_eq!(told, format!("word\n{value}"), "{name}");
    }
    let none = place.deployed(function("none.team", SHELL), 1).await;
    let told = place.text(&none, "ls /var/openfaas/secrets 2>&1 || echo none").await;
    assert!(told.ends_with("none"), "{told}");
    let mut other = function("other.team", SHELL);
    other.secrets.push("own".to_owned());
    let refused = place.provider().deploy(other, tidegate_core::Replicas::ONE).await;
    assert!(refused.is_err_and(|error| error.to_string().contains("own")), "not of this namespace");

    // Each is one of containerd's, with the label that others look for, and goes with its last function.
    let named = || {
        let all = place.ctr("openfaas-fn", &["namespaces", "list"]);
        let full = format!("{}team", place.harness.daemon.prefix());
        all.lines().find(|line| line.contains(&full)).map(str::to_owned)
    };
    assert!(named().is_some_and(|line| line.contains("openfaas=1")), "{:?}", named());
    assert!(place.provider().delete_namespace("team").await.is_err(), "it holds functions");
    for name in ["tells.team", "none.team"] {
        let function = tidegate_core::FunctionId::parse(name).expect("a good name");
        place.provider().delete(&function).await.expect("a deployed function");
    }
    let gone = async {
        while place.provider().delete_namespace("team").await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), gone).await.expect("it is empty soon");
    assert_eq!(named(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn images_of_a_file_are_checked_before_they_have_a_name() {
    let Some(place) = Place::open().await else { return };
    let config = &place.harness.config;
    let good = place.harness.daemon.path("good.tar");
    let entry = serde_json::json!({"Entrypoint": ["/entry"]});
    // A layer that is not there yet.
    images::write_as(
        &good,
        "docker.io/library/other:1",
        &entry,
        &[("bin/more", b"unheard-of".to_vec())],
    );
    let bytes = std::fs::read(&good).expect("written above");

    // One byte of a layer is another one.
    let at = bytes.windows(7).position(|it| it == b"unheard").expect("a file of the layer");
    let mut changed = bytes.clone();
    changed[at] = b'H';
    let told = import_text(&place, &changed).await;
    assert!(told.contains("digest"), "{told}");
    let told = import_text(&place, &bytes[..bytes.len() / 2]).await;
    assert!(!told.is_empty());
    let told = import_text(&place, b"no archive at all").await;
    assert!(!told.is_empty());
    assert!(!place.ctr("openfaas-fn", &["images", "list", "-q"]).contains("other"));

    let names = import_images(config, &good, Some("renamed:2")).await.expect("a good file");
    assert_eq!(names, ["docker.io/library/renamed:2"]);

    // Compressed as a whole, it is the same image; cut off, it is none.
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut packer, &bytes).expect("memory");
    let packed = packer.finish().expect("memory");
    let told = import_text(&place, &packed[..packed.len() / 2]).await;
    assert!(told.contains("unpack "), "{told}");
    let path = place.harness.daemon.path("good.tar.gz");
    std::fs::write(&path, packed).expect("a file");
    let names = import_images(config, &path, None).await.expect("a good file");
    assert_eq!(names, ["docker.io/library/other:1"]);
    let told = import_text(&place, b"\x28\xb5\x2f\xfd and more").await;
    assert!(told.contains("zstd -d"), "{told}");
}

/// What is said of a bad file.
async fn import_text(place: &Place, bytes: &[u8]) -> String {
    let path = place.harness.daemon.path("bad.tar");
    std::fs::write(&path, bytes).expect("a file");
    let imported = import_images(&place.harness.config, &path, None).await;
    imported.expect_err("a bad file").to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_finds_nothing_where_all_is_there_and_names_what_is_not() {
    let Some(place) = Place::open().await else { return };
    let mut config = place.harness.config.clone();
    assert_eq!(doctor(&config).await, []);
    config.socket = Path::new("/nowhere/s").to_owned();
    config.plugin_dirs = vec!["/nowhere".into()];
    let told = doctor(&config).await;
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].what.contains("/nowhere/s") && told[0].mend.contains("containerd"), "{told:?}");
    assert!(told[1].mend.contains("containernetworking-plugins"), "{told:?}");
}
