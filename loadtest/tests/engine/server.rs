//! A small HTTP/1.1 server that does what a test tells it, and remembers what it was asked.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

/// What the server does with one request.
pub enum Act {
    /// Waits, sends these bytes, and keeps the connection.
    Send(Duration, Vec<u8>),
    /// Waits until this moment, then sends.
    SendAt(Instant, Vec<u8>),
    /// Sends and closes without having said so.
    SendAndClose(Vec<u8>),
    /// Never answers.
    Hang,
}

/// `200` with a body.
pub fn ok(body: &str) -> Vec<u8> {
    answer("200 OK", "", body)
}

/// An answer with headers (each with its line end) and a body.
pub fn answer(status: &str, headers: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len())
        .into_bytes()
}

/// `ok` at once.
pub fn at_once() -> Act {
    Act::Send(Duration::ZERO, ok("ok"))
}

/// A running server; it ends with the test's runtime.
pub struct Server {
    pub address: SocketAddr,
    pub connections: Arc<AtomicU64>,
    /// Heads and bodies of all requests, in order of their arrival.
    pub seen: Arc<Mutex<Vec<String>>>,
}

/// What the server does with a request: its number over all connections, from 0, and its text.
type Acting = dyn Fn(u64, &str) -> Act + Send + Sync;

impl Server {
    /// `act` is given the number of the request from 0, over all connections, and its text.
    pub async fn start(act: impl Fn(u64, &str) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            connections: Arc::default(),
            seen: Arc::default(),
        };
        let act: Arc<Acting> = Arc::new(act);
        let (connections, seen) = (Arc::clone(&server.connections), Arc::clone(&server.seen));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::SeqCst);
                let (act, seen) = (Arc::clone(&act), Arc::clone(&seen));
                tokio::spawn(async move { serve(stream, &*act, &seen).await });
            }
        });
        server
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::SeqCst)
    }
}

async fn serve(mut stream: TcpStream, act: &Acting, seen: &Mutex<Vec<String>>) {
    while let Some(request) = read_request(&mut stream).await {
        let number = {
            let mut seen = seen.lock().unwrap();
            seen.push(request.clone());
            seen.len() as u64 - 1
        };
        let bytes = match act(number, &request) {
            Act::Send(wait, bytes) => {
                if !wait.is_zero() {
                    tokio::time::sleep(wait).await;
                }
                bytes
            }
            Act::SendAt(moment, bytes) => {
                tokio::time::sleep_until(moment).await;
                bytes
            }
            Act::SendAndClose(bytes) => {
                let _ = stream.write_all(&bytes).await;
                return;
            }
            Act::Hang => std::future::pending().await,
        };
        if stream.write_all(&bytes).await.is_err() || request.contains("connection: close") {
            return;
        }
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
    let whole = head + length.map_or(0, |length| length.parse::<usize>().unwrap());
    while bytes.len() < whole {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    Some(String::from_utf8_lossy(&bytes).replace("Connection: close", "connection: close"))
}
