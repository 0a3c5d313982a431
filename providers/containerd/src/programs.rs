//! Where programs are, and what they say of themselves.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

/// Longest that a program may take to say its version.
const ANSWER_TAKES: Duration = Duration::from_secs(5);

/// Where programs of administrators are, whatever the environment of a service says.
const FOLDERS: [&str; 6] =
    ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// Where a program is that was told by its name or its path.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    // A full path is not changed by what it is joined to.
    let mut paths = FOLDERS.iter().map(|folder| Path::new(folder).join(program));
    paths.find(|path| is_executable(path))
}

/// Whether this is a program.
pub(crate) fn is_executable(path: &Path) -> bool {
    let found = std::fs::metadata(path);
    found.is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
}

/// What a program says when it is asked for its version; none when it says nothing in time, or cannot be executed.
pub(crate) async fn version(program: &Path) -> Option<String> {
    let mut asking = Command::new(program);
    let said = asking.arg("--version").stdin(Stdio::null()).kill_on_drop(true).output();
    let said = timeout(ANSWER_TAKES, said).await.ok()?.ok()?;
    Some(String::from_utf8_lossy(&said.stdout).trim().to_owned())
}

/// Writes a program for a test, in place of an earlier one. Another process writes it: one that this process opened to write might
/// be open in a child that is just being made, and such a file cannot be executed.
#[cfg(test)]
pub(crate) fn script(path: &Path, text: &str) {
    let words = ["-c", "rm -f \"$0\"; printf '#!/bin/sh\\n%s\\n' \"$1\" >\"$0\"; chmod 755 \"$0\""];
    let done = std::process::Command::new("sh").args(words).arg(path).arg(text).status();
    assert!(done.expect("a shell").success(), "{} is written", path.display());
}
