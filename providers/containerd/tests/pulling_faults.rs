//! What goes wrong between a registry and containerd: each fault is said in words for users or got over, and
//! leaves nothing behind that stands in the way of the next pull.

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/images.rs"]
mod images;
#[path = "support/puller.rs"]
mod puller;
#[path = "support/registry.rs"]
mod registry;
#[path = "support/scripted.rs"]
mod scripted;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use puller::Puller;
use registry::{Image, free_port, here};
use rustix::mount::{MountFlags, mount};
use scripted::{Answer, Asked, Scripted};
use tidegate_provider_containerd::PullEvent;

const MIB: usize = 1 << 20;

/// A puller, or the end of the test where it cannot be had.
macro_rules! puller {
    () => {
        match Puller::new() {
            Some(puller) => puller,
            None => return,
        }
    };
}

fn says(status: u16, body: impl Into<Vec<u8>>) -> Option<Answer> {
    Some(Answer::Says(status, String::new(), body.into()))
}

/// An image with one large layer of bytes that differ from place to place.
fn large() -> Image {
    let bytes: Vec<u8> = (0..3 * MIB as u32).map(|it| (it / 251) as u8 ^ it as u8).collect();
    Image::new(here(), &[&bytes])
}

#[tokio::test]
async fn a_layer_that_breaks_off_is_gone_on_with_where_it_ended() {
    let puller = puller!();
    let image = large();
    let layer = image.layer(0);
    let broken = layer.clone();
    // More often than there are tries: what brings something does not count.
    let registry = Scripted::serve(image, move |asked| {
        (asked.is_blob(&broken) && asked.before < 6).then_some(Answer::Breaks(400_000))
    });

    puller.pull(&format!("{}/app:1", registry.host())).await.expect("it comes in the end");

    let from = registry.blob_asked_from(&layer);
    assert_eq!(from[0], 0);
    assert!(from.windows(2).all(|two| two[0] < two[1]), "each goes on behind the last: {from:?}");
    assert_eq!(from.len(), 7, "{from:?}");
    assert_eq!((puller.pauses(), puller.leases()), (6, 0));
}

#[tokio::test]
async fn a_registry_that_knows_no_parts_starts_at_the_beginning() {
    let puller = puller!();
    let image = large();
    let (layer, whole) = (image.layer(0), image.blobs[&image.layer(0)].clone());
    let broken = layer.clone();
    let registry = Scripted::serve(image, move |asked| match asked {
        _ if !asked.is_blob(&broken) => None,
        Asked { from: None, .. } => Some(Answer::Breaks(MIB)),
        _ => says(200, whole.clone()),
    });

    puller.pull(&format!("{}/app:1", registry.host())).await.expect("what is here is skipped");

    assert_eq!(registry.blob_asked_from(&layer).len(), 2);
}

#[tokio::test]
async fn a_registry_that_goes_down_midway_is_named_and_the_next_pull_goes_on() {
    let puller = puller!();
    let image = large();
    let (layer, down) = (image.layer(0), Arc::new(AtomicBool::new(false)));
    let (broken, is_down) = (layer.clone(), down.clone());
    let registry = Scripted::serve(image, move |asked| {
        if is_down.load(Ordering::SeqCst) {
            return Some(Answer::Nothing);
        }
        if !asked.is_blob(&broken) || asked.from.is_some() {
            return None;
        }
        is_down.store(true, Ordering::SeqCst);
        Some(Answer::Breaks(2 * MIB))
    });
    let name = format!("{}/app:1", registry.host());

    let said = puller.refusal(&name).await;
    assert!(
        said.contains(&format!("registry {} cannot be used now, tried 4 times", registry.host())),
        "{said}"
    );
    assert!(puller.images().is_empty());
    assert_eq!(puller.leases(), 1, "it keeps what has come for an hour");

    down.store(false, Ordering::SeqCst);
    puller.pull(&name).await.expect("it is up again");
    let from = registry.blob_asked_from(&layer);
    assert!(from.last() >= Some(&MIB), "what has come before is kept: {from:?}");
}

