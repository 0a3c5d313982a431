//! Who waits for whom, and whether that can come to an end; and that no two want the same port.

use std::collections::HashMap;

use tidegate_core::Service;
use tidegate_core::service::{Condition, Port};

use super::reader::{Placed, Reader};

/// The services that are to run, each after those that it waits for.
pub(super) fn in_order(reader: &mut Reader<'_>, mut all: Vec<Placed>) -> Vec<Service> {
    check_dependencies(reader, &mut all);
    all.retain(|placed| placed.enabled);
    check_ports(reader, &all);
    let mut done: Vec<Service> = Vec::new();
    while !all.is_empty() {
        let ready = |placed: &Placed| {
            let mut needs = placed.service.depends_on.keys();
            needs.all(|name| done.iter().any(|one| one.name == *name))
        };
        let Some(next) = all.iter().position(ready) else {
            let names: Vec<&str> = all.iter().map(|one| one.service.name.as_str()).collect();
            let message = format!("these services wait for each other: {}", names.join(", "));
            reader.error(message, all[0].at);
            break;
        };
        done.push(all.remove(next).service);
    }
    done
}

fn check_dependencies(reader: &mut Reader<'_>, all: &mut [Placed]) {
    let known: HashMap<String, (bool, bool)> = all
        .iter()
        .map(|one| (one.service.name.clone(), (one.enabled, one.service.health.is_some())))
        .collect();
    for placed in all {
        let (name, at) = (placed.service.name.clone(), placed.at);
        placed.service.depends_on.retain(|other, condition| match known.get(other) {
            None => {
                reader
                    .error(format_args!("{name} depends on {other}, which is not in the file"), at);
                false
            }
            Some((false, _)) => {
                let message = format!("{name} does not wait for {other}, which has 0 replicas");
                reader.warn(message, at);
                false
            }
            Some((true, false)) if *condition == Condition::Healthy => {
                let message = format!(
                    "{name} waits until {other} is healthy, but {other} has no healthcheck"
                );
                reader.error(message, at);
                false
            }
            Some(_) => true,
        });
    }
}

fn check_ports(reader: &mut Reader<'_>, all: &[Placed]) {
    let mut taken: Vec<(&Port, &str)> = Vec::new();
    for placed in all {
        for port in &placed.service.ports {
            let same = |(other, _): &&(&Port, &str)| {
                let either = port.address.is_unspecified() || other.address.is_unspecified();
                port.outside == other.outside && (either || port.address == other.address)
            };
            if let Some((other, whose)) = taken.iter().find(same) {
                let name = &placed.service.name;
                let message = format!("{name} wants port {port}, but {whose} has {other}");
                reader.error(message, placed.at);
            }
            taken.push((port, &placed.service.name));
        }
    }
}
