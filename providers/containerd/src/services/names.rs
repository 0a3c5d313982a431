//! Which service has which address: for functions by files, for published ports in memory.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::spawn_blocking;

use crate::error::Failure;
use crate::name_files::Answering;
use crate::{Config, name_files};

/// Names and addresses.
#[derive(Debug)]
pub(super) struct Names {
    folder: PathBuf,
    config: Config,
    known: Mutex<BTreeMap<String, Ipv4Addr>>,
}

impl Names {
    /// Those of an earlier run, whose services may still run. Writes what is bound into services: `hosts`, shared
    /// with functions, and a `resolv.conf` of their own at `resolv`, for they must find others also when nobody
    /// answers for functions. Blocks.
    pub(super) fn open(
        folder: PathBuf,
        resolv: &Path,
        config: Config,
    ) -> std::io::Result<Arc<Self>> {
        std::fs::create_dir_all(&folder)?;
        name_files::write_hosts(&folder, &config)?;
        name_files::write_resolv(resolv, &config, Answering::Others)?;
        let known = Mutex::new(name_files::read_services(&folder));
        Ok(Arc::new(Self { folder, config, known }))
    }

    /// The address of a service now.
    pub(super) fn address(&self, name: &str) -> Option<Ipv4Addr> {
        self.lock().get(name).copied()
    }

    /// A service has this address, or none any more.
    pub(super) async fn tell(
        self: &Arc<Self>,
        name: &str,
        address: Option<Ipv4Addr>,
    ) -> Result<(), Failure> {
        let name = name.to_owned();
        self.change(move |known| match address {
            Some(address) => drop(known.insert(name, address)),
            None => drop(known.remove(&name)),
        })
        .await
    }

    /// Forgets all services but these.
    pub(super) async fn keep(
        self: &Arc<Self>,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<(), Failure> {
        let gone: Vec<String> = self.lock().keys().filter(|name| !wanted(name)).cloned().collect();
        self.change(move |known| known.retain(|name, _| !gone.contains(name))).await
    }

    async fn change(
        self: &Arc<Self>,
        change: impl FnOnce(&mut BTreeMap<String, Ipv4Addr>) + Send + 'static,
    ) -> Result<(), Failure> {
        let names = self.clone();
        let work = move || {
            // Held while it is written, so that the file is never older than what is known.
            let mut known = names.lock();
            change(&mut known);
            name_files::write_services(&names.folder, &names.config, &known)
        };
        let written = spawn_blocking(work).await.map_err(std::io::Error::other);
        written.and_then(|done| done).map_err(Failure::io("write the names of services"))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Ipv4Addr>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