#[tokio::test]
async fn a_pull_that_nobody_waits_for_any_more_is_gone_on_with_by_the_next() {
    let puller = puller!();
    let image = large();
    let layer = image.layer(0);
    let silent = layer.clone();
    let registry = Scripted::serve(image, move |asked| {
        (asked.is_blob(&silent) && asked.before == 0).then_some(Answer::Stalls(2 * MIB + 5))
    });
    let name = format!("{}/app:1", registry.host());
    let has_come = async {
        let come = |event: &PullEvent| matches!(event, PullEvent::Layer { here, bytes, .. } if *here >= MIB as u64 && here < bytes);
        while !puller.events.lock().expect("no panics").iter().any(come) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };

    tokio::select! {
        _ = puller.pull(&name) => panic!("half of a layer is missing"),
        () = has_come => {}
    }
    puller.pull(&name).await.expect("the registry speaks again");

    let from = registry.blob_asked_from(&layer);
    assert!(from.len() == 2 && from[1] >= MIB, "{from:?}");
}

#[tokio::test]
async fn a_registry_that_is_not_there_is_said_after_some_tries() {
    let puller = puller!();
    let said = puller.refusal(&format!("127.0.0.1:{}/app:1", free_port())).await;
    assert!(said.contains("tried 4 times") && said.contains("Connection refused"), "{said}");
    assert_eq!((puller.pauses(), puller.leases()), (3, 0));
}

#[tokio::test]
async fn a_registry_that_falls_silent_is_asked_again() {
    let mut puller = puller!();
    puller.config.registries.silence = Duration::from_secs(2);
    let image = large();
    let layer = image.layer(0);
    let silent = layer.clone();
    let registry = Scripted::serve(image, move |asked| {
        (asked.before == 0 && (asked.is_blob(&silent) || asked.is_manifest()))
            .then_some(Answer::Stalls(10))
    });

    puller.pull(&format!("{}/app:1", registry.host())).await.expect("it speaks again");

    assert_eq!(registry.blob_asked_from(&layer)[..2], [0, 10]);
}

#[tokio::test]
async fn a_manifest_that_is_cut_or_none_is_said() {
    let puller = puller!();
    let image = large();
    let half = image.top[..image.top.len() / 2].to_vec();
    for (path, answer, expected) in [
        ("cut", Answer::Breaks(20), "cannot be used now, tried 4 times"),
        ("half", Answer::Says(200, String::new(), half), "sends a damaged manifest: EOF"),
        ("page", Answer::Says(200, String::new(), b"<html>".to_vec()), "sends a damaged manifest"),
        (
            "none",
            Answer::Says(200, String::new(), b"{}".to_vec()),
            "is neither an image's manifest nor",
        ),
        ("huge", Answer::Says(200, String::new(), vec![b' '; 5 * MIB]), "too many for one"),
    ] {
        let registry = Scripted::serve(image.clone(), move |asked| {
            asked.is_manifest().then(|| answer.clone())
        });
        let said = puller.refusal(&format!("{}/{path}:1", registry.host())).await;
        assert!(said.contains(expected), "{path}: {said}");
    }
    assert!(puller.images().is_empty());
}

#[tokio::test]
async fn bytes_with_another_digest_are_refused_and_not_kept() {
    let puller = puller!();
    let image = large();
    let layer = image.layer(0);
    let mut wrong = image.blobs[&layer].clone();
    wrong[MIB] ^= 1;
    let (broken, healed) = (layer.clone(), Arc::new(AtomicBool::new(false)));
    let is_healed = healed.clone();
    let registry = Scripted::serve(image, move |asked| {
        if is_healed.load(Ordering::SeqCst) || !asked.is_blob(&broken) {
            return None;
        }
        says(200, wrong.clone())
    });
    let name = format!("{}/app:1", registry.host());

    let said = puller.refusal(&name).await;
    assert!(said.contains(&format!("sends a damaged layer {layer}")), "{said}");
    assert_eq!(registry.blob_asked_from(&layer), [0; 4], "each try begins anew");
    assert!(!puller.blobs().contains(&layer) && puller.images().is_empty());

    healed.store(true, Ordering::SeqCst);
    puller.pull(&name).await.expect("the right bytes");
}

#[tokio::test]
async fn bad_bytes_and_broken_connections_by_turns_come_to_an_end() {
    let puller = puller!();
    let image = large();
    let layer = image.layer(0);
    let (broken, wrong) = (layer.clone(), vec![0; image.blobs[&layer].len()]);
    let registry = Scripted::serve(image, move |asked| match asked {
        _ if !asked.is_blob(&broken) => None,
        Asked { from: None, .. } => Some(Answer::Breaks(MIB)),
        _ => says(200, wrong.clone()),
    });

    let name = format!("{}/app:1", registry.host());
    let pulling = puller.refusal(&name);
    let said = tokio::time::timeout(Duration::from_secs(60), pulling).await.expect("it ends");

    assert!(said.contains(&format!("layer {layer}")), "{said}");
    assert!(registry.blob_asked_from(&layer).len() <= 6, "{:?}", registry.blob_asked_from(&layer));
}

