//! What has to happen so that what is there becomes what is wanted: a comparison, and nothing else.

use std::collections::BTreeSet;

use super::Definition;

/// A container that is there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known<'a> {
    pub(super) name: &'a str,
    /// What it was made from; none when that cannot be read.
    pub(super) definition: Option<&'a Definition>,
}

/// What is to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// Services whose containers are removed, those of each round at once: who needs another goes before it.
    pub(super) goes: Vec<Vec<String>>,
    /// Services whose containers are as they are wanted.
    pub(super) stays: BTreeSet<String>,
}

/// Compares what is wanted with what is there.
pub(super) fn plan(wanted: &[Definition], known: &[Known<'_>]) -> Plan {
    let fits = |known: &&Known<'_>| {
        let wanted = wanted.iter().find(|one| one.service.name == known.name);
        wanted.zip(known.definition).is_some_and(|(new, old)| same_container(new, old))
    };
    let (stays, mut goes): (Vec<&Known<'_>>, Vec<_>) = known.iter().partition(fits);
    let mut plan =
        Plan { goes: Vec::new(), stays: stays.iter().map(|known| known.name.to_owned()).collect() };
    while !goes.is_empty() {
        let needs = |other: &Known<'_>, name: &str| {
            other.definition.is_some_and(|it| it.service.depends_on.contains_key(name))
        };
        let is_free = |one: &&Known<'_>| {
            !goes.iter().any(|other| other.name != one.name && needs(other, one.name))
        };
        let (mut now, later): (Vec<_>, Vec<_>) = goes.iter().copied().partition(is_free);
        goes = later;
        if now.is_empty() {
            // A ring, which no file that was read has.
            now = std::mem::take(&mut goes);
        }
        plan.goes.push(now.iter().map(|one| one.name.to_owned()).collect());
    }
    plan
}

/// Whether one container can be either.
fn same_container(new: &Definition, old: &Definition) -> bool {
    new.image == old.image && new.service.program() == old.service.program()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_core::Service;
    use tidegate_core::service::{Condition, Restart};

    fn service(name: &str, needs: &[&str]) -> Definition {
        let depends_on = needs.iter().map(|name| ((*name).to_owned(), Condition::Started));
        let service = Service {
            name: name.to_owned(),
            depends_on: depends_on.collect(),
            ..Service::default()
        };
        Definition { service, image: "x@sha256:1".to_owned() }
    }

    fn known(definition: &Definition) -> Known<'_> {
        Known { name: &definition.service.name, definition: Some(definition) }
    }

    #[test]
    fn what_is_as_wanted_stays() {
        let (db, web) = (service("db", &[]), service("web", &["db"]));
        let plan = plan(&[db.clone(), web.clone()], &[known(&web), known(&db)]);
        assert!(plan.goes.is_empty());
        assert_eq!(plan.stays.len(), 2);
    }

    #[test]
    fn how_a_service_is_looked_after_changes_nothing_of_its_container() {
        let old = service("db", &[]);
        let mut new = old.clone();
        new.service.restart = Restart::Always;
        new.service.ports = vec!["127.0.0.1:1".parse().map(port).expect("an address")];
        assert!(plan(&[new], &[known(&old)]).stays.contains("db"));
    }

    fn port(address: std::net::SocketAddr) -> tidegate_core::service::Port {
        tidegate_core::service::Port { address: address.ip(), outside: address.port(), inside: 1 }
    }

    #[test]
    fn what_changed_goes_and_nothing_else() {
        let (db, web) = (service("db", &[]), service("web", &["db"]));
        let mut changed = db.clone();
        changed.service.env.insert("A".to_owned(), "1".to_owned());
        let mut moved = web.clone();
        moved.image = "x@sha256:2".to_owned();
        let all = [known(&db), known(&web)];
        assert_eq!(plan(&[changed, web.clone()], &all).goes, [["db"]]);
        assert_eq!(plan(&[db.clone(), moved], &all).goes, [["web"]]);
    }

    #[test]
    fn who_needs_another_goes_first() {
        let all = [service("db", &[]), service("mid", &["db"]), service("web", &["mid", "db"])];
        let lone = service("lone", &[]);
        let known: Vec<Known<'_>> = all.iter().chain([&lone]).map(known).collect();
        let goes = plan(&[], &known).goes;
        assert_eq!(goes, [vec!["web", "lone"], vec!["mid"], vec!["db"]]);
    }

    #[test]
    fn what_cannot_be_read_is_made_anew() {
        let db = service("db", &[]);
        let broken = Known { name: "db", definition: None };
        let plan = plan(&[db], &[broken]);
        assert_eq!((plan.goes, plan.stays.len()), (vec![vec!["db".to_owned()]], 0));
    }
}
