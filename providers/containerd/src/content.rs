//! Blobs in containerd's content store: written in pieces, named by their digest, labelled so that what
//! they refer to is kept with them.

use std::collections::HashMap;

use containerd_client::services::v1::{
    AbortRequest, Info, InfoRequest, ReadContentRequest, UpdateRequest, WriteAction,
    WriteContentRequest, WriteContentResponse,
};
use containerd_client::tonic::Streaming;
use prost_types::FieldMask;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::mpsc;

use crate::connection::{Scope, call, unlocked};
use crate::error::{Failure, or_absent, or_there};

/// Bytes of one message of a write.
pub(crate) const PIECE: usize = 1 << 20;
/// Most bytes of a manifest or configuration that are read into memory.
pub(crate) const LARGEST_DOCUMENT: u64 = 4 << 20;
const WRITE: &str = "write to containerd's content store";

/// What a blob is.
#[derive(Clone, Debug)]
pub(crate) struct Blob {
    /// Its digest.
    pub(crate) digest: String,
    /// Its size in bytes.
    pub(crate) size: u64,
    /// Its labels, those that keep other things alive among them.
    pub(crate) labels: HashMap<String, String>,
}

/// Whether a blob is there, in this scope's namespace.
pub(crate) async fn has(scope: &Scope, digest: &str) -> Result<bool, Failure> {
    let request = InfoRequest { digest: digest.to_owned() };
    match call("look for content", scope.content().info(request)).await {
        Ok(_) => Ok(true),
        Err(failure) if failure.is_not_found() => Ok(false),
        Err(failure) => Err(failure),
    }
}

/// Adds labels to a blob that is there.
pub(crate) async fn label(
    scope: &Scope,
    digest: &str,
    labels: HashMap<String, String>,
) -> Result<(), Failure> {
    let paths = labels.keys().map(|name| format!("labels.{name}")).collect();
    let info = Info { digest: digest.to_owned(), labels, ..Info::default() };
    let request = UpdateRequest { info: Some(info), update_mask: Some(FieldMask { paths }) };
    call("label content", scope.content().update(request)).await.map(drop)
}

/// Reads a manifest or a configuration.
pub(crate) async fn read(scope: &Scope, digest: &str) -> Result<Vec<u8>, Failure> {
    const READ: &str = "read from containerd's content store";
    let info = InfoRequest { digest: digest.to_owned() };
    let info = call(READ, scope.content().info(info)).await?.info.unwrap_or_default();
    if info.size.unsigned_abs() > LARGEST_DOCUMENT {
        return Err(Failure::Told(format!(
            "{digest} has {} bytes, too many for a manifest",
            info.size
        )));
    }
    let request = ReadContentRequest { digest: digest.to_owned(), offset: 0, size: 0 };
    let mut stream = call(READ, scope.content().read(request)).await?;
    let mut bytes = Vec::new();
    while let Some(piece) = stream.message().await.map_err(|status| Failure::new(READ, status))? {
        bytes.extend(piece.data);
    }
    Ok(bytes)
}

/// Writes a blob unless it is there; containerd checks its size and digest.
///
/// `source` gives the bytes; it is not read when another namespace has the blob already.
pub(crate) async fn write<R: AsyncRead + Unpin>(
    scope: &Scope,
    blob: &Blob,
    source: R,
) -> Result<(), Failure> {
    if has(scope, &blob.digest).await? {
        return label_if_any(scope, blob).await;
    }
    // A lock is met at the first message, before anything of the source is read.
    let opened = unlocked(|| Writer::open(scope, blob)).await;
    let written = match opened {
        Ok((writer, offset)) => writer.fill(blob, source, offset).await,
        Err(failure) => Err(failure),
    };
    match written {
        Err(failure) if failure.is_there_already() => label_if_any(scope, blob).await,
        Err(failure) if !failure.is_away() => {
            // What was written is not the blob; nobody should go on from there.
            abort(scope, blob).await?;
            Err(failure)
        }
        done => done,
    }
}

/// What a write that is under way is called.
fn reference(blob: &Blob) -> String {
    format!("tidegate-{}", blob.digest)
}

async fn label_if_any(scope: &Scope, blob: &Blob) -> Result<(), Failure> {
    if blob.labels.is_empty() {
        Ok(())
    } else {
        label(scope, &blob.digest, blob.labels.clone()).await
    }
}

