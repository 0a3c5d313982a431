//! The file system of a container, mounted where its program will see it.

use std::io;
use std::path::Path;
use std::thread;

use containerd_client::types::Mount;
use nix::sched::CloneFlags;
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

/// The kernel takes one page of options, with a zero at the end. Source: `mount(2)`.
const LONGEST_DATA: usize = 4095;

/// Options that are flags, and whether they set or clear them. Source: `mount(8)`.
const FLAGS: [(&str, MountFlags, bool); 16] = [
    ("async", MountFlags::SYNCHRONOUS, false),
    ("atime", MountFlags::NOATIME, false),
    ("bind", MountFlags::BIND, true),
    ("defaults", MountFlags::empty(), true),
    ("dev", MountFlags::NODEV, false),
    ("exec", MountFlags::NOEXEC, false),
    ("noatime", MountFlags::NOATIME, true),
    ("nodev", MountFlags::NODEV, true),
    ("noexec", MountFlags::NOEXEC, true),
    ("nosuid", MountFlags::NOSUID, true),
    ("rbind", MountFlags::BIND.union(MountFlags::REC), true),
    ("relatime", MountFlags::RELATIME, true),
    ("ro", MountFlags::RDONLY, true),
    ("rw", MountFlags::RDONLY, false),
    ("suid", MountFlags::NOSUID, false),
    ("sync", MountFlags::SYNCHRONOUS, true),
];

/// Mounts them one above the other. Blocks.
pub(super) fn mount_all(mounts: &[Mount], target: &Path) -> io::Result<()> {
    let mounted = mounts.iter().try_for_each(|it| mount_one(it, target));
    if mounted.is_err() {
        let _ = unmount_all(target);
    }
    mounted
}

/// Unmounts all that is mounted there. Blocks.
pub(super) fn unmount_all(target: &Path) -> io::Result<()> {
    loop {
        match unmount(target, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
            Ok(()) => {}
            // Not a mount, or not there.
            Err(Errno::INVAL | Errno::NOENT) => return Ok(()),
            Err(failure) => return Err(failure.into()),
        }
    }
}

fn mount_one(wanted: &Mount, target: &Path) -> io::Result<()> {
    let (flags, data) = read(&wanted.options);
    let apply = |data: &str| {
        if data.len() > LONGEST_DATA {
            return Err(io::Error::other("the image has more layers than the kernel takes"));
        }
        let data = std::ffi::CString::new(data)?;
        mount(&wanted.source, target, &wanted.r#type, flags, data.as_c_str())?;
        Ok(())
    };
    match shortened(&data) {
        None => apply(&data),
        // The working folder belongs to all threads but one that leaves them.
        Some((folder, data)) => thread::scope(|scope| {
            let short = scope.spawn(|| {
                nix::sched::unshare(CloneFlags::CLONE_FS)?;
                rustix::process::chdir(folder)?;
                apply(&data)
            });
            short.join().unwrap_or_else(|_| Err(io::Error::other("the thread that mounts ended")))
        }),
    }?;
    let changed = flags.intersection(MountFlags::RDONLY);
    if flags.contains(MountFlags::BIND) && !changed.is_empty() {
        // The kernel takes the other flags of a bind mount only afterwards.
        let again = MountFlags::BIND | MountFlags::RDONLY;
        rustix::mount::mount_remount(target, again, c"")?;
    }
    Ok(())
}

/// Flags, and what is for the file system to read.
fn read(options: &[String]) -> (MountFlags, String) {
    let mut flags = MountFlags::empty();
    let mut data = Vec::new();
    for option in options {
        match FLAGS.iter().find(|(name, ..)| name == option) {
            Some((_, flag, true)) => flags |= *flag,
            Some((_, flag, false)) => flags -= *flag,
            None => data.push(option.as_str()),
        }
    }
    (flags, data.join(","))
}

/// Many layers are more than the kernel takes, unless they are named from the folder that all of them are in.
fn shortened(data: &str) -> Option<(&str, String)> {
    if data.len() <= LONGEST_DATA {
        return None;
    }
    let layers = data.split(',').find_map(|option| option.strip_prefix("lowerdir="))?;
    let first = layers.split(':').next()?;
    let folders = first.match_indices('/').map(|(at, _)| &first[..=at]);
    let folder = folders.rev().find(|folder| layers.split(':').all(|it| it.starts_with(folder)))?;
    let short: Vec<&str> = layers.split(':').map(|it| &it[folder.len()..]).collect();
    let data = data.replacen(layers, &short.join(":"), 1);
    // What is still too long the kernel would cut.
    (data.len() <= LONGEST_DATA).then_some((folder, data))
}

/// Whether something is mounted there, for tests.
#[cfg(test)]
fn is_mounted(target: &Path) -> bool {
    let stat =
        |path: &Path| rustix::fs::statat(rustix::fs::CWD, path, rustix::fs::AtFlags::empty());
    let parent = target.parent().expect("not the root");
    stat(target).expect("a folder").st_dev != stat(parent).expect("a folder").st_dev
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_told_from_what_the_file_system_reads() {
        let options = ["index=off", "ro", "nosuid", "rw", "lowerdir=/a:/b"].map(str::to_owned);
        let (flags, data) = read(&options);
        assert_eq!(flags, MountFlags::NOSUID);
        assert_eq!(data, "index=off,lowerdir=/a:/b");
    }

    #[test]
    fn many_layers_are_named_from_their_common_folder() {
        assert_eq!(shortened("lowerdir=/a/1:/a/2"), None, "they fit");
        let layer = |number: u32| format!("/var/lib/snapshots/{number}/{}", "f".repeat(30));
        let layers: Vec<String> = (0..100).map(layer).collect();
        let data = format!("index=off,lowerdir={},upperdir=/var/lib/u", layers.join(":"));
        let (folder, short) = shortened(&data).expect("too long");
        assert_eq!(folder, "/var/lib/snapshots/");
        let start = format!("index=off,lowerdir=0/{}:1/", "f".repeat(30));
        assert!(short.starts_with(&start), "{short}");
        assert!(short.ends_with(",upperdir=/var/lib/u"), "{short}");
    }

    #[test]
    fn a_hundred_layers_are_mounted_and_unmounted() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let folder = tempfile::tempdir().expect("a folder");
        // An overlay's own layers may not be on an overlay.
        let tmpfs =
            Mount { r#type: "tmpfs".to_owned(), source: "none".to_owned(), ..Mount::default() };
        mount_all(&[tmpfs], folder.path()).expect("a tmpfs");
        let layer = |number: u32| {
            let path = folder.path().join(format!("{number}-{}", "l".repeat(30)));
            std::fs::create_dir(&path).expect("a layer");
            std::fs::write(path.join(number.to_string()), "").expect("a file");
            path.display().to_string()
        };
        let layers: Vec<String> = (0..100).map(layer).collect();
        let target = folder.path().join("root");
        std::fs::create_dir(&target).expect("a target");
        let overlay = Mount {
            r#type: "overlay".to_owned(),
            source: "overlay".to_owned(),
            options: vec!["ro".to_owned(), format!("lowerdir={}", layers.join(":"))],
            ..Mount::default()
        };
        let before = std::env::current_dir().expect("a folder");
        mount_all(&[overlay], &target).expect("many layers");
        assert!(target.join("0").exists() && target.join("99").exists(), "all layers");
        assert_eq!(std::env::current_dir().expect("a folder"), before);
        unmount_all(&target).expect("mounted");
        assert!(!is_mounted(&target));
        unmount_all(folder.path()).expect("mounted");
    }
}
