//! Secrets and namespaces: what functions may refer to by name.
//!
//! One lock covers both. Deploying holds it for reading, so that nothing a function names is removed while
//! the function is on its way to disk.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;

use tidegate_core::{DEFAULT_NAMESPACE, FunctionId};
use tidegate_provider::{Deployment, Namespace, ProviderError, Secret, SecretName};

use crate::durable;
use crate::error::OpenError;
use crate::host::Host;
use crate::layout::Layout;
use crate::record::NamespaceRecord;
use crate::revision::Revision;

/// What exists, as on disk.
#[derive(Debug, Default)]
pub(crate) struct Names {
    namespaces: BTreeMap<String, Namespace>,
    secrets: BTreeMap<String, BTreeSet<String>>,
}

impl Names {
    /// Reads what is on disk; the default namespace is there in any case.
    pub(crate) fn read(layout: &Layout) -> Result<Self, OpenError> {
        let mut names = Self::default();
        let default = Namespace { name: DEFAULT_NAMESPACE.to_owned(), ..Namespace::default() };
        names.namespaces.insert(default.name.clone(), default);
        let folder = layout.namespaces();
        for file in durable::names(&folder).map_err(OpenError::io("read", &folder))? {
            let path = folder.join(file);
            let text = std::fs::read(&path).map_err(OpenError::io("read", &path))?;
            let record: NamespaceRecord = serde_json::from_slice(&text)
                .map_err(|bad| OpenError::Damaged { path, why: bad.to_string() })?;
            let namespace = Namespace::from(record);
            names.namespaces.insert(namespace.name.clone(), namespace);
        }
        for namespace in names.namespaces.keys() {
            let folder = layout.secrets(namespace);
            let secrets = durable::names(&folder).map_err(OpenError::io("read", &folder))?;
            names.secrets.insert(namespace.clone(), secrets.into_iter().collect());
        }
        Ok(names)
    }

    /// All namespaces, in order.
    pub(crate) fn namespaces(&self) -> Vec<Namespace> {
        self.namespaces.values().cloned().collect()
    }

    /// Whether there is such a namespace.
    pub(crate) fn check_namespace(&self, name: &str) -> Result<(), ProviderError> {
        if self.namespaces.contains_key(name) {
            return Ok(());
        }
        Err(ProviderError::NotFound { what: "namespace", name: name.to_owned() })
    }

    /// The secrets of a namespace, in order.
    pub(crate) fn secrets(&self, namespace: &str) -> Result<Vec<SecretName>, ProviderError> {
        self.check_namespace(namespace)?;
        let names = self.secrets.get(namespace).into_iter().flatten();
        let whole =
            |name: &String| SecretName { namespace: namespace.to_owned(), name: name.clone() };
        Ok(names.map(whole).collect())
    }

    /// Whether all that a deployment names exists. A client that is told "not found" would take the
    /// function itself to be missing, so what is missing makes the deployment invalid.
    pub(crate) fn check(&self, deployment: &Deployment) -> Result<(), ProviderError> {
        let namespace = deployment.function.namespace();
        if !self.namespaces.contains_key(namespace) {
            return Err(ProviderError::Invalid(format!("namespace {namespace:?} does not exist")));
        }
        for name in &deployment.secrets {
            if !self.has(namespace, name) {
                return Err(ProviderError::Invalid(format!(
                    "secret {name:?} does not exist in namespace {namespace:?}; create it first"
                )));
            }
        }
        Ok(())
    }

    fn has(&self, namespace: &str, secret: &str) -> bool {
        self.secrets.get(namespace).is_some_and(|secrets| secrets.contains(secret))
    }

    /// Whether a secret may be created.
    pub(crate) fn check_new_secret(&self, name: &SecretName) -> Result<(), ProviderError> {
        self.check_namespace(&name.namespace)?;
        if self.has(&name.namespace, &name.name) {
            return Err(ProviderError::Exists { what: "secret", name: name.name.clone() });
        }
        Ok(())
    }

