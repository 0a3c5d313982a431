//! An upgraded connection: bytes in both directions until both sides have closed.
//!
//! The call is in flight all the while, so the function is neither idle nor is its replica drained.

use bytes::Bytes;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncWriteExt, copy_bidirectional};
use tokio_util::sync::CancellationToken;

use crate::call::Call;
use crate::upstream::Connection;

/// Joins the client's upgraded connection and the replica's; ends early when `cut`.
pub(crate) async fn splice(
    upgrade: OnUpgrade,
    connection: Box<Connection>,
    call: Call,
    cut: CancellationToken,
) {
    let (mut replica, early): (_, Bytes) = connection.into_socket();
    let joined = async {
        let Ok(upgraded) = upgrade.await else { return };
        let mut client = TokioIo::new(upgraded);
        // The replica may have sent more than its head already.
        if client.write_all(&early).await.is_ok() {
            // Either side may break off at any time; that is how such connections end.
            let _ = copy_bidirectional(&mut client, &mut replica).await;
        }
    };
    tokio::select! {
        () = joined => {}
        () = cut.cancelled() => {}
    }
    drop(call);
}
