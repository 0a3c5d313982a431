//! Images pulled from a real registry into a real containerd.

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/harness.rs"]
mod harness;
#[path = "support/images.rs"]
mod images;
#[path = "support/puller.rs"]
mod puller;
#[path = "support/registry.rs"]
mod registry;

use std::fs;

use harness::{ContainerdHarness, function};
use puller::Puller;
use registry::{Image, LOGIN, Registry, here};
use tidegate_core::Replicas;
use tidegate_core::annotations::PULL_POLICY;
use tidegate_provider::{Provider, ProviderError};
use tidegate_provider_containerd::{PullEvent, PullPolicy};

/// A puller and a registry, or the end of the test where they cannot be had.
macro_rules! or_skip {
    ($wanted:expr) => {
        match $wanted {
            Some(wanted) => wanted,
            None => return,
        }
    };
}

#[tokio::test]
async fn an_image_is_pulled_whole_and_only_once() {
    let (puller, registry) = (or_skip!(Puller::new()), or_skip!(Registry::start()));
    let image = Image::new(here(), &[b"one", &[7; 3 << 20], b"three", b"one"]);
    let name = registry.push("team/app:1", &image).await;

    let pulled = puller.pull(&name).await.expect("it is there");

    assert_eq!((&pulled.name, &pulled.digest, pulled.new), (&name, &image.digest(), true));
    assert_eq!(puller.images(), std::slice::from_ref(&name));
    let check = puller.ctr(&["images", "check"]);
    assert!(check.contains("complete (5/5)") && check.contains("true"), "{check}");
    let kept = puller.ctr(&["content", "get", &image.digest()]);
    assert_eq!(kept.into_bytes(), image.top, "the exact bytes");
    assert_eq!(puller.leases(), 0);
    let again = puller.pull(&name).await.expect("it is here");
    assert!(!again.new);
    // What names it keeps it, and nothing else.
    puller.ctr(&["images", "rm", "--sync", &name]);
    assert_eq!(puller.blobs(), Vec::<String>::new());
    assert_eq!(puller.ctr(&["snapshots", "ls"]).lines().count(), 1, "only the heading");
}

#[tokio::test]
async fn progress_counts_the_bytes_of_each_layer() {
    let (puller, registry) = (or_skip!(Puller::new()), or_skip!(Registry::start()));
    let image = Image::new(here(), &[&[1; 2 << 20], b"small"]);
    let name = registry.push("app:1", &image).await;

    puller.pull(&name).await.expect("it is there");

    let events = puller.events.lock().expect("no panics").clone();
    assert_eq!(events[0], PullEvent::Asking { image: name.clone(), host: registry.host() });
    let bytes: usize =
        [image.layer(0), image.layer(1)].iter().map(|it| image.blobs[it].len()).sum();
    let found = PullEvent::Found { digest: image.digest(), layers: 2, bytes: bytes as u64 };
    assert!(events.contains(&found), "{events:?}");
    let mut here = Vec::new();
    for event in &events {
        if let PullEvent::Layer { digest, here: now, .. } = event
            && *digest == image.layer(0)
        {
            here.push(*now);
        }
    }
    assert!(here.is_sorted() && here.len() > 2, "{here:?}");
    assert_eq!(here.last(), Some(&(image.blobs[&image.layer(0)].len() as u64)));
    assert_eq!(events.last(), Some(&PullEvent::Unpacking { image: name }));
}

