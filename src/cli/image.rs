//! `tidegate image`: brings images of functions to this machine's containerd, without a gateway.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::json;
use tidegate::config::Config;
use tidegate::up::provider::install_tls;
use tidegate_provider_containerd::{
    Config as ContainerdConfig, PullEvent, Pulled, import_images, pull_image,
};

use super::Context;
use super::failure::Failure;

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
        after_help = "Example:  docker save team/resize:1 > resize.tar && sudo tidegate image import resize.tar"
    )]
    Import {
        /// A tar file with an OCI layout or what docker save writes
        file: PathBuf,
        /// Name of the image, where the file gives none or another one is wanted
        #[arg(long, value_name = "IMAGE")]
        name: Option<String>,
    },
}

/// Does it.
pub async fn run(context: &Context, command: Command) -> Result<(), Failure> {
    let config = Config::read(context.vars.clone()).map_err(Failure::usage)?.containerd;
    match command {
        Command::Pull { image } => pull(context, &config, &image).await,
        Command::Import { file, name } => import(context, &config, &file, name.as_deref()).await,
    }
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
