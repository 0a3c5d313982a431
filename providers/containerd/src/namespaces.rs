//! Namespaces of functions as namespaces of containerd: those with the label `openfaas=1`, as faasd has it.
//!
//! The one of ours that is always there carries the name of our state directory, so that two do not take
//! each other's containers for their own.

use std::collections::{BTreeMap, HashMap};

use containerd_client::services::v1::{
    CreateNamespaceRequest, DeleteNamespaceRequest, DeleteRequest as DeleteLeaseRequest,
    ListNamespacesRequest, ListRequest as ListLeasesRequest, Namespace as Record,
    UpdateNamespaceRequest,
};
use prost_types::FieldMask;
use serde::{Deserialize, Serialize};
use tidegate_core::DEFAULT_NAMESPACE;
use tidegate_provider::Namespace;
use tracing::debug;

use crate::connection::{Connection, Scope, call};
use crate::error::{Failure, or_absent, or_there};
use crate::{containers, image};

/// Where services are, as in faasd; no namespace of functions.
pub(crate) const SERVICES: &str = "openfaas";
/// Marks namespaces that hold functions.
const MARK: &str = "openfaas";
/// Holds what the API was told of a namespace.
const SAID: &str = "tidegate/namespace";
/// Holds the name of the state directory that a namespace belongs to.
const OWNER: &str = "tidegate/state";
/// A namespace that was just emptied may count as full for a moment.
const DELETE_TRIES: u32 = 40;
const DELETE_PAUSE: std::time::Duration = std::time::Duration::from_millis(50);

/// What the API was told of a namespace.
#[derive(Default, Serialize, Deserialize)]
struct Said {
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// Namespaces of functions.
#[derive(Clone, Debug)]
pub(crate) struct Namespaces {
    connection: Connection,
    prefix: String,
    state: String,
}

impl Namespaces {
    pub(crate) fn new(connection: Connection, prefix: String, state: String) -> Self {
        Self { connection, prefix, state }
    }

    /// containerd's name of a namespace.
    pub(crate) fn full(&self, namespace: &str) -> String {
        format!("{}{namespace}", self.prefix)
    }

