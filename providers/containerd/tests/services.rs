//! Services: neighbours of functions that are reached by name, go on without us, change one by one, and leave
//! nothing behind.

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/harness.rs"]
mod harness;
#[path = "support/images.rs"]
mod images;
#[path = "support/place.rs"]
mod place;

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use harness::function;
use place::Place;
use serde_json::json;
use tidegate_core::Service;
use tidegate_core::service::{Condition, Health, Port, Restart, Source, Volume};
use tidegate_provider::{Namespace, Provider};
use tidegate_provider_containerd::{
    Asked, Config, OpenError, ServiceState, ServiceStatus, Services, ask_services, import_images,
    look_at_services,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::time::{sleep, timeout};

/// Longest that anything may take.
const PATIENCE: Duration = Duration::from_secs(90);
const IMAGE: &str = "docker.io/library/service:test";

/// Functions and services on one containerd. Services have a runtime of their own: ending that at once is what
/// `kill -9` looks like from outside.
struct Stack {
    place: Place,
    config: Config,
    runtime: Option<Runtime>,
    services: Option<Arc<Services>>,
}

impl Stack {
    async fn open() -> Option<Self> {
        let place = Place::open().await?;
        let file = place.harness.daemon.path("service.tar");
        images::write_as(&file, IMAGE, &json!({"Env": ["PATH=/bin", "FROM_IMAGE=yes"]}), &[]);
        import_images(&place.harness.config, &file, None).await.expect("a good image");
        let mut config = place.harness.config.clone();
        config.settings.state_dir = place.harness.daemon.path("services");
        let mut stack = Self { place, config, runtime: None, services: None };
        stack.reopen().await;
        Some(stack)
    }

    /// As `kill -9`.
    fn crash(&mut self) {
        self.services = None;
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    async fn reopen(&mut self) {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let opening = async {
            loop {
                let opened = runtime.spawn(Services::open(self.config.clone())).await;
                match opened.expect("no panic") {
                    // What was under way at the crash still holds the directory.
                    Err(OpenError::InUse { .. }) => sleep(Duration::from_millis(5)).await,
                    opened => return opened.unwrap_or_else(|failure| panic!("{failure:?}")),
                }
            }
        };
        let services = timeout(PATIENCE, opening).await.expect("what was left ends soon");
        (self.runtime, self.services) = (Some(runtime), Some(services));
    }

    fn services(&self) -> Arc<Services> {
        self.services.clone().expect("it is open")
    }

    async fn try_up(&self, wanted: &[Service]) -> Result<(), String> {
        let (services, wanted) = (self.services(), wanted.to_vec());
        let runtime = self.runtime.as_ref().expect("it is open");
        let up = runtime.spawn(async move { services.up(wanted).await });
        up.await.expect("no panic").map_err(|failure| failure.to_string())
    }

    async fn up(&self, wanted: &[Service]) {
        self.try_up(wanted).await.expect("good services");
    }

    async fn until(&self, name: &str, fits: impl Fn(&ServiceStatus) -> bool) -> ServiceStatus {
        let waiting = async {
            loop {
                let all = self.services().list();
                if let Some(status) = all.into_iter().find(|it| it.name == name && fits(it)) {
                    return status;
                }
                sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = timeout(PATIENCE, waiting).await;
        waited.unwrap_or_else(|_| panic!("{name} not in time: {:#?}", self.services().list()))
    }

    async fn running(&self, name: &str) -> ServiceStatus {
        self.until(name, |status| status.state == ServiceState::Running).await
    }

    /// Waits until a service wrote this line.
    async fn said(&self, name: &str, text: &str) {
        let path = self.config.settings.state_dir.join(format!("logs/{name}.log"));
        let waiting = async {
            while !fs::read_to_string(&path).unwrap_or_default().contains(text) {
                sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = timeout(PATIENCE, waiting).await;
        waited.unwrap_or_else(|_| {
            panic!("{name} did not say {text}: {:?}", fs::read_to_string(&path))
        });
    }

    /// The process of each container of services.
    fn pids(&self) -> BTreeMap<String, String> {
        let listed = self.place.ctr("openfaas", &["tasks", "list"]);
        let words = listed.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
        words.map(|it| (it[0].to_owned(), it[1].to_owned())).collect()
    }

    fn names(&self) -> String {
        fs::read_to_string(self.config.run_dir.join("names/services")).unwrap_or_default()
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        self.crash();
    }
}

/// A service that runs this line of shell.
fn service(name: &str, line: &str) -> Service {
    Service {
        name: name.to_owned(),
        image: "service:test".to_owned(),
        command: Some(["sh", "-c", line].map(str::to_owned).to_vec()),
        stop_grace: Duration::from_millis(500),
        ..Service::default()
    }
}

/// One that writes what it was given to a page, and serves that.
fn page(name: &str, text: &str) -> Service {
    service(name, &format!("echo '{text}' >/tmp/index.html; exec httpd -f -p 8000 -h /tmp"))
}

fn free_port() -> Port {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    Port { address: address.ip(), outside: address.port(), inside: 8000 }
}

async fn get(port: Port) -> String {
    let address = SocketAddr::from((port.address, port.outside));
    let asking = async {
        loop {
            let mut text = String::new();
            if let Ok(mut stream) = TcpStream::connect(address).await {
                let _ = stream.write_all(b"GET /index.html HTTP/1.0\r\n\r\n").await;
                let _ = stream.read_to_string(&mut text).await;
            }
            if let Some((_, body)) = text.split_once("\r\n\r\n") {
                return body.trim().to_owned();
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, asking).await.expect("an answer in time")
}

#[tokio::test(flavor = "multi_thread")]
async fn services_are_what_was_said_and_are_reached_by_name_and_port() {
    let Some(stack) = Stack::open().await else { return };
    let data = stack.place.harness.daemon.path("data/db");
    let port = free_port();
    let mut db = service(
        "db",
        "id -u; env; pwd; grep Cap /proc/self/status; echo kept >/data/index.html; touch /etc/x; \
         echo no >/conf/x; exec httpd -f -p 8000 -h /data",
    );
    db.user = Some("1234:1234".to_owned());
    db.env.insert("GREETING".to_owned(), "a=b c".to_owned());
    db.working_dir = Some("/tmp".to_owned());
    db.more_capabilities = vec!["CAP_NET_RAW".to_owned()];
    db.fewer_capabilities = vec!["ALL".to_owned()];
    db.read_only_root = true;
    db.memory = Some(64 << 20);
    db.ports = vec![port];
    let volume =
        |source, target: &str, read_only| Volume { source, target: target.to_owned(), read_only };
    db.volumes = vec![
        volume(Source::Path(data.clone()), "/data", false),
        volume(Source::Named("conf".to_owned()), "/conf", true),
    ];
    db.health = Some(Health {
        command: ["/bin/sh", "-c", "wget -q -O /dev/null http://localhost:8000/index.html"]
            .map(str::to_owned)
            .to_vec(),
        interval: Duration::from_millis(100),
        timeout: Duration::from_secs(10),
        retries: 50,
        start_period: Duration::ZERO,
        start_interval: Duration::from_millis(100),
    });
    let mut web =
        service("web", "wget -q -O - http://db:8000/index.html; hostname; exec sleep 1000");
    web.depends_on.insert("db".to_owned(), Condition::Healthy);
    stack.up(&[db, web]).await;

    // It runs as was said, and its neighbour came when it was well.
    for text in
        ["1234\n", "GREETING=a=b c\n", "FROM_IMAGE=yes\n", "/tmp\n", "CapBnd:\t0000000000002000\n"]
    {
        stack.said("db", text).await;
    }
    stack.said("db", "Read-only file system").await;
    stack.said("web", "stdout kept").await;
    stack.said("web", "stdout web").await;
    let status = stack.until("db", |it| it.healthy == Some(true)).await;
    assert_eq!(fs::read_to_string(data.join("index.html")).expect("written"), "kept\n");
    let id = stack.place.ctr("openfaas", &["containers", "list", "-q"]);
    let limit = |path: String| fs::read_to_string(path).ok();
    let group = format!("{}openfaas", stack.place.harness.daemon.prefix());
    let limits = id.lines().filter_map(|id| {
        limit(format!("/sys/fs/cgroup/memory/{group}/{id}/memory.limit_in_bytes"))
            .or_else(|| limit(format!("/sys/fs/cgroup/{group}/{id}/memory.max")))
    });
    assert_eq!(limits.filter(|text| text.trim() == "67108864").count(), 1);

    // Functions and this machine reach it.
    assert_eq!(get(port).await, "kept");
    let address = status.address.expect("it runs");
    assert!(stack.names().contains(&format!("{address} db\n")), "{}", stack.names());
    let caller = stack.place.deployed(function("caller", "serve shell"), 1).await;
    let asked = stack.place.text(&caller, "wget -q -O - http://db:8000/index.html").await;
    assert_eq!(asked, "kept");

    // Their namespace is none of functions, and cannot become one.
    let provider = stack.place.provider();
    let listed = provider.namespaces().await.expect("containerd is there");
    assert!(listed.iter().all(|it| it.name != "openfaas"), "{listed:?}");
    let wanted = Namespace { name: "openfaas".to_owned(), ..Namespace::default() };
    assert!(provider.create_namespace(wanted).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_is_started_again_as_was_said() {
    let Some(stack) = Stack::open().await else { return };
    let mut steady = service("steady", "echo born >>/tmp/log; wc -l </tmp/log; exec sleep 1000");
    steady.restart = Restart::Always;
    let mut failing = service("failing", "exit 3");
    failing.restart = Restart::OnFailure(Some(2));
    let mut after = service("after", "exec sleep 1000");
    after.depends_on.insert("once".to_owned(), Condition::Completed);
    let mut never = service("never", "exec sleep 1000");
    never.depends_on.insert("failing".to_owned(), Condition::Completed);
    let once = service("once", "exit 0");
    let missing = Service { command: Some(vec!["/no/such".to_owned()]), ..service("missing", "") };
    let mut all = [steady, once, failing, after, never, missing];
    stack.up(&all).await;

    let before = stack.running("steady").await;
    let killed = stack.pids();
    for id in killed.keys() {
        if stack.place.ctr("openfaas", &["containers", "info", id]).contains("born") {
            stack.place.ctr("openfaas", &["tasks", "kill", "-s", "SIGKILL", id]);
        }
    }
    let after =
        stack.until("steady", |it| it.restarts == 1 && it.state == ServiceState::Running).await;
    // In the same container, with the same address.
    assert_eq!((after.address, after.code), (before.address, Some(137)));
    stack.said("steady", "stdout 2\n").await;
    stack.said("steady", "tidegate was killed by SIGKILL").await;

    let ended = stack.until("failing", |it| it.state == ServiceState::Exited).await;
    assert_eq!((ended.code, ended.restarts, ended.address), (Some(3), 2, None));
    stack.until("once", |it| it.state == ServiceState::Exited && it.code == Some(0)).await;
    stack.running("after").await;
    let never = stack.until("never", |_| true).await;
    assert_eq!((never.state, never.detail.as_str()), (ServiceState::Waiting, "waits for failing"));
    let missing = stack.until("missing", |it| it.state == ServiceState::Exited).await;
    assert!(missing.detail.contains("/no/such"), "{missing:?}");

    stack.services().restart("steady").expect("there is one");
    stack.until("steady", |it| it.restarts == 2 && it.state == ServiceState::Running).await;
    stack.said("steady", "stdout 3\n").await;
    assert!(stack.services().restart("nobody").is_err());
    // Once for each wish: meanwhile another one is stopped and started twice.
    for times in [1, 2] {
        stack.services().restart("after").expect("there is one");
        stack.until("after", |it| it.restarts == times && it.state == ServiceState::Running).await;
    }
    assert_eq!(stack.running("steady").await.restarts, 2);

    // Who waits is told also when the other one is mended.
    all[2] = service("failing", "exit 0");
    stack.up(&all).await;
    stack.running("never").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_touches_what_changed_and_a_crash_nothing() {
    let Some(mut stack) = Stack::open().await else { return };
    let (one, two, port) = (page("one", "first"), page("two", "second"), free_port());
    let mut one = Service { ports: vec![port], ..one };
    stack.up(&[one.clone(), two.clone()]).await;
    stack.running("one").await;
    let address = stack.running("two").await.address;
    assert_eq!(get(port).await, "first");
    let before = stack.pids();
    assert_eq!(before.len(), 2, "{before:?}");

    // Killed, and taken over.
    stack.crash();
    assert_eq!(stack.pids(), before);
    assert!(TcpStream::connect(SocketAddr::from((port.address, port.outside))).await.is_err());
    let looked = look_at_services(&stack.config).await.expect("containerd is there");
    let seen: Vec<_> = looked.iter().map(|it| (it.name.as_str(), it.state)).collect();
    assert_eq!(seen, [("one", ServiceState::Running), ("two", ServiceState::Running)]);
    stack.reopen().await;
    stack.up(&[one.clone(), two.clone()]).await;
    stack.running("one").await;
    stack.running("two").await;
    assert_eq!(stack.pids(), before);
    assert_eq!(get(port).await, "first");

    // The same again changes nothing; another port changes no container.
    one.ports[0].inside = 8000;
    one.restart = Restart::Always;
    stack.up(&[one.clone(), two.clone()]).await;
    stack.running("one").await;
    assert_eq!(stack.pids(), before);

    // A new definition makes a new container, under the same address.
    let two = page("two", "changed");
    stack.up(&[one.clone(), two.clone()]).await;
    let status = stack.running("two").await;
    assert_eq!(status.address, address);
    let after = stack.pids();
    let kept = before.iter().filter(|(id, pid)| after.get(*id) == Some(*pid)).count();
    assert_eq!((kept, after.len()), (1, 2), "{before:?} {after:?}");

    // Killed in the middle of a start, too.
    let three = page("three", "third");
    let (services, wanted) = (stack.services(), vec![one.clone(), two.clone(), three.clone()]);
    let runtime = stack.runtime.as_ref().expect("it is open");
    drop(runtime.spawn(async move { services.up(wanted).await }));
    stack.until("three", |it| it.state == ServiceState::Starting).await;
    stack.crash();
    stack.reopen().await;
    stack.up(&[one, two, three]).await;
    stack.running("three").await;
    assert_eq!(stack.pids().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_had_changes_nothing_and_down_leaves_nothing() {
    let Some(stack) = Stack::open().await else { return };
    let good = page("good", "here");
    let mut spread = page("spread", "there");
    spread.depends_on.insert("good".to_owned(), Condition::Started);
    stack.up(&[good.clone(), spread.clone()]).await;
    stack.running("spread").await;
    let before = stack.pids();

    let absent = Service { image: "no-such:image".to_owned(), ..page("absent", "") };
    let told = stack.try_up(&[absent]).await.expect_err("no image");
    assert!(told.contains("no-such"), "{told}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let outside = taken.local_addr().expect("an address").port();
    let mut loud = good.clone();
    loud.ports = vec![Port { outside, ..free_port() }];
    let told = stack.try_up(&[loud, spread]).await.expect_err("a taken port");
    assert!(told.contains(&outside.to_string()) && told.contains("good"), "{told}");
    assert_eq!(stack.pids(), before);

    // One process at a time; others ask it.
    let second = Services::open(stack.config.clone()).await;
    assert!(matches!(second, Err(OpenError::InUse { .. })), "{second:?}");
    let ask = async |asked: Asked| ask_services(&stack.config, &asked, |_| {}).await;
    let all = ask(Asked::List).await.expect("an answer").expect("somebody listens");
    assert_eq!(all.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["good", "spread"]);
    let told = ask(Asked::Restart("bad".to_owned())).await.expect_err("no such service");
    assert!(told.to_string().contains("good, spread"), "{told}");
    let all = ask(Asked::Restart("good".to_owned())).await.expect("an answer").expect("somebody");
    assert_eq!((all[0].restarts, all[0].state), (1, ServiceState::Running));
    let all = ask(Asked::Up(vec![good])).await.expect("an answer").expect("somebody listens");
    assert_eq!(all.len(), 1);

    let all = ask(Asked::Down).await.expect("an answer").expect("somebody listens");
    assert!(all.is_empty());
    timeout(PATIENCE, stack.services().told_down()).await.expect("it was told");
    assert_eq!(stack.names(), "");
    let hosts = fs::read_to_string(stack.config.run_dir.join("names/hosts")).expect("a file");
    assert!(!hosts.contains("good") && hosts.contains("gateway"), "{hosts}");
    assert_eq!(stack.place.ctr("openfaas", &["containers", "list", "-q"]), "");
    assert_eq!(stack.place.ctr("openfaas", &["tasks", "list", "-q"]), "");
    let snapshots = stack.place.ctr("openfaas", &["snapshots", "list"]);
    assert!(snapshots.lines().skip(1).all(|line| line.ends_with("Committed")), "{snapshots}");
    for folder in ["services/netns", "services/networks"] {
        assert_eq!(stack.place.run_files(folder), Vec::<String>::new(), "{folder}");
    }
    let leases = async {
        while !stack.place.ctr("openfaas", &["leases", "list", "-q"]).is_empty() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, leases).await.expect("leases end");
    let group = format!("{}openfaas", stack.place.harness.daemon.prefix());
    let groups = stack.place.harness.daemon.cgroups();
    let left = groups.iter().filter(|path| path.ends_with(&group));
    for path in left {
        let inside = fs::read_dir(path).into_iter().flatten().flatten();
        assert_eq!(inside.filter(|it| it.path().is_dir()).count(), 0, "{}", path.display());
    }
    let spare = stack.place.run_files("netns").len();
    let addresses = stack.place.run_files(&format!("ipam/{}", stack.place.harness.daemon.bridge()));
    let taken = addresses.iter().filter(|name| name.starts_with("10.")).count();
    assert_eq!(taken, spare, "{addresses:?}");
}