#[tokio::test]
async fn of_an_index_only_what_runs_here_is_fetched() {
    let (puller, registry) = (or_skip!(Puller::new()), or_skip!(Registry::start()));
    let (ours, other) = (Image::new(here(), &[b"ours"]), Image::new("s390x", &[b"theirs"]));
    let note = Image::new("unknown", &[b"where this comes from"]);
    let whole = [
        ("linux/s390x", &other),
        ("unknown/unknown", &note),
        (&*format!("linux/{}", here()), &ours),
    ];
    let index = Image::index(&whole);
    let name = registry.push("team/app:many", &index).await;
    let by_digest = format!("{}/team/app@{}", registry.host(), index.digest());

    let pulled = puller.pull(&name).await.expect("one is for us");
    puller.pull(&by_digest).await.expect("the same by its digest");

    assert_eq!(pulled.digest, index.digest());
    assert_eq!(puller.images(), [name, by_digest]);
    let blobs = puller.blobs();
    assert!(blobs.contains(&index.digest()) && blobs.contains(&ours.layer(0)), "{blobs:?}");
    assert_eq!(blobs.len(), 4, "index, manifest, configuration and layer: {blobs:?}");
}

#[tokio::test]
async fn an_image_for_other_machines_is_refused_before_its_layers_come() {
    let (puller, registry) = (or_skip!(Puller::new()), or_skip!(Registry::start()));
    let (big, arm) = (Image::new("s390x", &[b"big"]), Image::new("riscv64", &[b"risc"]));
    let note = Image::new("unknown", &[b"note"]);
    let index = [("linux/s390x", &big), ("linux/riscv64", &arm), ("unknown/unknown", &note)];
    let many = registry.push("app:many", &Image::index(&index)).await;
    let one = registry.push("app:one", &big).await;

    let said = puller.refusal(&many).await;
    assert!(said.contains("only for linux/s390x, linux/riscv64"), "{said}");
    assert!(!said.contains("unknown"), "{said}");
    let said = puller.refusal(&one).await;
    assert!(said.contains(&format!("not for this machine (linux/{})", here())), "{said}");
    assert!(said.contains("only for linux/s390x"), "{said}");
    assert!(puller.images().is_empty());
    assert_eq!(puller.leases(), 0);
    assert!(!puller.blobs().contains(&big.layer(0)));
}

#[tokio::test]
async fn what_is_not_there_is_named() {
    let (puller, registry) = (or_skip!(Puller::new()), or_skip!(Registry::start()));
    let (host, image) = (registry.host(), Image::new(here(), &[b"one"]));
    registry.push("app:1", &image).await;
    let absent = format!("{host}/app@{}", images::digest(b"nothing"));
    for name in [format!("{host}/app:2"), format!("{host}/other:1"), absent] {
        let said = puller.refusal(&name).await;
        assert!(
            said.starts_with(&format!("there is no image {name} at registry {host}")),
            "{said}"
        );
    }
    assert_eq!(puller.pauses(), 0, "nothing to wait for");
}

