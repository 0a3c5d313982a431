//! All names that replicas may ask for: functions and who calls, kept in memory, services and the machine's
//! own servers, in files.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use tidegate_core::{Callee, DEFAULT_NAMESPACE, FunctionId};

use super::answer::Found;
use super::watched::Watched;
use crate::name_files::Machine;

/// What is never asked of others: all below it is ours.
const OURS: [&str; 2] = ["cluster.local", DEFAULT_NAMESPACE];
/// Where the machine keeps which servers it asks.
const MACHINE: &str = "/etc/resolv.conf";
/// Most servers that are asked, as in the C library.
const MOST_SERVERS: usize = 3;

/// Names and what they mean.
#[derive(Debug)]
pub(crate) struct Names {
    /// Where the gateway listens for functions.
    gateway: Ipv4Addr,
    /// Servers to ask instead of the machine's.
    told: Vec<IpAddr>,
    /// Deployed functions, as `name.namespace`.
    functions: RwLock<HashSet<String>>,
    /// The namespaces of replicas, by their addresses.
    replicas: RwLock<HashMap<Ipv4Addr, Arc<str>>>,
    services: Watched<HashMap<String, Vec<IpAddr>>>,
    machine: Watched<Machine>,
}

impl Names {
    /// Of a gateway at this address; `services` is a file in the format of `hosts`, which may be missing.
    /// `told` are the servers that know all other names; none means the machine's.
    pub(crate) fn new(gateway: Ipv4Addr, services: &Path, told: Vec<IpAddr>) -> Self {
        Self {
            gateway,
            told,
            functions: RwLock::default(),
            replicas: RwLock::default(),
            services: Watched::new(services.to_owned(), read_hosts),
            machine: Watched::new(MACHINE.into(), Machine::read),
        }
    }

    /// A function is deployed.
    pub(crate) fn add(&self, function: &FunctionId) {
        write(&self.functions).insert(function.as_str().to_owned());
    }

    /// A function is not deployed any more.
    pub(crate) fn remove(&self, function: &FunctionId) {
        write(&self.functions).remove(function.as_str());
    }

    /// A replica of a function in `namespace` has this address now.
    pub(crate) fn settle(&self, address: Ipv4Addr, namespace: &str) {
        write(&self.replicas).insert(address, namespace.into());
    }

    /// Nobody has this address any more.
    pub(crate) fn leave(&self, address: Ipv4Addr) {
        write(&self.replicas).remove(&address);
    }

    /// The namespace of the replica with this address.
    pub(crate) fn namespace_of(&self, address: Ipv4Addr) -> Option<Arc<str>> {
        read(&self.replicas).get(&address).cloned()
    }

    /// What `name`, in lower case, means to `asker`. Services come before functions: whoever runs the machine
    /// named them, and no function can take a database's place.
    pub(super) fn find(&self, name: &str, asker: IpAddr) -> Found {
        if let Some(found) = self.own(name, asker) {
            return found;
        }
        if name.is_empty() {
            return Found::Elsewhere;
        }
        if !name.contains('.') || OURS.iter().any(|zone| name == *zone || is_below(name, zone)) {
            return Found::Nowhere;
        }
        // A short name is first asked for with the machine's own domains behind it.
        let machine = self.machine.get();
        let mut heads = machine.search.iter().filter(|zone| is_below(name, zone)).map(|zone| {
            let head = name.len() - zone.len() - 1;
            &name[..head]
        });
        heads.find_map(|head| self.own(head, asker)).unwrap_or(Found::Elsewhere)
    }

    /// A name that we give.
    fn own(&self, name: &str, asker: IpAddr) -> Option<Found> {
        let gateway = || Found::At(vec![self.gateway.into()]);
        let callee = Callee::read(name);
        if callee == Some(Callee::Gateway) {
            return Some(gateway());
        }
        if let Some(addresses) = self.services.get().get(name) {
            return Some(Found::At(addresses.clone()));
        }
        match callee {
            Some(Callee::Function { name, namespace }) => {
                self.is_deployed(name, namespace, asker).then(gateway)
            }
            _ => None,
        }
    }

    fn is_deployed(&self, name: &str, namespace: Option<&str>, asker: IpAddr) -> bool {
        let functions = read(&self.functions);
        let has = |namespace: &str| functions.contains(&format!("{name}.{namespace}"));
        match (namespace, asker) {
            (Some(namespace), _) => has(namespace),
            (None, IpAddr::V4(asker)) => {
                let own = self.namespace_of(asker);
                own.is_some_and(|own| has(&own)) || has(DEFAULT_NAMESPACE)
            }
            (None, IpAddr::V6(_)) => has(DEFAULT_NAMESPACE),
        }
    }

    /// Who is asked for all other names, at most three. Never one that is not named by somebody.
    pub(super) fn servers(&self) -> Vec<IpAddr> {
        let machine = self.machine.get();
        let servers = if self.told.is_empty() { &machine.servers } else { &self.told };
        // Ourselves would be a question without an end.
        let others = servers.iter().filter(|server| **server != IpAddr::V4(self.gateway));
        others.take(MOST_SERVERS).copied().collect()
    }
}

fn is_below(name: &str, zone: &str) -> bool {
    name.strip_suffix(zone).is_some_and(|head| head.len() > 1 && head.ends_with('.'))
}

