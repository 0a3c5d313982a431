//! `tidegate image`: brings images of functions to this machine's containerd, and takes them away, without a
//! gateway.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Subcommand;
use serde_json::json;
use tidegate::config::Config;
use tidegate::up::provider::install_tls;
use tidegate_provider_containerd::{
    Config as ContainerdConfig, PullEvent, Pulled, StoredImage, import_images, list_images,
    prune_images, pull_image,
};

use super::Context;
use super::failure::Failure;
use crate::output::Align::{Left, Right};

/// What can be done with images.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Pulls an image from its registry, so that a deployment need not wait for it
    #[command(after_help = "Example:  sudo tidegate image pull ghcr.io/team/resize:1")]
    Pull {
        /// The image, such as team/resize:1 or registry.example:5000/resize@sha256:…
        image: String,
    },
    /// Brings in the images of a file, as `docker save` or `skopeo` write it: for machines without a network
    #[command(
        after_help = "Example:  docker save team/resize:1 | gzip > resize.tar.gz && sudo tidegate image import resize.tar.gz"
    )]
    Import {
        /// A tar file with an OCI layout or what docker save writes, also compressed with gzip
        file: PathBuf,
        /// Name of the image, where the file gives none or another one is wanted
        #[arg(long, value_name = "IMAGE")]
        name: Option<String>,
    },
    /// Lists images of functions on this machine, and who uses them
    List,
    /// Removes images that tidegate brought and no function uses
    #[command(after_help = "Example:  sudo tidegate image prune --dry-run")]
    Prune {
        /// Only tell what would go
        #[arg(long)]
        dry_run: bool,
        /// What came within this time stays, since a deployment may be about to use it
        #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = super::duration)]
        spare: Duration,
    },
}

/// Does it.
pub async fn run(context: &Context, command: Command) -> Result<(), Failure> {
    let config = Config::read(context.vars.clone()).map_err(Failure::usage)?.containerd;
    match command {
        Command::Pull { image } => pull(context, &config, &image).await,
        Command::Import { file, name } => import(context, &config, &file, name.as_deref()).await,
        Command::List => list(context, &config).await,
        Command::Prune { dry_run, spare } => prune(context, &config, spare, dry_run).await,
    }
}

async fn list(context: &Context, config: &ContainerdConfig) -> Result<(), Failure> {
    let images = list_images(config).await;
    let images = images.map_err(|error| Failure::failed("cannot list images").because(error))?;
    if context.output.is_json() {
        return context.output.json(&images.iter().map(as_json).collect::<Vec<_>>());
    }
    let rows: Vec<Vec<String>> =
        images.iter().filter(|image| !is_repeated(image, &images)).map(row).collect();
    let columns = [("IMAGE", Left), ("DIGEST", Left), ("SIZE", Right), ("USED BY", Left)];
    context.output.table(&columns, &rows)
}

/// A digest as a name says nothing new beside a tag that stands for the same.
fn is_repeated(image: &StoredImage, all: &[StoredImage]) -> bool {
    let same = |it: &StoredImage| it.digest == image.digest && it.namespace == image.namespace;
    image.name.contains('@') && all.iter().any(|it| same(it) && !it.name.contains('@'))
}

fn row(image: &StoredImage) -> Vec<String> {
    let users = match (image.used_by.is_empty(), image.ours) {
        (false, _) => image.used_by.join(", "),
        (true, true) => "-".to_owned(),
        (true, false) => "- (not brought by tidegate; stays)".to_owned(),
    };
    let digest = image.digest.get(7..19).unwrap_or(&image.digest).to_owned();
    vec![image.name.clone(), digest, size(image), users]
}

fn size(image: &StoredImage) -> String {
    image.size.map_or("?".to_owned(), |bytes| format!("{:.1} MiB", mebibytes(bytes)))
}

fn as_json(image: &StoredImage) -> serde_json::Value {
    let StoredImage { namespace, name, digest, size, used_by, ours, unused_since } = image;
    json!({
        "namespace": namespace, "image": name, "digest": digest, "size": size, "usedBy": used_by,
        "ours": ours, "unusedSince": unused_since.map(tidegate_api::rfc3339),
    })
}

async fn prune(
    context: &Context,
    config: &ContainerdConfig,
    spare: Duration,
    dry_run: bool,
) -> Result<(), Failure> {
    let gone = prune_images(config, spare, dry_run).await;
    let gone = gone.map_err(|error| Failure::failed("cannot remove images").because(error))?;
    if context.output.is_json() {
        return context.output.json(&gone.iter().map(as_json).collect::<Vec<_>>());
    }
    let how = if dry_run { "Would go" } else { "Removed" };
    for image in &gone {
        context.output.done(how, &format!("{} ({})", image.name, size(image)));
    }
    if gone.is_empty() {
        context.output.note(
            "there is nothing to remove: a function uses each image, or tidegate did not bring it",
        );
    }
    Ok(())
}

async fn pull(context: &Context, config: &ContainerdConfig, image: &str) -> Result<(), Failure> {
    install_tls();
    let told = |event: &PullEvent| context.output.note(&in_words(event));
    let pulled = pull_image(config, image, &told).await;
    let pulled =
        pulled.map_err(|error| Failure::failed(format!("cannot pull {image}")).because(error))?;
    if context.output.is_json() {
        let Pulled { name, digest, new } = &pulled;
        return context.output.json(&json!({ "image": name, "digest": digest, "new": new }));
    }
    let how = if pulled.new { "Pulled" } else { "Current" };
    context.output.done(how, &format!("{} ({})", pulled.name, pulled.digest));
    deploy_next(context, &pulled.name);
    Ok(())
}

/// What a pull does, for who looks on.
fn in_words(event: &PullEvent) -> String {
    match event {
        PullEvent::Asking { image, host } => format!("asking {host} for {image}"),
        PullEvent::Found { layers, bytes, .. } => {
            format!("found: {layers} layers, {:.1} MiB", mebibytes(*bytes))
        }
        PullEvent::Layer { digest, here, bytes } => {
            let short = digest.get(7..19).unwrap_or(digest);
            format!("layer {short}: {:.1} of {:.1} MiB", mebibytes(*here), mebibytes(*bytes))
        }
        PullEvent::Pausing { why, pause } => format!("{why}; trying again in {pause:?}"),
        PullEvent::Unpacking { image } => format!("unpacking {image}"),
    }
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

async fn import(
    context: &Context,
    config: &ContainerdConfig,
    file: &Path,
    name: Option<&str>,
) -> Result<(), Failure> {
    let failed = |error: tidegate_provider_containerd::Failure| {
        Failure::failed(format!("cannot import {}", file.display())).because(error)
    };
    let names = import_images(config, file, name).await.map_err(failed)?;
    if context.output.is_json() {
        return context.output.json(&json!({ "images": names }));
    }
    for name in &names {
        context.output.done("Imported", name);
    }
    if let Some(first) = names.first() {
        deploy_next(context, first);
    }
    Ok(())
}

fn deploy_next(context: &Context, image: &str) {
    context.output.next(&format!("tidegate deploy --name NAME --image {image}"));
}