/// Writes a manifest or a configuration.
pub(crate) async fn write_bytes(
    scope: &Scope,
    bytes: &[u8],
    labels: HashMap<String, String>,
) -> Result<String, Failure> {
    let digest = crate::digest::of(bytes);
    let blob = Blob { digest: digest.clone(), size: bytes.len() as u64, labels };
    or_there(write(scope, &blob, bytes).await)?;
    Ok(digest)
}

/// Throws away what was written of a blob so far.
pub(crate) async fn abort(scope: &Scope, blob: &Blob) -> Result<(), Failure> {
    let request = AbortRequest { r#ref: reference(blob) };
    or_absent(call(WRITE, scope.content().abort(request)).await)
}

/// One write under way; its lock goes with it.
pub(crate) struct Writer {
    messages: mpsc::Sender<WriteContentRequest>,
    answers: Streaming<WriteContentResponse>,
}

impl Writer {
    /// Takes the blob's lock; says how much of it is there.
    pub(crate) async fn open(scope: &Scope, blob: &Blob) -> Result<(Self, u64), Failure> {
        let (messages, outgoing) = mpsc::channel(1);
        let stream = futures_util::stream::unfold(outgoing, |mut outgoing| async {
            outgoing.recv().await.map(|message| (message, outgoing))
        });
        let stat = WriteContentRequest {
            action: WriteAction::Stat.into(),
            r#ref: reference(blob),
            total: blob.size.cast_signed(),
            expected: blob.digest.clone(),
            ..WriteContentRequest::default()
        };
        // Room for one message is there.
        let _ = messages.send(stat).await;
        let answers = call(WRITE, scope.content().write(stream)).await?;
        let mut writer = Self { messages, answers };
        let offset = writer.answer().await?.offset.unsigned_abs();
        Ok((writer, offset))
    }

    async fn answer(&mut self) -> Result<WriteContentResponse, Failure> {
        let answer = self.answers.message().await.map_err(|status| Failure::new(WRITE, status))?;
        answer.ok_or_else(|| Failure::Away { why: "a write ended without an answer".to_owned() })
    }

    async fn send(&mut self, message: WriteContentRequest) -> Result<(), Failure> {
        // When the other end is gone, the answer says why.
        let _ = self.messages.send(message).await;
        self.answer().await.map(drop)
    }

    /// Writes what is missing from `offset` on, and commits.
    pub(crate) async fn fill<R: AsyncRead + Unpin>(
        mut self,
        blob: &Blob,
        mut source: R,
        mut offset: u64,
    ) -> Result<(), Failure> {
        let reading = |source| Failure::Io { action: format!("read {}", blob.digest), source };
        if offset > 0 && offset < blob.size {
            // The source starts at its beginning.
            tokio::io::copy(&mut (&mut source).take(offset), &mut tokio::io::sink())
                .await
                .map_err(reading)?;
        }
        while offset < blob.size {
            let mut data = Vec::with_capacity(PIECE);
            let piece = (blob.size - offset).min(PIECE as u64);
            (&mut source).take(piece).read_to_end(&mut data).await.map_err(reading)?;
            if data.is_empty() {
                return Err(Failure::Told(format!(
                    "{} ends after {offset} of {} bytes",
                    blob.digest, blob.size
                )));
            }
            offset = self.append(offset, data).await?;
        }
        self.commit(blob, offset).await
    }

    /// Writes a piece; returns where the next one goes.
    pub(crate) async fn append(&mut self, offset: u64, data: Vec<u8>) -> Result<u64, Failure> {
        let next = offset + data.len() as u64;
        self.send(WriteContentRequest {
            action: WriteAction::Write.into(),
            offset: offset.cast_signed(),
            data,
            ..WriteContentRequest::default()
        })
        .await?;
        Ok(next)
    }

    /// Makes what was written a blob, when it has the right size and digest.
    pub(crate) async fn commit(mut self, blob: &Blob, offset: u64) -> Result<(), Failure> {
        self.send(WriteContentRequest {
            action: WriteAction::Commit.into(),
            total: blob.size.cast_signed(),
            expected: blob.digest.clone(),
            offset: offset.cast_signed(),
            labels: blob.labels.clone(),
            ..WriteContentRequest::default()
        })
        .await
    }
}
