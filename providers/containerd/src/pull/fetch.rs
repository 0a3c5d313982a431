//! One blob on its way from a registry into containerd's content store: gone on with where an earlier try
//! ended, checked by containerd when it is whole.

use std::time::Duration;

use futures_util::StreamExt;

use super::error::{PullError, io_chain, said_plainly};
use super::flights::Flights;
use super::patience::Patience;
use super::progress::{Progress, PullEvent};
use super::registries::Registries;
use super::registry::{Flow, Registry};
use crate::connection::{Scope, unlocked};
use crate::content::{self, Blob, PIECE, Writer};
use crate::error::Failure;

/// Between two looks whether somebody else, perhaps another process, is done with the same blob.
const LOCKED: Duration = Duration::from_millis(250);

/// Fetches the blobs of one image.
#[derive(Copy, Clone)]
pub(crate) struct Fetch<'a> {
    /// Under a lease when anything is fetched.
    pub(crate) scope: &'a Scope,
    pub(crate) registry: &'a Registry,
    pub(crate) registries: &'a Registries,
    pub(crate) flights: &'a Flights,
    pub(crate) progress: &'a Progress<'a>,
}

impl Fetch<'_> {
    /// Makes sure that a blob is in the store.
    pub(crate) async fn blob(&self, blob: &Blob) -> Result<(), Failure> {
        let _flight = self.flights.enter(&blob.digest).await;
        let mut patience = Patience::new(self.registries, self.progress);
        // What came before bad bytes was thrown away with them: it is no progress, nor is what comes again.
        let mut bad = false;
        loop {
            let mut came = 0;
            match self.go_on(blob, &mut came).await {
                Ok(()) => {
                    self.tell(blob, blob.size);
                    return Ok(());
                }
                Err(failure) if failure.is_locked() => tokio::time::sleep(LOCKED).await,
                Err(failure) => {
                    bad |= matches!(failure, Failure::Pull(PullError::Damaged { .. }));
                    if came > 0 && !bad {
                        patience.renew();
                    }
                    patience.after(said_plainly(failure)).await?;
                }
            }
        }
    }

    /// Fetches what is missing of a blob; counts in `came` what has come.
    async fn go_on(&self, blob: &Blob, came: &mut u64) -> Result<(), Failure> {
        // Only a writer makes the lease hold a blob that is there already.
        let (mut writer, mut offset) = match unlocked(|| Writer::open(self.scope, blob)).await {
            Err(failure) if failure.is_there_already() => return Ok(()),
            opened => opened?,
        };
        if offset > blob.size {
            return Err(self.start_over(blob, "more came than it has").await);
        }
        if offset < blob.size {
            self.tell(blob, offset);
            let flow = match self.registry.blob(&blob.digest, offset).await {
                // What logged us in may have run out.
                Err(Failure::Pull(PullError::Refused { .. })) => {
                    self.registry.log_in().await?;
                    self.registry.blob(&blob.digest, offset).await?
                }
                flow => flow?,
            };
            let begun = offset;
            let copied = self.copy(&mut writer, blob, flow, &mut offset).await;
            *came = offset - begun;
            copied?;
        }
        match writer.commit(blob, offset).await {
            Err(failure) if failure.is_there_already() => Ok(()),
            Err(failure) if failure.is_mismatch() => {
                // Else each next try would go on behind the same bad bytes.
                Err(self.start_over(blob, &failure.to_string()).await)
            }
            done => done,
        }
    }

    async fn copy(
        &self,
        writer: &mut Writer,
        blob: &Blob,
        mut flow: Flow,
        offset: &mut u64,
    ) -> Result<(), Failure> {
        let mut piece = Vec::with_capacity(PIECE);
        loop {
            let next = flow.bytes.next().await;
            if let Some(Ok(bytes)) = &next {
                let skip = flow.ahead.min(bytes.len() as u64);
                flow.ahead -= skip;
                // A piece that was cut to a usize before.
                piece.extend_from_slice(&bytes[skip as usize..]);
            }
            let whole = *offset + piece.len() as u64 >= blob.size;
            // What came before a failure is kept: the next try goes on behind it.
            if piece.len() >= PIECE || whole || !matches!(next, Some(Ok(_))) {
                let left = blob.size - *offset;
                piece.truncate(usize::try_from(left).unwrap_or(usize::MAX));
                if !piece.is_empty() {
                    *offset = writer.append(*offset, std::mem::take(&mut piece)).await?;
                    self.tell(blob, *offset);
                }
            }
            match next {
                _ if whole => return Ok(()),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(self.cut(blob, *offset, &io_chain(error))),
                None => return Err(self.cut(blob, *offset, "it ends")),
            }
        }
    }

    fn cut(&self, blob: &Blob, offset: u64, why: &str) -> Failure {
        let Blob { digest, size, .. } = blob;
        self.registry
            .subject()
            .away(format!("layer {digest} broke off after {offset} of {size} bytes: {why}"))
    }

    /// Throws away what has come of a blob.
    async fn start_over(&self, blob: &Blob, why: &str) -> Failure {
        match unlocked(|| content::abort(self.scope, blob)).await {
            Ok(()) => self.registry.subject().damaged(&format!("layer {}", blob.digest), why),
            Err(failure) => failure,
        }
    }

    fn tell(&self, blob: &Blob, here: u64) {
        let (digest, bytes) = (blob.digest.clone(), blob.size);
        (self.progress)(&PullEvent::Layer { digest, here, bytes });
    }
}

/// Writes a manifest that has come into the store.
pub(crate) async fn keep(scope: &Scope, blob: &Blob, bytes: &[u8]) -> Result<(), Failure> {
    match unlocked(|| Writer::open(scope, blob)).await {
        Ok((writer, offset)) => match writer.fill(blob, bytes, offset).await {
            Err(failure) if failure.is_there_already() => {}
            done => return done.map_err(said_plainly),
        },
        Err(failure) if failure.is_there_already() => {}
        Err(failure) => return Err(said_plainly(failure)),
    }
    // Another image may have brought it, with fewer labels.
    content::label(scope, &blob.digest, blob.labels.clone()).await
}
