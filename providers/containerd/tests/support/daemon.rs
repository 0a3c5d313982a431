//! A containerd of its own for a test: its own folders, socket, namespaces, bridge and addresses. All that it
//! left on the machine goes with it.

#![allow(dead_code, reason = "each test file uses a part of this")]
#![allow(
    clippy::disallowed_methods,
    reason = "a test looks at its surroundings and waits for other programs"
)]

use std::fs;
use std::io::Write;
use std::net::Ipv4Addr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::mount::{UnmountFlags, unmount};
use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;
use tidegate_provider_containerd::{Config, PullPolicy, Subnet};

/// Longest that the daemon may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// How many bridges and ranges of addresses there are for tests.
const NUMBERS: u32 = 32_768;
const PLUGINS: [&str; 2] = ["/usr/lib/cni", "/opt/cni/bin"];
const PROGRAMS: [&str; 5] = ["containerd", "runc", "containerd-shim-runc-v2", "busybox", "ip"];
/// Where a controller of the machine that nobody mounted is mounted for crun.
const CONTROLLER: &str = "controller-";

/// What containers are made with, whatever is installed; see docs/testing.md.
fn oci_runtime() -> String {
    std::env::var("TIDEGATE_TEST_OCI_RUNTIME").unwrap_or_else(|_| "runc".to_owned())
}

/// A running containerd.
pub struct Daemon {
    folder: TempDir,
    child: Option<Child>,
    number: u32,
    /// Held so that nobody else on this machine has the same number.
    _claim: UnixListener,
}

impl Daemon {
    /// Starts one; none where a test cannot have one, which is then said by name.
    pub fn start() -> Option<Self> {
        let mut daemon = Self::new()?;
        daemon.launch();
        Some(daemon)
    }

    /// The same, with a disk of its own for images and containers, of so many mebibytes.
    pub fn start_small(size: u32) -> Option<Self> {
        let mut daemon = Self::new()?;
        fs::create_dir(daemon.path("root")).expect("a folder");
        daemon.mount_root(&format!("size={size}m"));
        daemon.launch();
        Some(daemon)
    }

    /// Makes a small disk larger.
    pub fn grow(&self, size: u32) {
        self.mount_root(&format!("remount,size={size}m"));
    }

    fn mount_root(&self, options: &str) {
        let words = ["-t", "tmpfs", "-o", options, "tmpfs"];
        let mounted = Command::new("mount").args(words).arg(self.path("root")).status();
        assert!(mounted.is_ok_and(|status| status.success()), "a tmpfs with {options}");
    }

    fn new() -> Option<Self> {
        if let Err(why) = possible() {
            skip(&why);
            return None;
        }
        let (number, claim) = claim();
        let folder = tempfile::Builder::new().prefix("tg").rand_bytes(5).tempdir_in("/tmp");
        let daemon = Self { folder: folder.expect("a folder"), child: None, number, _claim: claim };
        fs::write(daemon.path("config.toml"), daemon.toml()).expect("a file");
        if oci_runtime() != "runc" {
            daemon.mount_controllers();
        }
        Some(daemon)
    }