#[tokio::test]
async fn a_manifest_with_another_digest_is_refused() {
    let puller = puller!();
    let (image, other) = (large(), Image::new(here(), &[b"other"]));
    let by_digest = image.digest();
    let registry = Scripted::serve(other, |_| None);
    let said = puller.refusal(&format!("{}/app@{by_digest}", registry.host())).await;
    assert!(
        said.contains("damaged manifest: its digest is") && said.contains(&by_digest),
        "{said}"
    );
}

#[tokio::test]
async fn manifests_that_ask_for_too_much_are_refused() {
    let puller = puller!();
    let image = Image::new(here(), &[b"one"]);
    let text = String::from_utf8(image.top.clone()).expect("JSON");
    let mut many: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    many["layers"] = vec![many["layers"][0].clone(); 129].into();
    let climbing = text.replace(&image.layer(0), "sha256:../../../v2/other/blobs/x");
    let chart = text.replace("vnd.oci.image.config.v1", "vnd.cncf.helm.config.v1");
    let large = text.replace("\"size\":", "\"size\": 99999999");
    for (top, expected) in [
        (many.to_string(), "has 129 layers, more than the 128"),
        (climbing, "is not a digest"),
        (chart, "is not the image of a container"),
        (large, "the configuration of image"),
    ] {
        let strange = Image { top: top.into_bytes(), ..image.clone() };
        let registry = Scripted::serve(strange, |_| None);
        let said = puller.refusal(&format!("{}/app:1", registry.host())).await;
        assert!(said.contains(expected), "{said}");
    }
    assert_eq!(puller.leases(), 0);
}

#[tokio::test]
async fn what_a_registry_complains_of_is_passed_on() {
    let puller = puller!();
    let denied = r#"{"errors":[{"code":"DENIED","message":"only for members"}]}"#;
    let busy = r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"come back at noon"}]}"#;
    for (status, body, expected, pauses) in [
        (403, denied, "without a login", 0),
        (403, denied, "(only for members)", 0),
        (429, busy, "it answers 429 (come back at noon)", 3),
        (503, "<html>", "tried 4 times: it answers 503", 3),
        (404, "", "there is no image", 0),
    ] {
        let registry =
            Scripted::serve(
                large(),
                move |asked| {
                    if asked.is_manifest() { says(status, body) } else { None }
                },
            );
        let before = puller.pauses();
        let said = puller.refusal(&format!("{}/app:1", registry.host())).await;
        assert!(said.contains(expected), "{status}: {said}");
        assert_eq!(puller.pauses() - before, pauses, "{status}");
    }
}

