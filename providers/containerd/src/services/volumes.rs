//! Volumes: files and folders of the machine in containers. What is missing is made, for the one who runs there.

use std::fs::{DirBuilder, Permissions, set_permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tidegate_core::service::{Source, Volume};
use tracing::info;

use crate::error::Failure;
use crate::users::User;

/// Where a volume is outside; `home` is the folder of those that only have a name.
pub(super) fn place(volume: &Volume, home: &Path) -> PathBuf {
    match &volume.source {
        Source::Path(path) => path.clone(),
        Source::Named(name) => home.join(name),
    }
}

/// Makes folders that are not there. Blocks.
pub(super) fn make(volumes: &[Volume], home: &Path, user: &User) -> Result<(), Failure> {
    for volume in volumes {
        let path = place(volume, home);
        let failed = |source: io::Error| Failure::io(format!("use {}", path.display()))(source);
        match std::fs::metadata(&path) {
            Ok(_) => {}
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => {
                folder(&path, user).map_err(failed)?;
                info!("made folder {} for user {}", path.display(), user.uid);
            }
            Err(failure) => return Err(failed(failure)),
        }
    }
    Ok(())
}

fn folder(path: &Path, user: &User) -> io::Result<()> {
    const MODE: u32 = 0o755;
    DirBuilder::new().recursive(true).mode(MODE).create(path)?;
    // Whatever mask we run with: those inside may not be root.
    set_permissions(path, Permissions::from_mode(MODE))?;
    chown(path, Some(user.uid), Some(user.gid))
}

/// The mount of a volume, in the words of the OCI.
pub(super) fn mount(volume: &Volume, home: &Path) -> Value {
    let access = if volume.read_only { "ro" } else { "rw" };
    json!({
        "type": "bind", "source": place(volume, home), "destination": volume.target,
        "options": ["rbind", "rprivate", access, "nosuid", "nodev"],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn a_missing_folder_is_made_and_a_file_is_left_alone() {
        let home = tempfile::tempdir().expect("a folder");
        let file = home.path().join("file");
        std::fs::write(&file, "text").expect("a file");
        let volume = |source| Volume { source, target: "/x".to_owned(), read_only: true };
        let volumes = [
            volume(Source::Path(file.clone())),
            volume(Source::Path(home.path().join("a/b"))),
            volume(Source::Named("data".to_owned())),
        ];
        // Only root can give a folder away.
        let own = std::fs::metadata(&file).expect("a file");
        let user = User { uid: own.uid(), gid: own.gid(), ..User::default() };
        make(&volumes, home.path(), &user).expect("a folder that we may write");
        assert_eq!(std::fs::read_to_string(&file).expect("a file"), "text");
        for folder in ["a/b", "data"] {
            let made = std::fs::metadata(home.path().join(folder)).expect("made");
            assert_eq!((made.is_dir(), made.mode() & 0o777), (true, 0o755));
        }
        let below_a_file = [volume(Source::Path(file.join("x")))];
        assert!(make(&below_a_file, home.path(), &user).is_err());
    }
}