/// Reads lines of an address and its names. What is no such line is passed over.
fn read_hosts(text: &str) -> HashMap<String, Vec<IpAddr>> {
    let mut names: HashMap<String, Vec<IpAddr>> = HashMap::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_whitespace();
        let Some(address) = words.next().and_then(|word| word.parse().ok()) else { continue };
        for name in words {
            names.entry(name.to_ascii_lowercase()).or_default().push(address);
        }
    }
    names
}

fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    // Nothing in these sections can stop half-way.
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 62, 0, 1);
    const OF_DEFAULT: Ipv4Addr = Ipv4Addr::new(10, 62, 0, 2);
    const OF_PETS: Ipv4Addr = Ipv4Addr::new(10, 62, 0, 3);

    struct World {
        names: Names,
        folder: tempfile::TempDir,
    }

    impl World {
        fn new(functions: &[&str]) -> Self {
            let folder = tempfile::tempdir().expect("a folder");
            let mut names = Names::new(GATEWAY, &folder.path().join("services"), Vec::new());
            names.machine = Watched::new(folder.path().join("resolv.conf"), Machine::read);
            for function in functions {
                names.add(&FunctionId::parse(function).expect("a good name"));
            }
            names.settle(OF_DEFAULT, DEFAULT_NAMESPACE);
            names.settle(OF_PETS, "pets");
            Self { names, folder }
        }

        fn write(&self, file: &str, text: &str) {
            std::fs::write(self.folder.path().join(file), text).expect("a file");
        }

        fn find(&self, name: &str) -> Found {
            self.names.find(name, OF_DEFAULT.into())
        }
    }

    fn gateway() -> Found {
        Found::At(vec![GATEWAY.into()])
    }

    #[test]
    fn deployed_functions_and_the_gateway_are_at_the_gateway() {
        let world = World::new(&["cat", "dog.pets"]);
        let known = [
            "gateway",
            "gateway.openfaas",
            "gateway.openfaas.svc.cluster.local",
            "cat",
            "cat.openfaas-fn",
            "cat.openfaas-fn.svc.cluster.local",
            "dog.pets",
            "dog.pets.svc.cluster.local",
        ];
        for name in known {
            assert_eq!(world.find(name), gateway(), "{name}");
        }
        world.names.remove(&FunctionId::parse("cat").expect("a good name"));
        assert_eq!(world.find("cat"), Found::Nowhere);
    }

    #[test]
    fn what_is_ours_is_never_asked_of_others() {
        let world = World::new(&["dog.pets"]);
        let nowhere = [
            "nosuch",
            "com",
            // In another namespace than the asker's.
            "dog",
            "nosuch.openfaas-fn",
            "nosuch.pets.svc.cluster.local",
            "deep.down.cluster.local",
            "cluster.local",
        ];
        for name in nowhere {
            assert_eq!(world.find(name), Found::Nowhere, "{name}");
        }
        for name in ["", "example.com", "www.example.com", "nosuch.pets", "mycluster.local"] {
            assert_eq!(world.find(name), Found::Elsewhere, "{name}");
        }
    }

    #[test]
    fn a_bare_name_is_first_looked_for_in_the_namespace_of_the_asker() {
        let world = World::new(&["cat", "dog.pets"]);
        let find = |name| world.names.find(name, OF_PETS.into());
        assert_eq!((find("dog"), find("cat")), (gateway(), gateway()));
        world.names.leave(OF_PETS);
        assert_eq!((find("dog"), find("cat")), (Found::Nowhere, gateway()));
    }

    #[test]
    fn services_are_read_from_their_file_and_come_before_functions() {
        let world = World::new(&["nats", "cat"]);
        assert_eq!(world.find("nats"), gateway());
        world.write(
            "services",
            "# neighbours\n10.62.0.9 nats  Queue # and more\n10.62.0.10 nats\nnonsense\nfd00::1 gateway\n",
        );
        let at = |low: &[u8]| {
            Found::At(low.iter().map(|low| Ipv4Addr::new(10, 62, 0, *low).into()).collect())
        };
        assert_eq!((world.find("nats"), world.find("queue")), (at(&[9, 10]), at(&[9])));
        assert_eq!((world.find("nats.openfaas-fn"), world.find("gateway")), (gateway(), gateway()));
        world.write("services", "");
        assert_eq!((world.find("nats"), world.find("queue")), (gateway(), Found::Nowhere));
    }

    #[test]
    fn domains_that_the_machine_appends_do_not_hide_functions() {
        let world = World::new(&["cat", "dog.pets"]);
        world.write("resolv.conf", "nameserver 127.0.0.53\nsearch corp.example lan\n");
        for name in ["cat.corp.example", "dog.pets.corp.example", "cat.lan"] {
            assert_eq!(world.find(name), gateway(), "{name}");
        }
        for name in ["files.corp.example", "corp.example", ".lan", "catlan.x"] {
            assert_eq!(world.find(name), Found::Elsewhere, "{name}");
        }
    }

    #[test]
    fn others_are_those_told_else_the_machines_own_but_never_ourselves() {
        let mut world = World::new(&[]);
        assert_eq!(world.names.servers(), [] as [IpAddr; 0]);
        world.write("resolv.conf", "nameserver 10.62.0.1\nnameserver 127.0.0.53\n");
        assert_eq!(world.names.servers(), [IpAddr::from([127, 0, 0, 53])]);
        world.names.told = vec![[192, 0, 2, 1].into()];
        assert_eq!(world.names.servers(), [IpAddr::from([192, 0, 2, 1])]);
    }
}
