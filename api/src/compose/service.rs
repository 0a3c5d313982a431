//! One service of a compose file.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_saphyr::{Location, Spanned};
use tidegate_core::service::{Condition, Health, Port, Source, Volume};
use tidegate_core::{FunctionId, Service};

use super::document::{
    Deploy, Entries, EnvFile, HealthSection, Loose, PortSection, ServiceSection, Text,
    VolumeSection, Words,
};
use super::reader::{Placed, Reader};
use super::{env_file, words};
use crate::yaml::section::{Given, Keyed, Named, Pairs, given};

/// Names that mean something else already.
const TAKEN: [&str; 2] = ["gateway", "localhost"];
/// Docker's own times.
const GRACE: Duration = Duration::from_secs(10);
const HEALTH_INTERVAL: Duration = Duration::from_secs(30);
const HEALTH_START_INTERVAL: Duration = Duration::from_secs(5);
const HEALTH_RETRIES: u32 = 3;
/// More questions than this in a second only keep the machine busy.
const LEAST_INTERVAL: Duration = Duration::from_millis(100);

impl Reader<'_> {
    /// Turns a section into a service.
    pub(super) fn service(&mut self, name: Spanned<String>, section: ServiceSection) -> Placed {
        let at = name.referenced;
        let name = name.value;
        if let Err(bad) = FunctionId::check_label("service", &name) {
            self.error(format_args!("{bad}; functions look it up by this name"), at);
        }
        if TAKEN.contains(&name.as_str()) {
            let message =
                format!("{name} is tidegate's own name; take it out, or name it otherwise");
            self.error(message, at);
        }
        let deploy = section.deploy.map(|deploy| self.keyed(deploy)).unwrap_or_default();
        let enabled = self.enabled(&deploy);
        let (memory, cpu) = self.limits(section.mem_limit, section.cpus, deploy);
        let mut env = self.env_files(section.env_file);
        env.extend(self.environment(section.environment));
        let service = Service {
            image: self.image(&name, section.image, at),
            pull: self.word(section.pull_policy, words::pull),
            entrypoint: self.command("entrypoint", section.entrypoint),
            command: self.command("command", section.command),
            env,
            user: text_of(section.user),
            working_dir: self.word(section.working_dir, words::target_of),
            hostname: self.word(section.hostname, hostname),
            more_capabilities: self.capabilities(section.cap_add, false),
            fewer_capabilities: self.capabilities(section.cap_drop, true),
            volumes: self.volumes(section.volumes),
            read_only_root: flag(section.read_only),
            memory,
            cpu,
            ports: self.ports(section.ports),
            depends_on: self.depends_on(section.depends_on),
            restart: self.word(section.restart, words::restart).unwrap_or_default(),
            health: section.healthcheck.and_then(|health| self.health(health)),
            stop_signal: text_of(section.stop_signal),
            stop_grace: self.word(section.stop_grace_period, words::span).unwrap_or(GRACE),
            name,
        };
        Placed { service, at, enabled }
    }

    fn word<T>(
        &mut self,
        word: Given<String>,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let (text, at) = given(word)?;
        self.checked(read(&text), at)
    }

    fn image(&mut self, name: &str, image: Given<String>, at: Location) -> String {
        match given(image) {
            Some((image, _)) if !image.trim().is_empty() => image.trim().to_owned(),
            _ => {
                self.error(format_args!("{name} has no image"), at);
                String::new()
            }
        }
    }

    fn enabled(&mut self, deploy: &Deploy) -> bool {
        let Some((replicas, at)) = given(deploy.replicas.clone()) else { return true };
        if !["0", "1"].contains(&replicas.as_str()) {
            let message = format!("{replicas} replicas: a service runs once, or not at all with 0");
            self.error(message, at);
        }
        replicas != "0"
    }

    fn limits(
        &mut self,
        memory: Given<String>,
        cpus: Given<String>,
        deploy: Deploy,
    ) -> (Option<u64>, Option<u64>) {
        let resources = deploy.resources.map(|it| self.keyed(it)).unwrap_or_default();
        let limits = resources.limits.map(|it| self.keyed(it)).unwrap_or_default();
        (
            self.word(limits.memory.or(memory), words::bytes),
            self.word(limits.cpus.or(cpus), words::cpus),
        )
    }

    /// A list is taken as it is; a text is split as a shell does.
    fn command(&mut self, key: &str, words: Words) -> Option<Vec<String>> {
        let Spanned { value, referenced: at, .. } = words?;
        let read = match value {
            Loose::List(list) => Ok(texts(list)),
            Loose::Text(text) => {
                shlex::split(&text).ok_or_else(|| format!("{key} has a quote that does not end"))
            }
            Loose::Map(_) => Err(format!("{key} must be a text or a list of texts")),
        };
        self.checked(read, at)
    }

    fn env_files(&mut self, files: Entries<EnvFile>) -> BTreeMap<String, String> {
        let mut env = BTreeMap::new();
        for (file, at) in self.entries("env_file", files) {
            let (path, required) = match file {
                Loose::Text(path) => (path, true),
                Loose::Map(section) => {
                    let section = self.keyed(section);
                    let required = section.required.and_then(|it| it.value).unwrap_or(true);
                    (text_of(section.path).unwrap_or_default(), required)
                }
                Loose::List(_) => continue,
            };
            match (self.world.file)(&path) {
                Ok(Some(text)) => self.env_file(&path, &text, at, &mut env),
                Ok(None) if !required => {}
                Ok(None) => self.error(format_args!("env_file {path:?} does not exist"), at),
                Err(why) => self.error(format_args!("env_file {path:?} cannot be read: {why}"), at),
            }
        }
        env
    }

    fn env_file(
        &mut self,
        path: &str,
        text: &str,
        at: Location,
        env: &mut BTreeMap<String, String>,
    ) {
        match env_file::parse(text) {
            Ok(pairs) => {
                for (name, value) in pairs {
                    if let Some(value) = value.or_else(|| (self.world.variable)(&name)) {
                        env.insert(name, value);
                    }
                }
            }
            Err((line, why)) => self.error(format_args!("env_file {path}, line {line}: {why}"), at),
        }
    }

    /// A name without a value gets that of the environment, if there is one.
    fn environment(
        &mut self,
        environment: Option<Spanned<Loose<Text, Pairs>>>,
    ) -> BTreeMap<String, String> {
        let Some(Spanned { value, referenced, .. }) = environment else { return BTreeMap::new() };
        let pairs: Vec<(String, Option<String>, Location)> = match value {
            Loose::Map(pairs) => pairs
                .0
                .into_iter()
                .map(|(name, value)| (name.value, value.value, name.referenced))
                .collect(),
            Loose::List(list) => list
                .into_iter()
                .filter_map(|line| {
                    let text = line.value?;
                    let pair =
                        text.split_once('=').map(|(a, b)| (a.to_owned(), Some(b.to_owned())));
                    let (name, value) = pair.unwrap_or((text, None));
                    Some((name, value, line.referenced))
                })
                .collect(),
            Loose::Text(_) => {
                let message = "environment must be a mapping, or a list of NAME=value";
                self.error(message, referenced);
                Vec::new()
            }
        };
        let mut env = BTreeMap::new();
        for (name, value, at) in pairs {
            let value = value.or_else(|| (self.world.variable)(&name));
            let fits = env_file::is_name(&name) && !value.as_deref().unwrap_or("").contains('\0');
            match value {
                _ if !fits => self.error(format_args!("{name:?} is not a good variable"), at),
                Some(value) => drop(env.insert(name, value)),
                None => {}
            }
        }
        env
    }

    fn capabilities(&mut self, words: Words, all: bool) -> Vec<String> {
        let Some(Spanned { value: Loose::List(list), .. }) = words else { return Vec::new() };
        let mut names = Vec::new();
        for text in list {
            let at = text.referenced;
            let read = words::capability(&text.value.unwrap_or_default(), all);
            names.extend(self.checked(read, at));
        }
        names
    }

    fn volumes(&mut self, volumes: Entries<VolumeSection>) -> Vec<Volume> {
        let mut all = Vec::new();
        for (volume, at) in self.entries("volumes", volumes) {
            let read = match volume {
                Loose::Text(text) => words::volume(&text),
                Loose::Map(section) => volume_of(self.keyed(section)),
                Loose::List(_) => continue,
            };
            let Some(volume) = self.checked(read, at) else { continue };
            if let Source::Named(name) = &volume.source
                && !self.volumes.contains(name)
            {
                let message = format!(
                    "there is no volume {name}; declare it under volumes: at the end of the file, or write ./{name} for a path"
                );
                self.error(message, at);
            }
            all.push(volume);
        }
        all
    }

    fn ports(&mut self, ports: Entries<PortSection>) -> Vec<Port> {
        let mut all = Vec::new();
        for (port, at) in self.entries("ports", ports) {
            let read = match port {
                Loose::Text(text) => words::port(&text),
                Loose::Map(section) => port_of(self.keyed(section)),
                Loose::List(_) => continue,
            };
            all.extend(self.checked(read, at));
        }
        all
    }

    /// The entries of a list; a text alone is a list of one.
    fn entries<M>(
        &mut self,
        key: &str,
        entries: Entries<M>,
    ) -> Vec<(Loose<Text, Keyed<M>>, Location)> {
        let Some(Spanned { value, referenced, .. }) = entries else { return Vec::new() };
        match value {
            Loose::Text(text) => vec![(Loose::Text(text), referenced)],
            Loose::List(list) => list.into_iter().map(|it| (it.value, it.referenced)).collect(),
            Loose::Map(_) => {
                self.error(format_args!("{key} must be a list"), referenced);
                Vec::new()
            }
        }
    }

    fn depends_on(
        &mut self,
        depends_on: Option<Spanned<Loose<Text, Named<super::document::Dependency>>>>,
    ) -> BTreeMap<String, Condition> {
        let Some(Spanned { value, .. }) = depends_on else { return BTreeMap::new() };
        match value {
            Loose::Text(name) => [(name, Condition::Started)].into(),
            Loose::List(list) => {
                texts(list).into_iter().map(|name| (name, Condition::Started)).collect()
            }
            Loose::Map(named) => {
                let entries = named.0.into_iter();
                entries
                    .map(|(name, section)| {
                        let section = section.map(|it| self.keyed(it)).unwrap_or_default();
                        let condition = self.word(section.condition, condition);
                        (name.value, condition.unwrap_or(Condition::Started))
                    })
                    .collect()
            }
        }
    }

    fn health(&mut self, section: Keyed<HealthSection>) -> Option<Health> {
        let section = self.keyed(section);
        if flag(section.disable) {
            return None;
        }
        let Spanned { value, referenced: at, .. } = section.test?;
        let words = match value {
            Loose::Text(text) => vec!["CMD-SHELL".to_owned(), text],
            Loose::List(list) => texts(list),
            Loose::Map(_) => Vec::new(),
        };
        let command = match words.split_first() {
            Some((first, [])) if first == "NONE" => return None,
            Some((first, rest)) if first == "CMD" && !rest.is_empty() => rest.to_vec(),
            Some((first, [line])) if first == "CMD-SHELL" => {
                ["/bin/sh", "-c", line].map(str::to_owned).to_vec()
            }
            _ => {
                let message = "test must be a text, [CMD, words…], [CMD-SHELL, line] or [NONE]";
                self.error(message, at);
                return None;
            }
        };
        let interval = self.word(section.interval, words::span).unwrap_or(HEALTH_INTERVAL);
        let retries = self.word(section.retries, retries).unwrap_or(HEALTH_RETRIES);
        let start_interval =
            self.word(section.start_interval, words::span).unwrap_or(HEALTH_START_INTERVAL);
        Some(Health {
            command,
            interval: interval.max(LEAST_INTERVAL),
            timeout: self.word(section.timeout, words::span).unwrap_or(HEALTH_INTERVAL),
            retries,
            start_period: self.word(section.start_period, words::span).unwrap_or_default(),
            start_interval: start_interval.max(LEAST_INTERVAL),
        })
    }
}