    /// The namespace of functions that calls are about.
    pub(crate) fn short<'a>(&self, scope: &'a Scope) -> &'a str {
        scope.namespace().strip_prefix(&self.prefix).unwrap_or(scope.namespace())
    }

    /// Calls about a namespace of functions.
    pub(crate) fn scope(&self, namespace: &str) -> Scope {
        self.connection.within(&self.full(namespace))
    }

    /// Makes the default namespace ours; refuses when it is another tidegate's.
    pub(crate) async fn take(&self) -> Result<(), Failure> {
        self.claim(DEFAULT_NAMESPACE, &[(MARK, "1"), (OWNER, &self.state)]).await
    }

    /// Makes the namespace of services ours. It holds no functions, and so does not have their mark.
    pub(crate) async fn take_for_services(&self) -> Result<(), Failure> {
        self.claim(SERVICES, &[(OWNER, &self.state)]).await
    }

    async fn claim(&self, namespace: &str, labels: &[(&str, &str)]) -> Result<(), Failure> {
        let name = self.full(namespace);
        let found = self.records().await?.into_iter().find(|it| it.name == name);
        match found.as_ref().and_then(|it| it.labels.get(OWNER)).filter(|owner| !owner.is_empty()) {
            Some(owner) if *owner != self.state => Err(Failure::Told(format!(
                "containerd namespace {name} belongs to another tidegate (state {owner:?}, ours is {:?}); stop that \
                     one or choose another namespace prefix. If it is gone for good: `ctr namespaces label {name} {OWNER}=`",
                self.state
            ))),
            Some(_) => Ok(()),
            None => {
                let labels =
                    labels.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
                self.put(namespace, labels.collect()).await
            }
        }
    }

    /// All that may hold functions.
    pub(crate) async fn list(&self) -> Result<Vec<Namespace>, Failure> {
        let records = self.records().await?.into_iter();
        let marked = |record: &Record| {
            record.labels.get(MARK).is_some_and(|text| text == "1" || text == "true")
        };
        let ours = records.filter(marked).filter_map(|record| {
            let name = record.name.strip_prefix(&self.prefix)?.to_owned();
            let said = record.labels.get(SAID).and_then(|text| serde_json::from_str(text).ok());
            let said: Said = said.unwrap_or_default();
            Some(Namespace { name, labels: said.labels, annotations: said.annotations })
        });
        Ok(ours.collect())
    }

    async fn records(&self) -> Result<Vec<Record>, Failure> {
        // Every call needs a namespace, this one any.
        let mut client = self.scope(DEFAULT_NAMESPACE).namespaces();
        let request = ListNamespacesRequest::default();
        Ok(call("list namespaces", client.list(request)).await?.namespaces)
    }

    /// Makes a namespace, or replaces what is said of it.
    pub(crate) async fn keep(&self, namespace: Namespace) -> Result<(), Failure> {
        if namespace.name == SERVICES {
            return Err(Failure::Told(format!(
                "namespace {SERVICES} is for services; choose another name for functions"
            )));
        }
        let said = Said { labels: namespace.labels, annotations: namespace.annotations };
        let said = serde_json::to_string(&said).expect("texts are JSON");
        let labels = [(MARK.to_owned(), "1".to_owned()), (SAID.to_owned(), said)];
        self.put(&namespace.name, labels.into()).await
    }

    /// Makes a namespace unless it is there, and sets labels.
    async fn put(&self, namespace: &str, labels: HashMap<String, String>) -> Result<(), Failure> {
        let mut client = self.scope(namespace).namespaces();
        let record = Record { name: self.full(namespace), labels: labels.clone() };
        let create = CreateNamespaceRequest { namespace: Some(record.clone()) };
        or_there(call("make a namespace", client.create(create)).await)?;
        let paths = labels.keys().map(|name| format!("labels.{name}")).collect();
        let update_mask = Some(FieldMask { paths });
        let update = UpdateNamespaceRequest { namespace: Some(record), update_mask };
        call("label a namespace", client.update(update)).await.map(drop)
    }

    /// Removes a namespace with its images; refuses when it holds containers, whoever's.
    pub(crate) async fn forget(&self, namespace: &str) -> Result<(), Failure> {
        let scope = self.scope(namespace);
        if !containers::all(&scope).await?.is_empty() {
            return Err(Failure::Told(format!(
                "containerd namespace {} holds containers; remove them first",
                scope.namespace()
            )));
        }
        end_leases(&scope, |_| true).await?;
        for image in image::records(&scope).await? {
            image::forget(&scope, &image.name).await?;
        }
        let mut tries = 0;
        loop {
            let request = DeleteNamespaceRequest { name: scope.namespace().to_owned() };
            match or_absent(call("remove a namespace", scope.namespaces().delete(request)).await) {
                Err(failure) if !failure.is_away() && tries < DELETE_TRIES => tries += 1,
                done => return done,
            }
            tokio::time::sleep(DELETE_PAUSE).await;
        }
    }
}

/// Ends leases of this namespace that are ours and that `left` says nobody needs any more.
pub(crate) async fn end_leases(scope: &Scope, left: impl Fn(&str) -> bool) -> Result<(), Failure> {
    let request = ListLeasesRequest { filters: Vec::new() };
    let leases = call("list leases", scope.leases().list(request)).await?.leases;
    for lease in leases.into_iter().filter(|lease| left(&lease.id)) {
        debug!(lease = %lease.id, "ending a lease that was left behind");
        let request = DeleteLeaseRequest { id: lease.id, sync: false };
        or_absent(call("end a lease", scope.leases().delete(request)).await)?;
    }
    Ok(())
}
