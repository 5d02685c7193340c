//! Features of this kernel and permissions of this process, found by probing, not from the version.

use std::{fmt, fs, io};

use aya::{
    programs::{ProgramType, SchedClassifier, TcAttachType},
    sys::{BpfHelper, is_helper_supported},
};
use aya_obj::generated::bpf_map_type;
use capture_filter::kernel::map::{MapSpec, RawMap};

use super::cause::{cause, io_error};

/// The features of this kernel.
#[derive(Debug, Clone)]
pub struct Features {
    /// The kernel's release (uname(2)).
    pub kernel: String,
    /// TCX links (6.6); clsact filters are used without them.
    pub tcx: bool,
    /// `bpf_ktime_get_tai_ns` (6.1): timestamps that follow steps of the system clock.
    pub tai_clock: bool,
}

/// Something that every capture needs is missing.
#[derive(Debug, thiserror::Error)]
pub enum FeaturesError {
    /// The process lacks capabilities.
    #[error(
        "missing {missing}: run as root, or with the capabilities CAP_BPF, CAP_NET_ADMIN and \
         CAP_PERFMON (before kernel 5.8: CAP_SYS_ADMIN)"
    )]
    Capability {
        /// The capabilities missing from the effective set.
        missing: MissingCapabilities,
    },
    /// The kernel has no ring buffer.
    #[error("kernel {kernel} has no BPF ring buffer: Linux 5.8 or later is needed")]
    RingBuffer {
        /// The kernel's release.
        kernel: String,
    },
    /// The kernel refuses bpf(2), or did not answer.
    #[error("kernel {kernel} refuses bpf(2): {reason}")]
    Unknown {
        /// The kernel's release.
        kernel: String,
        /// The kernel's error.
        reason: String,
    },
}

/// Capabilities that a capture needs and the process lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingCapabilities(Vec<&'static str>);

impl fmt::Display for MissingCapabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" and "))
    }
}

impl Features {
    /// Probes the kernel.
    ///
    /// # Errors
    ///
    /// Why nothing can be captured.
    pub fn probe() -> Result<Self, FeaturesError> {
        let missing = missing_capabilities(effective_capabilities());
        if !missing.0.is_empty() {
            return Err(FeaturesError::Capability { missing });
        }
        let kernel = rustix::system::uname()
            .release()
            .to_string_lossy()
            .into_owned();
        let unknown = |reason: String| FeaturesError::Unknown {
            kernel: kernel.clone(),
            reason,
        };
        if !has_ring_buffer().map_err(|error| unknown(reason(&error)))? {
            return Err(FeaturesError::RingBuffer { kernel });
        }
        let tai_clock = is_helper_supported(
            ProgramType::SchedClassifier,
            BpfHelper::BPF_FUNC_ktime_get_tai_ns,
        )
        .map_err(|error| unknown(io_error(&error).map_or_else(|| error.to_string(), reason)))?;
        // Every network namespace has a loopback device. Before 6.6 the query itself is unknown.
        let tcx = SchedClassifier::query_tcx("lo", TcAttachType::Ingress).is_ok();
        Ok(Self {
            kernel,
            tcx,
            tai_clock,
        })
    }
}

/// Creates a ring buffer. A kernel without this map type returns EINVAL.
fn has_ring_buffer() -> io::Result<bool> {
    let made = RawMap::create(MapSpec {
        name: "probe",
        kind: bpf_map_type::BPF_MAP_TYPE_RINGBUF,
        key_size: 0,
        value_size: 0,
        max_entries: u32::try_from(rustix::param::page_size()).unwrap_or(4096),
        flags: 0,
    });
    match made {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(false),
        Err(error) => Err(error),
    }
}

fn reason(error: &io::Error) -> String {
    cause(error).map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}

// Numbers from include/uapi/linux/capability.h.
const CAP_NET_ADMIN: u32 = 12;
const CAP_SYS_ADMIN: u32 = 21;
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;

fn missing_capabilities(effective: u64) -> MissingCapabilities {
    let has = |capability: u32| effective & (1 << capability) != 0;
    let needed = [
        ("CAP_BPF", has(CAP_BPF) || has(CAP_SYS_ADMIN)),
        ("CAP_NET_ADMIN", has(CAP_NET_ADMIN)),
        ("CAP_PERFMON", has(CAP_PERFMON) || has(CAP_SYS_ADMIN)),
    ];
    MissingCapabilities(
        needed
            .into_iter()
            .filter(|(_, has)| !has)
            .map(|(name, _)| name)
            .collect(),
    )
}

/// The effective set as proc_pid_status(5) shows it; empty where it cannot be read.
fn effective_capabilities() -> u64 {
    fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| {
            let set = status
                .lines()
                .find_map(|line| line.strip_prefix("CapEff:"))?;
            u64::from_str_radix(set.trim(), 16).ok()
        })
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON, CAP_SYS_ADMIN, missing_capabilities};

    #[test]
    fn a_missing_capability_is_named() {
        let all = (1 << CAP_BPF) | (1 << CAP_NET_ADMIN) | (1 << CAP_PERFMON);
        assert_eq!(missing_capabilities(all).to_string(), "");
        assert_eq!(
            missing_capabilities(all & !(1 << CAP_PERFMON)).to_string(),
            "CAP_PERFMON"
        );
        assert_eq!(
            missing_capabilities(0).to_string(),
            "CAP_BPF and CAP_NET_ADMIN and CAP_PERFMON"
        );
        let admin = (1 << CAP_SYS_ADMIN) | (1 << CAP_NET_ADMIN);
        assert_eq!(missing_capabilities(admin).to_string(), "");
    }
}
