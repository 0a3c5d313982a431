//! Images from a file: what `docker save`, `skopeo` and `buildctl` write, brought into containerd without any
//! network.
//!
//! The file is looked through once for where things are in it; blobs are then copied from their places. One that
//! is compressed as a whole, as `docker save | gzip` writes it, is unpacked first, into a file without a name.

use std::collections::HashMap;
use std::io::{Read, SeekFrom};
use std::os::fd::AsRawFd;
use std::path::{Component, Path, PathBuf};

use flate2::read::MultiGzDecoder;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt, Take};

use crate::connection::Scope;
use crate::content::{self, Blob, LARGEST_DOCUMENT};
use crate::digest;
use crate::error::Failure;
use crate::image::{self, keeps_entries, keeps_parts};
use crate::lease::Lease;
use crate::manifest::{
    self, Descriptor, Document, ImageConfig, Manifest, OCI_CONFIG, OCI_LAYER, OCI_MANIFEST,
};
use crate::reference::Reference;

/// Names that archives give their images.
const NAMES: [&str; 2] = ["io.containerd.image.name", "org.opencontainers.image.ref.name"];

/// Most bytes that a compressed file may unpack to.
const LARGEST: u64 = 64 << 30;
/// How files compressed with gzip and with zstd begin. Source: RFC 1952 and RFC 8878.
const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// A file and where things are in it.
struct Archive {
    /// As users named it.
    path: PathBuf,
    /// Where it is read: another file when it was compressed.
    place: PathBuf,
    /// That other file; it goes with this.
    _unpacked: Option<std::fs::File>,
    entries: HashMap<String, Entry>,
}

#[derive(Copy, Clone)]
struct Entry {
    offset: u64,
    size: u64,
}

/// An image as older archives tell of it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// Brings all images of a file into a namespace; returns their full names. `name` is for an image that the
/// file does not name, or is to have another name.
pub(crate) async fn import(
    scope: &Scope,
    file: &Path,
    name: Option<&str>,
) -> Result<Vec<String>, Failure> {
    let archive = Archive::open(file).await?;
    let lease = Lease::take(scope).await?;
    let imported = archive.import(lease.scope(), name).await;
    lease.end().await;
    imported
}

impl Archive {
    async fn open(path: &Path) -> Result<Self, Failure> {
        let inside = path.to_owned();
        let looked = tokio::task::spawn_blocking(move || Self::look(inside)).await;
        looked.map_err(|stopped| Failure::io("read an archive")(stopped.into()))?
    }

    /// Blocks.
    fn look(path: PathBuf) -> Result<Self, Failure> {
        let reading = |path: &Path| Failure::io(format!("read {}", path.display()));
        let mut begin = Vec::new();
        let opened = std::fs::File::open(&path);
        let read = opened.and_then(|file| file.take(4).read_to_end(&mut begin));
        read.map_err(reading(&path))?;
        if begin == ZSTD {
            let path = path.display();
            return Err(Failure::Told(format!(
                "{path} is compressed; unpack it with `zstd -d {path}` first"
            )));
        }
        let unpacked = if begin.starts_with(&GZIP) { Some(unpacked(&path)?) } else { None };
        let place = match &unpacked {
            // It has no name but this one.
            Some(file) => format!("/proc/self/fd/{}", file.as_raw_fd()).into(),
            None => path.clone(),
        };
        let entries = entries(&place).map_err(reading(&path))?;
        Ok(Self { path, place, _unpacked: unpacked, entries })
    }

    async fn import(&self, scope: &Scope, name: Option<&str>) -> Result<Vec<String>, Failure> {
        if self.entries.contains_key("index.json") {
            return self.import_layout(scope, name).await;
        }
        if self.entries.contains_key("manifest.json") {
            return self.import_saved(scope, name).await;
        }
        Err(Failure::Told(format!(
            "{} holds no image: it has neither index.json nor manifest.json",
            self.path.display()
        )))
    }

