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

/// What may have made a container of which nobody knows any more what did, and the file that it notes each in (seen with runc
/// 1.1.5 and crun 1.8.1). The wrong one would not find it, and throw away what was noted of it.
const MAKERS: [(&str, &str); 2] = [("runc", "state.json"), ("crun", "status")];

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
        let oci = |program: &str| Oci::new(program, &words.namespace, other.path().to_owned());
        oci("").wait_for_maker(&words.id);
        let noted = oci("").noted_in(&words.id);
        if let Some((maker, _)) = MAKERS.iter().find(|(_, file)| noted.join(file).exists()) {
            let maker = find(maker).unwrap_or_else(|| maker.into());
            remove(&oci(&maker.to_string_lossy()), &words.id);
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