    /// Where both versions of control groups are mounted, crun wants all controllers in the first one.
    fn mount_controllers(&self) {
        if !Path::new("/sys/fs/cgroup/unified").exists() {
            return;
        }
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let (all, mounts) = (read("/proc/cgroups"), read("/proc/self/mounts"));
        // What other tests mounted comes and goes with them: only the machine's own mounts count.
        let is_mounted = |controller: &str| {
            mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>()).any(|fields| {
                fields[1].starts_with("/sys/fs/cgroup/")
                    && fields[3].split(',').any(|option| option == controller)
            })
        };
        // NAME HIERARCHY GROUPS ENABLED
        let enabled = all.lines().filter_map(|line| line.trim_end().strip_suffix("\t1"));
        let names = enabled.filter_map(|line| line.split('\t').next());
        let controllers: Vec<&str> = names.filter(|name| !is_mounted(name)).collect();
        for controller in controllers {
            let place = self.path(&format!("{CONTROLLER}{controller}"));
            fs::create_dir(&place).expect("a folder");
            let words = ["-t", "cgroup", "-o", controller, "cgroup"];
            let mounted = Command::new("mount").args(words).arg(place).status();
            assert!(mounted.is_ok_and(|status| status.success()), "{controller} is mounted");
        }
    }

    /// Starts the daemon over what is there.
    pub fn launch(&mut self) {
        let log = fs::File::options().append(true).create(true).open(self.path("log"));
        let log = log.expect("a file");
        let child = Command::new("containerd")
            .arg("-c")
            .arg(self.path("config.toml"))
            // As systemd starts it; nobody listens there.
            .env("NOTIFY_SOCKET", self.path("notify"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn();
        self.child = Some(child.expect("containerd was looked for before"));
        let answers = || UnixStream::connect(self.socket()).is_ok();
        assert!(within(PATIENCE, answers), "containerd does not answer: {}", self.log());
    }

    /// Kills the daemon; containers go on.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("it was started here");
            child.wait().expect("it was started here");
        }
    }

    /// Stops the daemon and starts it again, as `systemctl restart` does.
    pub fn restart(&mut self) {
        let mut child = self.child.take().expect("it runs");
        end_with(child.id().cast_signed(), Signal::TERM);
        child.wait().expect("it was started here");
        self.launch();
    }

    /// What a reboot leaves of all this: the daemon's root and what is kept beside it, nothing that ran and
    /// nothing of those that lie in memory. `run` is where the backend has such.
    pub fn reboot(&mut self, run: &Path) {
        self.kill();
        self.remove_all_that_runs();
        // Where a controller is mounted belongs to the machine, as if its init had done it.
        self.unmount(|place| !place.ends_with("/root") && !place.contains(CONTROLLER));
        for gone in [run, &self.path("st")] {
            fs::remove_dir_all(gone).expect("it was there");
        }
        self.launch();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn socket(&self) -> PathBuf {
        self.path("s")
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Begins the names of all namespaces of this test.
    pub fn prefix(&self) -> String {
        format!("t{}-{}-", std::process::id(), self.number)
    }

    pub fn bridge(&self) -> String {
        format!("tgt{}", self.number)
    }

    /// Settings for a backend on this daemon: nothing of it is shared with another test.
    pub fn config(&self) -> Config {
        let mut config = Config::new(self.path("state"));
        config.socket = self.socket();
        config.namespace_prefix = self.prefix();
        config.run_dir = self.path("run");
        config.bridge = self.bridge();
        config.subnet = self.subnet();
        config.oci_runtime = Some(oci_runtime());
        config.shim = std::env::var("TIDEGATE_TEST_SHIM").ok();
        // Other packages use this file too, and have a program of their own for it.
        config.collector = option_env!("CARGO_BIN_EXE_tidegate-shim").map(Into::into);
        // Rules of the machine's firewall are shared by all.
        config.masquerade = false;
        config.firewall = Some(false);
        config.spare_networks = 1;
        // No test asks the Internet.
        config.registries.policy = PullPolicy::Never;
        config.settings.backoff_first = Duration::from_millis(10);
        config.settings.backoff_longest = Duration::from_millis(100);
        config.settings.grace = Duration::from_secs(2);
        config
    }

    fn subnet(&self) -> Subnet {
        format!("{}/24", range(self.number)).parse().expect("a good range")
    }

    fn toml(&self) -> String {
        let (root, state, socket) = (self.path("root"), self.path("st"), self.socket());
        format!(
            "version = 2\nroot = {root:?}\nstate = {state:?}\n\
             disabled_plugins = [\"io.containerd.grpc.v1.cri\", \"io.containerd.internal.v1.opt\", \
             \"io.containerd.snapshotter.v1.aufs\", \"io.containerd.snapshotter.v1.btrfs\", \
             \"io.containerd.snapshotter.v1.devmapper\", \"io.containerd.snapshotter.v1.zfs\"]\n\
             [grpc]\naddress = {socket:?}\n"
        )
    }

    /// Control groups of containers of this test.
    pub fn cgroups(&self) -> Vec<PathBuf> {
        let controllers = fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
        let roots = controllers.map(|it| it.path()).chain([PathBuf::from("/sys/fs/cgroup")]);
        let prefix = self.prefix();
        let ours = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with(&prefix);
        roots
            .flat_map(|root| fs::read_dir(root).into_iter().flatten().flatten().filter(ours))
            .map(|entry| entry.path())
            .collect()
    }

    /// Kills all processes of containers, frozen ones too, and the shims that look after them.
    fn kill_containers(&self) {
        for namespace in self.cgroups() {
            for group in folders(&namespace) {
                let _ = fs::write(group.join("freezer.state"), "THAWED");
                let _ = fs::write(group.join("cgroup.freeze"), "0");
                let pids = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
                pids.lines().filter_map(|pid| pid.parse().ok()).for_each(end);
            }
        }
        self.shims().into_iter().for_each(end);
    }

    /// Processes of containerd's that look after containers.
    pub fn shims(&self) -> Vec<i32> {
        let socket = self.socket().display().to_string();
        let is_shim = |entry: &fs::DirEntry| {
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let words: Vec<_> =
                line.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
            words[0].rsplit('/').next().is_some_and(|it| it.starts_with("containerd-shim-"))
                && words.iter().any(|word| *word == socket)
                // One that was called to start or to clean up ends by itself.
                && !["start", "delete"].contains(&&**words.iter().rfind(|it| !it.is_empty()).unwrap_or(&words[0]))
        };
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten().filter(is_shim);
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
    }

    fn remove_sockets_of_shims(&self) {
        let bundles = self.path("st/io.containerd.runtime.v2.task");
        for bundle in folders(&bundles).iter().flat_map(|namespace| folders(namespace)) {
            let address = fs::read_to_string(bundle.join("address")).unwrap_or_default();
            if let Some(path) = address.trim().strip_prefix("unix://") {
                let _ = fs::remove_file(path);
            }
        }
    }

    /// Processes that write the logs of containers of this test, and those that look after these.
    pub fn helpers(&self) -> Vec<String> {
        let (folder, socket) = (self.path("").display().to_string(), self.socket());
        let mut helpers = Vec::new();
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            let collector = line.contains(" log-collector ") && line.contains(&folder);
            let shim =
                line.contains("containerd-shim") && line.contains(&*socket.to_string_lossy());
            if collector || shim {
                helpers.push(line);
            }
        }
        helpers
    }

    fn unmount(&self, goes: impl Fn(&str) -> bool) {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let ours = self.folder.path().display().to_string();
        let mut places: Vec<&str> =
            mounts.lines().filter_map(|line| line.split(' ').nth(1)).collect();
        places.retain(|place| place.starts_with(&ours) && goes(place));
        for place in places.iter().rev() {
            let _ = unmount(*place, UnmountFlags::DETACH);
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let last: Vec<&str> = log.lines().rev().take(40).collect();
            last.iter().rev().for_each(|line| eprintln!("containerd: {line}"));
        }
        self.kill();
        self.remove_all_that_runs();
        self.unmount(|_| true);
    }
}

