//! Starts watchdogs, writes functions, and speaks HTTP/1.1 byte by byte.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Long enough for a busy machine; a test that waits this long has failed.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A running watchdog.
pub struct Watchdog {
    process: Child,
    pub port: u16,
    pub folder: Arc<TempDir>,
    log: Arc<Log>,
    pub control: Option<UnixStream>,
}

/// What it wrote to stdout and stderr.
#[derive(Default)]
struct Log {
    text: Mutex<String>,
    grown: Condvar,
}

/// An answer as it came over the wire.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
    /// Whether the body ended as HTTP says it must.
    pub whole: bool,
    pub trailers: BTreeMap<String, String>,
}

/// A folder with a function in it.
pub fn folder() -> Arc<TempDir> {
    Arc::new(tempfile::tempdir().unwrap())
}

/// Writes `text` as a file of `folder` and returns its path.
pub fn script(folder: &TempDir, name: &str, text: &str) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Waits until `holds`, and fails naming `what` when it never does.
#[expect(clippy::disallowed_methods, reason = "polls a condition with a deadline")]
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "never came true: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether a process is there, zombies apart.
pub fn is_alive(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.trim().starts_with('Z'))
}

/// Waits for a file with a number in it.
pub fn number_in(path: PathBuf) -> i32 {
    let read = || std::fs::read_to_string(&path).ok()?.trim().parse().ok();
    eventually(&format!("a number in {}", path.display()), || read().is_some());
    read().unwrap()
}

impl Watchdog {
    /// Starts one with a function that `sh` runs, and waits until it listens.
    pub fn shell(function: &str, vars: &[(&str, &str)]) -> Self {
        let folder = folder();
        let path = script(&folder, "function.sh", function);
        let fprocess = format!("sh {path}");
        let mut all = vec![("fprocess", fprocess.as_str())];
        all.extend_from_slice(vars);
        Self::start(folder, &all)
    }

    /// Starts one in http mode with a function that `python3` runs, and waits until it is ready.
    pub fn python(function: &str, vars: &[(&str, &str)]) -> Self {
        let watchdog = Self::python_unready(function, vars);
        eventually("ready", || watchdog.get("/_/ready").status == 200);
        watchdog
    }

    /// The same, without waiting for the child.
    pub fn python_unready(function: &str, vars: &[(&str, &str)]) -> Self {
        let folder = folder();
        let path = script(&folder, "function.py", function);
        let port = free_port();
        let (fprocess, upstream) =
            (format!("python3 -u {path}"), format!("http://127.0.0.1:{port}"));
        let port = port.to_string();
        let mut all = vec![
            ("fprocess", fprocess.as_str()),
            ("upstream_url", upstream.as_str()),
            ("PORT", port.as_str()),
            ("mode", "http"),
        ];
        all.extend_from_slice(vars);
        Self::start(folder, &all)
    }

    /// Starts one and waits until it listens.
    pub fn start(folder: Arc<TempDir>, vars: &[(&str, &str)]) -> Self {
        let mut watchdog = Self::spawn(folder, vars);
        let line = watchdog.wait_for("Listening on port: ");
        watchdog.port = line.trim().parse().unwrap_or(0);
        watchdog
    }

    /// Starts one and does not wait.
    pub fn spawn(folder: Arc<TempDir>, vars: &[(&str, &str)]) -> Self {
        Self::spawn_with(folder, vars, Stdio::null(), None)
    }

    /// Starts one on a control stream.
    pub fn controlled(folder: Arc<TempDir>, vars: &[(&str, &str)]) -> Self {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_read_timeout(Some(PATIENCE)).unwrap();
        let socket = format!("unix:{}", folder.path().join("call.sock").display());
        let mut all = vec![
            ("TIDEGATE_CONTROL", "stdin"),
            ("TIDEGATE_LISTEN", socket.as_str()),
            ("TIDEGATE_REPLICA", "r1"),
        ];
        all.extend_from_slice(vars);
        Self::spawn_with(folder, &all, Stdio::from(OwnedFd::from(theirs)), Some(ours))
    }