#[tokio::test]
async fn a_login_opens_a_private_registry() {
    let (mut puller, registry) = (or_skip!(Puller::new()), or_skip!(Registry::start_with_login()));
    let image = Image::new(here(), &[b"private"]);
    let name = registry.push("team/secret:1", &image).await;
    let file = puller.daemon.path("config.json");

    let said = puller.refusal(&name).await;
    assert!(said.contains("does not give") && said.contains("without a login"), "{said}");

    puller.config.registries.logins.push(file.clone());
    let host = registry.host();
    let write = |password: &str| {
        let login = format!(r#"{{"username": "{}", "password": "{password}"}}"#, LOGIN.0);
        fs::write(&file, format!(r#"{{"auths": {{"http://{host}/v2/": {login}}}}}"#))
            .expect("a file");
    };
    write("wrong");
    let said = puller.refusal(&name).await;
    assert!(said.contains(&format!("to {} (from {})", LOGIN.0, file.display())), "{said}");
    assert!(!said.contains("wrong"), "passwords are not told: {said}");

    write(LOGIN.1);
    puller.pull(&name).await.expect("the right password");
}

#[tokio::test]
async fn a_mirror_is_asked_first_and_passed_over_when_it_is_away() {
    let mut puller = or_skip!(Puller::new());
    let (registry, mut mirror) = (or_skip!(Registry::start()), or_skip!(Registry::start()));
    let image = Image::new(here(), &[b"mirrored"]);
    mirror.push("library/app:1", &image).await;
    let mirrors = &mut puller.config.registries.mirrors;
    mirrors.insert("docker.io".to_owned(), vec![mirror.host()]);
    mirrors.insert(registry.host(), vec![mirror.host()]);

    let pulled = puller.pull("app:1").await.expect("the mirror has it");
    assert_eq!(pulled.name, "docker.io/library/app:1", "the name stays");

    let origin = registry.push("other:1", &image).await;
    puller.pull(&origin).await.expect("the mirror does not have it, the registry does");
    mirror.kill();
    registry.push("other:1", &Image::new(here(), &[b"newer"])).await;
    assert!(puller.pull(&origin).await.expect("the mirror is away").new);
}

#[tokio::test]
async fn certificates_of_ones_own_authority_are_trusted_when_named() {
    let mut puller = or_skip!(Puller::new());
    let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]);
    let certified = certified.expect("a certificate");
    let (certificate, key) = (certified.cert.pem(), certified.signing_key.serialize_pem());
    let registry = or_skip!(Registry::start_with_tls(certificate.clone(), key));
    let name = registry.push("app:1", &Image::new(here(), &[b"sealed"])).await;

    puller.config.registries.encrypted.push(registry.host());
    let said = puller.refusal(&name).await;
    assert!(said.contains("cannot be used now") && said.contains("certificate"), "{said}");
    let file = puller.daemon.path("authority.pem");
    fs::write(&file, certificate).expect("a file");
    puller.config.registries.authorities.push(file);
    puller.pull(&name).await.expect("the authority is known");
}

/// A function of an image, of this policy.
fn deployment(name: &str, image: &str, policy: &str) -> tidegate_provider::Deployment {
    let mut deployment = function(name, "serve");
    deployment.image = image.to_owned();
    deployment.annotations = [(PULL_POLICY.to_owned(), policy.to_owned())].into_iter().collect();
    deployment
}

#[tokio::test]
async fn functions_are_deployed_from_a_registry_as_their_policy_says() {
    let mut harness = or_skip!(ContainerdHarness::new());
    let mut registry = or_skip!(Registry::start());
    harness.config.registries.policy = PullPolicy::IfNotPresent;
    harness.config.registries.pause = std::time::Duration::from_millis(5);
    let provider = harness.open_provider().await;
    let image = Image::read(&harness.daemon.path("function.tar"));
    let name = registry.push("team/fn:1", &image).await;

    let never = provider.deploy(deployment("never", &name, "Never"), Replicas::ZERO).await;
    let said = never.expect_err("it is not here").to_string();
    assert!(said.contains("its pull policy is Never"), "{said}");
    let odd = provider.deploy(deployment("odd", &name, "Sometimes"), Replicas::ZERO).await;
    let said = odd.expect_err("no such policy").to_string();
    assert!(said.contains(PULL_POLICY) && said.contains("\"Sometimes\""), "{said}");
    assert!(said.contains("Always, IfNotPresent or Never"), "{said}");

    let mut first = deployment("first", &name, "");
    first.annotations = [].into();
    let id = first.function.clone();
    provider.deploy(first, Replicas::new(1)).await.expect("the registry has it");
    ready(&*provider, &id).await;

    registry.kill();
    provider
        .deploy(deployment("kept", &name, "IfNotPresent"), Replicas::ZERO)
        .await
        .expect("it is here");
    let away = provider.deploy(deployment("fresh", &name, "Always"), Replicas::ZERO).await;
    let failure = away.expect_err("nobody can say whether it is fresh");
    assert!(matches!(failure, ProviderError::Failed { .. }), "not the user's fault: {failure:?}");
    registry.go_on();
    provider
        .deploy(deployment("fresh", &name, "Always"), Replicas::ZERO)
        .await
        .expect("it is the same still");
}

async fn ready(provider: &dyn Provider, function: &tidegate_core::FunctionId) {
    let waiting = async {
        loop {
            let status = provider.get(function).await.expect("it is deployed");
            if status.ready() == Replicas::new(1) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(90), waiting).await.expect("it starts");
}
