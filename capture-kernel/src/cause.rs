//! Why the kernel refuses an operation that this process seems to be allowed: causes that a bare
//! `Operation not permitted` or `Cannot allocate memory` does not distinguish.

use std::{fs, io, path::PathBuf};

use bytesize::ByteSize;

/// The cause of an error of bpf(2), with the fix; `None` if the error is all that is known.
#[must_use]
pub fn cause(error: &io::Error) -> Option<String> {
    match error.raw_os_error()? {
        libc::EPERM | libc::EACCES => not_permitted(),
        libc::ENOSYS => {
            Some("this kernel was built without bpf(2) (CONFIG_BPF_SYSCALL)".to_owned())
        }
        libc::EMFILE => Some(format!(
            "this process has {} files open, which is its limit: raise the limit (ulimit -n, or \
             LimitNOFILE= of a service)",
            open_files_limit()
        )),
        libc::ENFILE => {
            Some("the machine has reached its limit of open files: raise fs.file-max".to_owned())
        }
        libc::ENOMEM => memory_limit().map(|limit| limit.to_string()),
        _ => None,
    }
}

/// The first error of a system call in a chain of errors.
#[must_use]
pub fn io_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a io::Error> {
    std::iter::successors(Some(error), |error| error.source())
        .find_map(|error| error.downcast_ref::<io::Error>())
}

fn open_files_limit() -> String {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit
        .current
        .map_or_else(|| "too many".to_owned(), |limit| limit.to_string())
}

fn not_permitted() -> Option<String> {
    let uid_map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    if is_in_user_namespace(&uid_map) {
        return Some(
            "this process is in a user namespace, whose capabilities do not count for bpf(2): run it \
             outside (not in a rootless container, nor under unshare --user)"
                .to_owned(),
        );
    }
    if has_seccomp_filter(&status) {
        return Some(
            "a seccomp filter is in force and the capabilities are there, so the filter forbids bpf(2): \
             allow bpf in the seccomp profile of the container or service"
                .to_owned(),
        );
    }
    let lockdown = fs::read_to_string("/sys/kernel/security/lockdown").unwrap_or_default();
    if lockdown.contains("[confidentiality]") {
        return Some(
            "the kernel is locked down (confidentiality), which forbids reading packets by BPF"
                .to_owned(),
        );
    }
    None
}

/// Whether user ids are mapped: the initial namespace maps every id to itself.
fn is_in_user_namespace(uid_map: &str) -> bool {
    let fields: Vec<&str> = uid_map.split_whitespace().collect();
    !fields.is_empty() && fields != ["0", "0", "4294967295"]
}

/// Whether a seccomp(2) filter is in force (`Seccomp: 2` in proc_pid_status(5)).
fn has_seccomp_filter(status: &str) -> bool {
    let mut lines = status.lines();
    let mode = lines.find_map(|line| line.strip_prefix("Seccomp:"));
    mode.is_some_and(|mode| mode.trim() == "2")
}

/// The memory limit of this process's control group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryLimit {
    /// Bytes that the group may use (`memory.max`).
    pub most: u64,
    /// Bytes that it uses (`memory.current`).
    pub used: u64,
}

impl std::fmt::Display for MemoryLimit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "the control group may use {} of memory and uses {}: ask for a smaller ring (-B, \
             --ring-size, ring_size), or raise its limit",
            ByteSize(self.most).display().iec(),
            ByteSize(self.used).display().iec(),
        )
    }
}

/// The tightest memory limit of the control groups above this process, if there is one.
#[must_use]
pub fn memory_limit() -> Option<MemoryLimit> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let of = |controller: &str| {
        groups.lines().find_map(|line| {
            let (_number, rest) = line.split_once(':')?;
            rest.strip_prefix(controller)?.strip_prefix(":/")
        })
    };
    // Version 2 has one tree, version 1 one for each controller.
    let unified = of("")
        .and_then(|group| tightest("/sys/fs/cgroup", group, ["memory.max", "memory.current"]));
    unified.or_else(|| {
        let files = ["memory.limit_in_bytes", "memory.usage_in_bytes"];
        tightest("/sys/fs/cgroup/memory", of("memory")?, files)
    })
}

/// The least memory left in a group or one above it, up to `root`. The files contain the limit and
/// the usage.
fn tightest(root: &str, group: &str, files: [&str; 2]) -> Option<MemoryLimit> {
    /// Version 1 reports a number above this where there is no limit.
    const NO_LIMIT: u64 = 1 << 62;
    let own = PathBuf::from(root).join(group);
    own.ancestors()
        .take_while(|directory| directory.starts_with(root))
        .filter_map(|directory| {
            let number = |file: &str| {
                let text = fs::read_to_string(directory.join(file)).ok()?;
                text.trim().parse::<u64>().ok()
            };
            let [most, used] = files;
            Some(MemoryLimit {
                most: number(most).filter(|most| *most < NO_LIMIT)?,
                used: number(used)?,
            })
        })
        .min_by_key(|limit| limit.most.saturating_sub(limit.used))
}

#[cfg(test)]
mod tests {
    use super::{has_seccomp_filter, is_in_user_namespace};

    #[test]
    fn a_user_namespace_and_a_seccomp_filter_are_recognised() {
        assert!(!is_in_user_namespace("         0          0 4294967295\n"));
        assert!(is_in_user_namespace("         0       1000          1\n"));
        assert!(!is_in_user_namespace(""), "not known");
        assert!(has_seccomp_filter(
            "Name:\tcaptured\nSeccomp:\t2\nSeccomp_filters:\t1\n"
        ));
        assert!(!has_seccomp_filter("Name:\tcaptured\nSeccomp:\t0\n"));
    }
}
