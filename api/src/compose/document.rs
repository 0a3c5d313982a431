//! The keys of a compose file that are honoured, and values that may be written in several ways.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_saphyr::Spanned;

use crate::yaml::section::{Given, Keyed, Named, Pairs, Section, section};

/// A text, a list, or a mapping.
#[derive(Clone, Debug)]
pub(super) enum Loose<L, M> {
    Text(String),
    List(Vec<L>),
    Map(M),
}

/// A text as it is written.
pub(super) type Text = Spanned<Option<String>>;
/// A text or a list of texts.
pub(super) type Words = Option<Spanned<Loose<Text, Pairs>>>;
/// A list whose entries are texts, or mappings that say the same with more words.
pub(super) type Entries<M> = Option<Spanned<Loose<Spanned<Loose<Text, Keyed<M>>>, Pairs>>>;

section! {
    /// The whole file.
    struct Top {
        "services" => services: Option<Named<ServiceSection>>,
        "volumes" => volumes: Option<Named<VolumeHome>>,
    }
}

section! {
    /// A named volume.
    struct VolumeHome {
        "driver" => driver: Given<String>,
    }
}

section! {
    /// One service.
    struct ServiceSection {
        "image" => image: Given<String>,
        "pull_policy" => pull_policy: Given<String>,
        "entrypoint" => entrypoint: Words,
        "command" => command: Words,
        "environment" => environment: Option<Spanned<Loose<Text, Pairs>>>,
        "env_file" => env_file: Entries<EnvFile>,
        "user" => user: Given<String>,
        "working_dir" => working_dir: Given<String>,
        "hostname" => hostname: Given<String>,
        "cap_add" => cap_add: Words,
        "cap_drop" => cap_drop: Words,
        "volumes" => volumes: Entries<VolumeSection>,
        "read_only" => read_only: Given<bool>,
        "mem_limit" => mem_limit: Given<String>,
        "cpus" => cpus: Given<String>,
        "deploy" => deploy: Option<Keyed<Deploy>>,
        "ports" => ports: Entries<PortSection>,
        "depends_on" => depends_on: Option<Spanned<Loose<Text, Named<Dependency>>>>,
        "restart" => restart: Given<String>,
        "healthcheck" => healthcheck: Option<Keyed<HealthSection>>,
        "stop_signal" => stop_signal: Given<String>,
        "stop_grace_period" => stop_grace_period: Given<String>,
    }
}

section! {
    /// A file of variables.
    struct EnvFile {
        "path" => path: Given<String>,
        "required" => required: Given<bool>,
    }
}

section! {
    /// A volume.
    struct VolumeSection {
        "type" => kind: Given<String>,
        "source" => source: Given<String>,
        "target" => target: Given<String>,
        "read_only" => read_only: Given<bool>,
    }
}

section! {
    /// A port.
    struct PortSection {
        "target" => target: Given<String>,
        "published" => published: Given<String>,
        "host_ip" => host_ip: Given<String>,
        "protocol" => protocol: Given<String>,
    }
}

section! {
    /// Another service that must come first.
    struct Dependency {
        "condition" => condition: Given<String>,
    }
}

section! {
    /// How many, and how much of the machine.
    struct Deploy {
        "replicas" => replicas: Given<String>,
        "resources" => resources: Option<Keyed<Resources>>,
    }
}

section! {
    /// How much of the machine.
    struct Resources {
        "limits" => limits: Option<Keyed<Limits>>,
    }
}

section! {
    /// The most of it.
    struct Limits {
        "memory" => memory: Given<String>,
        "cpus" => cpus: Given<String>,
    }
}

section! {
    /// How a service is asked whether it is well.
    struct HealthSection {
        "test" => test: Words,
        "interval" => interval: Given<String>,
        "timeout" => timeout: Given<String>,
        "retries" => retries: Given<String>,
        "start_period" => start_period: Given<String>,
        "start_interval" => start_interval: Given<String>,
        "disable" => disable: Given<bool>,
    }
}

/// A compose file as YAML has it.
#[derive(Debug, Default)]
pub(super) struct Document(pub(super) Keyed<Top>);

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(Self(Option::deserialize(from)?.unwrap_or_default()))
    }
}

impl<'de, L: Deserialize<'de>, M: Deserialize<'de>> Deserialize<'de> for Loose<L, M> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Either(PhantomData))
    }
}

/// Reads whichever it is.
struct Either<L, M>(PhantomData<(L, M)>);

impl<'de, L: Deserialize<'de>, M: Deserialize<'de>> Visitor<'de> for Either<L, M> {
    type Value = Loose<L, M>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a list or a mapping")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Loose::Text(text.to_owned()))
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<Self::Value, E> {
        Ok(Loose::Text(flag.to_string()))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Loose::Text(number.to_string()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Loose::Text(number.to_string()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Loose::Text(number.to_string()))
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Loose::List(Vec::new()))
    }

    fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Loose::List(Vec::new()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut all = Vec::new();
        while let Some(one) = list.next_element()? {
            all.push(one);
        }
        Ok(Loose::List(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        M::deserialize(MapAccessDeserializer::new(map)).map(Loose::Map)
    }
}