    /// An OCI image layout.
    async fn import_layout(
        &self,
        scope: &Scope,
        name: Option<&str>,
    ) -> Result<Vec<String>, Failure> {
        let index: Document = manifest::parse("index.json", &self.read("index.json").await?)?;
        let mut names = Vec::new();
        for entry in index.manifests.iter().flatten() {
            let written = NAMES.iter().find_map(|key| entry.annotations.get(*key));
            let written = name.or(written.map(String::as_str)).ok_or_else(|| self.nameless())?;
            let reference = Reference::parse(written)?.to_string();
            let is_index = self.import_tree(scope, entry).await?;
            let target = image::target(entry, is_index);
            image::name(scope, &reference, target).await?;
            names.push(reference);
        }
        Ok(names)
    }

    /// Brings in a manifest, or an index with those of its manifests that the file has.
    async fn import_tree(&self, scope: &Scope, entry: &Descriptor) -> Result<bool, Failure> {
        let bytes = self.read(&blob_path(&entry.digest)).await?;
        let document: Document = manifest::parse(&entry.digest, &bytes)?;
        let Some(manifests) = &document.manifests else {
            self.import_manifest(scope, &entry.digest, &bytes).await?;
            return Ok(false);
        };
        for one in manifests {
            if self.entries.contains_key(&blob_path(&one.digest)) {
                let bytes = self.read(&blob_path(&one.digest)).await?;
                self.import_manifest(scope, &one.digest, &bytes).await?;
            }
        }
        self.write(scope, &entry.digest, &bytes, keeps_entries(&document)).await?;
        Ok(true)
    }

    async fn import_manifest(
        &self,
        scope: &Scope,
        digest: &str,
        bytes: &[u8],
    ) -> Result<(), Failure> {
        let document: Document = manifest::parse(digest, bytes)?;
        let (config, layers) = document.into_manifest(digest)?;
        for part in layers.iter().chain([&config]) {
            let blob =
                Blob { digest: part.digest.clone(), size: part.size, labels: HashMap::new() };
            content::write(scope, &blob, self.source(&blob_path(&part.digest)).await?).await?;
        }
        self.write(scope, digest, bytes, keeps_parts(&config, &layers)).await
    }

    /// What older versions of Docker save: paths instead of digests, so a manifest is made here.
    async fn import_saved(
        &self,
        scope: &Scope,
        name: Option<&str>,
    ) -> Result<Vec<String>, Failure> {
        let saved: Vec<Saved> =
            manifest::parse("manifest.json", &self.read("manifest.json").await?)?;
        let mut names = Vec::new();
        for one in saved {
            let written: Vec<String> = match name {
                Some(name) => vec![name.to_owned()],
                None => one.repo_tags.clone().unwrap_or_default(),
            };
            if written.is_empty() {
                return Err(self.nameless());
            }
            let target = self.import_one_saved(scope, &one).await?;
            for written in written {
                let reference = Reference::parse(&written)?.to_string();
                image::name(scope, &reference, image::target(&target, false)).await?;
                names.push(reference);
            }
        }
        Ok(names)
    }

    async fn import_one_saved(&self, scope: &Scope, saved: &Saved) -> Result<Descriptor, Failure> {
        let config_bytes = self.read(&saved.config).await?;
        // Only to see that it is one.
        let _: ImageConfig = manifest::parse(&saved.config, &config_bytes)?;
        let mut layers = Vec::new();
        for path in &saved.layers {
            let layer = self.describe(path, OCI_LAYER).await?;
            let blob =
                Blob { digest: layer.digest.clone(), size: layer.size, labels: HashMap::new() };
            content::write(scope, &blob, self.source(path).await?).await?;
            layers.push(layer);
        }
        let config = Descriptor {
            media_type: OCI_CONFIG.to_owned(),
            digest: content::write_bytes(scope, &config_bytes, HashMap::new()).await?,
            size: config_bytes.len() as u64,
            ..Descriptor::default()
        };
        let labels = keeps_parts(&config, &layers);
        let media_type = OCI_MANIFEST.to_owned();
        let manifest =
            Manifest { schema_version: 2, media_type: media_type.clone(), config, layers };
        let bytes = serde_json::to_vec(&manifest).expect("texts and numbers are JSON");
        let digest = content::write_bytes(scope, &bytes, labels).await?;
        Ok(Descriptor { media_type, digest, size: bytes.len() as u64, ..Descriptor::default() })
    }

