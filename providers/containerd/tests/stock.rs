//! Images that nobody uses go, by hand and after a while; what is used, and what somebody else brought, stays.

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
use place::Place;
use tidegate_provider::Provider;
use tidegate_provider_containerd::{import_images, list_images, prune_images};

const NOW: Duration = Duration::ZERO;

/// Brings in an image of its own bytes under this name; by containerd's own client when by somebody else.
async fn bring(place: &Place, name: &str, by_us: bool) -> String {
    let config = serde_json::json!({
        "Entrypoint": ["/entry"], "Env": ["PATH=/bin"], "WorkingDir": "/home/app", "User": "app",
    });
    let file = place.harness.daemon.path("image.tar");
    let name = format!("docker.io/library/{name}");
    images::write_as(&file, &name, &config, &[("bin/own", name.clone().into_bytes())]);
    if by_us {
        import_images(&place.harness.config, &file, None).await.expect("a good file");
    } else {
        let file = file.display().to_string();
        place.ctr("openfaas-fn", &["images", "import", "--no-unpack", &file]);
    }
    name
}

fn there(place: &Place) -> Vec<String> {
    let names = place.ctr("openfaas-fn", &["images", "list", "-q"]);
    names.lines().map(str::to_owned).collect()
}

async fn until(what: &str, mut fits: impl FnMut() -> bool) {
    let waiting = async {
        while !fits() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting).await.expect(what);
}

#[tokio::test(flavor = "multi_thread")]
async fn images_are_listed_with_their_users_and_unused_ones_go_by_hand() {
    let Some(mut place) = Place::open().await else { return };
    let config = place.harness.config.clone();
    let old = bring(&place, "app:1", true).await;
    let new = bring(&place, "app:2", true).await;
    let spare = bring(&place, "spare:1", true).await;
    let others = bring(&place, "others:1", false).await;
    let mut deployment = function("used", "serve shell");
    deployment.image = "app:1".to_owned();
    let name = place.deployed(deployment.clone(), 1).await;

    let listed = list_images(&config).await.expect("containerd is there");
    let find = |name: &str| {
        let found = listed.iter().find(|it| it.name == name);
        found.unwrap_or_else(|| panic!("{name} in {listed:#?}"))
    };
    let (used, unused) = (find(&old), find(&spare));
    assert_eq!(used.used_by, ["used.openfaas-fn"]);
    assert!(used.size.is_some_and(|bytes| bytes > 500_000), "{used:?}");
    assert!(used.digest.starts_with("sha256:") && used.ours);
    assert!(unused.used_by.is_empty() && unused.ours);
    assert!(!find(&others).ours);

    // What came just now may be about to be used.
    let gone = prune_images(&config, Duration::from_secs(3600), false).await.expect("it is there");
    assert_eq!(gone, []);
    let tried = prune_images(&config, NOW, true).await.expect("containerd is there");
    let gone = prune_images(&config, NOW, false).await.expect("containerd is there");
    assert_eq!(gone, tried);
    let mut names: Vec<&str> = gone.iter().map(|it| it.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, [&*new, images::FUNCTION, &*spare]);
    let left = there(&place);
    assert!(left.contains(&old) && left.contains(&others) && !left.contains(&spare), "{left:?}");
    // Its bytes went with it.
    let blobs = place.ctr("openfaas-fn", &["content", "list", "-q"]);
    assert!(!blobs.contains(&unused.digest) && blobs.contains(&used.digest));

    // The revision before the current one is used as long as that does not serve.
    bring(&place, "app:2", true).await;
    deployment.image = "app:2".to_owned();
    deployment.process = "exit 3".to_owned();
    place.provider().update(deployment.clone()).await.expect("a good function");
    place.detail(&name, "exited with code 3").await;
    assert_eq!(prune_images(&config, NOW, false).await.expect("containerd is there"), []);
    place.crash_and_reopen().await;
    assert_eq!(place.text(&name, "cat /bin/own").await, old);
    deployment.process = "serve shell".to_owned();
    place.provider().update(deployment).await.expect("a good function");
    place.until(&name, |it| it.ready().get() == 1 && it.replicas.len() == 1).await;
    // What was one revision back is kept no more once that is recorded.
    let mut pruned = Vec::new();
    let waiting = async {
        while !pruned.contains(&old) {
            let gone = prune_images(&config, NOW, false).await.expect("containerd is there");
            pruned.extend(gone.into_iter().map(|it| it.name));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting).await.expect("the old one goes");
    place.scale(&name, 2).await;
    place.ready(&name, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn images_that_are_unused_for_long_go_by_themselves() {
    let Some(mut place) = Place::open().await else { return };
    let used = bring(&place, "app:1", true).await;
    let spare = bring(&place, "spare:1", true).await;
    let others = bring(&place, "others:1", false).await;
    let mut deployment = function("used", "serve shell");
    deployment.image = "app:1".to_owned();
    let name = place.deployed(deployment, 1).await;
    place.freeze(&name).await;
    place.harness.config.image_retention = Duration::from_millis(300);
    place.crash_and_reopen().await;

    until("the spare one goes", || !there(&place).contains(&spare)).await;
    let left = there(&place);
    assert!(left.contains(&used) && left.contains(&others), "{left:?}");
    // Also without a replica it is of use.
    let to = tidegate_provider::ScaleTo::replicas(0);
    place.provider().scale(&name, to).await.expect("a deployed function");
    place.until(&name, |it| it.replicas.is_empty()).await;
    place.scale(&name, 1).await;
    assert_eq!(place.text(&name, "cat /bin/own").await, used);
    assert!(there(&place).contains(&used));

    place.provider().delete(&name).await.expect("a deployed function");
    until("what it used goes", || there(&place) == [others.clone()]).await;
}
