//! `tidegate image`: brings images of functions to this machine's containerd, without a gateway.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;
use tidegate::config::Config;
use tidegate_provider_containerd::import_images;

use super::Context;
use super::failure::Failure;

/// What can be done with images.
#[derive(Debug, Subcommand)]
pub enum Command {
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
    let config = Config::read(context.vars.clone()).map_err(Failure::usage)?;
    match command {
        Command::Import { file, name } => {
            let imported = import_images(&config.containerd, &file, name.as_deref()).await;
            let names = imported.map_err(|error| {
                Failure::failed(format!("cannot import {}", file.display())).because(error)
            })?;
            if context.output.is_json() {
                return context.output.json(&json!({ "images": names }));
            }
            for name in &names {
                context.output.done("Imported", name);
            }
            if let Some(first) = names.first() {
                context.output.next(&format!("tidegate deploy --name NAME --image {first}"));
            }
            Ok(())
        }
    }
}
