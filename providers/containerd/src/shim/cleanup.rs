//! What containerd calls when a shim is gone without a word: ends its container, and leaves nothing of it.

use std::io::{self, Write};
use std::path::PathBuf;

use prost::Message;

use super::messages::Deleted;
use super::oci::Oci;
use super::tasks::tell;
use super::words::Words;
use super::{bundle, rootfs, socket};

/// The status of a container that was killed. Source: 128 and the number of SIGKILL.
const KILLED: u32 = 137;

/// Ends a container and answers on standard output.
pub(super) fn clean_up(words: &Words) -> io::Result<()> {
    let here = std::env::current_dir()?;
    let folder = words.bundle.as_ref().map_or_else(
        // containerd may call from the folder above. Source: containerd's shim for runc.
        || here.parent().map(|it| it.join(&words.id)).unwrap_or_default(),
        PathBuf::from,
    );
    // containerd 1.6 calls for each container that was removed in good order, too.
    if let Some(oci) = Oci::noted(&words.namespace, folder.clone()) {
        oci.wait_for_maker(&words.id);
        let mut step = oci.step("delete");
        step.command.arg("--force").arg(&words.id);
        if let Err(why) = oci.run_here(step) {
            tell(&format!("cannot remove {}: {why}", words.id));
        }
    }
    if let Err(failure) = rootfs::unmount_all(&folder.join("rootfs")) {
        tell(&format!("the file system of {} stays mounted: {failure}", words.id));
    }
    let exited_at = Some(crate::clock::wall().into());
    socket::forget(&folder);
    // containerd tells of the end of this process, and whoever listens knows it by its number.
    let pid = bundle::init_pid(&folder).unwrap_or_default();
    let answer = Deleted { pid, exit_status: KILLED, exited_at };
    io::stdout().write_all(&answer.encode_to_vec())
}