    fn spawn_with(
        folder: Arc<TempDir>,
        vars: &[(&str, &str)],
        stdin: Stdio,
        control: Option<UnixStream>,
    ) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_fwatchdog"))
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("TMPDIR", folder.path())
            .env("FOLDER", folder.path())
            .env("TIDEGATE_LISTEN", "tcp:127.0.0.1:0")
            .env("TIDEGATE_METRICS", "off")
            .env("healthcheck_interval", "0")
            .envs(vars.iter().copied())
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Log::default());
        log.follow(process.stdout.take().unwrap());
        log.follow(process.stderr.take().unwrap());
        Self { process, port: 0, folder, log, control }
    }

    /// Waits for `text` in the log; returns what follows it on its line.
    pub fn wait_for(&self, text: &str) -> String {
        let seen = self.log.text.lock().unwrap();
        let find = |seen: &String| {
            let start = seen.find(text)? + text.len();
            let rest = &seen[start..];
            rest.find('\n').map(|end| rest[..end].to_owned())
        };
        let (seen, late) =
            self.log.grown.wait_timeout_while(seen, PATIENCE, |seen| find(seen).is_none()).unwrap();
        assert!(!late.timed_out(), "{text:?} is not in the log:\n{seen}");
        find(&seen).unwrap()
    }

    /// A connection to it.
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Sends bytes on a new connection and reads one answer.
    pub fn send(&self, request: &[u8]) -> Answer {
        let mut stream = self.connect();
        stream.write_all(request).unwrap();
        Answer::read(&mut BufReader::new(stream), request.starts_with(b"HEAD "))
    }

    /// A request with headers, each ended by CR LF, and a body.
    pub fn call(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Answer {
        self.send(&request(method, path, headers, body))
    }

    pub fn get(&self, path: &str) -> Answer {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n").as_bytes())
    }

    pub fn post(&self, path: &str, body: &[u8]) -> Answer {
        self.call("POST", path, "", body)
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.process)
    }

    /// Waits for its end.
    pub fn exit(&mut self) -> ExitStatus {
        let mut status = None;
        eventually("the watchdog ends", || {
            status = self.process.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    pub fn lock(&self) -> PathBuf {
        self.folder.path().join(".lock")
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A line of `/proc/self/status` in KiB, such as `VmHWM`.
    pub fn memory(&self, line: &str) -> u64 {
        let path = format!("/proc/{}/status", self.process.id());
        let status = std::fs::read_to_string(path).unwrap();
        let found = status.lines().find(|text| text.starts_with(line)).unwrap();
        found.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        // A gentle end first, so that it ends what it started; a test is no reason to wait long.
        drop(self.control.take());
        let _ = kill_process(self.pid(), Signal::TERM);
        let gone = || matches!(self.process.try_wait(), Ok(Some(_)));
        if !std::thread::panicking() {
            let mut gone = gone;
            for _ in 0..400 {
                if gone() {
                    return;
                }
                std::thread::park_timeout(Duration::from_millis(5));
            }
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Log {
    fn follow(self: &Arc<Self>, from: impl Read + Send + 'static) {
        let log = Arc::clone(self);
        std::thread::spawn(move || {
            let mut from = BufReader::new(from);
            let mut line = Vec::new();
            while from.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
                log.text.lock().unwrap().push_str(&String::from_utf8_lossy(&line));
                log.grown.notify_all();
                line.clear();
            }
        });
    }
}

/// A request with its length.
pub fn request(method: &str, path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: test\r\n{headers}Content-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

fn free_port() -> u16 {
    std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

impl Answer {
    /// Reads one answer; what breaks off is not whole.
    pub fn read(from: &mut impl std::io::BufRead, head: bool) -> Self {
        let first = line(from).expect("an answer");
        let status = first.split(' ').nth(1).unwrap().parse().unwrap();
        let headers = fields(from);
        let mut answer =
            Self { status, headers, body: Vec::new(), whole: true, trailers: BTreeMap::new() };
        if head || status == 204 || status == 304 || status == 101 {
            return answer;
        }
        if answer.header("transfer-encoding").contains("chunked") {
            answer.whole = chunks(from, &mut answer.body);
            if answer.whole {
                answer.trailers = fields(from);
            }
        } else if let Ok(length) = answer.header("content-length").parse::<u64>() {
            let read = from.take(length).read_to_end(&mut answer.body);
            answer.whole = read.is_ok() && answer.body.len() as u64 == length;
        } else {
            answer.whole = from.read_to_end(&mut answer.body).is_ok();
        }
        answer
    }

    /// A header, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// One line without its end.
pub fn line(from: &mut impl std::io::BufRead) -> Option<String> {
    let mut text = String::new();
    let count = from.read_line(&mut text).ok()?;
    (count > 0 && text.ends_with('\n')).then(|| text.trim_end().to_owned())
}

/// Header lines up to the empty one.
pub fn fields(from: &mut impl std::io::BufRead) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    while let Some(text) = line(from).filter(|text| !text.is_empty()) {
        let (name, value) = text.split_once(':').unwrap();
        fields.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    fields
}

/// One chunk; none when the stream broke off, empty at the end.
pub fn chunk(from: &mut impl std::io::BufRead) -> Option<Vec<u8>> {
    let size = usize::from_str_radix(&line(from)?, 16).ok()?;
    let mut data = vec![0; size];
    from.read_exact(&mut data).ok()?;
    if size > 0 {
        line(from)?;
    }
    Some(data)
}

fn chunks(from: &mut impl std::io::BufRead, body: &mut Vec<u8>) -> bool {
    loop {
        match chunk(from) {
            None => return false,
            Some(data) if data.is_empty() => return true,
            Some(data) => body.extend(data),
        }
    }
}
