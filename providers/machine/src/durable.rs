//! Files that are there whole or not at all: written aside, synced, renamed, and the folder synced.
//!
//! All of this blocks; callers are on blocking threads.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Ends the names of files that are still being written.
const ASIDE: &str = ".new";

/// Writes `content` to `path`, so that a crash leaves the old content or the new. Only the owner reads it.
///
/// # Errors
/// When the old content stays.
pub fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let aside = aside(path);
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
    let written = file.write_all(content).and_then(|()| file.sync_all());
    if let Err(failure) = written.and_then(|()| fs::rename(&aside, path)) {
        // Best effort: the next write truncates it anyway.
        let _ = fs::remove_file(&aside);
        return Err(failure);
    }
    sync_folder(path)
}

/// Removes `path` for good.
///
/// # Errors
/// When it is still there.
pub fn remove(path: &Path) -> io::Result<()> {
    fs::remove_file(path)?;
    sync_folder(path)
}

/// Makes a folder, and those above it, that only the owner enters.
///
/// # Errors
/// When it cannot be made.
pub fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Removes a folder with all in it; that it is gone already is fine.
///
/// # Errors
/// When something of it is still there.
pub fn remove_folder(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(failure) if failure.kind() != ErrorKind::NotFound => Err(failure),
        _ => Ok(()),
    }
}

/// Names in a folder, in order, without files that were left half written; none when there is no folder.
///
/// # Errors
/// When the folder cannot be read.
pub fn names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(failure) if failure.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        if let Ok(name) = entry?.file_name().into_string()
            && !name.ends_with(ASIDE)
        {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Never the name of a finished file: those start with a letter or digit.
fn aside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}{ASIDE}"))
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().ok_or_else(|| io::Error::other("a file needs a folder"))?;
    File::open(folder)?.sync_all()
}