    /// The digest and size of a part that the file does not name by digest.
    async fn describe(&self, path: &str, media_type: &str) -> Result<Descriptor, Failure> {
        let mut source = self.source(path).await?;
        let (mut hash, mut buffer, mut size) = (Sha256::new(), vec![0; 1 << 18], 0);
        loop {
            let read =
                source.read(&mut buffer).await.map_err(Failure::io(format!("read {path}")))?;
            if read == 0 {
                break;
            }
            hash.update(&buffer[..read]);
            size += read as u64;
        }
        let digest = digest::written(&hash.finalize());
        Ok(Descriptor { media_type: media_type.to_owned(), digest, size, ..Descriptor::default() })
    }

    /// Writes a document, which must have the digest by which it was found.
    async fn write(
        &self,
        scope: &Scope,
        digest: &str,
        bytes: &[u8],
        labels: HashMap<String, String>,
    ) -> Result<(), Failure> {
        let blob = Blob { digest: digest.to_owned(), size: bytes.len() as u64, labels };
        content::write(scope, &blob, bytes).await
    }

    async fn source(&self, path: &str) -> Result<Take<File>, Failure> {
        let entry = self.entries.get(path).copied().ok_or_else(|| {
            Failure::Told(format!("{} is not whole: {path} is missing", self.path.display()))
        })?;
        let opening = async {
            let mut file = File::open(&self.place).await?;
            file.seek(SeekFrom::Start(entry.offset)).await?;
            Ok(file.take(entry.size))
        };
        opening.await.map_err(Failure::io(format!("read {}", self.path.display())))
    }

    async fn read(&self, path: &str) -> Result<Vec<u8>, Failure> {
        let mut bytes = Vec::new();
        let source = self.source(path).await?;
        if source.limit() > LARGEST_DOCUMENT {
            return Err(Failure::Told(format!("{path} is too large for a manifest")));
        }
        let mut source = source;
        source.read_to_end(&mut bytes).await.map_err(Failure::io(format!("read {path}")))?;
        Ok(bytes)
    }

    fn nameless(&self) -> Failure {
        Failure::Told(format!(
            "{} does not say what its image is called; give a name",
            self.path.display()
        ))
    }
}

/// What a file compressed with gzip holds, in a file without a name. Blocks.
fn unpacked(path: &Path) -> Result<std::fs::File, Failure> {
    let unpacking = || {
        let mut file = tempfile::tempfile()?;
        // One after the other, as some programs write them.
        let source = MultiGzDecoder::new(std::fs::File::open(path)?);
        let written = std::io::copy(&mut source.take(LARGEST + 1), &mut file)?;
        Ok((file, written))
    };
    let folder = std::env::temp_dir();
    let action = format!("unpack {} into {} (TMPDIR)", path.display(), folder.display());
    let (file, written) = unpacking().map_err(Failure::io(action))?;
    if written > LARGEST {
        let path = path.display();
        return Err(Failure::Told(format!("{path} has more than {LARGEST} bytes when unpacked")));
    }
    Ok(file)
}

/// Where things are in the file. Blocks.
fn entries(path: &Path) -> std::io::Result<HashMap<String, Entry>> {
    let mut archive = tar::Archive::new(std::fs::File::open(path)?);
    let mut entries = HashMap::new();
    let mut links = Vec::new();
    for entry in archive.entries_with_seek()? {
        let entry = entry?;
        let path = plain(&entry.path()?);
        if let Some(target) = entry.link_name()? {
            // Docker writes a layer that two images share once, and links to it.
            let folder = Path::new(&path).parent().unwrap_or(Path::new("")).to_owned();
            links.push((path, plain(&folder.join(target))));
        } else {
            entries.insert(path, Entry { offset: entry.raw_file_position(), size: entry.size() });
        }
    }
    for (link, target) in links {
        if let Some(entry) = entries.get(&target).copied() {
            entries.insert(link, entry);
        }
    }
    Ok(entries)
}

/// A path without `.` and `..`.
fn plain(path: &Path) -> String {
    let mut parts = Vec::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => parts.push(name.to_string_lossy().into_owned()),
            Component::ParentDir => drop(parts.pop()),
            _ => {}
        }
    }
    parts.join("/")
}

fn blob_path(digest: &str) -> String {
    format!("blobs/{}", digest.replacen(':', "/", 1))
}
