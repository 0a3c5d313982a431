//! The smallest HTTP client that shows that a replica answers: one call a connection.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use crate::{Address, Replica};

/// What a replica answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

/// Posts `body` to a replica.
///
/// # Errors
/// When it has no address, nothing listens there, or what it says is no HTTP.
pub async fn call(replica: &Replica, body: &[u8]) -> io::Result<Answer> {
    let none = || io::Error::other(format!("{} has no address", replica.id));
    call_at(replica.address.as_ref().ok_or_else(none)?, body).await
}

/// Posts `body` to what listens at an address.
///
/// # Errors
/// When nothing listens there, or what it says is no HTTP.
pub async fn call_at(address: &Address, body: &[u8]) -> io::Result<Answer> {
    match address {
        Address::Tcp(address) | Address::Inside { address, .. } => {
            talk(TcpStream::connect(address).await?, body).await
        }
        Address::Unix(path) => talk(UnixStream::connect(path.as_path()).await?, body).await,
    }
}

async fn talk(mut stream: impl AsyncRead + AsyncWrite + Unpin, body: &[u8]) -> io::Result<Answer> {
    let length = body.len();
    let head = format!(
        "POST / HTTP/1.1\r\nHost: function\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    parse(&answer)
        .ok_or_else(|| io::Error::other(format!("no HTTP: {:?}", String::from_utf8_lossy(&answer))))
}

fn parse(answer: &[u8]) -> Option<Answer> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let (head, body) = (std::str::from_utf8(&answer[..end]).ok()?, &answer[end + 4..]);
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    let body = if chunked { joined(body)? } else { body.to_vec() };
    Some(Answer { status, body })
}

/// The chunks of a body, joined.
fn joined(mut chunks: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = chunks.windows(2).position(|window| window == b"\r\n")?;
        let size = std::str::from_utf8(&chunks[..end]).ok()?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        let chunk = chunks.get(end + 2..)?;
        body.extend_from_slice(chunk.get(..size)?);
        chunks = chunk.get(size + 2..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_joined() {
        let answer = parse(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x\r\nc\r\n0\r\n\r\n");
        assert_eq!(answer, Some(Answer { status: 200, body: b"abc".to_vec() }));
    }
}