impl Daemon {
    /// Containers, shims, control groups, the bridge: all but what is mounted.
    fn remove_all_that_runs(&self) {
        self.kill_containers();
        self.remove_sockets_of_shims();
        within(Duration::from_secs(5), || {
            self.kill_containers();
            let groups = self.cgroups();
            for namespace in &groups {
                for group in folders(namespace) {
                    let _ = fs::remove_dir(group);
                }
                let _ = fs::remove_dir(namespace);
            }
            groups.is_empty()
        });
        let runc = folders(Path::new("/run/containerd/runc"));
        let prefix = self.prefix();
        let ours = |path: &&PathBuf| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&prefix))
        };
        for state in runc.iter().filter(ours) {
            let _ = fs::remove_dir_all(state);
        }
        let bridge = self.bridge();
        let _ = Command::new("ip").args(["link", "delete", &bridge]).stderr(Stdio::null()).status();
    }
}

/// A number that no other test on this machine has, of this run or of another one: bridge and addresses follow
/// from it. It is taken by a socket without a file, which is free again when its process has ended.
fn claim() -> (u32, UnixListener) {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let first = std::process::id() * 64 + NEXT.fetch_add(1, Ordering::Relaxed);
    let routes = fs::read_to_string("/proc/net/route").unwrap_or_default();
    let taken = (0..NUMBERS).find_map(|step| {
        let number = first.wrapping_add(step) % NUMBERS;
        if is_routed(&routes, range(number)) {
            return None;
        }
        let address = SocketAddr::from_abstract_name(format!("tidegate-test-{number}")).ok()?;
        Some((number, UnixListener::bind_addr(&address).ok()?))
    });
    taken.expect("fewer tests than numbers")
}

