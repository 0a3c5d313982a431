//! What the container of a service is made of: what its image says, and over it what its file says.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tidegate_core::Service;
use tidegate_provider_machine::Limits;

use super::volumes;
use crate::error::Failure;
use crate::manifest::ProcessConfig;
use crate::seccomp::Programs;
use crate::spec::{self, Words};
use crate::users::User;

/// What entry points of ordinary images need: to prepare their folders, and to become somebody else.
const USUAL: [&str; 9] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_NET_BIND_SERVICE",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
];
/// Open files of a service: databases keep many.
const OPEN_FILES: u64 = 1 << 16;

/// What else a container is made of.
#[derive(Debug)]
pub(super) struct Surroundings<'a> {
    pub(super) image: &'a ProcessConfig,
    pub(super) user: &'a User,
    pub(super) cgroup: &'a str,
    pub(super) netns: PathBuf,
    /// The files of these names.
    pub(super) hosts: PathBuf,
    pub(super) resolv: PathBuf,
    /// The folder of named volumes.
    pub(super) volumes: &'a Path,
    /// Most processes and threads.
    pub(super) pids: u64,
    /// Size of `/tmp` when the root is read-only, in bytes.
    pub(super) tmp_bytes: u64,
    /// Most files that we ourselves may open.
    pub(super) own_open_files: u64,
    /// The container's name.
    pub(super) id: &'a str,
}

/// The whole specification.
pub(super) fn spec(service: &Service, around: &Surroundings<'_>) -> Result<Value, Failure> {
    let open_files = around.own_open_files.min(OPEN_FILES);
    let mut env = spec::env_of(around.image, around.user);
    env.extend(service.env.clone());
    let mut mounts = spec::mounts_of_all(around.hosts.clone(), around.resolv.clone());
    if service.read_only_root {
        mounts.push(spec::tmp(around.tmp_bytes));
    }
    mounts.extend(service.volumes.iter().map(|volume| volumes::mount(volume, around.volumes)));
    let limits = Limits { memory: service.memory, cpu: service.cpu };
    Ok(spec::document(Words {
        hostname: service.hostname.clone().unwrap_or_else(|| service.name.clone()),
        args: args(service, around.image)?,
        env: env.into_iter().map(|(name, text)| format!("{name}={text}")).collect(),
        cwd: service.working_dir.clone().unwrap_or_else(|| spec::cwd(around.image).to_owned()),
        user: around.user,
        capabilities: &capabilities(service),
        open_files: (open_files, open_files),
        oom_score_adj: 0,
        read_only_root: service.read_only_root,
        mounts,
        resources: spec::resources(limits, Limits::default(), around.pids),
        cgroup: around.cgroup,
        netns: &around.netns,
        group: around.id,
        // Started once and for long, from images of all ages.
        programs: Programs::ThirtyTwoBit,
    }))
}

/// A new entry point does not get the image's command: that was meant for the old one.
fn args(service: &Service, image: &ProcessConfig) -> Result<Vec<String>, Failure> {
    let of_image = |words: &Option<Vec<String>>| words.clone().unwrap_or_default();
    let (first, rest) = match (&service.entrypoint, &service.command) {
        (Some(entrypoint), command) => (entrypoint.clone(), command.clone().unwrap_or_default()),
        (None, Some(command)) => (of_image(&image.entrypoint), command.clone()),
        (None, None) => (of_image(&image.entrypoint), of_image(&image.cmd)),
    };
    let args: Vec<String> = first.into_iter().chain(rest).collect();
    if args.is_empty() {
        return Err(Failure::Told(format!(
            "neither service {} nor its image {} says what to run; give it a command",
            service.name, service.image
        )));
    }
    Ok(args)
}

fn capabilities(service: &Service) -> Vec<String> {
    let fewer = &service.fewer_capabilities;
    let none = fewer.iter().any(|it| it == "ALL");
    let usual = USUAL.iter().map(|it| (*it).to_owned()).filter(|it| !none && !fewer.contains(it));
    let mut all: Vec<String> = usual.chain(service.more_capabilities.iter().cloned()).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// The process of a command that runs beside the container's own, from the container's specification.
pub(super) fn beside(spec: &Value, command: &[String]) -> Value {
    let mut process = spec["process"].clone();
    process["args"] = json!(command);
    process
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Option<Vec<String>> {
        Some(words.iter().map(|it| (*it).to_owned()).collect())
    }

    #[test]
    fn the_file_wins_over_the_image() {
        let image = ProcessConfig {
            entrypoint: words(&["entry"]),
            cmd: words(&["cmd"]),
            ..ProcessConfig::default()
        };
        let of = |entrypoint, command| {
            args(&Service { entrypoint, command, ..Service::default() }, &image).expect("words")
        };
        assert_eq!(of(None, None), ["entry", "cmd"]);
        assert_eq!(of(None, words(&["x"])), ["entry", "x"]);
        assert_eq!(of(words(&["sh"]), None), ["sh"]);
        assert_eq!(of(words(&["sh"]), words(&["x"])), ["sh", "x"]);
        assert!(args(&Service::default(), &ProcessConfig::default()).is_err());
    }

    #[test]
    fn capabilities_are_the_usual_ones_and_what_the_file_says() {
        let service = Service {
            more_capabilities: vec!["CAP_NET_RAW".to_owned()],
            fewer_capabilities: vec!["CAP_CHOWN".to_owned()],
            ..Service::default()
        };
        let all = capabilities(&service);
        assert!(all.contains(&"CAP_NET_RAW".to_owned()) && !all.contains(&"CAP_CHOWN".to_owned()));
        let service = Service { fewer_capabilities: vec!["ALL".to_owned()], ..service };
        assert_eq!(capabilities(&service), ["CAP_NET_RAW"]);
    }
}
