//! Images in containerd: found by name, unpacked, read for what a container needs, known in one namespace
//! or lent from another.

use std::collections::HashMap;
use std::sync::OnceLock;

use containerd_client::services::v1::{
    CreateImageRequest, DeleteImageRequest, GetImageRequest, Image as ImageRecord,
    ListImagesRequest, UpdateImageRequest,
};
use containerd_client::types::Descriptor as Target;
use prost_types::FieldMask;

use crate::connection::{Scope, call};
use crate::content::{self, Blob};
use crate::digest;
use crate::error::{Failure, or_absent};
use crate::lease::Lease;
use crate::manifest::{
    self, Descriptor, Document, ImageConfig, OCI_INDEX, OCI_MANIFEST, ProcessConfig,
};
use crate::unpack;
use crate::users::User;

/// Marks images that tidegate brought or named, and so may remove.
pub(crate) const BROUGHT: &str = "tidegate/image";

/// An image that is here and unpacked.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    /// Its full name.
    pub(crate) name: String,
    /// The snapshot that containers of it start from.
    pub(crate) snapshot: String,
    /// How it wants to be run.
    pub(crate) config: ProcessConfig,
    /// Whom that means, once its own files were looked at.
    pub(crate) user: OnceLock<User>,
}

/// One image's documents.
#[derive(Debug)]
pub(crate) struct Parts {
    /// The digest of the manifest.
    pub(crate) manifest: String,
    pub(crate) config: Descriptor,
    pub(crate) layers: Vec<Descriptor>,
    pub(crate) says: ImageConfig,
}

