//! The channel to containerd: over its Unix socket, every call with a namespace, some under a lease.
//!
//! The channel connects by itself, again and again: whoever calls while the daemon is away gets
//! [`Failure::Away`] and may try later.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};
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
    /// Those that somebody has.
    scopes: Arc<Mutex<Vec<Weak<Within>>>>,
}

/// A channel whose calls are about one namespace, and perhaps under a lease; shared, since each replica keeps one, and more
/// than one while it lives.
#[derive(Clone, Debug)]
pub(crate) struct Scope(Arc<Within>);

#[derive(Clone, Debug)]
struct Within {
    channel: Channel,
    owner: Arc<str>,
    name: String,
    headers: Headers,
}

/// A service with its headers.
pub(crate) type Service = InterceptedService<Channel, Headers>;

/// What containerd wants beside the message.
#[derive(Clone, Debug)]
pub(crate) struct Headers {
    namespace: MetadataValue<Ascii>,
    lease: Option<MetadataValue<Ascii>>,
}

impl Interceptor for Headers {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("containerd-namespace", self.namespace.clone());
        if let Some(lease) = &self.lease {
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
        Self { channel, owner: owner.into(), scopes: Arc::default() }
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
        let mut scopes = self.scopes.lock().unwrap_or_else(PoisonError::into_inner);
        let known = scopes.iter().filter_map(Weak::upgrade).find(|it| it.name == namespace);
        if let Some(known) = known {
            return Scope(known);
        }
        let value =
            namespace.parse().expect("namespaces are checked: lower-case letters, digits, '-'");
        let scope = Arc::new(Within {
            channel: self.channel.clone(),
            owner: self.owner.clone(),
            name: namespace.to_owned(),
            headers: Headers { namespace: value, lease: None },
        });
        scopes.retain(|it| it.strong_count() > 0);
        scopes.push(Arc::downgrade(&scope));
        Scope(scope)
    }
}

/// A client of one service, with this scope's headers.
macro_rules! client {
    ($name:ident, $client:ident) => {
        pub(crate) fn $name(&self) -> $client<Service> {
            $client::with_interceptor(self.0.channel.clone(), self.0.headers.clone())
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
        &self.0.name
    }

    /// Who takes leases in it.
    pub(crate) fn owner(&self) -> &str {
        &self.0.owner
    }

    /// The same, under a lease.
    pub(crate) fn under(&self, lease: &str) -> Self {
        let mut scope = self.clone();
        Arc::make_mut(&mut scope.0).headers.lease =
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

    #[tokio::test]
    async fn a_scope_is_shared_while_somebody_has_it() {
        let connection = Connection::new(Path::new("/none"), "me");
        let (one, other) = (connection.within("fn"), connection.within("fn"));
        assert!(Arc::ptr_eq(&one.0, &other.0));
        let leased = one.under("lease");
        assert!(leased.0.headers.lease.is_some() && one.0.headers.lease.is_none());
        assert!(Arc::ptr_eq(&one.0, &connection.within("fn").0), "the one without a lease");
        drop((one, other));
        assert_eq!(connection.within("more").namespace(), "more");
        assert_eq!(connection.scopes.lock().expect("whole").len(), 1, "the others are forgotten");
    }

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
