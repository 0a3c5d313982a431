//! Limits of memory and CPU: read at deploy time, applied to a replica by cgroup, or else by rlimit.

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tidegate_core::Quantity;
use tidegate_provider::{ProviderError, Resources};

use crate::cgroup::{Cgroups, ReplicaCgroup};

/// The watchdog itself needs this much; an rlimit below it would end the replica before the function runs.
const LEAST_RLIMIT: u64 = 32 << 20;

/// A replica's limits, in numbers.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Bytes.
    pub(crate) memory: Option<u64>,
    /// Milli-cores.
    pub(crate) cpu: Option<u64>,
}

impl Limits {
    /// Reads what a user wrote.
    pub(crate) fn read(written: Option<&Resources>) -> Result<Self, ProviderError> {
        let Some(written) = written else { return Ok(Self::default()) };
        let memory = amount("memory", written.memory.as_deref())?;
        let cpu = amount("cpu", written.cpu.as_deref())?;
        Ok(Self { memory: memory.map(Quantity::units), cpu: cpu.map(Quantity::millis) })
    }

    /// Whether there is none.
    pub(crate) fn is_none(self) -> bool {
        self == Self::default()
    }

    /// Puts a replica that has just been started under its limits. Returns its cgroup, if it got one, and
    /// what a user should know of limits that could not be applied.
    pub(crate) fn apply(
        self,
        cgroups: Option<&Cgroups>,
        place: &str,
        root: Pid,
    ) -> (Option<ReplicaCgroup>, String) {
        if self.is_none() {
            return (None, String::new());
        }
        let made = cgroups.map(|cgroups| cgroups.make(place, self, root));
        match made {
            Some(Ok(cgroup)) => (Some(cgroup), String::new()),
            Some(Err(failure)) => (None, self.apply_rlimit(root, &failure.to_string())),
            None => (None, self.apply_rlimit(root, "no writable cgroups")),
        }
    }

    fn apply_rlimit(self, root: Pid, why: &str) -> String {
        let mut note = String::new();
        if let Some(memory) = self.memory {
            // Data, not address space: runtimes reserve far more of the latter than they use.
            let bytes = Some(memory.max(LEAST_RLIMIT));
            let limit = Rlimit { current: bytes, maximum: bytes };
            for process in crate::procfs::family(root) {
                if let Err(failure) = prlimit(Some(process), Resource::Data, limit) {
                    note = format!("memory limit is not applied: {failure}");
                }
            }
        }
        if self.cpu.is_some() {
            let and = if note.is_empty() { "" } else { "; " };
            note = format!("{note}{and}cpu limit is not applied: {why}");
        }
        note
    }
}

fn amount(what: &str, written: Option<&str>) -> Result<Option<Quantity>, ProviderError> {
    let Some(text) = written.filter(|text| !text.is_empty()) else { return Ok(None) };
    let quantity: Quantity =
        text.parse().map_err(|bad| ProviderError::Invalid(format!("{what}: {bad}")))?;
    if quantity.is_zero() {
        return Err(ProviderError::Invalid(format!("{what}: {text:?} must be more than nothing")));
    }
    Ok(Some(quantity))
}
