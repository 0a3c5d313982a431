//! Who a container runs as: the words of an image's `USER`, looked up in the image's own files.
//!
//! The image is a stranger's: its files are opened as if its root were ours, so that no link leads out.

use std::io::Read;
use std::path::Path;

use containerd_client::types::Mount;
use rustix::fs::{Mode, OFlags, ResolveFlags};

use crate::error::Failure;

/// More of a user file is not read.
const LARGEST: u64 = 1 << 20;

/// Ids that a process gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Supplementary groups.
    pub(crate) groups: Vec<u32>,
    /// Its home, when the image tells.
    pub(crate) home: Option<String>,
}

/// The image's own user files.
#[derive(Debug, Default)]
pub(crate) struct Files {
    passwd: String,
    group: String,
}

impl Files {
    /// Reads them from a root file system that is about to be mounted. Blocks.
    pub(crate) fn read(mounts: &[Mount]) -> Self {
        let layers: Vec<&str> = mounts.iter().flat_map(layers).collect();
        let first = |name: &str| {
            layers.iter().find_map(|layer| read_inside(Path::new(layer), name)).unwrap_or_default()
        };
        Self { passwd: first("etc/passwd"), group: first("etc/group") }
    }

    /// Looks up `USER`: nothing, `uid`, `name`, `uid:gid` or `name:group`.
    pub(crate) fn find(&self, written: &str) -> Result<User, Failure> {
        let (user, group) = match written.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (written, None),
        };
        let user = if user.is_empty() { "0" } else { user };
        let known = self.users().find(|it| it.name == user || it.uid.to_string() == user);
        let mut found = match (&known, user.parse()) {
            (Some(known), _) => User {
                uid: known.uid,
                gid: known.gid,
                groups: self.groups_of(known.name),
                home: Some(known.home.to_owned()).filter(|home| home.starts_with('/')),
            },
            (None, Ok(uid)) => User { uid, ..User::default() },
            (None, Err(_)) => {
                return Err(Failure::Told(format!(
                    "the image wants to run as user {user:?}, who is not in its /etc/passwd; use a number, or add the user"
                )));
            }
        };
        if let Some(group) = group.filter(|group| !group.is_empty()) {
            found.gid = self.gid(group)?;
            // As the image said exactly which group, no others.
            found.groups.clear();
        }
        Ok(found)
    }

    fn users(&self) -> impl Iterator<Item = Line<'_>> {
        self.passwd.lines().filter_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let (uid, gid) = (fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?);
            Some(Line {
                name: fields[0],
                uid,
                gid,
                home: fields.get(5).copied().unwrap_or_default(),
            })
        })
    }

    fn gid(&self, written: &str) -> Result<u32, Failure> {
        let named = self.groups().find(|(name, _, _)| *name == written).map(|(_, gid, _)| gid);
        named.or_else(|| written.parse().ok()).ok_or_else(|| {
            Failure::Told(format!(
                "the image wants to run as group {written:?}, which is not in its /etc/group; use a number, or add the group"
            ))
        })
    }

    fn groups_of(&self, user: &str) -> Vec<u32> {
        let member = |members: &str| members.split(',').any(|name| name.trim() == user);
        self.groups().filter(|(_, _, members)| member(members)).map(|(_, gid, _)| gid).collect()
    }

    fn groups(&self) -> impl Iterator<Item = (&str, u32, &str)> {
        self.group.lines().filter_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            Some((fields[0], fields.get(2)?.parse().ok()?, fields.get(3).copied().unwrap_or("")))
        })
    }
}

struct Line<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

/// Folders that make up a root, topmost first.
fn layers(mount: &Mount) -> Vec<&str> {
    let overlay = mount.options.iter().find_map(|option| option.strip_prefix("lowerdir="));
    match overlay {
        Some(lower) => lower.split(':').collect(),
        None => vec![mount.source.as_str()],
    }
}

fn read_inside(root: &Path, name: &str) -> Option<String> {
    let folder = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(root, folder, Mode::empty()).ok()?;
    let file = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let file = rustix::fs::openat2(&root, name, file, Mode::empty(), inside).ok()?;
    let file = std::fs::File::from(file);
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(LARGEST).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> Files {
        Files {
            passwd: "root:x:0:0:root:/root:/bin/sh\napp:x:100:101:App:/home/app:/bin/sh\n"
                .to_owned(),
            group: "root:x:0:\napp:x:101:\nvideo:x:44:app,other\n".to_owned(),
        }
    }

    fn ids(written: &str) -> (u32, u32, Vec<u32>) {
        let user = files().find(written).unwrap_or_else(|bad| panic!("{written:?}: {bad}"));
        (user.uid, user.gid, user.groups)
    }

    #[test]
    fn users_are_looked_up_as_an_image_writes_them() {
        assert_eq!(ids(""), (0, 0, vec![]));
        assert_eq!(ids("app"), (100, 101, vec![44]));
        assert_eq!(ids("100"), (100, 101, vec![44]));
        assert_eq!(ids("app:video"), (100, 44, vec![]));
        assert_eq!(ids("7"), (7, 0, vec![]));
        assert_eq!(ids("7:8"), (7, 8, vec![]));
        assert_eq!(files().find("app").expect("known").home.as_deref(), Some("/home/app"));
        for bad in ["nobody", "app:nobody"] {
            let told = files().find(bad).expect_err("unknown").to_string();
            assert!(told.contains("nobody"), "{told}");
        }
    }

    #[test]
    fn a_link_in_an_image_does_not_lead_out_of_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let image = folder.path().join("image");
        std::fs::create_dir_all(image.join("etc")).expect("a folder");
        std::fs::write(folder.path().join("secret"), "app:x:1:1::/:").expect("a file");
        std::os::unix::fs::symlink("../../secret", image.join("etc/passwd")).expect("a link");
        let mount = |options: Vec<String>| Mount { options, ..Mount::default() };
        let lower = |path: &Path| mount(vec![format!("lowerdir={}", path.display())]);
        assert!(Files::read(&[lower(&image)]).find("app").is_err());
        std::fs::remove_file(image.join("etc/passwd")).expect("it is there");
        std::fs::write(image.join("etc/passwd"), "app:x:1:1::/:").expect("a file");
        assert_eq!(Files::read(&[lower(&image)]).find("app").expect("known").uid, 1);
    }
}
