//! The channel to containerd: over its Unix socket, every call with a namespace, some under a lease.
//!
//! The channel connects by itself, again and again: whoever calls while the daemon is away gets
//! [`Failure::Away`] and may try later.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use containerd_client::services::v1::containers_client::ContainersClient;
use containerd_client::services::v1::content_client::ContentClient;
use containerd_client::services::v1::diff_client::DiffClient;
use containerd_client::services::v1::events_client::EventsClient;
use containerd_client::services::v1::images_client::ImagesClient;
use containerd_client::services::v1::leases_client::LeasesClient;
use containerd_client::services::v1::namespaces_client::NamespacesClient;
use containerd_client::services::v1::snapshots::snapshots_client::SnapshotsClient;
use containerd_client::services::v1::tasks_client::TasksClient;
use containerd_client::services::v1::version_client::VersionClient;
use containerd_client::tonic::codegen::InterceptedService;
use containerd_client::tonic::metadata::{Ascii, MetadataValue};
use containerd_client::tonic::service::Interceptor;
use containerd_client::tonic::transport::{Channel, Endpoint};
use containerd_client::tonic::{Request, Response, Status};
use futures_util::FutureExt as _;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

use crate::error::Failure;

/// Lists of some thousand containers pass; the default of 4 MiB ends near 1,500.
const LARGEST_MESSAGE: usize = 16 << 20;
/// Longest that a call may take which has no better limit: the slowest are those that start a process.
const LONGEST_CALL: Duration = Duration::from_secs(60);
/// How much of one answer, and of all of them, containerd may send before it is read. What comes faster than it is
/// read would be kept in memory, by default up to megabytes of it.
const ANSWER_AHEAD: u32 = 64 << 10;
const ALL_AHEAD: u32 = 1 << 20;
/// How often a call that meets a lock of somebody else is tried again, and how long it waits in between.
const LOCK_TRIES: u32 = 40;
const LOCK_PAUSE: Duration = Duration::from_millis(25);

/// A channel to containerd.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    channel: Channel,
    owner: Arc<str>,
}

/// A channel whose calls are about one namespace, and perhaps under a lease.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    channel: Channel,
    owner: Arc<str>,
    headers: Headers,
}

/// A service with its headers.
pub(crate) type Service = InterceptedService<Channel, Headers>;

/// What containerd wants beside the message; shared, since each replica keeps a scope.
#[derive(Clone, Debug)]
pub(crate) struct Headers(Arc<Sent>);

#[derive(Clone, Debug)]
struct Sent {
    name: String,
    namespace: MetadataValue<Ascii>,
    lease: Option<MetadataValue<Ascii>>,
}

impl Interceptor for Headers {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("containerd-namespace", self.0.namespace.clone());
        if let Some(lease) = &self.0.lease {
            request.metadata_mut().insert("containerd-lease", lease.clone());
        }
        Ok(request)
    }
}

impl Connection {
    /// A channel to the daemon behind `socket`; connects at the first call. Leases carry the name of their
    /// `owner`.
    pub(crate) fn new(socket: &Path, owner: &str) -> Self {
        let path = socket.to_owned();
        let connector = tower::service_fn(move |_| {
            let path = path.clone();
            async move { UnixStream::connect(path).await.map(TokioIo::new) }
        });
        // The address is not looked at; the connector knows where to go.
        let channel = Endpoint::from_static("http://containerd")
            .initial_stream_window_size(ANSWER_AHEAD)
            .initial_connection_window_size(ALL_AHEAD)
            .connect_with_connector_lazy(connector);
        Self { channel, owner: owner.into() }
    }

    /// The daemon's version.
    ///
    /// # Errors
    /// When it does not answer.
    pub(crate) async fn version(&self) -> Result<String, Failure> {
        let mut client = VersionClient::new(self.channel.clone());
        Ok(call("ask for containerd's version", client.version(())).await?.version)
    }

    /// Calls about one namespace.
    pub(crate) fn within(&self, namespace: &str) -> Scope {
        let value =
            namespace.parse().expect("namespaces are checked: lower-case letters, digits, '-'");
        let sent = Sent { name: namespace.to_owned(), namespace: value, lease: None };
        let headers = Headers(Arc::new(sent));
        Scope { channel: self.channel.clone(), owner: self.owner.clone(), headers }
    }
}

/// A client of one service, with this scope's headers.
macro_rules! client {
    ($name:ident, $client:ident) => {
        pub(crate) fn $name(&self) -> $client<Service> {
            $client::with_interceptor(self.channel.clone(), self.headers.clone())
                .max_decoding_message_size(LARGEST_MESSAGE)
        }
    };
}

impl Scope {
    client!(containers, ContainersClient);
    client!(content, ContentClient);
    client!(diff, DiffClient);
    client!(events, EventsClient);
    client!(images, ImagesClient);
    client!(leases, LeasesClient);
    client!(namespaces, NamespacesClient);
    client!(snapshots, SnapshotsClient);
    client!(tasks, TasksClient);

    /// The namespace.
    pub(crate) fn namespace(&self) -> &str {
        &self.headers.0.name
    }

    /// Who takes leases in it.
    pub(crate) fn owner(&self) -> &str {
        &self.owner
    }

    /// The same, under a lease.
    pub(crate) fn under(&self, lease: &str) -> Self {
        let mut scope = self.clone();
        Arc::make_mut(&mut scope.headers.0).lease =
            Some(lease.parse().expect("our leases are letters, digits and '-'"));
        scope
    }
}

/// Waits for a call's answer.
pub(crate) fn call<T>(
    action: &'static str,
    answer: impl Future<Output = Result<Response<T>, Status>>,
) -> impl Future<Output = Result<T, Failure>> {
    within(LONGEST_CALL, action, answer)
}

/// Waits for a call's answer for at most `limit`, from now on.
///
/// Answers take kilobytes, and each `async fn` around one would keep room for it twice.
pub(crate) fn within<T>(
    limit: Duration,
    action: &'static str,
    answer: impl Future<Output = Result<Response<T>, Status>>,
) -> impl Future<Output = Result<T, Failure>> {
    tokio::time::timeout(limit, answer).map(move |answered| match answered {
        Ok(answer) => {
            answer.map(Response::into_inner).map_err(|status| Failure::new(action, status))
        }
        Err(_) => Err(Failure::TooSlow { action, seconds: limit.as_secs() }),
    })
}

/// Tries again while another client holds a lock on what is wanted.
pub(crate) async fn unlocked<T, F: Future<Output = Result<T, Failure>>>(
    mut work: impl FnMut() -> F,
) -> Result<T, Failure> {
    for _ in 1..LOCK_TRIES {
        match work().await {
            Err(failure) if failure.is_locked() => tokio::time::sleep(LOCK_PAUSE).await,
            done => return done,
        }
    }
    work().await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hundreds of replicas may wait at the same time.
    #[tokio::test]
    async fn waiting_for_an_answer_takes_little_more_room_than_the_answer() {
        let room = [0_u8; 4096];
        let answer = async move {
            tokio::task::yield_now().await;
            assert_eq!(room[4095], 0);
            Ok(Response::new(()))
        };
        let alone = size_of_val(&answer);
        let waiting = call("wait", answer);
        assert!(size_of_val(&waiting) < alone + 512, "{} for {alone}", size_of_val(&waiting));
        waiting.await.expect("it is answered");
    }
}
