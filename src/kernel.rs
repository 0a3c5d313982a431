//! What the kernel tells of the machine's memory: `/proc/meminfo` and, where it is built with pressure stall
//! information, `/proc/pressure/memory`.
//!
//! Source: `Documentation/filesystems/proc.rst` and `Documentation/accounting/psi.rst` of the Linux kernel.

use std::fs;
use std::path::PathBuf;

/// The folder that the kernel tells in.
#[derive(Clone, Debug)]
pub struct Proc {
    root: PathBuf,
}

impl Default for Proc {
    fn default() -> Self {
        Self::at("/proc")
    }
}

impl Proc {
    /// Another folder than `/proc`.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// All memory of the machine, in bytes.
    pub fn total(&self) -> Option<u64> {
        self.meminfo("MemTotal")
    }

    /// Memory that can be had without swapping, in bytes.
    pub fn available(&self) -> Option<u64> {
        self.meminfo("MemAvailable")
    }

    /// Share of the last ten seconds in which something waited for memory, in hundredths of a percent; none where
    /// the kernel does not tell.
    pub fn stalled(&self) -> Option<u32> {
        let text = fs::read_to_string(self.root.join("pressure/memory")).ok()?;
        let some = text.lines().find_map(|line| line.strip_prefix("some "))?;
        let share = some.split(' ').find_map(|field| field.strip_prefix("avg10="))?;
        let (percent, hundredths) = share.split_once('.')?;
        let hundredths = hundredths.get(..2)?.parse::<u32>().ok()?;
        percent.parse::<u32>().ok()?.checked_mul(100)?.checked_add(hundredths)
    }

    fn meminfo(&self, name: &str) -> Option<u64> {
        let text = fs::read_to_string(self.root.join("meminfo")).ok()?;
        let fields = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        let kib: u64 = fields.trim().strip_suffix(" kB")?.parse().ok()?;
        kib.checked_mul(1024)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_files_are_read_and_either_may_be_missing() {
        let folder = tempfile::tempdir().expect("a folder");
        let proc = Proc::at(folder.path());
        assert_eq!((proc.total(), proc.available(), proc.stalled()), (None, None, None));
        let meminfo = "MemTotal:       32810768 kB\nMemFree:  1 kB\nMemAvailable:   23606628 kB\n";
        fs::write(folder.path().join("meminfo"), meminfo).expect("a file");
        assert_eq!(proc.total(), Some(32_810_768 * 1024));
        assert_eq!(proc.available(), Some(23_606_628 * 1024));
        fs::create_dir(folder.path().join("pressure")).expect("a folder");
        let some = "some avg10=12.34 avg60=9.00 avg300=1.00 total=1\n";
        let full = "full avg10=1.00 avg60=0.00 avg300=0.00 total=0\n";
        let file = folder.path().join("pressure/memory");
        fs::write(&file, format!("{some}{full}")).expect("a file");
        assert_eq!(proc.stalled(), Some(1234));
        for odd in
            ["", "some avg10=1", "some avg10=x.yz", "some avg10=99999999.00", "full avg10=1.00"]
        {
            fs::write(&file, odd).expect("a file");
            assert_eq!(proc.stalled(), None, "{odd:?}");
        }
    }

    #[test]
    fn this_machine_has_memory() {
        let proc = Proc::default();
        assert!(proc.available() <= proc.total() && proc.total() > Some(0));
    }
}
