//! Which system calls a replica may make: what programs of all languages need to serve, and nothing that
//! changes the machine, its kernel, other processes' memory or the namespaces around them.
//!
//! Calls that a kernel or machine does not have are passed over by runc.

use serde_json::{Value, json};

/// Flags of `clone` that make namespaces. Source: `linux/sched.h`, `CLONE_NEW*`.
const NEW_NAMESPACES: u64 = 0x7E02_0000;
/// "No such call": programs then use the older one. Source: `asm-generic/errno.h`.
const NO_SUCH_CALL: u32 = 38;

const FILES: &str = "access chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 \
    faccessat faccessat2 fadvise64 fadvise64_64 fallocate fchdir fchmod fchmodat fchmodat2 fchown fchown32 \
    fchownat fcntl fcntl64 fdatasync fgetxattr flistxattr flock fremovexattr fsetxattr fstat fstat64 fstatat64 \
    fstatfs fstatfs64 fsync ftruncate ftruncate64 futimesat getcwd getdents getdents64 getxattr lchown lchown32 \
    lgetxattr link linkat listxattr llistxattr _llseek lremovexattr lseek lsetxattr lstat lstat64 mkdir mkdirat \
    mknod mknodat newfstatat open openat openat2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readahead \
    readlink readlinkat readv removexattr rename renameat renameat2 rmdir sendfile sendfile64 setxattr splice \
    stat stat64 statfs statfs64 statx symlink symlinkat sync sync_file_range syncfs tee truncate truncate64 \
    umask unlink unlinkat utime utimensat utimensat_time64 utimes vmsplice write writev inotify_add_watch \
    inotify_init inotify_init1 inotify_rm_watch cachestat";
const MEMORY: &str = "brk get_mempolicy madvise map_shadow_stack membarrier memfd_create mincore mlock mlock2 \
    mlockall mmap mmap2 mprotect mremap msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect \
    process_mrelease remap_file_pages";
const PROCESSES: &str = "arch_prctl capget capset execve execveat exit exit_group fork getcpu getegid getegid32 \
    geteuid geteuid32 getgid getgid32 getgroups getgroups32 getpgid getpgrp getpid getppid getpriority \
    getresgid getresgid32 getresuid getresuid32 getrlimit get_robust_list getrusage getsid get_thread_area \
    gettid getuid getuid32 ioprio_get ioprio_set kill pidfd_open pidfd_send_signal prctl prlimit64 restart_syscall \
    rseq sched_getaffinity sched_getattr sched_getparam sched_get_priority_max sched_get_priority_min \
    sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr \
    sched_setparam sched_setscheduler sched_yield setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 \
    setgroups setgroups32 setpgid setpriority setregid setregid32 setresgid setresgid32 setresuid setresuid32 \
    setreuid setreuid32 setrlimit set_robust_list setsid set_thread_area set_tid_address setuid setuid32 \
    sysinfo tgkill times tkill ugetrlimit uname vfork wait4 waitid waitpid landlock_add_rule \
    landlock_create_ruleset landlock_restrict_self seccomp";
const SIGNALS: &str = "alarm pause rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn \
    rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sigaltstack signalfd signalfd4 \
    sigprocmask sigreturn";
const WAITING: &str = "epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait \
    epoll_wait_old eventfd eventfd2 futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake \
    io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit poll ppoll \
    ppoll_time64 pselect6 pselect6_time64 select _newselect ioctl pipe pipe2 mq_getsetattr mq_notify mq_open \
    mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink msgctl msgget msgrcv \
    msgsnd semctl semget semop semtimedop semtimedop_time64 shmat shmctl shmdt shmget ipc";
const NETWORK: &str = "accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom \
    recvmmsg recvmmsg_time64 recvmsg send sendmmsg sendmsg sendto setsockopt shutdown socket socketcall socketpair";
const TIME: &str = "clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep \
    clock_nanosleep_time64 getitimer gettimeofday nanosleep setitimer time timer_create timer_delete \
    timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create \
    timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64 getrandom";

/// Whose programs may make the calls.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Programs {
    /// Those that are built for this machine; all others are killed at their first call.
    Native,
    /// Those of its 32-bit relatives, too. A filter for three architectures takes runc 14 ms to make, for one 2 ms.
    ThirtyTwoBit,
}

/// The filter, in the words of the OCI runtime specification.
pub(crate) fn filter(programs: Programs) -> Value {
    let groups = [FILES, MEMORY, PROCESSES, SIGNALS, WAITING, NETWORK, TIME];
    let names: Vec<&str> = groups.iter().flat_map(|group| group.split_whitespace()).collect();
    let architectures = match (std::env::consts::ARCH, programs) {
        ("x86_64", Programs::Native) => json!(["SCMP_ARCH_X86_64"]),
        ("x86_64", Programs::ThirtyTwoBit) => {
            json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"])
        }
        ("aarch64", Programs::Native) => json!(["SCMP_ARCH_AARCH64"]),
        ("aarch64", Programs::ThirtyTwoBit) => json!(["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]),
        _ => json!([]),
    };
    json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures": architectures,
        "syscalls": [
            {"names": names, "action": "SCMP_ACT_ALLOW"},
            {
                "names": ["clone"],
                "action": "SCMP_ACT_ALLOW",
                "args": [{"index": 0, "value": NEW_NAMESPACES, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}],
            },
            // Its flags are in memory, where no filter can look.
            {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": NO_SUCH_CALL},
            // Only which machine a program believes to run on, not the newer features.
            {
                "names": ["personality"],
                "action": "SCMP_ACT_ALLOW",
                "args": [{"index": 0, "value": 0, "op": "SCMP_CMP_EQ"}],
            },
            {
                "names": ["personality"],
                "action": "SCMP_ACT_ALLOW",
                "args": [{"index": 0, "value": 0xffff_ffff_u32, "op": "SCMP_CMP_EQ"}],
            },
        ],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_call_is_named_twice_and_none_that_changes_the_machine() {
        let groups = [FILES, MEMORY, PROCESSES, SIGNALS, WAITING, NETWORK, TIME];
        let names: Vec<&str> = groups.iter().flat_map(|group| group.split_whitespace()).collect();
        let unique: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(unique.len(), names.len());
        let forbidden = [
            "mount",
            "umount2",
            "unshare",
            "setns",
            "bpf",
            "ptrace",
            "reboot",
            "kexec_load",
            "init_module",
            "delete_module",
            "pivot_root",
            "keyctl",
            "add_key",
            "perf_event_open",
            "userfaultfd",
            "swapon",
            "settimeofday",
            "clock_settime",
            "open_by_handle_at",
            "process_vm_writev",
            "io_uring_setup",
        ];
        assert!(forbidden.iter().all(|name| !names.contains(name)));
    }
}
