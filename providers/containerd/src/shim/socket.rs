//! Where the shim of a group listens: found when it runs, and started when it does not.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{FlockOperation, OFlags, flock};
use sha2::{Digest, Sha256};

use super::bundle::Config;
use super::words::Words;

/// Where the sockets are: only root comes in. Not in containerd's folders, whose paths may be longer than the name
/// of a socket.
const FOLDER: &str = "/run/tidegate/shims";
/// The name that a shim has among processes; by such names containerd's own are known too.
pub(crate) const NAME: &str = "containerd-shim-tidegate";
/// In a bundle: where containerd finds the shim when it starts anew. Source: containerd's runtime v2 README.
const ADDRESS: &str = "address";

/// Where the shim of this container listens, after it was started when it did not run.
pub(super) fn address(words: &Words) -> io::Result<String> {
    let config = Config::read(Path::new("."))?;
    let path = path(Path::new(FOLDER), words, config.group().unwrap_or(&words.id));
    DirBuilder::new().recursive(true).mode(0o700).create(FOLDER)?;
    if let Some(listener) = listen(Path::new(FOLDER), &path)? {
        start(words, listener)?;
    }
    let address = format!("unix://{}", path.display());
    let fresh = format!(".{ADDRESS}");
    fs::write(&fresh, &address)?;
    fs::rename(fresh, ADDRESS)?;
    Ok(address)
}

/// The same for all containers of a group, in one namespace of one containerd.
fn path(folder: &Path, words: &Words, group: &str) -> PathBuf {
    let mut hash = Sha256::new();
    for part in [words.address.as_str(), &words.namespace, group] {
        hash.update(part);
        hash.update([0]);
    }
    let name: String = hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    folder.join(name)
}

/// Takes a socket away while nobody else decides about it, if `unless_needed` still says so. Whether it did.
pub(super) fn leave(path: &Path, unless_needed: impl FnOnce() -> bool) -> bool {
    let Some(Ok(_lock)) = path.parent().map(lock) else { return true };
    let leaves = unless_needed();
    if leaves {
        let _ = fs::remove_file(path);
    }
    leaves
}

/// Removes the socket of a bundle's shim, when nobody listens there any more.
pub(super) fn forget(bundle: &Path) {
    let address = fs::read_to_string(bundle.join(ADDRESS)).unwrap_or_default();
    let path = address.trim().strip_prefix("unix://").map(Path::new);
    if let Some(path) = path.filter(|it| it.parent() == Some(Path::new(FOLDER))) {
        let locked = lock(Path::new(FOLDER));
        if locked.is_ok() && UnixStream::connect(path).is_err() {
            // The next start would do it as well.
            let _ = fs::remove_file(path);
        }
    }
}

/// One process at a time looks who listens, and decides.
fn lock(folder: &Path) -> io::Result<File> {
    let lock = File::options().create(true).append(true).mode(0o600).open(folder.join("lock"))?;
    flock(&lock, FlockOperation::LockExclusive)?;
    Ok(lock)
}

/// A socket to listen at; none when somebody listens already.
fn listen(folder: &Path, path: &Path) -> io::Result<Option<UnixListener>> {
    let _lock = lock(folder)?;
    if UnixStream::connect(path).is_ok() {
        return Ok(None);
    }
    match fs::remove_file(path) {
        // Left by one that was killed.
        Err(failure) if failure.kind() != io::ErrorKind::NotFound => Err(failure),
        _ => UnixListener::bind(path).map(Some),
    }
}

/// Starts the shim that serves a socket.
fn start(words: &Words, listener: UnixListener) -> io::Result<()> {
    // containerd reads what is written there into its own log.
    let mut log = File::options();
    log.write(true).custom_flags(i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0));
    let log = log.open("log").map_or_else(|_| Stdio::null(), Stdio::from);
    let mut command = Command::new(std::env::current_exe()?);
    command.arg0(NAME).args(["-namespace", &words.namespace, "-id", &words.id]);
    command.args(["-address", &words.address]);
    command.current_dir("/").process_group(0);
    command.stdin(OwnedFd::from(listener)).stdout(Stdio::null()).stderr(log);
    command.spawn()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(namespace: &str) -> Words {
        let namespace = namespace.to_owned();
        Words { namespace, address: "/run/c.sock".to_owned(), ..Words::default() }
    }

    #[test]
    fn groups_of_all_namespaces_have_their_own_short_paths() {
        let folder = Path::new(FOLDER);
        let one = path(folder, &words("a"), "g");
        assert_eq!(one, path(folder, &words("a"), "g"));
        assert_ne!(one, path(folder, &words("b"), "g"));
        assert_ne!(one, path(folder, &words("a"), "h"));
        assert_ne!(path(folder, &words("a"), "bc"), path(folder, &words("ab"), "c"));
        assert!(one.as_os_str().len() < 108, "the longest name of a socket");
    }

    #[test]
    fn a_socket_is_listened_at_once_and_again_when_its_shim_is_gone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("s");
        let first = listen(folder.path(), &path).expect("free").expect("nobody listens");
        assert!(listen(folder.path(), &path).expect("free").is_none(), "somebody listens");
        drop(first);
        assert!(listen(folder.path(), &path).expect("free").is_some(), "gone");
    }

    #[test]
    fn a_socket_is_left_only_when_nobody_came_meanwhile() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("s");
        let listener = listen(folder.path(), &path).expect("free").expect("nobody listens");
        assert!(!leave(&path, || false), "somebody came");
        assert!(path.exists());
        let others = || File::options().append(true).open(folder.path().join("lock"));
        let mut locked = false;
        assert!(leave(&path, || {
            let other = others().expect("it was made");
            locked = flock(&other, FlockOperation::NonBlockingLockExclusive).is_err();
            true
        }));
        assert!(locked, "nobody else decides meanwhile");
        assert!(!path.exists());
        drop(listener);
    }
}