/// What `name` stands for in this namespace.
pub(crate) async fn find(scope: &Scope, name: &str) -> Result<Option<Target>, Failure> {
    let request = GetImageRequest { name: name.to_owned() };
    match call("look for an image", scope.images().get(request)).await {
        Ok(found) => Ok(found.image.and_then(|image| image.target)),
        Err(failure) if failure.is_not_found() => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// All images of this namespace.
pub(crate) async fn records(scope: &Scope) -> Result<Vec<ImageRecord>, Failure> {
    let request = ListImagesRequest::default();
    Ok(call("list images", scope.images().list(request)).await?.images)
}

/// Writes a label on an image, or takes it off when it is empty.
pub(crate) async fn label(scope: &Scope, name: &str, key: &str, text: &str) -> Result<(), Failure> {
    let labels = [(key.to_owned(), text.to_owned())].into();
    // containerd 2.1 dies of an image without a target, also where the mask leaves it out.
    let target = Some(Target::default());
    let image = ImageRecord { name: name.to_owned(), labels, target, ..ImageRecord::default() };
    let update_mask = Some(FieldMask { paths: vec![format!("labels.{key}")] });
    let request = UpdateImageRequest { image: Some(image), update_mask, source_date_epoch: None };
    or_absent(call("label an image", scope.images().update(request)).await)
}

/// Makes sure that an image which is here is unpacked, and reads how to run it.
pub(crate) async fn open(
    scope: &Scope,
    snapshotter: &str,
    name: &str,
    target: &Target,
) -> Result<Image, Failure> {
    let parts = parts(scope, name, &target.digest).await?;
    let chain = digest::chain(&parts.says.rootfs.diff_ids);
    let top = chain.last().ok_or_else(|| Failure::Told(format!("image {name} has no layers")))?;
    if !unpack::is_there(scope, snapshotter, top).await? {
        let lease = Lease::take(scope).await?;
        let unpacked = unpack::unpack(lease.scope(), snapshotter, &parts).await;
        lease.end().await;
        unpacked?;
    }
    Ok(Image {
        name: name.to_owned(),
        snapshot: top.clone(),
        config: parts.says.config.unwrap_or_default(),
        user: OnceLock::new(),
    })
}

/// Reads an image's documents down from what its name stands for.
pub(crate) async fn parts(scope: &Scope, name: &str, target: &str) -> Result<Parts, Failure> {
    let mut digest = target.to_owned();
    let mut document: Document = document(scope, name, &digest).await?;
    if let Some(entries) = &document.manifests {
        digest = manifest::choose(name, entries)?.digest.clone();
        document = self::document(scope, name, &digest).await?;
    }
    let (config, layers) = document.into_manifest(&digest)?;
    let bytes = content::read(scope, &config.digest).await?;
    let says: ImageConfig = manifest::parse(&format!("image {name}"), &bytes)?;
    says.check(name)?;
    if says.rootfs.diff_ids.len() != layers.len() {
        return Err(Failure::Told(format!(
            "image {name} is damaged: {} layers, but its configuration tells of {}",
            layers.len(),
            says.rootfs.diff_ids.len()
        )));
    }
    Ok(Parts { manifest: digest, config, layers, says })
}

async fn document(scope: &Scope, name: &str, digest: &str) -> Result<Document, Failure> {
    let bytes = content::read(scope, digest).await?;
    manifest::parse(&format!("the manifest of image {name}"), &bytes)
}

/// Makes `name` stand for a manifest or index that is whole; the last step, so that a name never stands for
/// half an image. True when the name is new, which is then [ours](BROUGHT).
pub(crate) async fn name(scope: &Scope, name: &str, target: Target) -> Result<bool, Failure> {
    const NAME: &str = "name an image";
    let labels = [(BROUGHT.to_owned(), "1".to_owned())].into();
    let name = name.to_owned();
    let image = ImageRecord { name, target: Some(target), labels, ..ImageRecord::default() };
    let create = CreateImageRequest { image: Some(image.clone()), source_date_epoch: None };
    match call(NAME, scope.images().create(create)).await {
        Err(failure) if failure.is_there_already() => {}
        done => return done.map(|_| true),
    }
    let update_mask = Some(FieldMask { paths: vec!["target".to_owned()] });
    let update = UpdateImageRequest { image: Some(image), update_mask, source_date_epoch: None };
    call(NAME, scope.images().update(update)).await.map(|_| false)
}

/// Takes a name away; what no other name stands for is collected, before this returns.
pub(crate) async fn forget(scope: &Scope, name: &str) -> Result<(), Failure> {
    let request = DeleteImageRequest { name: name.to_owned(), sync: true, target: None };
    or_absent(call("remove an image", scope.images().delete(request)).await)
}

/// Makes an image of one namespace known in another. Its bytes are shared; only the unpacked copy is not.
pub(crate) async fn lend(
    from: &Scope,
    to: &Scope,
    name: &str,
    target: &Target,
) -> Result<(), Failure> {
    let parts = parts(from, name, &target.digest).await?;
    let lease = Lease::take(to).await?;
    let done = lend_parts(from, lease.scope(), name, target, &parts).await;
    lease.end().await;
    done
}

async fn lend_parts(
    from: &Scope,
    to: &Scope,
    name: &str,
    target: &Target,
    parts: &Parts,
) -> Result<(), Failure> {
    for blob in parts.layers.iter().chain([&parts.config]) {
        let blob = Blob { digest: blob.digest.clone(), size: blob.size, labels: HashMap::new() };
        // The store has the bytes already, and so asks for none.
        content::write(to, &blob, tokio::io::empty()).await?;
    }
    let bytes = content::read(from, &parts.manifest).await?;
    content::write_bytes(to, &bytes, keeps_parts(&parts.config, &parts.layers)).await?;
    if parts.manifest != target.digest {
        let bytes = content::read(from, &target.digest).await?;
        let document: Document = manifest::parse(name, &bytes)?;
        content::write_bytes(to, &bytes, keeps_entries(&document)).await?;
    }
    self::name(to, name, target.clone()).await.map(drop)
}

/// Labels by which a manifest keeps its parts from being collected.
pub(crate) fn keeps_parts(config: &Descriptor, layers: &[Descriptor]) -> HashMap<String, String> {
    let label = |what: String, part: &Descriptor| {
        (format!("containerd.io/gc.ref.content.{what}"), part.digest.clone())
    };
    let layers = layers.iter().enumerate().map(|(index, layer)| label(format!("l.{index}"), layer));
    layers.chain([label("config".to_owned(), config)]).collect()
}

/// Labels by which an index keeps its manifests from being collected.
pub(crate) fn keeps_entries(index: &Document) -> HashMap<String, String> {
    let entries = index.manifests.iter().flatten().enumerate();
    entries
        .map(|(number, entry)| {
            (format!("containerd.io/gc.ref.content.m.{number}"), entry.digest.clone())
        })
        .collect()
}

/// What a name is to stand for, in containerd's words.
pub(crate) fn target(descriptor: &Descriptor, is_index: bool) -> Target {
    let media_type = match descriptor.media_type.as_str() {
        "" if is_index => OCI_INDEX,
        "" => OCI_MANIFEST,
        known => known,
    };
    Target {
        media_type: media_type.to_owned(),
        digest: descriptor.digest.clone(),
        size: descriptor.size.cast_signed(),
        annotations: HashMap::new(),
    }
}
