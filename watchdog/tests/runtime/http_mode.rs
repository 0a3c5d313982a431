//! http mode: one long-lived child, everything passed on as it is.

use std::io::{BufReader, Read as _, Write as _};
use std::net::TcpListener;

use crate::harness::{
    Answer, Watchdog, chunk, eventually, fields, folder, is_alive, line, number_in, script,
};

/// A server that shows what reached it, streams, waits, breaks off, and changes protocols.
const CHILD: &str = r#"
import http.server, os, socket, sys, time
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def log_message(self, *args): pass
    def answer(self, body, **headers):
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        for name, value in headers.items(): self.send_header(name.replace('_', '-'), value)
        self.end_headers()
        self.wfile.write(body)
    def body(self):
        if self.headers.get('transfer-encoding') == 'chunked':
            data = b''
            while True:
                size = int(self.rfile.readline(), 16)
                data += self.rfile.read(size)
                if size == 0:
                    tail = b''
                    while (text := self.rfile.readline()) not in (b'\r\n', b''): tail += text
                    return data + tail
                self.rfile.readline()
        return self.rfile.read(int(self.headers.get('content-length', 0)))
    def wait_for(self, name):
        while not os.path.exists(os.environ['FOLDER'] + '/' + name): time.sleep(0.01)
    def do(self):
        path = self.requestline.split(' ')[1]
        if path == '/count':
            size, total = int(self.headers['content-length']), 0
            while total < size: total += len(self.rfile.read(min(1 << 16, size - total)))
            self.answer(str(total).encode())
        elif path == '/big':
            self.send_response(200); self.send_header('Content-Length', str(100 << 20)); self.end_headers()
            for _ in range(1600): self.wfile.write(b'x' * 65536)
        elif path == '/slow':
            open(os.environ['FOLDER'] + '/slow', 'w').write('1')
            self.wait_for('never')
        elif path == '/gone':
            open(os.environ['FOLDER'] + '/begun', 'w').write('1')
            while self.connection.recv(1): pass
            open(os.environ['FOLDER'] + '/noticed', 'w').write('1')
            self.close_connection = True
        elif path == '/port': self.answer(str(self.client_address[1]).encode())
        elif path == '/close': self.answer(b'closed'); self.close_connection = True
        elif path == '/hang-up': self.close_connection = True
        elif path == '/cut':
            self.send_response(200); self.send_header('Content-Length', '100'); self.end_headers()
            self.wfile.write(b'part'); self.close_connection = True
        elif path == '/half':
            self.send_response(200); self.send_header('Content-Length', '4'); self.end_headers()
            self.wfile.write(b'ab'); self.wait_for('never')
        elif path == '/events':
            self.send_response(200); self.send_header('Transfer-Encoding', 'chunked'); self.end_headers()
            self.wfile.write(b'5\r\nfirst\r\n'); self.wait_for('go')
            self.wfile.write(b'4\r\nlast\r\n0\r\n\r\n')
        elif path == '/trailers':
            self.send_response(200); self.send_header('Transfer-Encoding', 'chunked')
            self.send_header('Trailer', 'X-Sum'); self.end_headers()
            self.wfile.write(b'2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n')
        elif path == '/hop': self.answer(b'', Connection='x-mine', X_Mine='1', Keep_Alive='timeout=9', X_Kept='1')
        elif path == '/log': print('y' * 300000); print('end of log'); self.answer(b'logged')
        elif path == '/exit': os._exit(int(self.headers['x-status']))
        elif self.headers.get('upgrade'):
            self.wfile.write(b'HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: ' + self.headers['upgrade'].encode() + b'\r\n\r\n')
            while data := self.connection.recv(100): self.wfile.write(data.upper())
            self.close_connection = True
        else:
            body = self.body()
            self.answer((self.requestline + '\n' + str(self.headers)).encode() + body)
    do_GET = do_POST = do_PUT = do_HEAD = do_BREW = do
http.server.ThreadingHTTPServer.daemon_threads = True
http.server.ThreadingHTTPServer(('127.0.0.1', int(os.environ['PORT'])), Handler).serve_forever()
"#;

#[test]
fn a_request_reaches_the_child_as_it_was_sent() {
    let watchdog = Watchdog::python(CHILD, &[]);
    let answer = watchdog.call(
        "POST",
        "/a//b/../c%2Fd?q=%20&r",
        "X-A: 1\r\nX-A: 2\r\nConnection: X-Gone\r\nX-Gone: 1\r\nKeep-Alive: 9\r\n",
        b"hello",
    );
    let text = answer.text();
    assert!(text.starts_with("POST /a//b/../c%2Fd?q=%20&r HTTP/1.1\n"), "{text}");
    assert!(text.contains("host: test\n"));
    assert!(text.contains("content-length: 5\n"));
    assert!(text.contains("x-a: 1\nx-a: 2\n"));
    assert!(text.ends_with("\n\nhello"));
    for gone in ["x-gone", "keep-alive", "connection", "accept-encoding", "user-agent", "chunked"] {
        assert!(!text.contains(gone), "{gone} is in\n{text}");
    }
    assert_ne!(answer.header("x-duration-seconds"), "");
    watchdog.wait_for("POST /a//b/../c%2Fd - 200 OK - ContentLength: ");
    assert!(watchdog.call("BREW", "/", "", b"").text().starts_with("BREW / "));
}

