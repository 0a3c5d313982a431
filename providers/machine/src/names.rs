//! Secrets and namespaces: what functions may refer to by name.
//!
//! One lock covers both. Deploying holds it for reading, so that nothing a function names is removed while
//! the function is on its way to be kept.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_core::{DEFAULT_NAMESPACE, FunctionId};
use tidegate_provider::{Deployment, Namespace, ProviderError, SecretName};

/// What exists, as it is kept.
#[derive(Debug, Default)]
pub(crate) struct Names {
    namespaces: BTreeMap<String, Namespace>,
    secrets: BTreeMap<String, BTreeSet<String>>,
}

impl Names {
    /// What was kept; the default namespace is there in any case.
    pub(crate) fn new(namespaces: Vec<Namespace>, secrets: Vec<SecretName>) -> Self {
        let mut names = Self::default();
        names.put_namespace(Namespace {
            name: DEFAULT_NAMESPACE.to_owned(),
            ..Namespace::default()
        });
        for namespace in namespaces {
            names.put_namespace(namespace);
        }
        for secret in secrets {
            names.add_secret(secret);
        }
        names
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

    /// A secret is kept.
    pub(crate) fn add_secret(&mut self, name: SecretName) {
        self.secrets.entry(name.namespace).or_default().insert(name.name);
    }

    /// A secret is kept no more.
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

    /// A namespace is kept.
    pub(crate) fn put_namespace(&mut self, namespace: Namespace) {
        self.namespaces.insert(namespace.name.clone(), namespace);
    }

    /// A namespace is kept no more, with its secrets.
    pub(crate) fn remove_namespace(&mut self, name: &str) {
        self.namespaces.remove(name);
        self.secrets.remove(name);
    }
}