#[tokio::test]
async fn a_token_that_runs_out_midway_is_renewed() {
    let puller = puller!();
    let image = large();
    let layer = image.layer(0);
    let spent = layer.clone();
    let place = Arc::new(std::sync::OnceLock::<String>::new());
    let realm = place.clone();
    let registry = Scripted::serve(image, move |asked| {
        let first = "Bearer first";
        match asked.login.as_deref() {
            _ if asked.path.starts_with("/token") => {
                let token = if asked.before == 0 { "first" } else { "second" };
                says(200, format!(r#"{{"token": "{token}"}}"#))
            }
            Some(login) if login != first || !asked.is_blob(&spent) => None,
            _ => {
                let host = realm.get().expect("set before anything is asked");
                let header = format!(
                    "www-authenticate: Bearer realm=\"http://{host}/token\",service=\"it\""
                );
                Some(Answer::Says(401, header, Vec::new()))
            }
        }
    });
    place.set(registry.host()).expect("once");

    puller.pull(&format!("{}/team/app:1", registry.host())).await.expect("a second token is given");

    let asked = registry.asked();
    let tokens: Vec<_> = asked.iter().filter(|it| it.path.starts_with("/token")).collect();
    assert_eq!(tokens.len(), 2, "{asked:?}");
    assert!(tokens[0].path.contains("scope=repository%3Ateam%2Fapp%3Apull"), "{}", tokens[0].path);
}

#[tokio::test]
async fn an_identity_token_is_exchanged_for_one_that_opens_the_repository() {
    let mut puller = puller!();
    let image = large();
    let place = Arc::new(std::sync::OnceLock::<String>::new());
    let host = place.clone();
    let registry = Scripted::serve(image, move |asked| {
        if asked.path.starts_with("/token") {
            let good = asked.method == "POST" && asked.body.contains("refresh_token=long%2Bsecret");
            return match good {
                true => says(200, r#"{"access_token": "short", "expires_in": 300}"#),
                false => says(400, r#"{"error": "invalid_grant"}"#),
            };
        }
        let host = host.get().expect("set before anything is asked");
        let header =
            format!("www-authenticate: Bearer realm=\"http://{host}/token\",service=\"it\"");
        let open = asked.login.as_deref() == Some("Bearer short");
        (!open).then_some(Answer::Says(401, header, Vec::new()))
    });
    place.set(registry.host()).expect("once");
    let name = format!("{}/team/app:1", registry.host());

    puller.log_in_by_token(&registry.host(), "spent");
    let said = puller.refusal(&name).await;
    assert!(said.contains("identity token is not good any more"), "{said}");
    assert!(!said.contains("spent"), "{said}");

    puller.log_in_by_token(&registry.host(), "long+secret");
    puller.pull(&name).await.expect("its token is good");
    let asked = registry.asked();
    let exchange = asked.iter().rfind(|it| it.path.starts_with("/token")).expect("one");
    for field in ["grant_type=refresh_token", "scope=repository%3Ateam%2Fapp%3Apull", "service=it"]
    {
        assert!(exchange.body.contains(field), "{field}: {}", exchange.body);
    }
}

#[tokio::test]
async fn two_pulls_at_once_fetch_each_layer_once() {
    let puller = puller!();
    let image = large();
    let layer = image.layer(0);
    let registry = Scripted::serve(image, |_| None);
    let names = ["a", "b"].map(|it| format!("{}/{it}:1", registry.host()));

    let (one, two) = tokio::join!(puller.pull(&names[0]), puller.pull(&names[1]));

    one.and(two).expect("both are there");
    assert_eq!(registry.blob_asked_from(&layer), [0]);
    assert_eq!(puller.images(), names);
}

#[tokio::test]
async fn a_proxy_is_asked_for_hosts_behind_it() {
    let mut puller = puller!();
    let registry = Scripted::serve(large(), |_| None);
    puller.config.registries.plain.push("registry.invalid:5000".to_owned());
    puller.config.registries.proxies.http = Some(format!("http://{}", registry.host()));

    puller.pull("registry.invalid:5000/app:1").await.expect("the proxy knows the way");

    let asked = registry.asked();
    assert!(
        asked.iter().all(|it| it.path.starts_with("http://registry.invalid:5000/v2/")),
        "{asked:?}"
    );
}

#[tokio::test]
async fn mirrors_are_told_for_whom_they_stand() {
    let mut puller = puller!();
    let registry = Scripted::serve(large(), |_| None);
    puller.config.registries.mirrors.insert("docker.io".to_owned(), vec![registry.host()]);

    puller.pull("team/app:1").await.expect("the mirror has it");

    let asked = registry.asked();
    let parts = asked.iter().filter(|it| !it.path.ends_with("/v2/"));
    assert!(
        parts.clone().count() >= 3 && parts.clone().all(|it| it.path.ends_with("?ns=docker.io")),
        "{asked:?}"
    );
}

#[tokio::test]
async fn a_full_disk_is_said_and_what_came_is_given_back() {
    let mut puller = puller!();
    let content = puller.daemon.path("root/io.containerd.content.v1.content");
    puller.daemon.kill();
    // containerd 2 makes it when something comes.
    std::fs::create_dir_all(&content).expect("root may");
    mount("tmpfs", &content, "tmpfs", MountFlags::empty(), Some(c"size=2m"))
        .expect("root may mount");
    puller.daemon.launch();
    let registry = Scripted::serve(large(), |_| None);

    let said = puller.refusal(&format!("{}/app:1", registry.host())).await;

    assert!(said.starts_with("the disk of containerd is full"), "{said}");
    assert_eq!((puller.leases(), puller.pauses()), (0, 0));
    let used = || {
        let room = rustix::fs::statvfs(&content).expect("it is mounted");
        room.f_blocks - room.f_bfree
    };
    assert!(
        daemon::within(Duration::from_secs(60), || used() < 100),
        "{} blocks are in use",
        used()
    );
    let small = Scripted::serve(Image::new(here(), &[b"small"]), |_| None);
    puller.pull(&format!("{}/small:1", small.host())).await.expect("there is room again");
}