#[test]
fn chunked_requests_and_trailers_pass_both_ways() {
    let watchdog = Watchdog::python(CHILD, &[]);
    let answer = watchdog.send(
        b"POST / HTTP/1.1\r\nHost: t\r\nTrailer: x-end\r\nTransfer-Encoding: chunked\r\n\r\n\
          3\r\nabc\r\n3\r\ndef\r\n0\r\nx-end: 9\r\n\r\n",
    );
    assert!(answer.text().contains("transfer-encoding: chunked"), "{}", answer.text());
    assert!(answer.text().ends_with("abcdefx-end: 9\r\n"), "{}", answer.text());
    let answer = watchdog.call("GET", "/trailers", "Connection: TE\r\nTE: trailers\r\n", b"");
    assert_eq!(answer.text(), "ok");
    assert_eq!(answer.trailers.get("x-sum").map(String::as_str), Some("7"));
}

#[test]
fn answers_lose_what_belongs_to_the_connection() {
    let watchdog = Watchdog::python(CHILD, &[]);
    let answer = watchdog.get("/hop");
    assert_eq!(answer.header("x-kept"), "1");
    assert_eq!((answer.header("x-mine"), answer.header("keep-alive")), ("", ""));
    let head = watchdog.send(b"HEAD /hop HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(head.status, 200);
}

#[test]
fn a_prefix_of_the_upstream_url_comes_first() {
    let folder = folder();
    let path = script(&folder, "function.py", CHILD);
    let fprocess = format!("python3 {path}");
    let vars = [
        ("fprocess", fprocess.as_str()),
        ("upstream_url", "http://localhost:1/pre/"),
        ("mode", "http"),
    ];
    let watchdog = Watchdog::controlled(folder, &vars);
    let mut control = BufReader::new(watchdog.control.as_ref().unwrap());
    assert_eq!(line(&mut control).as_deref(), Some("ready"));
    let mut stream = std::os::unix::net::UnixStream::connect(watchdog.file("call.sock")).unwrap();
    stream.write_all(b"GET /x?q HTTP/1.1\r\nHost: t\r\n\r\n").unwrap();
    let answer = Answer::read(&mut BufReader::new(stream), false);
    assert!(answer.text().starts_with("GET /pre/x?q HTTP/1.1"), "{}", answer.text());
}

#[test]
fn expect_100_continue_is_answered_before_the_body() {
    let watchdog = Watchdog::python(CHILD, &[]);
    let mut stream = watchdog.connect();
    stream
        .write_all(
            b"POST / HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
        )
        .unwrap();
    let mut from = BufReader::new(stream.try_clone().unwrap());
    assert_eq!(line(&mut from).as_deref(), Some("HTTP/1.1 100 Continue"));
    fields(&mut from);
    stream.write_all(b"hello").unwrap();
    assert!(Answer::read(&mut from, false).text().ends_with("hello"));
}

#[test]
fn events_arrive_one_by_one_whatever_the_caller_accepts() {
    let watchdog = Watchdog::python(CHILD, &[]);
    let mut stream = watchdog.connect();
    stream.write_all(b"GET /events HTTP/1.1\r\nHost: t\r\n\r\n").unwrap();
    let mut from = BufReader::new(stream);
    line(&mut from);
    fields(&mut from);
    assert_eq!(chunk(&mut from).unwrap(), b"first");
    std::fs::write(watchdog.file("go"), "").unwrap();
    assert_eq!(chunk(&mut from).unwrap(), b"last");
}

#[test]
fn an_event_stream_outlives_exec_timeout() {
    let watchdog = Watchdog::python(CHILD, &[("exec_timeout", "1s")]);
    let mut stream = watchdog.connect();
    let head = b"GET /events HTTP/1.1\r\nHost: t\r\nAccept: Text/Event-Stream\r\n\r\n";
    stream.write_all(head).unwrap();
    let mut from = BufReader::new(stream);
    line(&mut from);
    fields(&mut from);
    assert_eq!(chunk(&mut from).unwrap(), b"first");
    // Another call runs into the limit while the stream is open, so the stream is older than it.
    assert_eq!(watchdog.get("/slow").status, 504);
    std::fs::write(watchdog.file("go"), "").unwrap();
    assert_eq!(chunk(&mut from).unwrap(), b"last");
}

#[test]
fn exec_timeout_is_a_504_before_headers_and_a_break_after_them() {
    let watchdog = Watchdog::python(CHILD, &[("exec_timeout", "400ms")]);
    let answer = watchdog.get("/slow");
    assert_eq!(answer.status, 504);
    assert_eq!(answer.header("x-openfaas-internal"), "of-watchdog");
    assert_ne!(answer.header("x-duration-seconds"), "");
    let answer = watchdog.get("/half");
    assert_eq!((answer.status, answer.whole), (200, false));
    let patient = Watchdog::python(CHILD, &[]);
    assert_eq!(patient.call("GET", "/slow", "X-Timeout: 100ms\r\n", b"").status, 504);
}

#[test]
fn a_child_that_breaks_off_is_a_500_or_a_break() {
    let watchdog = Watchdog::python(CHILD, &[]);
    let answer = watchdog.get("/hang-up");
    assert_eq!(answer.status, 500);
    assert_eq!(answer.header("x-openfaas-internal"), "of-watchdog");
    let answer = watchdog.get("/cut");
    assert_eq!((answer.status, answer.whole, answer.text().as_str()), (200, false, "part"));
    assert_eq!(watchdog.get("/hop").status, 200);
}

#[test]
fn the_child_learns_that_a_client_went_away() {
    let watchdog = Watchdog::python(CHILD, &[]);
    let mut stream = watchdog.connect();
    stream.write_all(b"GET /gone HTTP/1.1\r\nHost: t\r\n\r\n").unwrap();
    number_in(watchdog.file("begun"));
    drop(stream);
    number_in(watchdog.file("noticed"));
    watchdog.wait_for("GET /gone - 499 ");
}

#[test]
fn an_upgrade_becomes_a_tunnel_in_any_case() {
    for protocol in ["websocket", "WebSocket"] {
        let watchdog =
            Watchdog::python(CHILD, &[("exec_timeout", "300ms"), ("write_timeout", "400ms")]);
        let mut stream = watchdog.connect();
        let head = format!(
            "GET /chat HTTP/1.1\r\nHost: t\r\nConnection: keep-alive, Upgrade\r\nUpgrade: {protocol}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut from = BufReader::new(stream.try_clone().unwrap());
        let answer = Answer::read(&mut from, false);
        assert_eq!((answer.status, answer.header("upgrade")), (101, protocol));
        // No limit in time holds any more: another call meets one first.
        assert_eq!(watchdog.get("/slow").status, 504);
        let mut echo = [0; 5];
        stream.write_all(b"hello").unwrap();
        from.read_exact(&mut echo).unwrap();
        assert_eq!(&echo, b"HELLO");
        drop((stream, from));
        watchdog.wait_for("GET /chat - 101 ");
    }
}

#[test]
fn a_hundred_mebibytes_pass_in_bounded_memory() {
    let watchdog = Watchdog::python(CHILD, &[]);
    const SIZE: usize = 100 << 20;
    let mut stream = watchdog.connect();
    let head = format!("POST /count HTTP/1.1\r\nHost: t\r\nContent-Length: {SIZE}\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let piece = vec![b'x'; 1 << 20];
    for _ in 0..SIZE >> 20 {
        stream.write_all(&piece).unwrap();
    }
    let answer = Answer::read(&mut BufReader::new(stream), false);
    assert_eq!(answer.text(), SIZE.to_string());
    let answer = watchdog.get("/big");
    assert_eq!((answer.body.len(), answer.whole), (SIZE, true));
    let peak = watchdog.memory("VmHWM");
    assert!(peak < 30 << 10, "the watchdog grew to {peak} KiB");
}

#[test]
fn a_connection_to_the_child_is_used_again() {
    let watchdog = Watchdog::python(CHILD, &[]);
    let mut stream = watchdog.connect();
    let mut from = BufReader::new(stream.try_clone().unwrap());
    let mut ports: Vec<_> = (0..5)
        .map(|_| {
            stream.write_all(b"GET /port HTTP/1.1\r\nHost: t\r\n\r\n").unwrap();
            Answer::read(&mut from, false).text()
        })
        .collect();
    ports.dedup();
    assert_eq!(ports.len(), 1, "{ports:?}");
}

#[test]
fn a_child_that_closes_without_a_word_costs_no_call() {
    let watchdog = Watchdog::python(CHILD, &[]);
    let mut stream = watchdog.connect();
    let mut from = BufReader::new(stream.try_clone().unwrap());
    for _ in 0..100 {
        stream.write_all(b"GET /close HTTP/1.1\r\nHost: t\r\n\r\n").unwrap();
        assert_eq!(Answer::read(&mut from, false).text(), "closed");
    }
}

#[test]
fn a_post_without_a_body_says_so() {
    let watchdog = Watchdog::python(CHILD, &[]);
    assert!(watchdog.post("/", b"").text().contains("content-length: 0\n"));
    assert!(!watchdog.get("/").text().contains("content-length"));
}

#[test]
fn many_calls_at_once_all_come_through() {
    let watchdog = Watchdog::python(CHILD, &[]);
    std::thread::scope(|scope| {
        for caller in 0..16 {
            let watchdog = &watchdog;
            scope.spawn(move || {
                for call in 0..20 {
                    let body = format!("{caller}-{call}");
                    let answer = watchdog.post("/", body.as_bytes());
                    assert!(answer.whole && answer.text().ends_with(&format!("\n\n{body}")));
                }
            });
        }
    });
}

#[test]
fn a_buffered_request_has_its_length() {
    let watchdog = Watchdog::python(CHILD, &[("buffer_http", "1")]);
    let answer = watchdog.send(
        b"POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    );
    assert!(answer.text().contains("content-length: 3\n"), "{}", answer.text());
}

#[test]
fn long_log_lines_never_stop_the_child() {
    let watchdog = Watchdog::python(CHILD, &[("log_buffer_size", "1000")]);
    for _ in 0..3 {
        assert_eq!(watchdog.get("/log").text(), "logged");
    }
    watchdog.wait_for("stdout: end of log");
    let raw = Watchdog::python(CHILD, &[("prefix_logs", "false")]);
    assert_eq!(raw.get("/log").text(), "logged");
    raw.wait_for("\nend of log");
}

#[test]
fn readiness_waits_for_the_child_to_listen() {
    let late = "import os, time\nwhile not os.path.exists(os.environ['FOLDER'] + '/up'): time.sleep(0.01)\n";
    let watchdog = Watchdog::python_unready(&format!("{late}{CHILD}"), &[]);
    assert_eq!(watchdog.get("/_/ready").status, 503);
    assert_eq!(watchdog.get("/_/health").status, 200);
    let early = watchdog.get("/");
    assert_eq!(early.status, 500);
    assert_eq!(early.header("x-openfaas-internal"), "of-watchdog");
    std::fs::write(watchdog.file("up"), "").unwrap();
    eventually("ready", || watchdog.get("/_/ready").status == 200);
    assert_eq!(watchdog.get("/").status, 200);
}

#[test]
fn ready_path_asks_the_function() {
    let watchdog = Watchdog::python(CHILD, &[("ready_path", "/hop")]);
    let answer = watchdog.get("/_/ready");
    assert_eq!((answer.status, answer.header("x-kept")), (200, "1"));
}

#[test]
fn the_end_of_the_child_is_the_end_of_the_watchdog() {
    for status in ["0", "3"] {
        let mut watchdog = Watchdog::python(CHILD, &[]);
        let answer = watchdog.call("GET", "/exit", &format!("X-Status: {status}\r\n"), b"");
        assert_eq!(answer.status, 500);
        assert_eq!(watchdog.exit().code(), Some(1));
        assert!(!watchdog.lock().exists());
        watchdog.wait_for(&format!("the function ended: exit status {status}"));
    }
}

#[test]
fn a_port_that_another_program_holds_ends_the_child_and_the_watchdog() {
    let held = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = held.local_addr().unwrap().port().to_string();
    let mut watchdog = Watchdog::python_unready(CHILD, &[("PORT", &port)]);
    assert_eq!(watchdog.exit().code(), Some(1));
}

#[test]
fn a_draining_watchdog_ends_its_child_last() {
    let function = format!(
        "import os, subprocess\nhelper = subprocess.Popen(['sleep', '600'])\n\
         open(os.environ['FOLDER'] + '/pid', 'w').write(str(helper.pid))\n{CHILD}"
    );
    let mut watchdog = Watchdog::python(&function, &[]);
    let mut stream = watchdog.connect();
    stream.write_all(b"GET /events HTTP/1.1\r\nHost: t\r\n\r\n").unwrap();
    let mut from = BufReader::new(stream);
    line(&mut from);
    fields(&mut from);
    assert_eq!(chunk(&mut from).unwrap(), b"first");
    watchdog.signal(rustix::process::Signal::TERM);
    watchdog.wait_for("Draining 1 requests");
    std::fs::write(watchdog.file("go"), "").unwrap();
    assert_eq!(chunk(&mut from).unwrap(), b"last");
    assert_eq!(watchdog.exit().code(), Some(0));
    let helper = number_in(watchdog.file("pid"));
    eventually("the child's helper is gone", || !is_alive(helper));
}
