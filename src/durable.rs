//! Files that are there whole or not at all: written aside, synced, renamed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Writes `content` to `path` so that a crash leaves either the old or the new content. The file is
/// readable by its owner only.
///
/// # Errors
/// As the file system gives them; the old content is then untouched.
pub fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path.parent().ok_or_else(|| io::Error::other("a file needs a folder"))?;
    let aside = path.with_extension("new");
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&aside, path)?;
    // The rename is durable only when the folder is.
    File::open(folder)?.sync_all()
}