    /// Whether a secret is there to be changed.
    pub(crate) fn check_secret(&self, name: &SecretName) -> Result<(), ProviderError> {
        if self.has(&name.namespace, &name.name) {
            return Ok(());
        }
        Err(ProviderError::NotFound { what: "secret", name: name.name.clone() })
    }

    /// A secret is on disk.
    pub(crate) fn add_secret(&mut self, name: SecretName) {
        self.secrets.entry(name.namespace).or_default().insert(name.name);
    }

    /// A secret is off the disk.
    pub(crate) fn remove_secret(&mut self, name: &SecretName) {
        if let Some(secrets) = self.secrets.get_mut(&name.namespace) {
            secrets.remove(&name.name);
        }
    }

    /// Whether a namespace may be made.
    pub(crate) fn check_new_namespace(&self, name: &str) -> Result<(), ProviderError> {
        FunctionId::check_label("namespace", name)
            .map_err(|bad| ProviderError::Invalid(bad.to_string()))?;
        if self.namespaces.contains_key(name) {
            return Err(ProviderError::Exists { what: "namespace", name: name.to_owned() });
        }
        Ok(())
    }

    /// A namespace is on disk.
    pub(crate) fn put_namespace(&mut self, namespace: Namespace) {
        self.namespaces.insert(namespace.name.clone(), namespace);
    }

    /// A namespace is off the disk, with its secrets.
    pub(crate) fn remove_namespace(&mut self, name: &str) {
        self.namespaces.remove(name);
        self.secrets.remove(name);
    }
}

/// Writes a secret.
pub(crate) fn write_secret(layout: &Layout, secret: &Secret) -> io::Result<()> {
    durable::make_folder(&layout.secrets(&secret.name.namespace))?;
    durable::write(&layout.secret(&secret.name), &secret.value)
}

/// Writes a namespace.
pub(crate) fn write_namespace(layout: &Layout, namespace: Namespace) -> io::Result<()> {
    let path = layout.namespace(&namespace.name);
    durable::write(&path, &serde_json::to_vec_pretty(&NamespaceRecord::from(namespace))?)
}

/// Removes a namespace, its secrets first: a crash in between leaves a namespace without some of them.
pub(crate) fn remove_namespace(layout: &Layout, name: &str) -> io::Result<()> {
    durable::remove_folder(&layout.secrets(name))?;
    match durable::remove(&layout.namespace(name)) {
        Err(failure) if failure.kind() != io::ErrorKind::NotFound => Err(failure),
        _ => Ok(()),
    }
}

/// [`mount`] for a revision that is not deployed yet.
pub(crate) async fn mount_for(host: &Arc<Host>, revision: &Revision) -> Result<(), ProviderError> {
    let (inside, number, deployment) = (host.clone(), revision.number, revision.deployment.clone());
    let work = move || {
        let folder = inside.layout.mounted_secrets(&deployment.function, number);
        mount(&inside.layout, &folder, &deployment)
    };
    host.disk("link the function's secrets", work).await
}

/// Makes the folder in which one revision finds its secrets: links to the only copy, so that a secret that
/// is replaced is new for all functions at the same moment. A function without secrets has no such folder.
pub(crate) fn mount(layout: &Layout, folder: &Path, deployment: &Deployment) -> io::Result<()> {
    durable::remove_folder(folder)?;
    if deployment.secrets.is_empty() {
        return Ok(());
    }
    durable::make_folder(folder)?;
    for name in &deployment.secrets {
        let namespace = deployment.function.namespace().to_owned();
        let target = layout.secret(&SecretName { namespace, name: name.clone() });
        match symlink(target, folder.join(name)) {
            // Named twice.
            Err(failure) if failure.kind() == io::ErrorKind::AlreadyExists => {}
            linked => linked?,
        }
    }
    Ok(())
}
