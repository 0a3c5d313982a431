//! What containerd calls when a shim is gone without a word: ends its container, and leaves nothing of it.

use std::io::{self, Write};
use std::path::PathBuf;

use prost::Message;

use super::messages::Deleted;
use super::oci::Oci;
use super::tasks::tell;
use super::words::Words;
use super::{bundle, rootfs, socket};
use crate::programs::find;

/// The status of a container that was killed. Source: 128 and the number of SIGKILL.
const KILLED: u32 = 137;

/// The file in which crun notes a container (seen with 1.8.1; runc's is `state.json`). runc would not know it, throw away what was noted,
/// and leave the program running.
const OF_CRUN: &str = "status";

/// Ends a container and answers on standard output.
pub(super) fn clean_up(words: &Words) -> io::Result<()> {
    let folder = match &words.bundle {
        Some(bundle) => PathBuf::from(bundle),
        // containerd may call from the folder above. Source: containerd's shim for runc.
        None => {
            let here = std::env::current_dir()?;
            here.parent().map(|it| it.join(&words.id)).unwrap_or_default()
        }
    };
    // containerd 1.6 calls for each container that was removed in good order, too.
    if let Some(oci) = Oci::noted(&words.namespace, folder.clone()) {
        oci.wait_for_maker(&words.id);
        remove(&oci, &words.id);
    } else if !folder.exists() {
        // containerd 2.1 may have removed the bundle already, of one that was just being made.
        let other = tempfile::tempdir()?;
        let oci = |maker: &str| Oci::new(maker, &words.namespace, other.path().to_owned());
        let runc = oci("runc");
        runc.wait_for_maker(&words.id);
        let noted = runc.noted_in(&words.id);
        if noted.join(OF_CRUN).exists() {
            // Not runc where there is no crun any more: it is told that it cannot be removed.
            let crun = find("crun").unwrap_or_else(|| "crun".into());
            remove(&oci(&crun.to_string_lossy()), &words.id);
        } else if noted.exists() {
            remove(&runc, &words.id);
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

fn remove(oci: &Oci, id: &str) {
    if let Err(why) = oci.run_here(oci.removal(id)) {
        tell(&format!("cannot remove {id}: {why}"));
    }
}