/// The addresses of a number: 10.128.0.0/9 in pieces of 256 addresses.
fn range(number: u32) -> Ipv4Addr {
    Ipv4Addr::from(0x0a80_0000 + number * 256)
}

/// Whether the machine has a way to some of these addresses already. Source: `proc_net(5)`, "route".
fn is_routed(routes: &str, range: Ipv4Addr) -> bool {
    let number = |text: &&str| u32::from_str_radix(text, 16).ok().map(u32::swap_bytes);
    routes.lines().any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (to, mask) = (fields.get(1).and_then(number), fields.get(7).and_then(number));
        to.zip(mask).is_some_and(|(to, mask)| {
            let common = mask & 0xffff_ff00;
            mask != 0 && to & common == u32::from(range) & common
        })
    })
}

/// What is missing for a containerd of our own, with the command that mends it.
fn possible() -> Result<(), String> {
    if !geteuid().is_root() {
        return Err("must run as root".to_owned());
    }
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    for program in PROGRAMS {
        if !path.split(':').any(|folder| Path::new(folder).join(program).exists()) {
            return Err(format!("{program} is not installed (make deps-test)"));
        }
    }
    if !PLUGINS.iter().any(|folder| Path::new(folder).join("bridge").exists()) {
        return Err("CNI plugins are not installed (make deps-test)".to_owned());
    }
    let kinds = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    if !kinds.contains("overlay") {
        return Err("the kernel has no overlayfs (modprobe overlay)".to_owned());
    }
    permitted()
}

/// Whether this root may do what root may: within a container it often may not.
fn permitted() -> Result<(), String> {
    // In namespaces of its own, so that nothing of it stays.
    const TRIAL: &str = "mount -t tmpfs none /mnt; cd /mnt; mkdir low up work all; \
        mount -t overlay overlay -o lowerdir=low,upperdir=up,workdir=work all; \
        ip link add trial type bridge; ip link add one type veth peer name two";
    let words = ["--mount", "--net", "sh", "-ec", TRIAL];
    let tried = Command::new("unshare").args(words).output().map_err(|error| error.to_string())?;
    if !tried.status.success() {
        let why = String::from_utf8_lossy(&tried.stderr).trim().replace('\n', "; ");
        return Err(format!("this root may not mount, or make networks: {why}"));
    }
    let freezer = Path::new("/sys/fs/cgroup/freezer");
    let base = if freezer.is_dir() { freezer } else { Path::new("/sys/fs/cgroup") };
    let trial = base.join(format!("tidegate-trial-{}", std::process::id()));
    let made = fs::create_dir(&trial).and_then(|()| fs::remove_dir(&trial));
    made.map_err(|error| format!("control groups cannot be made in {}: {error}", base.display()))
}

pub fn skip(why: &str) {
    let line = format!("containerd backend: {why}\n");
    if let Ok(path) = std::env::var("TIDEGATE_TEST_SKIPS") {
        let file = fs::File::options().append(true).create(true).open(path);
        let _ = file.and_then(|mut file| file.write_all(line.as_bytes()));
    }
    eprint!("skipped: {line}");
}

/// Names of what is in a folder, which need not be there.
pub fn names(path: &PathBuf) -> Vec<String> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

pub fn folders(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

pub fn end(pid: i32) {
    end_with(pid, Signal::KILL);
}

fn end_with(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        // It may have ended by itself.
        let _ = kill_process(pid, signal);
    }
}

/// Looks until `done`, for so long.
pub fn within(limit: Duration, mut done: impl FnMut() -> bool) -> bool {
    let begun = std::time::Instant::now();
    while !done() {
        if begun.elapsed() > limit {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}

/// Where a shim of ours listens: its standard input.
#[allow(dead_code, reason = "shared by tests that use different parts")]
pub fn socket(shim: i32) -> String {
    let link = fs::read_link(format!("/proc/{shim}/fd/0")).expect("it runs");
    let link = link.display().to_string();
    let inode = link.trim_start_matches("socket:[").trim_end_matches(']');
    let sockets = fs::read_to_string("/proc/net/unix").expect("Linux");
    let line = sockets.lines().find(|line| line.split_whitespace().nth(6) == Some(inode));
    line.and_then(|line| line.split_whitespace().nth(7)).expect("a path").to_owned()
}