fn volume_of(section: VolumeSection) -> Result<Volume, String> {
    let source = text_of(section.source).ok_or("a volume needs a source")?;
    let source = match text_of(section.kind).as_deref() {
        // A path of this kind may begin as it likes.
        Some("bind") if !source.starts_with('~') => Source::Path(source.into()),
        Some("volume") => Source::Named(words::volume_name(&source)?),
        Some(kind) if kind != "bind" => {
            return Err(format!("a volume of type {kind} is not supported; use bind or volume"));
        }
        _ => words::source_of(&source)?,
    };
    let target = words::target_of(&text_of(section.target).ok_or("a volume needs a target")?)?;
    Ok(Volume { source, target, read_only: flag(section.read_only) })
}

fn port_of(section: PortSection) -> Result<Port, String> {
    let outside = text_of(section.published)
        .ok_or("a port needs published, the port of the machine that leads to it")?;
    let inside = text_of(section.target).ok_or("a port needs target, the port of the service")?;
    let protocol = text_of(section.protocol).unwrap_or_else(|| "tcp".to_owned());
    words::port_of(text_of(section.host_ip).as_deref(), &outside, &inside, &protocol)
}

fn condition(text: &str) -> Result<Condition, String> {
    match text {
        "service_started" => Ok(Condition::Started),
        "service_healthy" => Ok(Condition::Healthy),
        "service_completed_successfully" => Ok(Condition::Completed),
        _ => Err(format!(
            "condition {text:?} is not known; use service_started, service_healthy or service_completed_successfully"
        )),
    }
}

fn retries(text: &str) -> Result<u32, String> {
    let number = text.parse().ok().filter(|number| (1..=1000).contains(number));
    number.ok_or_else(|| format!("{text:?} is not a number from 1 to 1000"))
}

fn hostname(text: &str) -> Result<String, String> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b".-".contains(&byte);
    if (1..=63).contains(&text.len()) && text.bytes().all(good) {
        return Ok(text.to_owned());
    }
    Err(format!("{text:?} is not the name of a host"))
}

fn text_of(word: Given<String>) -> Option<String> {
    given(word).map(|(text, _)| text).filter(|text| !text.is_empty())
}

fn flag(given: Given<bool>) -> bool {
    given.and_then(|spanned| spanned.value).unwrap_or_default()
}

fn texts(list: Vec<Text>) -> Vec<String> {
    list.into_iter().map(|text| text.value.unwrap_or_default()).collect()
}
