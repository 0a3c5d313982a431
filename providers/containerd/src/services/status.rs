//! What is known of a service, and who is told of it.

use std::fmt;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};
use tidegate_core::service::Condition;
use tokio::sync::{broadcast, watch};

use super::Definition;

/// What a service does.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ServiceState {
    /// It waits for others.
    Waiting,
    /// Its container is made.
    Starting,
    /// Its program runs.
    Running,
    /// It ended, and will be started again.
    Restarting,
    /// It ended, and will not be started again.
    Exited,
}

/// What is known of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceStatus {
    /// Its name.
    pub name: String,
    /// Its image, as written.
    pub image: String,
    /// What it does.
    pub state: ServiceState,
    /// Whether it says that it is well; none when it is not asked, or has not answered yet.
    pub healthy: Option<bool>,
    /// Its address, while it has one.
    pub address: Option<Ipv4Addr>,
    /// Ports of the machine that lead to it, `ADDRESS:OUTSIDE:INSIDE`.
    pub ports: Vec<String>,
    /// How often it was started again.
    pub restarts: u32,
    /// What it last ended with, if it ended.
    pub code: Option<u32>,
    /// Why it is not as it should be, in words; or empty.
    pub detail: String,
}

/// One service's status, for who changes it.
#[derive(Debug)]
pub(super) struct Report {
    status: watch::Sender<ServiceStatus>,
    events: broadcast::Sender<ServiceStatus>,
}

impl fmt::Display for ServiceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Waiting => "waiting",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Restarting => "restarting",
            Self::Exited => "exited",
        })
    }
}

impl ServiceStatus {
    /// A service that nobody looks after.
    pub(super) fn new(definition: &Definition, state: ServiceState) -> Self {
        let service = &definition.service;
        Self {
            name: service.name.clone(),
            image: service.image.clone(),
            state,
            healthy: None,
            address: None,
            ports: service.ports.iter().map(ToString::to_string).collect(),
            restarts: 0,
            code: None,
            detail: String::new(),
        }
    }

    /// Whether this is what another one waits for.
    pub(super) fn meets(&self, condition: Condition) -> bool {
        let ended_well = self.state == ServiceState::Exited && self.code == Some(0);
        match condition {
            Condition::Started => self.state == ServiceState::Running || ended_well,
            Condition::Healthy => self.state == ServiceState::Running && self.healthy == Some(true),
            Condition::Completed => ended_well,
        }
    }

    /// Whether it cannot get better without somebody's help, or not soon.
    fn is_stuck(&self) -> bool {
        matches!(self.state, ServiceState::Restarting) || self.failed()
    }

    /// Whether it ended badly for good, or says that it is not well.
    pub fn failed(&self) -> bool {
        self.state == ServiceState::Exited && self.code != Some(0) || self.healthy == Some(false)
    }
}

/// Whether nothing will change soon by itself. `needs` names the services that one waits for.
pub(super) fn are_settled(all: &[ServiceStatus], needs: impl Fn(&str) -> Vec<String>) -> bool {
    all.iter().all(|one| match one.state {
        ServiceState::Starting => false,
        ServiceState::Waiting => {
            let needs = needs(&one.name);
            let on = |other: &&ServiceStatus| needs.contains(&other.name);
            let held = |it: &ServiceStatus| it.is_stuck() || it.state == ServiceState::Waiting;
            all.iter().filter(on).any(held)
        }
        _ => true,
    })
}

impl Report {
    pub(super) fn new(definition: &Definition, events: broadcast::Sender<ServiceStatus>) -> Self {
        let status = ServiceStatus::new(definition, ServiceState::Waiting);
        Self { status: watch::Sender::new(status), events }
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<ServiceStatus> {
        self.status.subscribe()
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut ServiceStatus)) {
        let news = self.status.send_if_modified(|status| {
            let before = status.clone();
            change(status);
            *status != before
        });
        if news {
            // Nobody need listen.
            let _ = self.events.send(self.status.borrow().clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_core::Service;

    fn status(name: &str, state: ServiceState) -> ServiceStatus {
        let service = Service { name: name.to_owned(), ..Service::default() };
        ServiceStatus::new(&Definition { service, image: String::new() }, state)
    }

    #[test]
    fn conditions_are_met_by_running_by_being_well_and_by_a_good_end() {
        let mut one = status("a", ServiceState::Running);
        assert!(one.meets(Condition::Started) && !one.meets(Condition::Healthy));
        one.healthy = Some(true);
        assert!(one.meets(Condition::Healthy) && !one.meets(Condition::Completed));
        let mut one = status("a", ServiceState::Exited);
        assert!(!one.meets(Condition::Completed));
        one.code = Some(0);
        assert!(one.meets(Condition::Completed) && one.meets(Condition::Started));
        one.code = Some(3);
        assert!(!one.meets(Condition::Completed) && one.failed());
    }

    #[test]
    fn who_waits_is_settled_only_when_the_other_is_stuck() {
        let needs = |name: &str| if name == "b" { vec!["a".to_owned()] } else { Vec::new() };
        let pair = |state| [status("a", state), status("b", ServiceState::Waiting)];
        assert!(!are_settled(&pair(ServiceState::Starting), needs));
        assert!(!are_settled(&pair(ServiceState::Running), needs));
        assert!(are_settled(&pair(ServiceState::Restarting), needs));
        assert!(are_settled(&[status("a", ServiceState::Running)], needs));
    }
}
