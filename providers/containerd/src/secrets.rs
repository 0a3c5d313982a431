//! Secrets as replicas find them: a folder for each revision, bound into its containers, with a copy of each
//! secret that the revision names. A new value replaces the copy at once and whole.
//!
//! ```text
//! run/secrets/NAMESPACE/FUNCTION.GENERATION/SECRET
//! ```

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tidegate_provider::SecretName;
use tidegate_provider_machine::{Files, durable};

/// Copies of secrets. All of this blocks.
#[derive(Clone, Debug)]
pub(crate) struct Copies {
    root: PathBuf,
}

impl Copies {
    /// Those in `root`, which only its owner enters; containers see single folders of it.
    pub(crate) fn open(root: PathBuf) -> io::Result<Self> {
        durable::make_folder(&root)?;
        Ok(Self { root })
    }

    /// The folder of one revision.
    pub(crate) fn folder(&self, namespace: &str, revision: &str) -> PathBuf {
        self.root.join(namespace).join(revision)
    }

    /// Fills the folder of a revision. One that is bound into running containers stays the same folder.
    pub(crate) fn fill(
        &self,
        folder: &Path,
        files: &Files,
        namespace: &str,
        names: &[String],
    ) -> io::Result<()> {
        if let Some(parent) = folder.parent() {
            durable::make_folder(parent)?;
        }
        match DirBuilder::new().mode(0o755).create(folder) {
            Err(failure) if failure.kind() != ErrorKind::AlreadyExists => return Err(failure),
            // Whatever mask we run with: those inside are not root.
            _ => fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?,
        }
        for name in names.iter().collect::<BTreeSet<_>>() {
            let secret = SecretName { namespace: namespace.to_owned(), name: name.clone() };
            let value = fs::read(files.secret(&secret))?;
            if fs::read(folder.join(name)).ok().as_ref() != Some(&value) {
                replace(folder, name, &value)?;
            }
        }
        Ok(())
    }

    /// A secret has a new value.
    pub(crate) fn renew(&self, name: &SecretName, value: &[u8]) -> io::Result<()> {
        for folder in self.with(name) {
            replace(&folder, &name.name, value)?;
        }
        Ok(())
    }

    /// A secret is gone.
    pub(crate) fn forget(&self, name: &SecretName) -> io::Result<()> {
        for folder in self.with(name) {
            fs::remove_file(folder.join(&name.name))?;
        }
        Ok(())
    }

    /// Removes the folders that `used` does not name.
    pub(crate) fn sweep(&self, used: &BTreeSet<PathBuf>) {
        for namespace in durable::names(&self.root).unwrap_or_default() {
            for folder in self.unused(&namespace, used) {
                let _ = durable::remove_folder(&folder);
            }
        }
    }

    /// Folders of a namespace that `used` does not name.
    pub(crate) fn unused(&self, namespace: &str, used: &BTreeSet<PathBuf>) -> Vec<PathBuf> {
        let namespace = self.root.join(namespace);
        let revisions = durable::names(&namespace).unwrap_or_default().into_iter();
        revisions.map(|it| namespace.join(it)).filter(|it| !used.contains(it)).collect()
    }

    /// Folders with a copy of a secret.
    fn with(&self, name: &SecretName) -> Vec<PathBuf> {
        let namespace = self.root.join(&name.namespace);
        let folders = durable::names(&namespace).unwrap_or_default().into_iter();
        folders.map(|it| namespace.join(it)).filter(|it| it.join(&name.name).exists()).collect()
    }
}

/// Puts a value in the place of another, so that readers see the old one or the new one, whole.
fn replace(folder: &Path, name: &str, value: &[u8]) -> io::Result<()> {
    let aside = folder.join(format!(".{name}.new"));
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o444).open(&aside)?;
    file.set_permissions(fs::Permissions::from_mode(0o444))?;
    file.write_all(value)?;
    fs::rename(&aside, folder.join(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_provider::Secret;

    #[test]
    fn a_new_value_reaches_all_folders_with_the_secret_and_no_other() {
        let place = tempfile::tempdir().expect("a folder");
        let files = Files::make(place.path()).expect("folders");
        let name = |name: &str| SecretName::new(name, "ns").expect("a good name");
        for (secret, value) in [("a", "1"), ("b", "2")] {
            let secret = Secret { name: name(secret), value: value.into() };
            files.write_secret(&secret).expect("a secret");
        }
        let copies = Copies::open(place.path().join("copies")).expect("a folder");
        let (both, one) = (copies.folder("ns", "fn.1"), copies.folder("ns", "fn.2"));
        let words = |words: &[&str]| words.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        copies.fill(&both, &files, "ns", &words(&["a", "b", "a"])).expect("filled");
        copies.fill(&one, &files, "ns", &words(&["b"])).expect("filled");
        copies.renew(&name("a"), b"new").expect("renewed");
        let read = |path: PathBuf| fs::read_to_string(path).expect("a copy");
        assert_eq!(
            (read(both.join("a")), read(both.join("b"))),
            ("new".to_owned(), "2".to_owned())
        );
        assert!(!one.join("a").exists());
        copies.forget(&name("b")).expect("forgotten");
        assert!(!one.join("b").exists() && !both.join("b").exists());
        copies.sweep(&[one.clone()].into());
        assert!(one.exists() && !both.exists());
    }
}
