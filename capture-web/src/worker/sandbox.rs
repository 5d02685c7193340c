//! A process gives up every right that reading capture files does not need. What the kernel supports is used:
//! resource limits always, Landlock from Linux 5.13 (network from 6.7), seccomp where it is compiled in.

use std::io;

use anyhow::{Context as _, Result};
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _,
    path_beneath_rules,
};
use rustix::process::{Resource, Rlimit, setrlimit};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use super::order::Order;

/// Descriptors besides the inputs: stdin, stdout, stderr, outputs, and some to spare.
const DESCRIPTORS: u64 = 32;

/// The system calls of a program that reads files, writes files and has threads.
const ALLOWED: &[i64] = &[
    libc::SYS_brk,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_close,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_fcntl,
    libc::SYS_fdatasync,
    libc::SYS_fstat,
    libc::SYS_fsync,
    libc::SYS_futex,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_lseek,
    libc::SYS_madvise,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_nanosleep,
    libc::SYS_newfstatat,
    libc::SYS_openat,
    libc::SYS_ppoll,
    libc::SYS_prctl,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_set_robust_list,
    libc::SYS_sigaltstack,
    libc::SYS_statx,
    libc::SYS_tgkill,
    libc::SYS_write,
    libc::SYS_writev,
];

/// Gives up all other rights, for ever.
///
/// # Errors
/// The kernel supports a bound and refuses it.
pub(super) fn enter(order: &Order) -> Result<()> {
    limit(order).context("setting resource limits")?;
    rustix::thread::set_no_new_privs(true).context("giving up new privileges")?;
    restrict_files(order).context("restricting file access")?;
    restrict_calls().context("restricting system calls")
}

fn limit(order: &Order) -> io::Result<()> {
    let bounds = order.bounds;
    for (resource, value) in [
        (Resource::As, bounds.memory),
        (Resource::Cpu, bounds.cpu_seconds),
        (Resource::Fsize, bounds.file_bytes),
        (Resource::Nofile, DESCRIPTORS + order.inputs.len() as u64),
        (Resource::Core, 0),
    ] {
        // A lower limit that is there already stays.
        let old = rustix::process::getrlimit(resource);
        let value = old.maximum.map_or(value, |maximum| maximum.min(value));
        // At the current limit of processor time a process gets SIGXCPU, which tells what happened; at the
        // maximum it is killed.
        let maximum = match resource {
            Resource::Cpu => value.saturating_add(2),
            _ => value,
        };
        let limits = Rlimit {
            current: Some(value),
            maximum: Some(old.maximum.map_or(maximum, |old| old.min(maximum))),
        };
        setrlimit(resource, limits)?;
    }
    Ok(())
}

/// Reads only the inputs, writes only below the output, and connects to nothing. Rights that this kernel does
/// not know of are left out by the library.
fn restrict_files(order: &Order) -> Result<()> {
    let abi = ABI::V5;
    Ruleset::default()
        .handle_access(AccessFs::from_all(abi))?
        .handle_access(AccessNet::from_all(abi))?
        .create()?
        .add_rules(path_beneath_rules(&order.inputs, AccessFs::from_read(abi)))?
        .add_rules(path_beneath_rules([&order.output], AccessFs::from_all(abi)))?
        .restrict_self()?;
    Ok(())
}

fn restrict_calls() -> Result<()> {
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    let mut rules: Vec<(i64, Vec<SeccompRule>)> =
        ALLOWED.iter().map(|call| (*call, Vec::new())).collect();
    let thread = u64::from(libc::CLONE_THREAD.unsigned_abs());
    // A thread, but no process.
    let is_thread = SeccompCondition::new(
        0,
        SeccompCmpArgLen::Qword,
        SeccompCmpOp::MaskedEq(thread),
        thread,
    )?;
    rules.push((libc::SYS_clone, vec![SeccompRule::new(vec![is_thread])?]));
    // clone3 has its flags behind a pointer, which no filter can read: "not implemented" makes the C library
    // use clone.
    let refused = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    let filter = SeccompFilter::new(
        rules.into_iter().collect(),
        refused,
        SeccompAction::Allow,
        arch,
    )?;
    let program: BpfProgram = filter.try_into()?;
    match seccompiler::apply_filter(&program) {
        Err(seccompiler::Error::Seccomp(error))
            if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS)) =>
        {
            eprintln!("this kernel has no seccomp filters: {error}");
            Ok(())
        }
        applied => applied.context("installing the filter"),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, File},
        io::Read as _,
        net::{TcpListener, TcpStream, UdpSocket},
        path::PathBuf,
        process::Command,
        thread,
    };

    use super::*;
    use crate::worker::{Bounds, Work};

    /// The directory of the files, set for the process that is confined.
    const CONFINED: &str = "CAPTURE_WEB_TEST_CONFINED";

    #[test]
    fn a_confined_process_reads_its_input_writes_its_output_and_nothing_else() {
        if let Some(directory) = std::env::var_os(CONFINED) {
            return confined(&PathBuf::from(directory));
        }
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("output")).unwrap();
        for name in ["input", "other"] {
            fs::write(directory.path().join(name), name).unwrap();
        }
        // The test itself, in a process that can be given up.
        let name = "worker::sandbox::tests::\
             a_confined_process_reads_its_input_writes_its_output_and_nothing_else";
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(CONFINED, directory.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("1 passed"), "{text}");
        assert!(directory.path().join("output/made").exists());
    }

    fn confined(directory: &std::path::Path) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let order = Order {
            inputs: vec![directory.join("input")],
            names: Vec::new(),
            output: directory.join("output"),
            work: Work::Merge,
            bounds: Bounds {
                memory: 4 << 30,
                cpu_seconds: 60,
                file_bytes: 1000,
                unpacked_bytes: 0,
                ratio: 0,
                packets: 0,
            },
        };
        enter(&order).unwrap();
        let mut text = String::new();
        let mut input = File::open(directory.join("input")).unwrap();
        input.read_to_string(&mut text).unwrap();
        assert_eq!(text, "input");
        fs::write(directory.join("output/made"), "made").unwrap();
        assert_eq!(thread::spawn(|| 7).join().unwrap(), 7);

        assert!(File::open(directory.join("other")).is_err());
        assert!(File::create(directory.join("input")).is_err());
        assert!(File::create(directory.join("made")).is_err());
        assert!(File::open("/etc/passwd").is_err());
        assert!(TcpStream::connect(address).is_err());
        assert!(UdpSocket::bind("127.0.0.1:0").is_err());
        assert!(Command::new("/bin/true").status().is_err());
    }
}
