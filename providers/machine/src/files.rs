//! Functions, namespaces and secrets as files of a state directory, for backends that have no better place.
//!
//! ```text
//! functions/NAME.NAMESPACE.json  namespaces/NAME.json  secrets/NAMESPACE/NAME
//! ```
//!
//! All of this blocks.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use tidegate_core::{DEFAULT_NAMESPACE, FunctionId};
use tidegate_provider::{Namespace, Secret, SecretName};

use crate::durable;
use crate::error::OpenError;
use crate::record::{FunctionRecord, NamespaceRecord};
use crate::runtime::Kept;

/// Files of a state directory.
#[derive(Clone, Debug)]
pub struct Files {
    root: PathBuf,
}

impl Files {
    /// Those in `root`, the state directory; makes their folders.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn make(root: &Path) -> io::Result<Self> {
        let files = Self { root: root.to_owned() };
        for folder in [files.functions(), files.namespaces(), files.all_secrets()] {
            durable::make_folder(&folder)?;
        }
        Ok(files)
    }

    /// Where the secrets of a namespace are, a file each.
    pub fn secrets(&self, namespace: &str) -> PathBuf {
        self.all_secrets().join(namespace)
    }

    /// Where a secret is.
    pub fn secret(&self, name: &SecretName) -> PathBuf {
        self.secrets(&name.namespace).join(&name.name)
    }

    fn functions(&self) -> PathBuf {
        self.root.join("functions")
    }

    fn function(&self, id: &FunctionId) -> PathBuf {
        self.functions().join(format!("{id}.json"))
    }

    fn namespaces(&self) -> PathBuf {
        self.root.join("namespaces")
    }

    fn namespace(&self, name: &str) -> PathBuf {
        self.namespaces().join(format!("{name}.json"))
    }

    fn all_secrets(&self) -> PathBuf {
        self.root.join("secrets")
    }

    /// All that is there.
    ///
    /// # Errors
    /// When a file cannot be read or is damaged.
    pub fn read(&self) -> Result<Kept, OpenError> {
        let namespaces = self.read_namespaces()?;
        let mut secrets = self.read_secrets(DEFAULT_NAMESPACE)?;
        for namespace in namespaces.iter().filter(|it| it.name != DEFAULT_NAMESPACE) {
            secrets.extend(self.read_secrets(&namespace.name)?);
        }
        Ok(Kept { functions: self.read_functions()?, namespaces, secrets })
    }

    fn read_functions(&self) -> Result<Vec<FunctionRecord>, OpenError> {
        let read = |(path, text): (PathBuf, Vec<u8>)| {
            let record = FunctionRecord::from_json(&text);
            let named = record.and_then(|record| match record.function() {
                Ok(_) => Ok(record),
                Err(bad) => Err(bad.to_string()),
            });
            named.map_err(|why| OpenError::Damaged { path, why })
        };
        texts(&self.functions())?.into_iter().map(read).collect()
    }

    fn read_namespaces(&self) -> Result<Vec<Namespace>, OpenError> {
        let read = |(path, text): (PathBuf, Vec<u8>)| {
            let record: Result<NamespaceRecord, _> = serde_json::from_slice(&text);
            record
                .map(Namespace::from)
                .map_err(|bad| OpenError::Damaged { path, why: bad.to_string() })
        };
        texts(&self.namespaces())?.into_iter().map(read).collect()
    }

    /// The secrets of one namespace.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn read_secrets(&self, namespace: &str) -> Result<Vec<SecretName>, OpenError> {
        let folder = self.secrets(namespace);
        let names = durable::names(&folder).map_err(OpenError::io("read", &folder))?;
        let whole = |name| SecretName { namespace: namespace.to_owned(), name };
        Ok(names.into_iter().map(whole).collect())
    }

    /// Writes a function's record.
    ///
    /// # Errors
    /// When it is not written.
    pub fn write_function(&self, id: &FunctionId, record: &FunctionRecord) -> io::Result<()> {
        durable::write(&self.function(id), &record.to_json())
    }

    /// Removes a function's record.
    ///
    /// # Errors
    /// When it is not removed.
    pub fn remove_function(&self, id: &FunctionId) -> io::Result<()> {
        durable::remove(&self.function(id))
    }

    /// Writes a secret.
    ///
    /// # Errors
    /// When it is not written.
    pub fn write_secret(&self, secret: &Secret) -> io::Result<()> {
        durable::make_folder(&self.secrets(&secret.name.namespace))?;
        durable::write(&self.secret(&secret.name), &secret.value)
    }

    /// Writes a namespace.
    ///
    /// # Errors
    /// When it is not written.
    pub fn write_namespace(&self, namespace: Namespace) -> io::Result<()> {
        let path = self.namespace(&namespace.name);
        durable::write(&path, &serde_json::to_vec_pretty(&NamespaceRecord::from(namespace))?)
    }

    /// Removes a secret.
    ///
    /// # Errors
    /// When it is not removed.
    pub fn remove_secret(&self, name: &SecretName) -> io::Result<()> {
        durable::remove(&self.secret(name))
    }

    /// Removes a namespace, its secrets first: a crash in between leaves a namespace without some of them.
    ///
    /// # Errors
    /// When it is not removed.
    pub fn remove_namespace(&self, name: &str) -> io::Result<()> {
        durable::remove_folder(&self.secrets(name))?;
        match durable::remove(&self.namespace(name)) {
            Err(failure) if failure.kind() != ErrorKind::NotFound => Err(failure),
            _ => Ok(()),
        }
    }
}

/// The files of a folder, in order of their names.
fn texts(folder: &Path) -> Result<Vec<(PathBuf, Vec<u8>)>, OpenError> {
    let files = durable::names(folder).map_err(OpenError::io("read", folder))?;
    let read = |file: String| {
        let path = folder.join(file);
        let text = std::fs::read(&path).map_err(OpenError::io("read", &path))?;
        Ok((path, text))
    };
    files.into_iter().map(read).collect()
}
