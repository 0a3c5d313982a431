//! ttrpc, the protocol between containerd and its shims: requests and answers over a Unix socket.
//!
//! ```text
//! length u32 │ stream u32 │ kind u8 │ flags u8 │ message       big-endian; 10 bytes and a protobuf message
//! ```
//!
//! Only calls with one request and one answer are known, as shims have no others. Source: `PROTOCOL.md` of
//! containerd/ttrpc. Its crate brings a second implementation of protocol buffers, which each shim would hold in memory.

use std::io;

use containerd_client::tonic::Code;
use prost::Message;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Longest message that is read. Source: `PROTOCOL.md`.
const LONGEST: u32 = 4 << 20;

pub(super) const REQUEST: u8 = 1;
pub(super) const RESPONSE: u8 = 2;

/// One message on the wire.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) stream: u32,
    pub(super) kind: u8,
    pub(super) message: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Request {
    #[prost(string, tag = "1")]
    pub(super) service: String,
    #[prost(string, tag = "2")]
    pub(super) method: String,
    #[prost(bytes = "vec", tag = "3")]
    pub(super) payload: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Response {
    #[prost(message, optional, tag = "1")]
    pub(super) status: Option<Refusal>,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) payload: Vec<u8>,
}

/// Why a request was not done. Source: `google/rpc/status.proto`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Refusal {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    pub(super) message: String,
}

impl Refusal {
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code: code as i32, message: message.into() }
    }

    /// For what the system refused, or a program.
    pub(super) fn failed(what: &str, why: impl std::fmt::Display) -> Self {
        Self::new(Code::Unknown, format!("{what}: {why}"))
    }
}

impl Response {
    pub(super) fn new(done: Result<Vec<u8>, Refusal>) -> Self {
        match done {
            Ok(payload) => Self { status: None, payload },
            Err(refusal) => Self { status: Some(refusal), payload: Vec::new() },
        }
    }

    pub(super) fn done(self) -> Result<Vec<u8>, Refusal> {
        match self.status {
            Some(refusal) if refusal.code != Code::Ok as i32 => Err(refusal),
            _ => Ok(self.payload),
        }
    }
}

/// The next message; none when the other side has ended.
pub(super) async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Frame>> {
    let length = match from.read_u32().await {
        Ok(length) => length,
        Err(end) if end.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(failure) => return Err(failure),
    };
    if length > LONGEST {
        let why = format!("a message of {length} bytes; {LONGEST} is most");
        return Err(io::Error::new(io::ErrorKind::InvalidData, why));
    }
    let stream = from.read_u32().await?;
    let kind = from.read_u8().await?;
    let _flags = from.read_u8().await?;
    let mut message = vec![0; length as usize];
    from.read_exact(&mut message).await?;
    Ok(Some(Frame { stream, kind, message }))
}

/// Writes one message.
pub(super) async fn write(
    to: &mut (impl AsyncWrite + Unpin),
    stream: u32,
    kind: u8,
    message: &impl Message,
) -> io::Result<()> {
    let length = message.encoded_len();
    let short = u32::try_from(length).ok().filter(|it| *it <= LONGEST);
    let short = short.ok_or_else(|| io::Error::other(format!("a message of {length} bytes")))?;
    let mut bytes = Vec::with_capacity(10 + length);
    bytes.extend(short.to_be_bytes());
    bytes.extend(stream.to_be_bytes());
    bytes.extend([kind, 0]);
    message.encode(&mut bytes).map_err(io::Error::other)?;
    to.write_all(&bytes).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_request_is_read_as_it_was_written() {
        let request = Request {
            service: "containerd.task.v2.Task".to_owned(),
            method: "Kill".to_owned(),
            payload: vec![8, 9],
        };
        let mut wire = Vec::new();
        write(&mut wire, 7, REQUEST, &request).await.expect("a vector takes all");
        assert_eq!(wire[..4], (wire.len() as u32 - 10).to_be_bytes());
        assert_eq!(wire[4..10], [0, 0, 0, 7, 1, 0]);
        let mut wire = wire.as_slice();
        let frame = read(&mut wire).await.expect("whole").expect("one");
        assert_eq!((frame.stream, frame.kind), (7, REQUEST));
        assert_eq!(Request::decode(frame.message.as_slice()), Ok(request));
        assert!(read(&mut wire).await.expect("whole").is_none(), "no more");
    }

    #[tokio::test]
    async fn neither_an_endless_message_nor_half_of_one_is_read() {
        let endless = [0x00, 0x40, 0x00, 0x01, 0, 0, 0, 1, 1, 0];
        let failure = read(&mut &endless[..]).await.expect_err("too long");
        assert_eq!(failure.kind(), io::ErrorKind::InvalidData);
        let half = [0, 0, 0, 9, 0, 0, 0, 1, 1, 0, 1, 2];
        let failure = read(&mut &half[..]).await.expect_err("half");
        assert_eq!(failure.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn an_answer_is_what_was_done_or_why_not() {
        assert_eq!(Response::new(Ok(vec![1])).done(), Ok(vec![1]));
        let refusal = Refusal::new(Code::NotFound, "no such task");
        assert_eq!(Response::new(Err(refusal.clone())).done(), Err(refusal));
    }
}
