//! A registry that does what a test says: it has one image, and answers as the script wants where the script
//! wants something. It remembers what it was asked.

#![allow(dead_code, reason = "each test file uses a part of this")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::images::digest;
use crate::registry::Image;

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub method: String,
    /// The address as it was sent.
    pub path: String,
    /// The first byte that is wanted, when a part is.
    pub from: Option<usize>,
    pub login: Option<String>,
    /// What came with it.
    pub body: String,
    /// How often the same was asked for before.
    pub before: usize,
}

impl Asked {
    /// Whether this is for a blob.
    pub fn is_blob(&self, digest: &str) -> bool {
        self.path.ends_with(&format!("/blobs/{digest}"))
    }

    /// Whether this is for a manifest, by its tag or digest.
    pub fn is_manifest(&self) -> bool {
        self.path.contains("/manifests/")
    }
}

/// What is answered.
#[derive(Clone, Debug)]
pub enum Answer {
    /// A status, a header when it is not empty, and a body.
    Says(u16, String, Vec<u8>),
    /// What is right, but the connection breaks after so many bytes of the body.
    Breaks(usize),
    /// What is right as far as so many bytes of the body, and then nothing.
    Stalls(usize),
    /// The connection breaks before any answer.
    Nothing,
}

type Script = dyn Fn(&Asked) -> Option<Answer> + Send + Sync;

/// A registry with a script. Its thread ends with the test.
pub struct Scripted {
    port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Scripted {
    /// Serves `image` under any name, but for what the script answers.
    pub fn serve(
        image: Image,
        script: impl Fn(&Asked) -> Option<Answer> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let port = listener.local_addr().expect("bound").port();
        let asked = Arc::<Mutex<Vec<Asked>>>::default();
        let served = Arc::new((image, Box::new(script) as Box<Script>, asked.clone()));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let served = served.clone();
                std::thread::spawn(move || answer(stream, &served.0, &served.1, &served.2));
            }
        });
        Self { port, asked }
    }

    /// Its host and port.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// All it was asked.
    pub fn asked(&self) -> MutexGuard<'_, Vec<Asked>> {
        self.asked.lock().expect("no panics in between")
    }

    /// From which bytes on a blob was asked for, in order.
    pub fn blob_asked_from(&self, digest: &str) -> Vec<usize> {
        let asked = self.asked();
        asked.iter().filter(|it| it.is_blob(digest)).map(|it| it.from.unwrap_or(0)).collect()
    }
}

fn answer(
    mut stream: TcpStream,
    image: &Image,
    script: &Script,
    log: &Mutex<Vec<Asked>>,
) -> Option<()> {
    let mut asked = read(&stream)?;
    {
        let mut log = log.lock().expect("no panics in between");
        asked.before =
            log.iter().filter(|it| it.method == asked.method && it.path == asked.path).count();
        log.push(asked.clone());
    }
    let scripted = script(&asked);
    let (status, header, body) = match &scripted {
        Some(Answer::Says(status, header, body)) => (*status, header.clone(), body.clone()),
        Some(Answer::Nothing) => return None,
        _ => right(image, &asked),
    };
    let sent = match scripted {
        Some(Answer::Breaks(after) | Answer::Stalls(after)) => after.min(body.len()),
        _ if asked.method == "HEAD" => 0,
        _ => body.len(),
    };
    let header = if header.is_empty() { header } else { format!("{header}\r\n") };
    let head = format!(
        "HTTP/1.1 {status} Said\r\n{header}content-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(&body[..sent]).ok()?;
    if matches!(scripted, Some(Answer::Stalls(_))) {
        // Until the other side has had enough.
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    }
    Some(())
}

/// What a good registry answers.
fn right(image: &Image, asked: &Asked) -> (u16, String, Vec<u8>) {
    let path = asked.path.split('?').next().unwrap_or_default();
    let name = path.rsplit('/').next().unwrap_or_default();
    if asked.is_manifest() {
        let below = image.manifests.get(name);
        let kind = if below.is_some() { crate::registry::MANIFEST } else { &image.media_type };
        let bytes = below.unwrap_or(&image.top).clone();
        let header = format!("content-type: {kind}\r\ndocker-content-digest: {}", digest(&bytes));
        return (200, header, bytes);
    }
    match (image.blobs.get(name), asked.from) {
        (Some(blob), Some(from)) if from < blob.len() => {
            (206, String::new(), blob[from..].to_vec())
        }
        (Some(_), Some(_)) => (416, String::new(), Vec::new()),
        (Some(blob), None) => (200, String::new(), blob.clone()),
        (None, _) if path.ends_with("/v2/") => (200, String::new(), Vec::new()),
        (None, _) => (404, String::new(), Vec::new()),
    }
}

fn read(stream: &TcpStream) -> Option<Asked> {
    let mut reader = BufReader::new(stream);
    let mut lines = reader.by_ref().lines();
    let first = lines.next()?.ok()?;
    let mut words = first.split(' ').map(str::to_owned);
    let (method, path, body) = (words.next()?, words.next()?, String::new());
    let mut asked = Asked { method, path, from: None, login: None, body, before: 0 };
    let mut length = 0;
    for line in lines {
        let line = line.ok()?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(": ")?;
        match name.to_ascii_lowercase().as_str() {
            "range" => asked.from = value.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok(),
            "authorization" => asked.login = Some(value.to_owned()),
            "content-length" => length = value.parse().ok()?,
            _ => {}
        }
    }
    reader.take(length).read_to_string(&mut asked.body).ok()?;
    Some(asked)
}
