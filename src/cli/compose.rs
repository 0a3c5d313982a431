//! A compose file as the commands use it: read from disk, its variables filled in from the environment and the
//! file `.env` beside it, its paths made full.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use tidegate_api::Compose;
use tidegate_api::compose::{World, variables};
use tidegate_core::Service;
use tidegate_core::service::Source;

use super::Context;
use super::failure::Failure;

/// What is looked for when no file is named, in this order.
const USUAL: [&str; 4] =
    ["compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml"];

/// Reads the file at `path`, or the usual one of this folder; tells of what is odd about it.
pub fn read(context: &Context, path: Option<&Path>) -> Result<Vec<Service>, Failure> {
    let path = match path {
        Some(path) => path.to_owned(),
        None => usual()?,
    };
    let shown = path.display().to_string();
    let unread = |error| Failure::usage(format!("cannot read {shown}")).because(error);
    let text = std::fs::read_to_string(&path).map_err(unread)?;
    let folder = path.canonicalize().map_err(unread)?;
    let folder = folder.parent().map(Path::to_path_buf).unwrap_or_default();
    let beside = beside(&folder)?;
    // The environment wins.
    let variable = |name: &str| match context.vars.is_set(name) {
        true => Some(context.vars.get(name).unwrap_or_default().to_owned()),
        false => beside.get(name).cloned(),
    };
    let file = |name: &str| match std::fs::read_to_string(folder.join(name)) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.to_string()),
    };
    let compose = Compose::read(&shown, &text, World { variable: &variable, file: &file });
    let compose = compose.map_err(|found| {
        Failure::usage(format!("{shown} cannot be used as it is"))
            .because(&found)
            .help("mend the file; nothing has been changed")
    })?;
    for warning in compose.warnings.iter() {
        context.output.told(&warning.to_string());
    }
    Ok(compose.services.into_iter().map(|service| placed(service, &folder)).collect())
}

fn usual() -> Result<PathBuf, Failure> {
    let found = USUAL.iter().map(PathBuf::from).find(|path| path.exists());
    found.ok_or_else(|| {
        Failure::usage(format!("there is none of {} in this folder", USUAL.join(", ")))
            .help("name the file: tidegate services up -f FILE")
    })
}

/// The variables of `.env`, if there is one.
fn beside(folder: &Path) -> Result<HashMap<String, String>, Failure> {
    let path = folder.join(".env");
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(HashMap::new()),
        Err(error) => {
            return Err(Failure::usage(format!("cannot read {}", path.display())).because(error));
        }
    };
    let pairs = variables(&text)
        .map_err(|(line, why)| Failure::usage(format!("{}, line {line}: {why}", path.display())))?;
    Ok(pairs.into_iter().filter_map(|(name, value)| Some((name, value?))).collect())
}

/// With full paths: a service is looked after from another folder later.
fn placed(mut service: Service, folder: &Path) -> Service {
    for volume in &mut service.volumes {
        if let Source::Path(path) = &mut volume.source {
            *path =
                folder.join(&*path).components().filter(|it| *it != Component::CurDir).collect();
        }
    }
    service
}
